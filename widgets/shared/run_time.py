"""How long the network takes, for estimates before slow work starts."""

import time

from core.segmenter import Segmenter
from widgets.shared.results import results
from widgets.shared.sources import PickedImage

_TRIALS = 3


def seconds_per_image(segmenter: Segmenter, image: PickedImage) -> float:
    """Time that one image takes on its way through the network, measured once per model and size."""

    def timed() -> float:
        seconds = []
        for _ in range(_TRIALS):
            started = time.perf_counter()
            segmenter.predict(image.values)
            seconds.append(time.perf_counter() - started)
        return min(seconds)

    key = "seconds of a run", segmenter.weights_hash, str(segmenter.device), image.values.shape
    return results().get_or_compute(key, timed)
