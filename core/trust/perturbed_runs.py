"""A network run on many changed copies of one image, a batch at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..attribution.baselines import DEFAULT_SIGMA, TITLES, BaselineKind, make_baseline
from ..attribution.settings import seed_setting, setting
from ..compute.memory import ShrinkingBatches, fitting_batch_size
from ..compute.progress import Progress
from ..errors import UserError
from ..segmenter import Image, Segmenter, prediction_of
from ..target import Target
from .followed_scores import SCORES, LeakageScore, ScoreKind, Scorer, scorer_of

Scores = dict[str, np.ndarray]
"""Numbers by the name of what is measured, float64 (n,) each, one per changed image."""


@dataclass(frozen=True)
class RemovalSettings:
    """How pixels are taken away, and which score is followed (see `scorer_of`).

    From Python, `fill` may also be "random", one draw of noise, and `batch_size` sets how many images run together,
    which does not change the result; None finds it.
    """

    score: ScoreKind = setting(
        "target", label="Score followed", choices=SCORES,
        help="What is measured while pixels go: the very score that the maps explain, that of the same pixels in "
        "another score space, or the Dice of the changed prediction with the original one.",
    )  # fmt: skip
    fill: BaselineKind = setting(
        "mean", label="Pixels become", choices={kind: TITLES[kind] for kind in ("mean", "zero", "blur")},
        help="What is put in place of a pixel that is taken away. ROAD does not use it: it imputes pixels from their "
        "neighbours.",
    )  # fmt: skip
    sigma: float = setting(
        DEFAULT_SIGMA, label="Sigma of the blur", option="fill-sigma", low=0.5, high=200, step=0.5,
        only_with={"fill": "blur"}, help="Sigma of a blurred fill, in pixels.",
    )  # fmt: skip
    context_only: bool = setting(
        default=False, help="The explained pixels themselves stay; only their surroundings are taken away."
    )
    batch_size: int | None = setting(None, on_page=False)
    seed: int = seed_setting()

    def fill_of(self, image: np.ndarray) -> np.ndarray:
        """What the pixels of an image (C, H, W) become, float32 (C, H, W)."""
        # One further, as the control of noise is drawn with the seed itself and would be the same noise.
        return make_baseline(image, self.fill, sigma=self.sigma, draws=1, seed=self.seed + 1).images[0]


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
        settings: RemovalSettings = RemovalSettings(),
        progress: Progress | None = None,
        expected: int = 0,
    ) -> None:
        self.segmenter, self.target, self.settings = segmenter, target, settings
        self.image = segmenter.as_batch(image, single=True).detach()[0]
        self.fill = torch.from_numpy(settings.fill_of(self.image.cpu().numpy())).to(self.image.device)
        pixels = target.pixels(self.size)
        if not pixels.any():
            raise UserError("The target has no pixel, so there is no score to follow; choose some pixels.")
        if settings.context_only and pixels.all():
            raise UserError(
                "The target is the whole image, so there is no context to take away; switch off context only."
            )
        self.eligible = ~pixels if settings.context_only else np.ones(self.size, dtype=bool)
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
        """Report that `count` more images ran, or as much work was done."""
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
