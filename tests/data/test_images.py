import io

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from core import UserError, read_image
from core.data import decoding as module
from core.data.decoding import decode_image, read_shape
from core.data.images import image_files, load_image, read_mask, with_channels

GENERATOR = np.random.default_rng(0)
GREY = GENERATOR.integers(0, 256, (20, 31), dtype=np.uint8)
COLOUR = GENERATOR.integers(0, 256, (20, 31, 3), dtype=np.uint8)


def _png(array: np.ndarray, mode: str | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(buffer, "PNG", **options)
    return buffer.getvalue()


def _tiff(array: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (_png(GREY), GREY[None] / 255),
        (_png(COLOUR), COLOUR.transpose(2, 0, 1) / 255),
        (_png(np.dstack([COLOUR, GREY])), COLOUR.transpose(2, 0, 1) / 255),
        (_png(np.dstack([GREY, GREY[::-1]])), GREY[None] / 255),
        (_png(GREY > 127), (GREY > 127)[None] * 1.0),
        (_png(GREY.astype(np.uint16) * 257), GREY[None] / 255),
        (_tiff(GREY), GREY[None] / 255),
        (_tiff(GREY.astype(np.uint16) * 257), GREY[None] / 255),
        (_tiff(GREY.astype(np.float32) / 255), GREY[None] / 255),
        (_tiff(GREY.astype(np.float64) - 50), (GREY[None] - GREY.min()) / np.ptp(GREY)),
        (_tiff(GREY.astype(np.int16) - 1000), (GREY[None] - 1000.0 + 32768) / 65535),
        (_tiff(COLOUR, photometric="rgb"), COLOUR.transpose(2, 0, 1) / 255),
        (_tiff(COLOUR.transpose(2, 0, 1).copy(), photometric="rgb", planarconfig="separate"),
         COLOUR.transpose(2, 0, 1) / 255),
        (_tiff(np.dstack([COLOUR, GREY]), photometric="rgb", extrasamples=["unassalpha"]),
         COLOUR.transpose(2, 0, 1) / 255),
        (_tiff(np.stack([GREY] * 5), photometric="minisblack"), np.stack([GREY] * 5) / 255),
        (_tiff(np.stack([GREY] * 5), imagej=True, metadata={"axes": "CYX"}), np.stack([GREY] * 5) / 255),
        (_tiff(GREY, compression="lzw"), GREY[None] / 255),
        (_tiff(GREY[None, None]), GREY[None] / 255),
    ],
)  # fmt: skip
def test_values_of_every_kind_of_file(content, expected):
    image = read_image(content)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, expected, atol=1e-6)


def test_jpeg_within_its_loss():
    smooth = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
    buffer = io.BytesIO()
    Image.fromarray(smooth).save(buffer, "JPEG", quality=95)
    np.testing.assert_allclose(read_image(buffer.getvalue())[0], smooth / 255, atol=0.02)


