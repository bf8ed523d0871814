"""All networks of the conformance suite by name, and those that a run of `make test` takes.

A network is added by an entry of `NETWORKS` in the file of its library: its name, and a `Network` that says how it is
built small with random weights, which options `Segmenter` needs, and, where the raw result is not simply logits, how
the reference reads them (`read`). One that is refused belongs into `refused_networks.py`. `make networks` then makes
the table of `docs/networks.md` anew.
"""

import datetime as dt
import os
import random
from collections.abc import Iterable

from tests.conformance import (
    monai_networks,
    prompted_networks,
    query_networks,
    refused_networks,
    transformer_networks,
    vision_networks,
)

NETWORKS = vision_networks.NETWORKS | transformer_networks.NETWORKS | query_networks.NETWORKS
NETWORKS |= prompted_networks.NETWORKS | monai_networks.NETWORKS
REFUSED = refused_networks.NETWORKS
_FIRST = {name.partition("+")[0]: name for name in reversed(NETWORKS)}
IN_TABLE = {name: network for name, network in NETWORKS.items() if name in _FIRST.values()} | REFUSED
"""Those of the table: of networks that differ in what follows a plus sign alone, the first."""
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
    others = [
        name
        for name, network in NETWORKS.items()
        if name not in ALWAYS and max(max(size) for size in network.sizes) <= _LONGEST_SIDE
    ]
    return *ALWAYS, *of_the_day(others, _CHANGING, day)


def of_the_day(names: Iterable[str], number: int, day: int | None = None) -> tuple[str, ...]:
    """Some of the names, others on the next day; `day` as in `rotation`."""
    if day is None:
        today = dt.datetime.now(dt.UTC).timetuple().tm_yday
        day = int(os.environ.get("CONFORMANCE_DAY", today))
    ordered = sorted(names)
    random.Random(0).shuffle(ordered)  # noqa: S311 - a fixed order in which neighbours differ, no secret
    return tuple(ordered[(number * day + place) % len(ordered)] for place in range(number))
