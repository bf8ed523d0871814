"""What every choice of stride and storage would cost, from one timing of the network."""

from dataclasses import replace
from pathlib import Path

from ..segmenter import Image, Segmenter
from ..target import Space
from .colouring import Plan, plan_passes
from .encoding import StoredType
from .preparation import Estimate, Request, estimate_of, prepare
from .store_layout import passes_per_block

_COARSE = 8


class Costs:
    """Estimates for one network and image: the first takes the time of a few dozen passes, the others none.

    Args:
        segmenter: The network.
        image: (C, H, W) in [0, 1]; the estimates hold for any image of its size.
        class_index: The class explained.
        space: The score space.

    Raises:
        UserError: What is asked for does not fit the network or the image.
    """

    def __init__(self, segmenter: Segmenter, image: Image, class_index: int = 1, space: Space = "probability") -> None:
        self._preparation = prepare(segmenter, Request.check(segmenter, image, class_index, space, _COARSE))
        self._plans: dict[int, Plan] = {_COARSE: self._preparation.plan}

    def estimate(self, out: str | Path, stride: int, dtype: StoredType, *, keep_rows: bool) -> Estimate:
        """What `core.jacobian.jacobian` with these arguments will cost."""
        if stride not in self._plans:
            self._plans[stride] = plan_passes(self._preparation.plan.field, stride, None)
        plan, channels = self._plans[stride], self._preparation.manifest.channels
        manifest = replace(
            self._preparation.manifest,
            stride=stride,
            dtype=dtype,
            keep_rows=keep_rows,
            passes_per_block=passes_per_block(plan, channels),
        )
        return estimate_of(replace(self._preparation, plan=plan, manifest=manifest), Path(out))