def test_palette_is_colour_for_images_and_indices_for_masks():
    picture = Image.fromarray(GREY % 3).convert("P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    assert set(np.unique(read_image(buffer.getvalue())[0] * (read_image(buffer.getvalue())[1] == 0))) == {0.0, 1.0}
    np.testing.assert_array_equal(read_mask(buffer.getvalue()), GREY % 3)


def test_exif_orientation_is_applied_and_said():
    buffer = io.BytesIO()
    picture = Image.fromarray(GREY)
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(buffer, "PNG", exif=exif)
    loaded = load_image(buffer.getvalue())
    np.testing.assert_allclose(loaded.values[0], np.rot90(GREY, -1) / 255, atol=1e-6)
    assert "turned as its EXIF orientation says" in loaded.notes


def test_percentile_scaling_stretches_and_says_so():
    stored = np.arange(1000, 3000, dtype=np.uint16).reshape(40, 50)
    loaded = load_image(_tiff(stored), "percentile")
    low, high = np.percentile(stored, [0.5, 99.5])
    np.testing.assert_allclose(loaded.values[0], np.clip((stored - low) / (high - low), 0, 1), atol=1e-5)
    assert loaded.notes[-1].startswith("percentiles 0.5 and 99.5")
    assert load_image(_tiff(stored)).notes == ("uint16, 0 … 65535 mapped to 0 … 1",)


def test_constant_image_is_read():
    assert (read_image(_png(np.full((9, 9), 7, np.uint8)), "percentile") == 0).all()


def test_files_and_bytes_are_read_alike(tmp_path):
    path = tmp_path / "a tiff whatever its name.png"
    path.write_bytes(_tiff(GREY))
    np.testing.assert_array_equal(read_image(path), read_image(_tiff(GREY)))
    assert load_image(path).name == path.name


def _bomb() -> bytes:
    """A PNG whose header promises 60 megapixels, and hardly any data."""
    info = PngInfo()
    buffer = io.BytesIO()
    Image.new("1", (10_000, 6_000)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"just some text", "is not a PNG, JPEG or TIFF image"),
        (b"", r"is empty \(0 bytes\)"),
        (_png(GREY)[:-200], "broken or cut off"),
        (_tiff(GREY)[:-200], "broken or cut off"),
        (_tiff(GREY, compression="zlib")[:-200], "broken or cut off"),
        (_tiff(GREY)[:40], "broken or cut off"),
        (_png(np.zeros((1, 1), np.uint8)), "is 1×1 pixels; an image needs at least 8×8"),
        (_bomb(), "^picture.png is 6000×10000 = 60 megapixels; at most 50"),
        (_tiff(np.where(GREY[0, 0] == GREY, np.nan, 0.5).astype(np.float32)), r"values that are not finite \(NaN"),
        (_tiff(np.zeros((3, 4, 20, 20), np.uint8), photometric="minisblack"), "has 4 dimensions"),
        (_tiff(np.zeros((20, 20), np.complex64)), "are not intensities"),
    ],
)
def test_broken_files_get_one_clear_sentence(content, message):
    with pytest.raises(UserError, match=message) as error:
        read_image(content, name="picture.png")
    assert "picture.png" in str(error.value)
    assert "\n" not in str(error.value)


def test_pixels_are_counted_before_they_are_decoded(monkeypatch):
    monkeypatch.setattr(module, "MAX_PIXELS", 600)
    for content in (_png(GREY), _tiff(GREY)):
        with pytest.raises(UserError, match="20×31"):
            read_image(content)
    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", lambda *_: pytest.fail("decoded"))
    with pytest.raises(UserError, match="20×31"):
        read_image(_tiff(GREY))


def test_bytes_are_counted_before_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    path = tmp_path / "large.png"
    path.write_bytes(_png(GREY))
    with pytest.raises(UserError, match=r"large.png has \d+ MB"):
        read_image(path)


def test_sixteen_bits_of_a_colour_png_are_kept():
    stored = (COLOUR.astype(np.uint16) * 257) ^ 3
    content = imagecodecs.png_encode(stored)
    np.testing.assert_allclose(read_image(content), stored.transpose(2, 0, 1) / 65535, atol=1e-7)


def test_a_narrow_range_around_a_large_number_is_kept():
    image = read_image(_tiff(1e9 + GREY.astype(np.float64)))
    np.testing.assert_allclose(image[0], (GREY - float(GREY.min())) / np.ptp(GREY), atol=1e-6)


def test_a_file_that_counts_from_white_is_inverted_and_says_so():
    loaded = load_image(_tiff(GREY, photometric="miniswhite"))
    np.testing.assert_allclose(loaded.values[0], 1 - GREY / 255, atol=1e-6)
    assert any("inverted" in note for note in loaded.notes)


