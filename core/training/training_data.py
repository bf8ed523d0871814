"""What a network is trained, validated and tested on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from phantoms.kinds import PhantomKind, draw_phantom, phantom_channels

from ..data.index_masks import IGNORED
from ..data.layout import ImagePair, Sample, Split, find_pairs, find_split, read_pair, split_pairs
from ..errors import UserError
from .augmentation import augment
from .settings import Augmentation, TrainingSettings

# Small seeds are what people type to draw a phantom, and what sample data is drawn with: training must not have seen
# those. The three parts keep a million seeds each.
TRAINING_PHANTOMS, VALIDATION_PHANTOMS, TEST_PHANTOMS = 1_000_000, 2_000_000, 3_000_000

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of red, green and blue over the training images of ImageNet, the convention of published encoders."""

Source = ImagePair | Sample


@dataclass(frozen=True)
class TrainingData:
    """The parts of a data set, checked, and what they have in common.

    Attributes:
        training: Files, read when needed, and phantoms, in memory.
        validation: Likewise.
        test_images: Held-out files.
        test_phantoms: Held-out phantoms.
        in_channels: C, the same for every image.
        mean: Of the normalisation, one a channel: over the training images unless the settings say otherwise.
        std: Likewise.
    """

    training: tuple[Source, ...]
    validation: tuple[Source, ...]
    test_images: tuple[ImagePair, ...]
    test_phantoms: tuple[Sample, ...]
    in_channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def stems(self, part: str) -> list[str]:
        """The stems of the files in "training", "validation" or "test_images"; phantoms are not files."""
        return [source.stem for source in getattr(self, part) if isinstance(source, ImagePair)]


def gather(settings: TrainingSettings) -> TrainingData:
    """Find, split and check all the data of a run, and draw its phantoms.

    Raises:
        UserError: Whatever is wrong with the data, before anything is trained.
    """
    training: list[Source] = []
    validation: list[Source] = []
    test_images: tuple[ImagePair, ...] = ()
    in_channels = phantom_channels(settings.phantom_kind)
    if settings.images is not None:
        split = _split(settings)
        in_channels = read_pair(split.training[0]).image.shape[0]
        training, validation, test_images = list(split.training), list(split.validation), split.test
    kind = settings.phantom_kind
    held_out = [_held_out(settings.phantoms, part) for part in (settings.validation_fraction, settings.test_fraction)]
    training += draw_phantoms(TRAINING_PHANTOMS, settings.phantoms, in_channels, kind)
    validation += draw_phantoms(VALIDATION_PHANTOMS, held_out[0], in_channels, kind)
    test_phantoms = draw_phantoms(TEST_PHANTOMS, held_out[1], in_channels, kind)
    for source in (*validation, *test_images):
        _check(_sample(source), in_channels, settings)
    if not any((_classes(_sample(source)) > 0).any() for source in validation):
        raise UserError("None of the validation images has anything but background; add images, or try another seed.")
    mean, std = _check_and_measure(training, in_channels, settings)
    if settings.normalisation == "imagenet":
        mean, std = _imagenet(in_channels)
    return TrainingData(tuple(training), tuple(validation), test_images, tuple(test_phantoms), in_channels, mean, std)


def _split(settings: TrainingSettings) -> Split:
    """The data set's own split where it has one, else one at random."""
    given = find_split(settings.images) if settings.images is not None and settings.masks is None else None
    if given is not None:
        return given
    pairs = find_pairs(settings.images or "", settings.masks)
    return split_pairs(pairs, settings.validation_fraction, settings.test_fraction, settings.seed)


def draw_phantoms(first_seed: int, count: int, channels: int, kind: PhantomKind = "vessels") -> list[Sample]:
    """Phantoms of a kind with the seeds first_seed, first_seed + 1 and so on."""
    drawn = []
    for seed in range(first_seed, first_seed + count):
        phantom = draw_phantom(kind, seed, channels)
        drawn.append(Sample(f"phantom {seed}", phantom.image, phantom.mask.astype(np.int64)))
    return drawn


class Crops(Dataset[tuple[Tensor, Tensor]]):
    """Random, augmented crops for training: image (C, crop, crop) float32 and mask (crop, crop) int64.

    Args:
        sources: Training images.
        augmentation: How they are varied.
        crops_per_image: Crops from each file in every epoch; a phantom gives one.
    """

    def __init__(self, sources: Sequence[Source], augmentation: Augmentation, crops_per_image: int = 1) -> None:
        self.augmentation = augmentation
        self.sources = [
            source for source in sources for _ in range(crops_per_image if isinstance(source, ImagePair) else 1)
        ]

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        # Drawn from torch, whose state differs in every worker process: a generator of our own would be copied into
        # each of them, and all would draw the same crops.
        rng = np.random.default_rng(int(torch.randint(2**62, ())))
        sample = _sample(self.sources[index])
        image, mask = torch.from_numpy(sample.image), torch.from_numpy(sample.mask)
        image, mask = augment(image, mask, self.augmentation, rng)
        return image.contiguous(), mask.contiguous()


class WholeImages(Dataset[tuple[Tensor, Tensor]]):
    """Whole images as they are, for validation: image (C, H, W) float32 and mask (H, W) int64."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = sources

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        sample = _sample(self.sources[index])
        return torch.from_numpy(sample.image), torch.from_numpy(sample.mask)


def _imagenet(in_channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if in_channels != 3:
        raise UserError(f"ImageNet's normalisation is for 3 channels and the images have {in_channels}; measure it.")
    return IMAGENET_MEAN, IMAGENET_STD


def _held_out(phantoms: int, fraction: float) -> int:
    return max(1, round(fraction * phantoms)) if phantoms and fraction else 0


def _sample(source: Source) -> Sample:
    return read_pair(source) if isinstance(source, ImagePair) else source


def _classes(sample: Sample) -> NDArray[np.int64]:
    """The classes of the pixels that have one."""
    return sample.mask[sample.mask != IGNORED]


def _check(sample: Sample, in_channels: int, settings: TrainingSettings) -> None:
    classes = len(settings.class_names)
    if sample.image.shape[0] != in_channels:
        raise UserError(
            f"The image {sample.stem} has {sample.image.shape[0]} channels and others {in_channels}; all images of a "
            "data set need the same channels."
        )
    largest = _classes(sample).max(initial=0)
    if not 0 <= sample.mask.min() <= largest < classes:
        raise UserError(
            f"The mask {sample.stem} holds the class {largest}, but only {classes} classes are named: "
            f"{', '.join(settings.class_names)}."
        )


def _check_and_measure(
    training: Sequence[Source], in_channels: int, settings: TrainingSettings
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Check the training images, and their mean and standard deviation a channel, one image in memory at a time."""
    pixels, total, squares = 0, np.zeros(in_channels), np.zeros(in_channels)
    for source in training:
        sample = _sample(source)
        _check(sample, in_channels, settings)
        height, width = sample.mask.shape
        if min(height, width) < settings.crop:
            raise UserError(
                f"The image {sample.stem} is {height}×{width} pixels, smaller than the crop of {settings.crop}; set "
                f"the crop to {min(height, width)} or less."
            )
        pixels += height * width
        total += sample.image.sum(axis=(1, 2), dtype=np.float64)
        squares += np.square(sample.image, dtype=np.float64).sum(axis=(1, 2))
    mean = total / pixels
    std = np.sqrt(np.maximum(squares / pixels - mean**2, 0))
    std[std == 0] = 1.0
    return tuple(mean.tolist()), tuple(std.tolist())
