"""The weights that a run keeps of several epochs, and the images that they can be compared on."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data.data_sets import ImagePair, find_pairs, find_split
from ..errors import UserError
from ..models.facts import read_header
from .settings import TrainingSettings


@dataclass(frozen=True)
class SavedEpoch:
    """The weights of one epoch on disk.

    Attributes:
        epoch: Counted from 1.
        checkpoint: Their file.
        version: Time of its last change in ns, and its size in bytes: the file of the last epoch is written anew.
    """

    epoch: int
    checkpoint: Path
    version: tuple[int, int]


@dataclass(frozen=True)
class SavedEpochs:
    """The epochs of a run whose weights can be read.

    Attributes:
        epochs: In their order.
        left_out: Why others are missing, a sentence each.
        validation: Names of the run's validation images, as `TrainingData.stems` gives them.
        class_names: One name per class.
    """

    epochs: tuple[SavedEpoch, ...]
    left_out: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()


def last_checkpoint(checkpoint: Path) -> Path:
    """The weights of the last epoch of the run whose best ones are in a file."""
    return checkpoint.with_name(f"{checkpoint.stem}_last{checkpoint.suffix}")


def epoch_checkpoint(checkpoint: Path, epoch: int) -> Path:
    """The weights kept of an epoch, counted from 1, of the run whose best ones are in a file."""
    return checkpoint.parent / "epochs" / f"{checkpoint.stem}_{epoch:04d}{checkpoint.suffix}"


def saved_epochs(checkpoint: str | Path) -> SavedEpochs:
    """The epochs of a run whose weights are on disk, the last one done among them.

    Args:
        checkpoint: The file of the run's best weights, which need not be there.

    Returns:
        Only whole files of one run; the others are named in `left_out`.
    """
    checkpoint = Path(checkpoint)
    pattern = re.compile(rf"{re.escape(checkpoint.stem)}_\d{{4,}}{re.escape(checkpoint.suffix)}")
    folder = epoch_checkpoint(checkpoint, 0).parent
    names = sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name)) if folder.is_dir() else []
    found: dict[int, SavedEpoch] = {}
    left_out, first = [], None
    for file in [last_checkpoint(checkpoint), *names]:
        try:
            version, info = version_of(file), read_header(file).info
        except FileNotFoundError:  # none yet, or the run is being deleted
            continue
        except UserError as error:
            left_out.append(f"{file.name} was left out: {str(error).rstrip('.')}.")
            continue
        epoch = None if info is None else info.training.get("epoch")
        if info is None or not isinstance(epoch, int):
            left_out.append(f"{file.name} was left out: it does not say of which epoch it is.")
            continue
        first = info if first is None else first
        if info.training.get("settings") != first.training.get("settings"):
            left_out.append(f"{file.name} was left out: it is of another run with other settings.")
            continue
        found[epoch] = SavedEpoch(epoch, file, version)
    epochs, training = tuple(found[epoch] for epoch in sorted(found)), {} if first is None else first.training
    stems = training.get("stems")
    validation = tuple(map(str, stems.get("validation", ()))) if isinstance(stems, dict) else ()
    return SavedEpochs(epochs, tuple(left_out), validation, () if first is None else first.class_names)


def validation_images(
    settings: TrainingSettings, names: Sequence[str], directory: str | Path = ""
) -> dict[str, ImagePair]:
    """The files of a run's validation images, by their names.

    Args:
        settings: Settings of the run.
        names: `SavedEpochs.validation`.
        directory: What relative folders in the settings are relative to.

    Raises:
        UserError: A folder is gone, or no image of these names is left in it.
    """
    found: dict[str, ImagePair] = {}
    for folder in settings.folders:
        place = Path(directory) / folder
        masks = None if settings.masks is None else Path(directory) / settings.masks
        split = find_split(place) if masks is None else None
        pairs = find_pairs(place, masks) if split is None else split.validation
        prefix = f"{folder.name}/" if len(settings.folders) > 1 else ""
        found |= {f"{prefix}{pair.stem}": pair for pair in pairs}
    kept = {name: found[name] for name in names if name in found}
    if not kept:
        raise UserError("None of the run's validation images is left in its data; put them back, or train anew.")
    return kept


def version_of(file: Path) -> tuple[int, int]:
    """See `SavedEpoch.version`.

    Raises:
        OSError: There is no such file.
    """
    status = file.stat()
    return status.st_mtime_ns, status.st_size
