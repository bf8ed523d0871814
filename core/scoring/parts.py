"""The images of a data set that belong to one part of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..data.data_sets import ImagePair, find_pairs
from ..data.layouts import split_folders
from ..errors import UserError
from ..models.checkpoint import find_checkpoint
from ..models.factory import is_factory
from ..models.facts import read_header


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
        pairs, recorded = find_pairs(folder, masks), _record(model)
        if part not in recorded:
            raise UserError(f"Nothing says which images are for {part}: neither the folder nor the network; take all.")
        found = _by_part(pairs, recorded, folder.name, model)[part]
    if not found:
        raise UserError(f"{folder} has no {part} images; take another part, or all.")
    return found


def recorded_parts(folder: str | Path, masks: str | Path | None = None, model: str = "") -> dict[str, list[ImagePair]]:
    """The parts that a network's own training took of a data set in one folder; none where nothing is recorded.

    Arguments as for `pairs_of_part`.

    Raises:
        UserError: The data set is not that of the training; or as for `find_pairs`.
    """
    pairs, recorded = find_pairs(folder, masks), _record(model)
    return _by_part(pairs, recorded, Path(folder).name, model) if recorded else {}


def _record(model: str) -> dict[str, set[str]]:
    """The stems of each part in the checkpoint's record of its training."""
    path = _weights_of(model)
    info = read_header(path).info if path.is_file() else None
    stems = info.training.get("stems") if info is not None else None
    if not isinstance(stems, dict):
        return {}
    return {part: {str(stem) for stem in recorded} for part, recorded in stems.items() if isinstance(recorded, list)}


def _by_part(
    pairs: Sequence[ImagePair], recorded: Mapping[str, set[str]], name: str, model: str
) -> dict[str, list[ImagePair]]:
    """The pairs of each recorded part; of a record of several data sets, those of the one named.

    Raises:
        UserError: The data set is not that of the training.
    """
    path, prefix = _weights_of(model), f"{name}/"
    if any("/" in stem for stems in recorded.values() for stem in stems):
        recorded = {
            part: {stem.removeprefix(prefix) for stem in stems if stem.startswith(prefix)}
            for part, stems in recorded.items()
        }
    known = set().union(*recorded.values())
    if not known:
        raise UserError(f"{path.name} was not trained on a data set of the name {name}; take all.")
    missing = known - {pair.stem for pair in pairs}
    if missing:
        raise UserError(
            f"{name} is not what {path.name} was trained on: {len(missing)} of {len(known)} images of its training, "
            "validation and test are not there; take all."
        )
    return {part: [pair for pair in pairs if pair.stem in stems] for part, stems in recorded.items()}


def _weights_of(model: str) -> Path:
    source = Path(model.rpartition(":")[0])  # of a network of the user's own, the file that loads it
    return source.with_suffix(".safetensors") if is_factory(model) else find_checkpoint(model)
