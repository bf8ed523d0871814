"""The same question for several images: one pixel set, class and score, in each image's own place."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from ...compute.batches import each_image
from ...compute.progress import Hundredths, Progress
from ...data.images import Scaling, load_image, read_mask, with_channels
from ...pixel_sets import NEEDS_PIXEL, PixelSet
from ...segmenter import Segmenter
from ...target import PREDICTED, Target
from .measurement import BenchmarkSettings, Measurement, measure_target

ImageFile = tuple[Path, Path | None]
"""File of an image, and that of its mask if there is one."""


@dataclass(frozen=True, eq=False)
class SameQuestion:
    """One question for any image.

    Attributes:
        pixel_set: The pixels, see `found_anywhere`.
        like: A target with the class, score space and reduction.
        settings: Methods, metrics and their settings; metrics that look for an object have no value.
        scaling: How image files are scaled.
    """

    pixel_set: PixelSet
    like: Target
    settings: BenchmarkSettings
    scaling: Scaling = "dtype"

    def target(self, segmenter: Segmenter, image: np.ndarray, truth: np.ndarray | None = None) -> Target:
        """The target in an image (C, H, W) with its true classes (H, W).

        Raises:
            UserError: There are no such pixels in it.
        """
        like = self.like
        given = like.class_index, like.space, like.reduction, truth, segmenter.class_names, like.against
        return self.pixel_set.target(segmenter.predict(image), *given)

    def measure(self, segmenter: Segmenter, file: ImageFile, name: str, progress: Progress | None) -> list[Measurement]:
        """Every metric of every map of one image.

        Raises:
            UserError: The file cannot be read, or there are no such pixels in it.
        """
        path, mask = file
        image = with_channels(load_image(path, self.scaling).values, segmenter.in_channels)
        target = self.target(segmenter, image, None if mask is None else read_mask(mask))
        given = segmenter, image, target, self.settings
        return measure_target(*given, name=name, class_index=target.class_index, progress=progress)


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What came of several images.

    Attributes:
        measurements: Of all images that could be measured.
        failed: A sentence for each image that could not, by its name.
    """

    measurements: Sequence[Measurement]
    failed: Mapping[str, str]


def found_anywhere(pixel_set: PixelSet, target: Target) -> PixelSet:
    """The pixel set itself where any image can have it; for one that was drawn or clicked, all of the class."""
    if pixel_set.name not in (*NEEDS_PIXEL, "box", "lasso"):
        return pixel_set
    return PixelSet("prediction" if target.class_index == PREDICTED else "class")


def ask_each_image(
    segmenter: Segmenter,
    files: Mapping[str, ImageFile],
    question: SameQuestion,
    progress: Progress | None = None,
    show: Callable[[Outcomes], object] = lambda _so_far: None,
    known: Mapping[str, Sequence[Measurement]] = MappingProxyType({}),
) -> Outcomes:
    """The same question for each image; one that fails is listed, and the others go on.

    Args:
        segmenter: The network.
        files: The images by name.
        question: What is asked.
        progress: See `Progress`; counts hundredths of the images.
        show: Called with the outcomes so far, first where some are known, then after each image.
        known: Measurements of images by name, which are not made again.
    """
    names = {path: name for name, (path, _) in files.items() if name not in known}
    found, failed = dict(known), dict[str, str]()
    total = Hundredths(Hundredths.PER_STEP * len(files))

    def report(done: int = 0, of: int = 1) -> None:
        if progress is not None:
            finished = len(found) + len(failed)
            progress(Hundredths.PER_STEP * finished + Hundredths.PER_STEP * min(done, of) // max(of, 1), total)

    def so_far() -> Outcomes:
        return Outcomes([one for name in files for one in found.get(name, ())], dict(failed))

    def work(network: Segmenter, path: Path, within: Progress | None) -> list[Measurement]:
        return question.measure(network, files[names[path]], names[path], within)

    if known:
        show(so_far())
    for outcome in each_image(segmenter, list(names), work, progress=report):
        if outcome.result is None:
            failed[names[outcome.path]] = outcome.failure
        else:
            found[names[outcome.path]] = outcome.result
        report()
        show(so_far())
    return so_far()
