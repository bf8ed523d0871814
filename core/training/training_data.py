"""The data that a network is trained, validated and tested on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..data.data_sets import ImagePair, Split, find_pairs, find_split, read_pair, split_pairs
from ..data.fingerprints import find_duplicates
from ..data.index_masks import IGNORED
from ..data.inspection import inspect_data_set
from ..data.reports import DataSetReport, ImageFacts
from ..data.splits import given_split, groups_by_name, k_folds, read_groups, split_by_group
from ..errors import UserError
from .augmentation import augment
from .settings import BALANCED, Augmentation, Normalisation, TrainingSettings

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of red, green and blue over ImageNet, the convention of published encoders."""

DEFAULT_CLASS_NAMES = ("background", "vessel")
_MOST_ERRORS = 20


@dataclass(frozen=True)
class TrainingData:
    """Data sets, split and checked, and what they have in common.

    Attributes:
        splits: The split of each data set, by the name of its folder.
        class_names: One name per class.
        in_channels: Number of channels C of every image.
        mean: Mean of each channel for the normalisation: over the training images, or ImageNet's.
        std: Standard deviation of each channel, likewise.
        class_counts: Pixels of each class in the training masks.
        class_weights: Weight of each class in the loss; None where all are alike.
        warnings: What is odd about the data sets, a sentence each.
    """

    splits: dict[str, Split]
    class_names: tuple[str, ...]
    in_channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_counts: tuple[int, ...]
    class_weights: tuple[float, ...] | None = None
    warnings: tuple[str, ...] = ()

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
    """Find, look through and split all the data of a run.

    Raises:
        UserError: What is wrong with the data, up to 20 things, before anything is trained.
    """
    reports = {folder.name: _looked_through(folder, settings) for folder in settings.folders}
    if len(reports) < len(settings.folders):
        raise UserError("Two data sets have the same name; rename the folder of one of them.")
    class_names = _class_names(reports, settings.class_names)
    splits = {folder.name: _split(folder, settings) for folder in settings.folders}
    facts = {image.pair.image: image for report in reports.values() for image in report.images}
    training, validation, test = (
        [facts[pair.image] for split in splits.values() for pair in getattr(split, part)]
        for part in ("training", "validation", "test")
    )
    in_channels = training[0].channels
    for image in (*training, *validation, *test):
        if image.channels != in_channels:
            raise UserError(
                f"The image {image.pair.stem} has {image.channels} channels and others {in_channels}; all images need "
                "the same channels."
            )
    if not any(set(image.class_counts) - {0, IGNORED} for image in validation):
        raise UserError("None of the validation images has anything but background; add images, or try another seed.")
    settings.check_crop((image.pair.stem, image.height, image.width) for image in training)
    mean, std = _normalisation([image.pair for image in training], in_channels, settings.normalisation)
    warnings = tuple(issue.sentence for report in reports.values() for issue in report.warnings)
    if len(splits) > 1:
        warnings += _copies_across_parts(splits, facts)
    counts = tuple(sum(image.class_counts.get(index, 0) for image in training) for index in range(len(class_names)))
    weights = _class_weights(counts, settings)
    return TrainingData(splits, class_names, in_channels, mean, std, counts, weights, warnings)


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


def _copies_across_parts(splits: dict[str, Split], facts: dict[Path, ImageFacts]) -> tuple[str, ...]:
    """Images of joined data sets that look like copies of images in another part, a sentence each."""
    parts = ("training", "validation", "test")
    placed = [
        (f"{name}/{pair.stem}", name, part, facts[pair.image])
        for name, split in splits.items() for part in parts for pair in getattr(split, part)
    ]  # fmt: skip
    prints = np.stack([image.fingerprint for *_, image in placed])
    copies = find_duplicates([image.pixel_hash for *_, image in placed], prints, [part for _, _, part, _ in placed])
    found = []
    for copy in copies:
        first, second = placed[copy.first], placed[copy.second]
        if first[1] != second[1] and not (first[3].is_constant and second[3].is_constant):
            found.append(
                f"{second[0]}, for {second[2]}, looks like a copy of {first[0]}, for {first[2]}; keep both in one "
                "part, or remove one."
            )
    return tuple(found)


