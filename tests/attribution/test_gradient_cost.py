import numpy as np
import torch

from core import Segmenter
from core.attribution.gradient import gradient_cost
from tests.networks import Wrapped


def test_memory_grows_with_the_number_of_pixels():
    torch.manual_seed(0)
    segmenter = Segmenter(Wrapped("tensor"))
    small = gradient_cost(segmenter, np.zeros((3, 256, 256), np.float32))
    large = gradient_cost(segmenter, np.zeros((3, 1024, 512), np.float32))
    assert large.memory_bytes == 8 * small.memory_bytes
    assert large.memory_bytes >= 4 * 4 * 1024 * 512, "the four features that tanh keeps"
    assert large.seconds > 0
