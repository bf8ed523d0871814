"""All networks of the conformance suite by name, and those that a run of `make test` takes."""

import datetime as dt
import os
import random

from tests.conformance import monai_networks, transformer_networks, vision_networks

NETWORKS = vision_networks.NETWORKS | transformer_networks.NETWORKS | monai_networks.NETWORKS
ALWAYS = (
    f"smp-deeplabv3plus+{vision_networks.TIMM_ENCODER}",
    "torchvision-lraspp_mobilenet_v3_large",
    "transformers-segformer",
    "monai-basic-unet-batch-norm",
)
"""One from each library, quick, and each with what was once explained wrongly."""
_CHANGING = 2
_LONGEST_SIDE = 100
"""Networks that need larger images are left to `make conformance`."""


def rotation(day: int | None = None) -> tuple[str, ...]:
    """The networks of one day: those of `ALWAYS` and two others, the same all day long.

    Args:
        day: Of the year; by default the environment's CONFORMANCE_DAY, else today's in UTC.
    """
    if day is None:
        today = dt.datetime.now(dt.UTC).timetuple().tm_yday
        day = int(os.environ.get("CONFORMANCE_DAY", today))
    others = sorted(
        name
        for name, network in NETWORKS.items()
        if name not in ALWAYS and max(max(size) for size in network.sizes) <= _LONGEST_SIDE
    )
    random.Random(0).shuffle(others)  # noqa: S311 - a fixed order in which neighbours differ, no secret
    return *ALWAYS, *(others[(_CHANGING * day + place) % len(others)] for place in range(_CHANGING))
