"""A data set looked through in the background: what it holds, and everything that is wrong with it."""

import hashlib
from contextlib import suppress
from pathlib import Path

import streamlit as st

from core.data.browsing import list_images
from core.data.inspection import inspect_data_set
from core.data.reports import DataSetReport
from core.display.words import class_in_words, counted, percent
from core.errors import UserError
from widgets.shared.results import Report
from widgets.shared.slow_work import compute_in_background
from widgets.shared.user_errors import plain_text

_MOST_ISSUES = 20


def inspected(folder: Path, masks: str | Path | None) -> DataSetReport | None:
    """What is in the data, with everything that is wrong; None while it is read.

    Raises:
        UserError: The folder holds no data set.
    """
    masks = None if masks is None else str(masks)

    def inspect(report: Report) -> DataSetReport:
        return inspect_data_set(folder, masks, progress=report)

    key = "data set", str(folder), masks, _version(folder, masks)
    found = compute_in_background("data set", key, "Looking through the images", inspect)
    if found is None:
        st.caption(":material/hourglass_top: Looking through the images…")
    return found


def show_facts(found: DataSetReport) -> None:
    """One line with what the images and masks hold."""
    if not found.images:
        return
    first = found.images[0]
    shares = ", ".join(
        f"{plain_text(class_in_words(name))} {percent(share)}" for name, share in found.class_shares().items()
    )
    sizes = sorted({(image.height, image.width) for image in found.images}, key=lambda size: size[0] * size[1])
    size = " to ".join(f"{height} × {width}" for height, width in dict.fromkeys((sizes[0], sizes[-1])))
    images, channels = counted(len(found.images), "image"), counted(first.channels, "channel")
    st.caption(f"{images}, {size} pixels, {channels}, {first.stored_as}; masks of {found.masks}; {shares}.")


def show_issues(found: DataSetReport) -> None:
    """Everything that is wrong, errors first."""
    for issues, show in ((found.errors, st.error), (found.warnings, st.warning)):
        if issues:
            lines = [f"- {plain_text(issue.sentence, '$*~')}" for issue in issues[:_MOST_ISSUES]]
            if len(issues) > _MOST_ISSUES:
                lines.append(f"- and {len(issues) - _MOST_ISSUES} more; `python -m core data` lists them all.")
            show("\n".join(lines))


def _version(folder: Path, masks: str | None) -> str:
    """Changes when a file of the data set does; of a folder without one, why it holds none."""
    try:
        listed = list_images(folder, masks)
    except UserError as error:  # and not the whole disk, of a folder such as /
        return str(error)
    files = {path for image in listed for path in (image.image, image.mask) if path is not None}
    folders = {path.parent for path in files} | ({Path(masks)} if masks else set())
    beside = {place.parent / "skeletons" for place in folders}
    notes = (path for path in folder.iterdir() if path.is_file())  # such as a palette
    told = hashlib.sha256()
    for path in sorted({*files, *folders, *beside, *notes}):
        with suppress(FileNotFoundError):  # deleted just now
            status = path.lstat()
            told.update(f"{path} {status.st_mtime_ns} {status.st_size}\n".encode())
    return told.hexdigest()