def test_a_second_picture_in_the_file_is_told():
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(GREY)
        writer.write(GREY[:10, :10])
    loaded = load_image(buffer.getvalue())
    np.testing.assert_allclose(loaded.values[0], GREY / 255, atol=1e-6)
    assert any("the first of 2 pictures" in note for note in loaded.notes)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (GREY.astype(np.float32) / 300, "not whole numbers"),
        (np.full((20, 20), np.nan, np.float32), "not whole numbers"),
        (GREY.astype(np.int16) - 300, "values below 0"),
        (np.arange(400, dtype=np.uint16).reshape(20, 20) * 9, "holds the value 3591; classes go up to 1023"),
    ],
)
def test_what_is_no_mask_is_refused(stored, message):
    with pytest.raises(UserError, match=message):
        read_mask(_tiff(stored))


def test_sixteen_bit_black_and_white_mask():
    np.testing.assert_array_equal(read_mask(_tiff((GREY > 99).astype(np.uint16) * 65535)), GREY > 99)


def test_missing_file():
    with pytest.raises(UserError, match=r"There is no image file nowhere.png"):
        read_image("nowhere.png")


def test_masks():
    np.testing.assert_array_equal(read_mask(_png((GREY > 99).astype(np.uint8) * 255)), GREY > 99)
    np.testing.assert_array_equal(read_mask(_png(GREY > 99)), GREY > 99)
    np.testing.assert_array_equal(read_mask(_png(GREY % 5)), GREY % 5)
    np.testing.assert_array_equal(read_mask(_png(np.dstack([GREY % 5] * 3))), GREY % 5)
    np.testing.assert_array_equal(read_mask(_png(np.zeros_like(GREY))), np.zeros_like(GREY))
    with pytest.raises(UserError, match="is a colour picture; a mask"):
        read_mask(_png(COLOUR))


def test_image_files(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(UserError, match="has no image in it"):
        image_files(tmp_path)
    for name in ("b.PNG", "a.tif", "notes.txt"):
        (tmp_path / "images" / name).write_bytes(b"")
    assert [path.name for path in image_files(tmp_path)] == ["a.tif", "b.PNG"]
    with pytest.raises(UserError, match="There is no folder"):
        image_files(tmp_path / "none")


def test_conversion_of_channels():
    image = COLOUR.transpose(2, 0, 1).astype(np.float32) / 255
    grey = np.asarray(Image.fromarray(COLOUR).convert("L")) / 255
    np.testing.assert_allclose(with_channels(image, 1)[0], grey, atol=1 / 255)
    assert (with_channels(image[:1], 3) == image[:1]).all()
    assert with_channels(image, 3) is image
    with pytest.raises(UserError, match="without choosing among them"):
        with_channels(image, 2)


def _header_cases():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 14, 4), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 8
    for mode, bands in {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}.items():
        picture = Image.fromarray(pixels[..., :bands].squeeze(), mode)
        yield f"{mode}.png", picture, {}
        yield f"{mode} turned.png", picture, {"exif": exif}
        yield f"{mode}.tif", picture, {}
        if bands in (1, 3):
            yield f"{mode} turned.jpg", picture, {"exif": exif}
    yield "palette.png", Image.fromarray(pixels[..., 0], "P"), {}


@pytest.mark.filterwarnings("ignore:'mode' parameter")
def test_headers_tell_the_shape_that_is_decoded(tmp_path):
    for name, picture, options in _header_cases():
        picture.save(tmp_path / name, **options)
        assert read_shape(tmp_path / name) == decode_image(tmp_path / name)[0].shape, name
    for name, shape in {"pages.tif": (7, 9, 14), "planes.tif": (3, 9, 14)}.items():
        tifffile.imwrite(tmp_path / name, np.zeros(shape, np.uint16), photometric="minisblack")
        assert read_shape(tmp_path / name) == decode_image(tmp_path / name)[0].shape == shape


def test_headers_of_files_that_are_cut_off_are_still_read(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 140), dtype=np.uint8)).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:500])
    assert read_shape(tmp_path / "cut.png") == (1, 90, 140)
    with pytest.raises(UserError, match="broken or cut off"):
        decode_image(tmp_path / "cut.png")
