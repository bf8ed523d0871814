"""How far the network is from a flip, and which way leads there: on the window that the question needs."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ...attribution.windowed import image_parts, tried_on_window, trusted_windows
from ...errors import UserError
from ...receptive_field.windows import Box, everything
from ...segmenter import Segmenter
from ...segmenter.differentiation import exact_arithmetic, input_gradient
from ...target import Target
from .question import Question


class Slope:
    """The margin of a question and its gradient, as functions of the part of the image that can move it.

    Attributes:
        start: (1, C, h, w), that part of the image.
        low: Lower bounds: 0, or the image itself where it must stay.
        high: Upper bounds: 1, or the image itself where it must stay.
        area: Rows and columns of the part.
        logits: Logits (B, K, …) of the box around the question's pixels, of parts (B, C, h, w).
        runs: How often the network ran.
        on_run: Called after each run.
    """

    def __init__(
        self, segmenter: Segmenter, image: np.ndarray, question: Question, allowed: np.ndarray | None = None
    ) -> None:
        images, size = image_parts(segmenter, image)
        box = question.box
        target = Target.region(question.mask, question.from_class, "logit")
        windows = trusted_windows(segmenter, images, size, target)
        crop = None if windows is None else windows.crop(box)
        self.area: Box = everything(size) if crop is None else crop.area
        self.runs = 0
        self.on_run: Callable[[], object] = lambda: None
        self._segmenter = segmenter
        self._asked = self._question = question.within(box)
        self.logits: Callable[[Tensor], Tensor] = (
            (lambda part: segmenter.unchecked_logits(part)[(..., *box)])
            if crop is None
            else (lambda part: crop.logits(segmenter, part))
        )
        self.start = images(self.area).clone()
        if crop is not None and tried_on_window(segmenter, size, lambda: self.margin(self.start)) is None:
            self.area = everything(size)
            self.logits = lambda part: segmenter.unchecked_logits(part)[(..., *box)]
            self.start = images(self.area).clone()
        self.low, self.high = torch.zeros_like(self.start), torch.ones_like(self.start)
        if allowed is not None:
            self.hold(torch.from_numpy(np.ascontiguousarray(allowed[self.area])).to(self.start.device))

    def hold(self, free: Tensor) -> None:
        """Let only these pixels, bool (h, w), change."""
        self.low = torch.where(free, self.low, self.start)
        self.high = torch.where(free, self.high, self.start)

    def rivals(self, count: int) -> list[int]:
        """The other classes with the largest logits, where any will do and there are several."""
        if self._asked.to_class is not None or not count:
            return []
        with torch.no_grad(), exact_arithmetic(self._segmenter.device):
            logits = self._run(self.start)[0][:, torch.from_numpy(self._asked.mask)].mean(dim=1)
        others = [index for index in logits.argsort(descending=True).tolist() if index != self._asked.from_class]
        return others[:count] if len(others) > 1 else []

    def aim(self, to_class: int | None) -> None:
        """Ask for a flip to this class; None for what was asked at first."""
        self._question = self._asked if to_class is None else replace(self._asked, to_class=to_class)

    @torch.no_grad()
    def margin(self, part: Tensor) -> float:
        """How far the question is from the flip; negative where it has flipped."""
        with exact_arithmetic(self._segmenter.device):
            return float(self._checked(self._question.margin(self._run(part))))

    def slope(self, part: Tensor) -> tuple[float, float, Tensor]:
        """The margin, the objective that is lowered, and the gradient of the objective where pixels may change."""
        with torch.enable_grad(), exact_arithmetic(self._segmenter.device):
            part = part.detach().clone().requires_grad_()
            logits = self._run(part)
            objective = self._question.objective(logits)
            gradient = input_gradient(objective.sum(), part)
        margin = float(self._checked(self._question.margin(logits.detach())))
        return margin, float(objective.detach()), torch.where(self.low < self.high, gradient, 0.0)

    def _run(self, part: Tensor) -> Tensor:
        self.runs += 1
        self.on_run()
        return self.logits(part)

    def _checked(self, margin: Tensor) -> Tensor:
        if not bool(torch.isfinite(margin).all()):
            raise UserError(
                f"The network {self._segmenter.name} gave values that are not finite for a changed image; check it."
            )
        return margin
