"""The images of a data set that belong to one part of it."""

from pathlib import Path

from ..data.data_sets import ImagePair, find_pairs
from ..data.layouts import split_folders
from ..errors import UserError
from ..models.checkpoint import find_checkpoint, read_checkpoint


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
        stems = _recorded(model, part, folder.name)
        found = [pair for pair in find_pairs(folder, masks) if pair.stem in stems]
    if not found:
        raise UserError(f"{folder} has no {part} images; take another part, or all.")
    return found


def _recorded(model: str, part: str, name: str) -> set[str]:
    """The stems of a part in the checkpoint's record of its training; of several data sets, those of the one named."""
    path = find_checkpoint(model)
    _, info = read_checkpoint(path) if path.is_file() else (None, None)
    stems = info.training.get("stems", {}).get(part) if info is not None else None
    if not isinstance(stems, list):
        raise UserError(f"Nothing says which images are for {part}: neither the folder nor the network; take all.")
    return {str(stem).removeprefix(f"{name}/") for stem in stems}
