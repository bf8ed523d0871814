"""A network's prediction for one image."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Prediction:
    """The network's prediction for one image.

    Attributes:
        probabilities: float32 (K, H, W), softmax over the classes.
        labels: int64 (H, W), the class with the highest probability.
    """

    probabilities: np.ndarray
    labels: np.ndarray


def prediction_of(logits: Tensor) -> Prediction:
    """The prediction from one image's logits (K, H, W)."""
    probabilities = logits.detach().softmax(dim=0)
    return Prediction(probabilities.cpu().numpy(), logits.detach().argmax(dim=0).cpu().numpy())
