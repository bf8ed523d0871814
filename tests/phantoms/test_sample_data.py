"""The sample images: always the same bytes, readable by others, in VessMAP's layout."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from core.data.images import read_image, read_mask
from core.data.layout import find_pairs, mask_beside, sample_images
from phantoms import SCENE_CLASSES, fundus_phantom, scene_phantom, vessel_phantom
from phantoms import sample_data as samples
from phantoms.sample_data import write_samples

COMMITTED = Path(__file__).resolve().parents[2] / "sample_data"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = tmp_path_factory.mktemp("samples") / "new" / "sample_data"
    write_samples(target)
    return target


def test_written_again_equals_the_committed_bytes(folder):
    written = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert len(written) == 1 + 3 * (16 + 3) + 2 * (8 + 8)
    for path in written:
        assert (folder / path).read_bytes() == (COMMITTED / path).read_bytes(), path


def test_each_image_has_a_label_and_a_skeleton_of_its_size(folder):
    for kind, count in (("vessels", 16), ("formats", 3)):
        images = sorted((folder / kind / "images").iterdir())
        assert len(images) == count
        for path in images:
            pixels = tifffile.imread(path) if path.suffix == ".tiff" else np.asarray(Image.open(path))
            label, skeleton = (
                np.asarray(Image.open(folder / kind / part / f"{path.stem}.png").convert("L"))
                for part in ("labels", "skeletons")
            )
            assert label.shape == skeleton.shape == pixels.shape[:2]
            assert set(np.unique(label)) == set(np.unique(skeleton)) == {0, 255}
            assert not np.any((skeleton > 0) & (label == 0))


def test_formats_are_what_their_names_say(folder):
    images = folder / "formats" / "images"
    sixteen_bit = tifffile.imread(images / "sixteen_bit.tiff")
    assert sixteen_bit.dtype == np.uint16
    assert len(np.unique(sixteen_bit)) > 256
    assert tifffile.imread(images / "not_square.tiff").shape == (200, 312)
    with Image.open(images / "colour.png") as colour:
        assert colour.mode == "RGB"
        pixels = np.asarray(colour).astype(int)
    vessels = np.asarray(Image.open(folder / "formats" / "labels" / "colour.png"))
    contrast = [pixels[..., c][vessels].mean() - pixels[..., c][~vessels].mean() for c in range(3)]
    assert int(np.argmax(contrast)) == 1  # vessels are green


def test_pixels_survive_the_file(folder):
    phantom = vessel_phantom(0)
    stored = tifffile.imread(folder / "vessels" / "images" / "phantom_00.tiff")
    np.testing.assert_allclose(stored / 255, phantom.image[0], atol=0.5 / 255 + 1e-7)
    label = np.asarray(Image.open(folder / "vessels" / "labels" / "phantom_00.png"))
    np.testing.assert_array_equal(label, phantom.mask > 0)


@pytest.mark.parametrize(
    ("kind", "stem", "draw", "classes"),
    [("fundus", "fundus", fundus_phantom, 2), ("scenes", "scene", scene_phantom, len(SCENE_CLASSES))],
)
def test_labelled_sets_hold_the_phantoms_of_their_seeds(folder, kind, stem, draw, classes):
    pairs = find_pairs(folder / kind / "test")
    assert [pair.stem for pair in pairs] == [f"{stem}_{seed:02d}" for seed in range(8)]
    phantom = draw(3)
    np.testing.assert_allclose(read_image(pairs[3].image), phantom.image, atol=0.5 / 255 + 1e-7)
    np.testing.assert_array_equal(read_mask(pairs[3].mask), phantom.mask)
    assert set(np.unique(np.stack([read_mask(pair.mask) for pair in pairs]))) == set(range(classes))


def test_a_streets_mask_is_indices_that_a_viewer_shows_in_colour(folder):
    with Image.open(folder / "scenes" / "test" / "masks" / "scene_00.png") as mask:
        assert mask.mode == "P"
        assert len(mask.getcolors()) > 4
        assert np.asarray(mask.convert("RGB")).std(axis=2).max() > 20


def test_every_sample_image_is_found_with_its_mask(folder):
    images = sample_images(folder)
    assert len(images) == 16 + 3 + 8 + 8
    assert {path.relative_to(folder).parts[0] for path in images} == {"vessels", "formats", "fundus", "scenes"}
    for path in images:
        mask = mask_beside(path)
        assert mask is not None
        assert mask.stem == path.stem


def test_files_tell_neither_date_nor_software(folder):
    with tifffile.TiffFile(folder / "vessels" / "images" / "phantom_00.tiff") as tiff:
        names = {tag.name for tag in tiff.pages[0].tags}
    assert not names & {"Software", "DateTime", "ImageDescription"}
    data = (folder / "formats" / "images" / "colour.png").read_bytes()
    assert not any(kind in data for kind in (b"tIME", b"tEXt", b"zTXt", b"iTXt"))


def test_all_together_stay_small(folder):
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 5_000_000


@pytest.mark.parametrize("width", [1, 7, 8, 9, 300])
def test_png_is_read_back_by_pillow(tmp_path, width):
    """One-bit rows end inside a byte; an RGB of 300 columns needs several stored blocks."""
    rng = np.random.default_rng(width)
    bits = rng.random((5, width)) < 0.5
    colours = rng.integers(0, 256, (120, width, 3), dtype=np.uint8)
    for name, pixels in (("bits.png", bits), ("colours.png", colours)):
        (tmp_path / name).write_bytes(samples._encode_png(pixels))
        with Image.open(tmp_path / name) as image:
            np.testing.assert_array_equal(np.asarray(image), pixels)
    indices, palette = rng.integers(0, 5, (7, width), dtype=np.uint8), rng.integers(0, 256, (5, 3), dtype=np.uint8)
    (tmp_path / "indices.png").write_bytes(samples._encode_png(indices, palette))
    with Image.open(tmp_path / "indices.png") as image:
        np.testing.assert_array_equal(np.asarray(image), indices)
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), palette[indices])
