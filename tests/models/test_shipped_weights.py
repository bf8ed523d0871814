"""The shipped networks on the sample images they are shipped with, scored by a count of pixels made here."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from core import load_segmenter
from core.data.data_sets import find_pairs, read_pair
from core.models import read_checkpoint
from core.models.checkpoint import shipped_weights
from phantoms import SCENE_CLASSES

SAMPLES = Path(__file__).resolve().parents[2] / "sample_data"


def counted(name, samples):
    """Pixels of each true class (rows) that were given each label (columns), one matrix an image."""
    segmenter = load_segmenter(name, "cpu")
    matrices = []
    for pair in find_pairs(samples):
        sample = read_pair(pair)
        labels = segmenter.predict(sample.image).labels
        matrix = np.zeros((segmenter.num_classes,) * 2)
        np.add.at(matrix, (sample.mask.ravel(), labels.ravel()), 1)
        matrices.append(matrix)
    assert len(matrices) >= 8
    return segmenter, np.stack(matrices)


def test_the_fundus_network_finds_the_vessels_of_retinas_it_has_not_seen():
    segmenter, matrices = counted("fundus", SAMPLES / "fundus" / "test")
    assert segmenter.class_names == ("background", "vessel")
    both = matrices[:, 1, 1]
    dice = 2 * both / (matrices[:, 1].sum(axis=1) + matrices[:, :, 1].sum(axis=1))
    assert dice.mean() >= 0.80
    assert dice.min() >= 0.70


def test_the_scenes_network_names_the_pixels_of_streets_it_has_not_seen():
    segmenter, matrices = counted("scenes", SAMPLES / "scenes" / "test")
    assert segmenter.class_names == SCENE_CLASSES
    total = matrices.sum(axis=0)
    both = np.diagonal(total)
    iou = both / (total.sum(axis=0) + total.sum(axis=1) - both)
    assert iou.mean() >= 0.70, dict(zip(SCENE_CLASSES, iou.round(3), strict=True))


@pytest.mark.parametrize("name", ["fundus", "scenes"])
def test_the_sample_images_were_in_no_part_of_the_training(name):
    path = shipped_weights()[name]
    _, info = read_checkpoint(path)
    assert info is not None
    parts = sorted(info.training["phantom_seeds"].values())
    seeds = [range(first, first + count) for first, count in parts]
    assert all(seed not in part for part in seeds for seed in range(8))
    assert all(one.stop <= two.start for one, two in itertools.pairwise(seeds))
    assert path.with_suffix(".md").is_file()
    assert path.stat().st_size < 20e6
