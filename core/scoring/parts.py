"""The images of a data set that belong to one part of it."""

from collections.abc import Collection
from pathlib import Path

from ..data.data_sets import ImagePair, find_pairs
from ..data.layouts import split_folders
from ..errors import UserError
from ..models.checkpoint import find_checkpoint
from ..models.factory import is_factory
from ..models.facts import read_header

PARTS = ("training", "validation", "test")


def pairs_of_part(
    folder: str | Path, masks: str | Path | None = None, part: str = "all", model: str = ""
) -> list[ImagePair]:
    """The images of a data set, or of a part of it.

    Args:
        folder: A data set divided as for `find_split`, else as for `find_pairs`.
        masks: Folder of the masks, where `folder` is that of the images.
        part: "all", "training", "validation" or "test".
        model: Checkpoint or name of the network, whose record of its training says what the parts of one folder are.

    Raises:
        UserError: No such folder, an incomplete data set, or nothing that says what the part is.
    """
    folder = Path(folder)
    folders = split_folders(folder) if masks is None else {}
    if folders:
        found = [pair for name, place in folders.items() if part in ("all", name) for pair in find_pairs(place)]
    elif part == "all":
        found = list(find_pairs(folder, masks))
    else:
        pairs = find_pairs(folder, masks)
        stems = _recorded(model, part, folder.name, {pair.stem for pair in pairs})
        found = [pair for pair in pairs if pair.stem in stems]
    if not found:
        raise UserError(f"{folder} has no {part} images; take another part, or all.")
    return found


def _recorded(model: str, part: str, name: str, there: Collection[str]) -> set[str]:
    """The stems of a part in the checkpoint's record of its training; of several data sets, those of the one named.

    Raises:
        UserError: There is no such record, or the data set, whose stems are given, is not that of the training.
    """
    source = Path(model.rpartition(":")[0])  # of a network of the user's own, the file that loads it
    path = source.with_suffix(".safetensors") if is_factory(model) else find_checkpoint(model)
    info = read_header(path).info if path.is_file() else None
    stems = info.training.get("stems") if info is not None else None
    if not isinstance(stems, dict) or not isinstance(stems.get(part), list):
        raise UserError(f"Nothing says which images are for {part}: neither the folder nor the network; take all.")
    own = {of: {str(stem) for stem in recorded} for of, recorded in stems.items() if isinstance(recorded, list)}
    if any("/" in stem for recorded in own.values() for stem in recorded):
        own = {of: {stem.removeprefix(f"{name}/") for stem in recorded if stem.startswith(f"{name}/")}
               for of, recorded in own.items()}  # fmt: skip
    known = set().union(*own.values())
    missing = known - set(there)
    if not known or missing:
        raise UserError(
            f"{name} is not what {path.name} was trained on: {len(missing)} of {len(known)} images of its training, "
            "validation and test are not there; take all."
            if known
            else f"{path.name} was not trained on a data set of the name {name}; take all."
        )
    return own[part]
