"""Predicting the validation images that are shown along a training run."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from ...data.data_sets import read_pair
from ...segmenter import Segmenter
from ..training_data import TrainingData
from .previews import IMAGES, LARGEST_SIDE, write_images, write_predictions


class PreviewWriter:
    """Predicts the same few validation images after every epoch, by a copy of the network: training takes no notice.

    Args:
        folder: The run's folder.
        data: Its data.
        epochs: Largest number of epochs.
    """

    def __init__(self, folder: Path, data: TrainingData, epochs: int) -> None:
        self.folder, self.data, self.epochs = folder, data, epochs
        pairs = data.pairs("validation")
        chosen = np.unique(np.linspace(0, len(pairs) - 1, IMAGES).round().astype(int))
        samples = [read_pair(pairs[index]) for index in chosen]
        self._images = [sample.image for sample in samples]
        masks = [_reduced(torch.from_numpy(sample.mask)[None], "nearest-exact")[0] for sample in samples]
        small = [_levels(_reduced(torch.from_numpy(image), "area")) for image in self._images]
        write_images(folder, [sample.stem for sample in samples], small, [mask.byte().numpy() for mask in masks])
        self._network: nn.Module | None = None
        self._segmenter: Segmenter | None = None
        self._hook: Any = None

    def watch_for_network(self) -> None:
        """Called before each run of a segmenter's network: the next module that is called is the one in training."""
        if self._hook is None:
            self._hook = register_module_forward_pre_hook(self._found)

    def _found(self, module: nn.Module, _inputs: object) -> None:
        self._network = module
        self._hook.remove()

    def write(self, epoch: int) -> None:
        """Predict with the weights as they are now."""
        segmenter = self._current()
        predictions = [segmenter.predict(image) for image in self._images]
        labels = [_reduced(torch.from_numpy(found.labels)[None], "nearest-exact")[0] for found in predictions]
        probabilities = [_reduced(torch.from_numpy(found.probabilities[1:2]), "area")[0] for found in predictions]
        write_predictions(
            self.folder,
            epoch,
            self.epochs,
            [each.byte().numpy() for each in labels],
            [_levels(each) for each in probabilities],
        )

    def _current(self) -> Segmenter:
        if self._network is None:
            raise RuntimeError("No network has run yet.")
        if self._segmenter is None:
            data, device = self.data, next(self._network.parameters()).device
            self._segmenter = Segmenter(
                copy.deepcopy(self._network),
                class_names=data.class_names,
                in_channels=data.in_channels,
                mean=data.mean,
                std=data.std,
                device=device,
            )
            self._segmenter.module.zero_grad()  # copied, too
        self._segmenter.module.load_state_dict(self._network.state_dict())
        return self._segmenter


def _reduced(values: Tensor, mode: str) -> Tensor:
    """Values (C, H, W) with `LARGEST_SIDE` pixels at most on the longer side, as float32."""
    height, width = values.shape[-2:]
    shrink = min(1.0, LARGEST_SIDE / max(height, width))
    size = max(1, round(shrink * height)), max(1, round(shrink * width))
    return F.interpolate(values[None].float(), size=size, mode=mode)[0]


def _levels(values: Tensor) -> np.ndarray:
    """Values in [0, 1] as 256 levels."""
    return (values.clamp(0, 1) * 255).round().byte().numpy()
