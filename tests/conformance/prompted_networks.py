"""SAM and SAM 2 with a point as their prompt, tiny and with random weights."""

from functools import partial

from core.segmenter import PromptedMask
from tests.conformance.network import Network


def _build(name: str) -> PromptedMask:
    from tests.models.adapters.prompted_networks import lively

    return PromptedMask(lively(name), (20, 31))


NETWORKS = {
    f"transformers-{name}": Network(partial(_build, name), ("transformers",), space="logit") for name in ("sam", "sam2")
}
