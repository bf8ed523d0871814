"""A network run on many changed copies of one image, a batch at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..attribution.baselines import DEFAULT_SIGMA, BaselineKind, make_baseline
from ..compute.memory import ShrinkingBatches, fitting_batch_size
from ..compute.progress import Progress
from ..errors import UserError
from ..segmenter import Image, Segmenter, prediction_of
from ..target import Target
from .followed_scores import LeakageScore, ScoreKind, Scorer, check_pixels, scorer_of

Scores = dict[str, np.ndarray]
"""Numbers by the name of what is measured, float64 (n,) each, one per changed image."""


@dataclass(frozen=True)
class RemovalSettings:
    """How pixels are taken away, and what is followed meanwhile.

    Attributes:
        score: See `scorer_of`.
        fill: What a pixel becomes: "zero", "mean" or "blur" (see `make_baseline`); one draw of "random".
        sigma: Sigma of the blur, in pixels.
        context_only: The target's own pixels stay as they are; only their surroundings are taken away.
        batch_size: Images that run together; None finds it. It does not change the result.
        seed: Seed of whatever is drawn.
    """

    score: ScoreKind = "target"
    fill: BaselineKind = "mean"
    sigma: float = DEFAULT_SIGMA
    context_only: bool = False
    batch_size: int | None = None
    seed: int = 0

    def fill_of(self, image: np.ndarray) -> np.ndarray:
        """What the pixels of an image (C, H, W) become, float32 (C, H, W)."""
        # One further, as the control of noise is drawn with the seed itself and would be the same noise.
        return make_baseline(image, self.fill, sigma=self.sigma, draws=1, seed=self.seed + 1).images[0]


PLAIN = RemovalSettings()


class PerturbedRuns:
    """Everything that is the same for all maps of one target: the image, its fill, what may be changed, the scores.

    Args:
        segmenter: The network.
        image: (C, H, W) in [0, 1]; never changed.
        target: The scalar explained.
        settings: How pixels are taken away.
        progress: See `Progress`; counts images that ran against `expected`.
        expected: Images that will run in all.

    Raises:
        UserError: An image or target that does not fit the network, or nothing is left to take away.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        image: Image,
        target: Target,
        settings: RemovalSettings = PLAIN,
        progress: Progress | None = None,
        expected: int = 0,
    ) -> None:
        self.segmenter, self.target, self.settings = segmenter, target, settings
        self.image = segmenter.as_batch(image, single=True).detach()[0]
        self.fill = torch.from_numpy(settings.fill_of(self.image.cpu().numpy())).to(self.image.device)
        self.eligible = self._eligible()
        if settings.batch_size is not None and settings.batch_size < 1:
            raise UserError(f"A batch holds at least one image; {settings.batch_size} was given.")
        self._progress, self._done, self.expected = progress, 0, expected

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image."""
        return self.image.shape[1], self.image.shape[2]

    @property
    def unchanged(self) -> Scores:
        """Scores of the image as it is, (1,) each."""
        return self._start[1]

    @cached_property
    def all_gone(self) -> Scores:
        """Scores of the image with all that may go taken away, (1,) each."""
        gone = torch.from_numpy(self.eligible).to(self.image.device)
        return self.run(lambda _start, _stop: torch.where(gone, self.fill, self.image)[None], 1)

    def removed(self, step_of: Tensor, steps: np.ndarray, *, inserted: bool = False) -> Scores:
        """Scores of the image after each of `steps`, at which the pixels with `step_of` below it are gone.

        Args:
            step_of: Int16 (H, W), the step at which a pixel goes.
            steps: (n,).
            inserted: The other way round: pixels with `step_of` below the step are there, all others gone.
        """
        there, gone = (self.fill, self.image) if inserted else (self.image, self.fill)

        def images(start: int, stop: int) -> Tensor:
            now = torch.tensor(steps[start:stop].astype(np.int16), device=step_of.device).view(-1, 1, 1, 1)
            return torch.where(step_of < now, gone, there)

        return self.run(images, len(steps))

    @torch.no_grad()
    def run(self, images: Callable[[int, int], Tensor], count: int) -> Scores:
        """Scores of `count` images; `images(start, stop)` makes some of them, (stop - start, C, H, W).

        Raises:
            UserError: A score is not finite.
        """
        scorers = self._start[0]

        def work(start: int, stop: int) -> Tensor:
            logits = self.segmenter.unchecked_logits(images(start, stop))
            return torch.stack([scorer(logits).double() for scorer in scorers.values()])

        found: list[Tensor] = []
        for start, stop, scores in self._batches.run_each(count, work):
            found.append(scores)
            self.advance(stop - start)
        numbers = torch.cat(found, dim=1).cpu().numpy() if found else np.empty((len(scorers), 0))
        if not np.isfinite(numbers[0]).all():
            raise UserError(
                f"The network {self.segmenter.name} gave values that are not finite for a changed image; "
                "choose another fill, or check its weights."
            )
        return dict(zip(scorers, numbers, strict=True))

    def advance(self, count: int) -> None:
        """Report that so many more images ran, or as much work was done."""
        self._done += count
        if self._progress is not None:
            self._progress(self._done, max(self._done, self.expected))

    @cached_property
    def _batches(self) -> ShrinkingBatches:
        size = self.settings.batch_size or fitting_batch_size(self.segmenter, self.image.cpu().numpy(), 64)
        return ShrinkingBatches(size, "a single image")

    @cached_property
    def _start(self) -> tuple[dict[str, Scorer], Scores]:
        """What is measured, and its values for the image as it is, which runs once for both."""
        with torch.no_grad():
            logits = self.segmenter.logits(self.image[None])
            prediction = prediction_of(logits[0])
            scorers: dict[str, Scorer] = {
                "score": scorer_of(self.settings.score, self.target, prediction),
                "leakage": LeakageScore(self.target, prediction),
            }
            scores = {name: scorer(logits).double().cpu().numpy() for name, scorer in scorers.items()}
        self.advance(1)
        return scorers, scores

    def _eligible(self) -> np.ndarray:
        check_pixels(self.target, self.size)
        eligible = np.ones(self.size, dtype=bool)
        if self.settings.context_only:
            eligible &= ~self.target.pixels(self.size)
        if not eligible.any():
            raise UserError(
                "The target is the whole image, so there is no context to take away; switch off context only."
            )
        return eligible
