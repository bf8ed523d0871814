"""Class activation maps of every layer by every gradient-based method: `python benchmarks/cam.py`.

One target, the pixels of one predicted class, on a U-Net (the shipped `scenes` weights where they are, else one of the
same kind with random weights). Here all six methods come from one forward and one backward pass; the peer,
pytorch-grad-cam (`pip install grad-cam`, for this benchmark only), is called once a method and layer, as its interface
has it. It has no Seg-XRes-CAM, so it makes five maps a layer against six. Both end with positive maps of the image's
size. The peer's Grad-CAM and HiResCAM are compared with ours, scaled to [0, 1] as the peer gives them.
"""

import argparse
import importlib
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core import Segmenter, load_segmenter
from core.attribution import Attribution
from core.attribution.cam import cam_atlas, gradient_methods, map_layers
from core.attribution.registry import METHODS
from core.models import UNet, shipped_weights
from core.pixel_sets import PixelSet
from core.target import Target

SIZE = (128, 256)
PEERS = {
    "seg_grad_cam": "GradCAM",
    "seg_hires_grad_cam": "HiResCAM",
    "layer_cam": "LayerCAM",
    "grad_cam_plus_plus": "GradCAMPlusPlus",
    "xgrad_cam": "XGradCAM",
}
COMPARED = ("seg_grad_cam", "seg_hires_grad_cam")
REPETITIONS = 3

Maps = dict[tuple[str, str], np.ndarray]


def network() -> Segmenter:
    """The shipped U-Net for scenes, or one of that kind with random weights."""
    if "scenes" in shipped_weights():
        return load_segmenter("scenes", "cpu")
    torch.manual_seed(0)
    return Segmenter(UNet(in_channels=3, num_classes=8, depth=4, width=16), name="U-Net with random weights")


def ours(segmenter: Segmenter, image: Tensor, target: Target, layers: list[str]) -> dict[tuple[str, Any], Attribution]:
    """All maps, also resized."""
    atlas = cam_atlas(segmenter, image, target, layers)
    for attribution in atlas.values():
        attribution.at_image_size()
    return atlas


def theirs(segmenter: Segmenter, image: Tensor, target: Target, layers: list[str]) -> tuple[Maps, dict[str, float]]:
    """All of the peer's maps, and the seconds of each method."""
    try:
        peers = importlib.import_module("pytorch_grad_cam")
    except ImportError:
        sys.exit("This benchmark compares with pytorch-grad-cam; install it first: pip install grad-cam")
    weights = torch.from_numpy(np.array(target.mask))
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (segmenter.mean, segmenter.std))
    normalised = ((image - mean) / std)[None]  # the segmenter does so inside, the peer gets the bare network

    def score(logits: Tensor) -> Tensor:
        return (logits[target.class_index] * weights).sum()

    maps, seconds = {}, {}
    for method, name in PEERS.items():
        started = time.perf_counter()
        for layer in layers:
            module = segmenter.module.get_submodule(layer)
            with getattr(peers, name)(model=segmenter.module, target_layers=[module]) as peer:
                maps[layer, method] = peer(input_tensor=normalised.clone().requires_grad_(), targets=[score])[0]
        seconds[method] = time.perf_counter() - started
    return maps, seconds


def median_seconds(work: Callable[[], object]) -> float:
    """Of some runs after one that warms up."""
    work()
    found = []
    for _ in range(REPETITIONS):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def largest_difference(atlas: dict[tuple[str, Any], Attribution], maps: Maps) -> float:
    """Between the maps that both make by the same formula, scaled to [0, 1], where they are not empty."""
    differences = [0.0]
    for (layer, method), attribution in atlas.items():
        positive = attribution.at_image_size()
        if method in COMPARED and positive.max() > positive.min():
            scaled = (positive - positive.min()) / (positive.max() - positive.min())
            differences.append(float(np.abs(scaled - maps[layer, method]).max()))
    return max(differences)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    torch.set_num_threads(parser.parse_args().threads)
    segmenter = network()
    image = torch.rand(segmenter.in_channels, *SIZE, generator=torch.Generator().manual_seed(0))
    prediction = segmenter.predict(image)
    largest = int(np.bincount(prediction.labels.ravel()).argmax())
    target = PixelSet("class").target(prediction, largest)
    layers = map_layers(segmenter, SIZE)

    here = median_seconds(lambda: ours(segmenter, image, target, layers))
    theirs(segmenter, image, target, layers[:1])
    maps, seconds = theirs(segmenter, image, target, layers)
    there = sum(seconds.values())

    print(f"{segmenter.name}, {SIZE[0]}×{SIZE[1]}, {len(layers)} layers, {torch.get_num_threads()} threads")
    print(f"{'':44}{'maps':>6}{'seconds':>10}{'ms a map':>10}")
    for method, elapsed in seconds.items():
        name = f"pytorch-grad-cam, {METHODS[method].title}"
        print(f"{name:44}{len(layers):6}{elapsed:10.2f}{1000 * elapsed / len(layers):10.1f}")
    for name, elapsed, count in (
        ("pytorch-grad-cam, five methods", there, len(PEERS)),
        ("one pass, six methods", here, len(gradient_methods())),
    ):
        print(f"{name:44}{count * len(layers):6}{elapsed:10.2f}{1000 * elapsed / (count * len(layers)):10.1f}")
    print(f"ratio of the seconds: ×{there / here:.1f}")
    difference = largest_difference(ours(segmenter, image, target, layers), maps)
    print(f"largest difference of Grad-CAM and HiResCAM, scaled to [0, 1]: {difference:.1e}")


if __name__ == "__main__":
    main()
