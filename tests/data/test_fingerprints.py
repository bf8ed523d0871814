"""Copies that were changed on purpose are found, and different images of one kind are not."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.data.fingerprints import find_duplicates, fingerprint, pixel_hash
from core.data.images import read_image

SAMPLES = Path(__file__).resolve().parents[2] / "sample_data"
VESSMAP = Path(__file__).resolve().parents[3] / "shared" / "data" / "vessmap" / "images"
KINDS = ("vessels", "fundus", "scenes")


def images_of(kind):
    return [read_image(path) for path in sorted((SAMPLES / kind).rglob("images/*"))]


def duplicates(images, parts=None):
    return find_duplicates([pixel_hash(image) for image in images], np.stack([*map(fingerprint, images)]), parts)


def with_noise(image):
    noise = np.random.default_rng(0).normal(0, 0.3 * image.std(), image.shape)
    return np.clip(image + noise, 0, 1).astype(np.float32)


def as_jpeg(image):
    buffer = io.BytesIO()
    values = (image * 255).astype(np.uint8)
    Image.fromarray(values[0] if len(values) == 1 else values.transpose(1, 2, 0)).save(buffer, "JPEG", quality=40)
    return read_image(buffer.getvalue())


def at_half_size(image):
    height, width = (length // 2 * 2 for length in image.shape[1:])
    return image[:, :height, :width].reshape(len(image), height // 2, 2, width // 2, 2).mean(axis=(2, 4))


CHANGES = {
    "noise": with_noise,
    "brighter": lambda image: np.clip(1.3 * image + 0.1, 0, 1),
    "darker": lambda image: 0.4 * image,
    "JPEG": as_jpeg,
    "half size": at_half_size,
    "gamma": lambda image: image**1.5,
}


@pytest.mark.parametrize("kind", KINDS)
def test_different_images_of_one_kind_are_no_copies(kind):
    images = images_of(kind)
    assert len(images) >= 8
    assert duplicates(images) == []


@pytest.mark.skipif(not VESSMAP.is_dir(), reason="VessMAP is not here")
def test_the_80_images_of_vessmap_are_no_copies_and_noisy_ones_of_them_are():
    images = [read_image(path) for path in sorted(VESSMAP.glob("*.tiff"))]
    assert len(images) == 80
    assert duplicates(images) == []
    copies = [with_noise(image) for image in images]
    found = duplicates(images + copies, ["training"] * 80 + ["test"] * 80)
    assert {(pair.first, pair.second) for pair in found} == {(index, index + 80) for index in range(80)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_in_another_part_is_found(kind, change):
    images = images_of(kind)
    copy = CHANGES[change](images[3])
    (pair,) = duplicates([*images, copy], ["training"] * len(images) + ["test"])
    assert (pair.first, pair.second, pair.is_exact) == (3, len(images), False)
    assert pair.orientation == "as it is"
    assert pair.similarity > 0.7


@pytest.mark.parametrize("kind", KINDS)
def test_turned_and_mirrored_copies_are_found_with_the_way_back(kind):
    images = images_of(kind)
    back = {
        "turned by 90°": lambda image: np.rot90(image, 1, (1, 2)),
        "turned by 180°": lambda image: np.rot90(image, 2, (1, 2)),
        "turned by 270°": lambda image: np.rot90(image, 3, (1, 2)),
        "mirrored": lambda image: image[:, :, ::-1],
        "mirrored and turned by 90°": lambda image: np.rot90(image[:, :, ::-1], 1, (1, 2)),
        "mirrored and turned by 180°": lambda image: np.rot90(image[:, :, ::-1], 2, (1, 2)),
        "mirrored and turned by 270°": lambda image: np.rot90(image[:, :, ::-1], 3, (1, 2)),
    }
    originals = images[1]
    for k in range(4):
        for mirror in (False, True):
            if not k and not mirror:
                continue
            copy = np.rot90(originals[:, :, ::-1] if mirror else originals, k, (1, 2))
            (pair,) = duplicates([*images, with_noise(copy)])
            assert (pair.first, pair.second) == (1, len(images))
            undone = back[pair.orientation](copy)
            np.testing.assert_array_equal(undone, originals)


def test_the_same_pixels_are_exact_and_come_first_whatever_their_shape_or_place():
    images = images_of("vessels")
    found = duplicates([*images, with_noise(images[0]), images[5].copy()])
    assert [(pair.first, pair.second, pair.is_exact) for pair in found] == [(5, 17, True), (0, 16, False)]
    assert found[0].similarity == 1.0
    constant = np.full((1, 16, 16), 0.5, np.float32)
    assert [pair.is_exact for pair in duplicates([constant, constant, constant + 0.1])] == [True]


def test_hashes_tell_shapes_and_types_apart():
    values = np.arange(12, dtype=np.uint8)
    variants = [values.reshape(1, 3, 4), values.reshape(1, 4, 3), values.reshape(1, 3, 4).astype(np.uint16)]
    assert len({pixel_hash(variant) for variant in variants}) == 3
    assert pixel_hash(variants[0]) == pixel_hash(np.asfortranarray(variants[0]))


def test_copies_within_one_part_are_not_told_where_parts_are_given():
    images = images_of("vessels")
    copies = [*images, images[0]]
    assert duplicates(copies, ["training"] * len(copies)) == []
    assert len(duplicates(copies)) == 1


def test_a_set_that_is_mostly_copies_of_one_image_is_found_whole():
    images = images_of("scenes")
    few = [*images[:3], *(CHANGES["brighter"](images[0]) * scale for scale in np.linspace(0.5, 0.9, 6))]
    found = {(pair.first, pair.second) for pair in duplicates(few)}
    assert {(0, index) for index in range(3, 9)} <= found
    assert not any(index in pair for pair in found for index in (1, 2))
