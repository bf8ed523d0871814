"""The sample images: always the same pixels, readable by others, in VessMAP's layout."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from core.data.data_sets import find_pairs, mask_beside, sample_images
from core.data.images import read_image, read_mask
from phantoms import PHANTOM_KINDS, SCENE_CLASSES, draw_phantom, fundus_phantom, scene_phantom, vessel_phantom
from phantoms.sample_data import write_samples
from phantoms.writing import write_phantom

COMMITTED = Path(__file__).resolve().parents[2] / "sample_data"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = tmp_path_factory.mktemp("samples") / "new" / "sample_data"
    write_samples(target)
    return target


def files(folder):
    found = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return [path for path in found if path.parts[0] != "jacobians"]  # computed by a network, not drawn


def test_written_again_equals_the_committed_files(folder):
    """To the byte, except that PNG files are compared by their pixels, mode and palette: zlib's versions differ."""
    assert files(folder) == files(COMMITTED)
    assert len(files(folder)) == 1 + 3 * (16 + 3) + 2 * (8 + 8)
    for path in files(folder):
        if path.suffix == ".png":
            with Image.open(folder / path) as written, Image.open(COMMITTED / path) as committed:
                assert (written.mode, written.getpalette()) == (committed.mode, committed.getpalette()), path
                np.testing.assert_array_equal(np.asarray(written), np.asarray(committed), str(path))
        else:
            assert (folder / path).read_bytes() == (COMMITTED / path).read_bytes(), path


@pytest.mark.parametrize(
    ("kind", "part", "stem", "masks"),
    [
        ("vessels", "vessels", "phantom", "labels"),
        ("fundus", "fundus/test", "fundus", "masks"),
        ("scenes", "scenes/test", "scene", "masks"),
    ],
)
def test_each_run_writes_the_same_bytes(folder, tmp_path, kind, part, stem, masks):
    written = write_phantom(tmp_path, f"{stem}_03", draw_phantom(kind, 3), PHANTOM_KINDS[kind].palette, masks=masks)
    assert len(written) == (3 if kind == "vessels" else 2)
    for path in written:
        assert path.read_bytes() == (folder / part / path.relative_to(tmp_path)).read_bytes()


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
