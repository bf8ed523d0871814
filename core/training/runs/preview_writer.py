"""Predicting the validation images that are shown along a training run."""

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...data.data_sets import ImagePair, read_pair
from ...segmenter import Segmenter
from .previews import IMAGES, LARGEST_SIDE, write_images, write_predictions


class PreviewWriter:
    """Predicts the same few validation images after every epoch, by a copy of the network: training takes no notice.

    Args:
        folder: The run's folder.
        segmenter: The network in training.
        pairs: The validation images.
        epochs: Largest number of epochs.
    """

    def __init__(self, folder: Path, segmenter: Segmenter, pairs: Sequence[ImagePair], epochs: int) -> None:
        self.folder, self.epochs, self._network = folder, epochs, segmenter.module
        chosen = np.unique(np.linspace(0, len(pairs) - 1, IMAGES).round().astype(int))
        samples = [read_pair(pairs[index]) for index in chosen]
        self._images = [sample.image for sample in samples]
        masks = [_reduced(torch.from_numpy(sample.mask)[None], "nearest-exact")[0] for sample in samples]
        small = [_levels(_reduced(torch.from_numpy(image), "area")) for image in self._images]
        write_images(folder, [sample.stem for sample in samples], small, [mask.byte().numpy() for mask in masks])
        self._segmenter = Segmenter(
            copy.deepcopy(segmenter.module),
            class_names=segmenter.class_names,
            in_channels=segmenter.in_channels,
            mean=segmenter.mean,
            std=segmenter.std,
            device=segmenter.device,
        )
        self._segmenter.module.zero_grad()  # copied, too

    def write(self, epoch: int) -> None:
        """Predict with the weights as they are now."""
        self._segmenter.module.load_state_dict(self._network.state_dict())
        predictions = [self._segmenter.predict(image) for image in self._images]
        labels = [_reduced(torch.from_numpy(found.labels)[None], "nearest-exact")[0] for found in predictions]
        probabilities = [_reduced(torch.from_numpy(found.probabilities[1:2]), "area")[0] for found in predictions]
        write_predictions(
            self.folder,
            epoch,
            self.epochs,
            [each.byte().numpy() for each in labels],
            [_levels(each) for each in probabilities],
        )


def _reduced(values: Tensor, mode: str) -> Tensor:
    """Values (C, H, W) with `LARGEST_SIDE` pixels at most on the longer side, as float32."""
    height, width = values.shape[-2:]
    shrink = min(1.0, LARGEST_SIDE / max(height, width))
    size = max(1, round(shrink * height)), max(1, round(shrink * width))
    return F.interpolate(values[None].float(), size=size, mode=mode)[0]


def _levels(values: Tensor) -> np.ndarray:
    """Values in [0, 1] as 256 levels."""
    return (values.clamp(0, 1) * 255).round().byte().numpy()
