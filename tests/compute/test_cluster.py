import pickle

from torch import nn

from core.compute.cluster import WorkerNetwork
from core.segmenter import Segmenter


def test_what_is_shipped_is_all_of_the_segmenter():
    segmenter = Segmenter(
        nn.Conv2d(2, 3, 3, padding=1),
        class_names=("a", "b", "c"),
        in_channels=2,
        mean=(0.1, 0.2),
        std=(0.5, 0.25),
        output=0,
        size_multiple=4,
        name="mine",
        notes=["normalisation not stated"],
    )
    unpacked = pickle.loads(pickle.dumps(WorkerNetwork(segmenter, len))).segmenter  # noqa: S301 - our own
    for attribute in (
        "class_names", "in_channels", "mean", "std", "asked", "size_multiple", "name", "notes", "weights_hash"
    ):  # fmt: skip
        assert getattr(unpacked, attribute) == getattr(segmenter, attribute)
