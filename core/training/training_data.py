"""The data that a network is trained, validated and tested on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..data.data_sets import ImagePair, Sample, Split, find_pairs, find_split, read_pair, split_pairs
from ..data.index_masks import IGNORED
from ..errors import UserError
from .augmentation import augment
from .settings import Augmentation, TrainingSettings

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of red, green and blue over ImageNet, the convention of published encoders."""

DEFAULT_CLASS_NAMES = ("background", "vessel")


@dataclass(frozen=True)
class TrainingData:
    """Data sets, split and checked, and what they have in common.

    Attributes:
        splits: The split of each data set, by the name of its folder.
        class_names: One name per class.
        in_channels: Number of channels C of every image.
        mean: Mean of each channel for the normalisation: over the training images, or ImageNet's.
        std: Standard deviation of each channel, likewise.
    """

    splits: dict[str, Split]
    class_names: tuple[str, ...]
    in_channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def pairs(self, part: str) -> list[ImagePair]:
        """The images of all data sets in "training", "validation" or "test"."""
        return [pair for split in self.splits.values() for pair in getattr(split, part)]

    def training_crops(self, settings: TrainingSettings) -> "LabelledImages":
        """The crops of an epoch, as many from each image as the settings ask for."""
        counts = zip(self.splits.values(), settings.crops, strict=True)
        repeated = [pair for split, crops in counts for pair in split.training for _ in range(crops)]
        return LabelledImages(repeated, settings)

    def stems(self, part: str) -> list[str]:
        """The stems of the images in "training", "validation" or "test"; with several data sets `<name>/<stem>`."""
        return [
            f"{name}/{pair.stem}" if len(self.splits) > 1 else pair.stem
            for name, split in self.splits.items()
            for pair in getattr(split, part)
        ]


def gather(settings: TrainingSettings) -> TrainingData:
    """Find, split and check all the data of a run.

    Raises:
        UserError: Whatever is wrong with the data, before anything is trained.
    """
    splits = {folder.name: _split(folder, settings) for folder in settings.folders}
    if len(splits) < len(settings.folders):
        raise UserError("Two data sets have the same name; rename the folder of one of them.")
    class_names = _class_names(splits, settings.class_names)
    training, validation, test = (
        [pair for split in splits.values() for pair in getattr(split, part)]
        for part in ("training", "validation", "test")
    )
    in_channels = read_pair(training[0]).image.shape[0]
    for pair in test:
        _check(read_pair(pair), in_channels, class_names)
    foreground = [_check(read_pair(pair), in_channels, class_names) for pair in validation]
    if not any(foreground):
        raise UserError("None of the validation images has anything but background; add images, or try another seed.")
    mean, std = _check_and_measure(training, in_channels, class_names, settings.crop)
    if settings.normalisation == "imagenet":
        if in_channels != 3:
            raise UserError(
                f"ImageNet's normalisation is for 3 channels and the images have {in_channels}; measure it."
            )
        mean, std = IMAGENET_MEAN, IMAGENET_STD
    return TrainingData(splits, class_names, in_channels, mean, std)


class LabelledImages(Dataset[tuple[Tensor, Tensor]]):
    """Images (C, H, W) float32 with masks (H, W) int64: as they are, or random crops with H = W = crop for training.

    Args:
        pairs: One image, or crop, per entry and epoch.
        augmentation: Random changes; None gives whole images.
    """

    def __init__(self, pairs: Sequence[ImagePair], augmentation: Augmentation | None = None) -> None:
        self.pairs, self.augmentation = pairs, augmentation

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        sample = read_pair(self.pairs[index])
        image, mask = torch.from_numpy(sample.image), torch.from_numpy(sample.mask)
        if self.augmentation is None:
            return image, mask
        # Drawn from torch, whose state differs in every worker process: a generator of our own would be copied into
        # each of them, and all would draw the same crops.
        rng = np.random.default_rng(int(torch.randint(2**62, ())))
        image, mask = augment(image, mask, self.augmentation, rng)
        return image.contiguous(), mask.contiguous()


def _split(folder: Path, settings: TrainingSettings) -> Split:
    """The data set's own split where it has one, else one at random."""
    given = find_split(folder) if settings.masks is None else None
    if given is not None:
        return given
    pairs = find_pairs(folder, settings.masks)
    return split_pairs(pairs, settings.validation_fraction, settings.test_fraction, settings.seed)


def _class_names(splits: dict[str, Split], given: tuple[str, ...] | None) -> tuple[str, ...]:
    """The given names, or those that the data sets agree on."""
    encodings = {name: split.training[0].encoding for name, split in splits.items()}
    named = {name: encoding.class_names for name, encoding in encodings.items() if encoding is not None}
    chosen = given or next(iter(named.values()), DEFAULT_CLASS_NAMES)
    for name, classes in named.items():
        if len(classes) != len(chosen) or (given is None and classes != chosen):
            raise UserError(
                f"The masks of {name} have {len(classes)} classes, {', '.join(classes[:-1])} and {classes[-1]}, and "
                f"{len(chosen)} are named: {', '.join(chosen)}; name as many, and join only data sets of equal classes."
            )
    return chosen


def _check(sample: Sample, in_channels: int, class_names: Sequence[str]) -> bool:
    """Check channels and classes; returns whether there is anything but background."""
    if sample.image.shape[0] != in_channels:
        raise UserError(
            f"The image {sample.stem} has {sample.image.shape[0]} channels and others {in_channels}; all images need "
            "the same channels."
        )
    largest = sample.mask.max(initial=0, where=sample.mask != IGNORED)
    if not 0 <= sample.mask.min() <= largest < len(class_names):
        raise UserError(
            f"The mask {sample.stem} holds the class {largest}, but only {len(class_names)} classes are named: "
            f"{', '.join(class_names)}."
        )
    return bool(largest > 0)


def _check_and_measure(
    training: Sequence[ImagePair], in_channels: int, class_names: Sequence[str], crop: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Check the training images, and return mean and standard deviation per channel; reads one image at a time."""
    pixels, total, squares = 0, np.zeros(in_channels), np.zeros(in_channels)
    for pair in training:
        sample = read_pair(pair)
        _check(sample, in_channels, class_names)
        height, width = sample.mask.shape
        if min(height, width) < crop:
            raise UserError(
                f"The image {sample.stem} is {height}×{width} pixels, smaller than the crop of {crop}; set the crop to "
                f"{min(height, width)} or less."
            )
        pixels += height * width
        total += sample.image.sum(axis=(1, 2), dtype=np.float64)
        squares += np.square(sample.image, dtype=np.float64).sum(axis=(1, 2))
    mean = total / pixels
    std = np.sqrt(np.maximum(squares / pixels - mean**2, 0))
    std[std == 0] = 1.0
    return tuple(mean.tolist()), tuple(std.tolist())