def _looked_through(folder: Path, settings: TrainingSettings) -> DataSetReport:
    """What is in a data set in which nothing is wrong.

    Raises:
        UserError: A sentence for each of the first things that are wrong.
    """
    report = inspect_data_set(folder, settings.masks, settings.class_names or ())
    sentences = [issue.sentence for issue in report.errors]
    if len(sentences) > _MOST_ERRORS:
        more = f"And {len(sentences) - _MOST_ERRORS} more; `data` lists them all."
        sentences = [*sentences[:_MOST_ERRORS], more]
    if sentences:
        raise UserError("\n".join(sentences))
    classes = len(report.class_names)
    if settings.class_names is None and report.images[0].pair.encoding is None and classes > len(DEFAULT_CLASS_NAMES):
        raise UserError(
            f"The masks of {folder.name} hold {classes} classes, but only {len(DEFAULT_CLASS_NAMES)} classes are "
            f"named: {', '.join(DEFAULT_CLASS_NAMES)}; name all of them."
        )
    return report


def _split(folder: Path, settings: TrainingSettings) -> Split:
    """The data set's own split where it has one, else the one that is asked for."""
    given = find_split(folder) if settings.masks is None else None
    if given is not None:
        if settings.folds or settings.split or settings.groups:
            raise UserError(
                f"{folder.name} comes split; leave out split, groups and folds, or put its images into one folder."
            )
        return given
    pairs = find_pairs(folder, settings.masks)
    if settings.split:
        return given_split(pairs, settings.split)
    seed = settings.seed if settings.split_seed is None else settings.split_seed
    groups = None
    if settings.groups:
        is_file = settings.groups.endswith(".csv")
        groups = read_groups(pairs, settings.groups) if is_file else groups_by_name(pairs, settings.groups)
    if settings.folds:
        return k_folds(pairs, settings.folds, seed, groups)[settings.fold - 1]
    if groups is not None:
        return split_by_group(pairs, groups, settings.validation_fraction, settings.test_fraction, seed)
    return split_pairs(pairs, settings.validation_fraction, settings.test_fraction, seed)


def _class_names(reports: dict[str, DataSetReport], given: tuple[str, ...] | None) -> tuple[str, ...]:
    """The given names, or those that the data sets agree on."""
    encodings = {name: report.images[0].pair.encoding for name, report in reports.items()}
    named = {name: encoding.class_names for name, encoding in encodings.items() if encoding is not None}
    chosen = given or next(iter(named.values()), DEFAULT_CLASS_NAMES)
    for name, classes in named.items():
        if len(classes) != len(chosen) or (given is None and classes != chosen):
            raise UserError(
                f"The masks of {name} have {len(classes)} classes, {', '.join(classes[:-1])} and {classes[-1]}, and "
                f"{len(chosen)} are named: {', '.join(chosen)}; name as many, and join only data sets of equal classes."
            )
    return chosen


def _class_weights(counts: Sequence[int], settings: TrainingSettings) -> tuple[float, ...] | None:
    """The weight of each class in the loss: as stated, or N / (K · n_c) with n_c of all N pixels in class c of K."""
    classes = len(counts)
    if settings.class_weights != BALANCED:
        stated = settings.stated_class_weights()
        if stated is not None and len(stated) != classes:
            raise UserError(f"There are {len(stated)} class weights and {classes} classes; give one for each class.")
        return stated
    return tuple(sum(counts) / (classes * count) if count else 0.0 for count in counts)


def _normalisation(
    training: Sequence[ImagePair], in_channels: int, asked: Normalisation
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel: ImageNet's, or of the training images, read one at a time."""
    if asked == "imagenet":
        if in_channels != 3:
            raise UserError(
                f"ImageNet's normalisation is for 3 channels and the images have {in_channels}; measure it."
            )
        return IMAGENET_MEAN, IMAGENET_STD
    pixels, total, squares = 0, np.zeros(in_channels), np.zeros(in_channels)
    for pair in training:
        image = read_pair(pair).image
        pixels += image[0].size
        total += image.sum(axis=(1, 2), dtype=np.float64)
        squares += np.square(image, dtype=np.float64).sum(axis=(1, 2))
    mean = total / pixels
    std = np.sqrt(np.maximum(squares / pixels - mean**2, 0))
    std[std == 0] = 1.0
    return tuple(mean.tolist()), tuple(std.tolist())
