"""Data sets with known mistakes, and numbers that can be worked out by hand."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from core.data.index_masks import IGNORED
from core.data.inspection import inspect_data_set
from core.errors import UserError
from core.io.tables import csv_bytes

SIZE = (16, 20)


def picture(seed, size=SIZE):
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def write(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, values, photometric="minisblack")
    else:
        Image.fromarray(np.asarray(values, np.uint8)).save(path)


def half(value=255):
    """A mask whose left half is background."""
    return np.repeat([[0] * 10 + [value] * 10], 16, axis=0)


@pytest.fixture
def data(tmp_path):
    """Twelve sound pairs."""
    for number in range(12):
        write(tmp_path / "images" / f"{number}.png", picture(number))
        write(tmp_path / "masks" / f"{number}.png", half())
    return tmp_path


def told(report):
    return {(issue.kind, issue.file) for issue in report.issues}


def test_a_sound_data_set_has_no_issue(data):
    report = inspect_data_set(data)
    assert report.issues == ()
    assert (report.masks, report.class_names, report.parts) == ("0 and 255 (12)", ("0", "1"), {"": 12})
    assert report.class_shares() == {"0": 0.5, "1": 0.5}
    assert [image.pair.stem for image in report.images] == [str(number) for number in range(12)]


def test_every_mistake_is_listed_at_once(data):
    images, masks = data / "images", data / "masks"
    (masks / "0.png").unlink()
    (images / "1.png").unlink()
    write(masks / "2.png", half().T)
    (images / "3.png").write_bytes((images / "3.png").read_bytes()[:150])
    (masks / "4.png").write_bytes(b"")
    write(masks / "5.png", half(7))
    write(images / "6.png", np.full(SIZE, 9))
    write(images / "7.tif", picture(70))
    write(images / "8.png", picture(80, (*SIZE, 3)))
    write(masks / "9.png", picture(90, (*SIZE, 3)))
    (images / "readme.md").write_text("Photographs.")
    report = inspect_data_set(data, class_names=("background", "vessel"))
    assert told(report) == {
        ("image without mask", "images/0.png"),
        ("mask without image", "masks/1.png"),
        ("another size", "masks/2.png"),
        ("unreadable", "images/3.png"),
        ("unreadable", "masks/4.png"),
        ("unknown class", "masks/5.png"),
        ("mixed masks", "masks/5.png"),
        ("constant image", "images/6.png"),
        ("duplicate stem", "images/7.tif"),
        ("other channels", "images/8.png"),
        ("not a mask", "masks/9.png"),
        ("other file", "images/readme.md"),
        ("few images", "."),
    }
    sentences = {issue.kind: issue.sentence for issue in report.issues}
    assert "2.png is 16×20 pixels and its mask 2.png 20×16" in sentences["another size"]
    assert sentences["unknown class"].startswith("The mask 5.png holds the class 7, but only 2 classes are named")
    assert all(issue.sentence.endswith(".") for issue in report.issues)
    assert {issue.kind for issue in report.warnings} == {"constant image", "other file", "few images"}
    assert [issue.severity for issue in report.issues] == sorted(issue.severity for issue in report.issues)


def test_one_unreadable_file_among_500_is_named_and_hides_no_other(tmp_path):
    for number in range(500):
        write(tmp_path / "images" / f"{number}.png", picture(number, (8, 8)))
        write(tmp_path / "masks" / f"{number}.png", np.eye(8) * 255)
    broken = tmp_path / "images" / "250.png"
    broken.write_bytes(broken.read_bytes()[:60])
    (tmp_path / "masks" / "400.png").unlink()
    steps = []
    report = inspect_data_set(tmp_path, progress=lambda done, total: steps.append((done, total)))
    assert told(report) == {("unreadable", "images/250.png"), ("image without mask", "images/400.png")}
    assert len(report.images) == 498
    assert steps[-1] == (998, 998)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


def test_what_progress_raises_stops_the_inspection(data):
    seen = []

    def stop(done, total):
        seen.append(done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        inspect_data_set(data, progress=stop)
    assert seen == [1]


def test_empty_folders_and_folders_that_are_no_data_set(tmp_path):
    with pytest.raises(UserError, match="does not hold a data set"):
        inspect_data_set(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    report = inspect_data_set(tmp_path)
    assert told(report) == {("empty folder", "images"), ("empty folder", "masks")}
    assert len(report.errors) == 2
    assert (report.images, report.histogram) == ((), None)


@pytest.mark.parametrize(("count", "severity"), [(2, "error"), (3, "warning"), (9, "warning"), (10, None)])
def test_few_images_are_told(tmp_path, count, severity):
    for number in range(count):
        write(tmp_path / "images" / f"{number}.png", picture(number))
        write(tmp_path / "masks" / f"{number}.png", half())
    found = {issue.kind: issue.severity for issue in inspect_data_set(tmp_path).issues}
    assert found == ({} if severity is None else {"few images": severity})


def test_masks_in_every_form(data):
    masks = data / "masks"
    cases = {
        "0 and 1": half(1),
        "0 and 255": half(255),
        "class indices": np.concatenate([half(2)[:8], half(1)[8:]]),
        "black": np.zeros(SIZE),
    }
    for number, values in enumerate(cases.values()):
        write(masks / f"{number}.png", values)
    palette = Image.fromarray(half(1).astype(np.uint8), "P")
    palette.putpalette([0, 0, 0, 200, 0, 0])
    palette.save(masks / "4.png")
    tifffile.imwrite(masks / "5.tif", (half(1) * 65535).astype(np.uint16))
    (masks / "5.png").unlink()
    forms = [image.mask_form for image in inspect_data_set(data).images]
    assert forms[:6] == [*cases, "0 and 1", "0 and 255"]


def test_colour_masks_need_a_palette_and_say_which_colours_they_hold(data):
    for number in range(12):
        write(data / "masks" / f"{number}.png", np.array([[9, 8, 7], [0, 5, 0]])[half(1)])
    report = inspect_data_set(data)
    assert [issue.kind for issue in report.errors] == ["not a mask"] * 12 + ["few images"]
    assert "the colours (0, 5, 0), (9, 8, 7); a palette.json" in report.errors[0].sentence
    (data / "palette.json").write_text('{"ground": [9, 8, 7], "tree": [0, 5, 0]}')
    report = inspect_data_set(data)
    assert (report.issues, report.masks, report.class_names) == ((), "colours (12)", ("ground", "tree"))
    write(data / "masks" / "3.png", np.array([[9, 8, 7], [0, 6, 0]])[half(1)])
    assert told(inspect_data_set(data)) == {("unknown class", "masks/3.png")}


def test_masks_of_0_and_255_among_class_indices_are_told(data):
    """Of a mask of 0 and 255 nobody knows whether 255 is a class or to be ignored."""
    for number in range(10):
        write(data / "masks" / f"{number}.png", np.concatenate([half(2)[:8], half(1)[8:]]))
    assert told(inspect_data_set(data)) == {("mixed masks", "masks/10.png"), ("mixed masks", "masks/11.png")}


def test_class_numbers_with_gaps_are_told_unless_the_classes_are_named(data):
    for number in range(12):
        write(data / "masks" / f"{number}.png", half(5))
    assert told(inspect_data_set(data)) == {("unknown class", ".")}
    assert told(inspect_data_set(data, class_names="abcdef")) == set()


def test_no_foreground_at_all_is_told(data):
    for number in range(12):
        write(data / "masks" / f"{number}.png", np.zeros(SIZE))
    assert told(inspect_data_set(data)) == {("no foreground", ".")}


def test_statistics_are_those_of_the_pixels(tmp_path):
    """16 bits, three channels: 0, a quarter and all of the range; one ignored row in the mask."""
    for number in range(10):
        values = np.zeros((3, *SIZE), np.uint16)
        values[1], values[2] = 16384, 65535
        values[0, 0, number] = 65535
        mask = np.concatenate([half(1)[:8], half(2)[8:]])
        mask[0] = IGNORED
        write(tmp_path / "images" / f"{number}.tif", values)
        write(tmp_path / "masks" / f"{number}.png", mask)
    report = inspect_data_set(tmp_path, class_names=("ground", "tree", "car"))
    (row, *_) = report.rows()
    assert [row[key] for key in ("channels", "height", "width", "stored as")] == [3, 16, 20, "uint16"]
    assert row["brightness"] == pytest.approx((16384 / 65535 + 1 + 1 / 320) / 3)
    # 320 pixels, 20 of them ignored; half of 300 are ground, 70 are trees, 80 cars.
    assert [row[f"share of {name}"] for name in report.class_names] == pytest.approx([0.5, 70 / 300, 80 / 300])
    assert row["ignored pixels"] == 20
    assert report.class_shares() == pytest.approx({"ground": 0.5, "tree": 70 / 300, "car": 80 / 300})
    expected = np.zeros((3, 256), np.int64)
    expected[0, 0], expected[0, 255] = 3190, 10
    expected[1, 64], expected[2, 255] = 3200, 3200
    np.testing.assert_array_equal(report.histogram, expected)
    assert csv_bytes(report.rows()).decode().count("\n") == 11


def test_many_channels_and_turned_photographs_are_of_the_size_that_is_decoded(tmp_path):
    for number in range(10):
        write(tmp_path / "images" / f"{number}.tif", np.stack([picture(100 * number + c) for c in range(5)]))
        write(tmp_path / "masks" / f"{number}.png", half())
    report = inspect_data_set(tmp_path)
    assert report.issues == ()
    assert report.images[0].channels == 5
    turned = tmp_path / "turned"
    for number in range(10):
        buffer = io.BytesIO()
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(picture(number).T).save(buffer, "JPEG", exif=exif)
        (turned / "images").mkdir(parents=True, exist_ok=True)
        (turned / "images" / f"{number}.jpg").write_bytes(buffer.getvalue())
        write(turned / "masks" / f"{number}.png", half())
    report = inspect_data_set(turned)
    assert report.issues == ()
    assert (report.images[0].height, report.images[0].width) == SIZE


def test_a_divided_data_set_is_looked_through_part_by_part(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("divided")
    for seed, part in enumerate(("train", "val", "test")):
        for number in range(4):
            write(folder / part / "images" / f"{number}.png", picture(10 * seed + number))
            write(folder / part / "masks" / f"{number}.png", half())
    (folder / "test" / "masks" / "2.png").unlink()
    (folder / "val" / "images" / "3.png").write_bytes((folder / "train" / "images" / "1.png").read_bytes())
    report = inspect_data_set(folder)
    assert report.parts == {"training": 4, "validation": 4, "test": 3}
    assert told(report) == {("image without mask", "test/images/2.png"), ("copies", "val/images/3.png")}
    (copy,) = report.duplicates
    assert [report.images[index].name for index in (copy.first, copy.second)] == ["training/1", "validation/3"]
    assert copy.is_exact
    for path in (folder / "val" / "masks").iterdir():
        path.unlink()
    (folder / "val" / "masks").rmdir()
    assert ("empty folder", "val") in told(inspect_data_set(folder))


def test_centre_lines_are_checked_where_there_are_any(data):
    write(data / "skeletons" / "0.png", half().T)
    write(data / "skeletons" / "1.png", half())
    (data / "skeletons" / "2.png").write_text("no picture")
    report = inspect_data_set(data)
    assert told(report) == {("another size", "skeletons/0.png"), ("unreadable", "skeletons/2.png")}
    assert "its skeleton 0.png 20×16" in report.errors[0].sentence


def test_ignored_pixels_of_cityscapes_masks_are_no_second_class(tmp_path):
    for number in range(10):
        write(tmp_path / "images" / f"{number}_leftImg8bit.png", picture(number, (*SIZE, 3)))
        mask = half(255) if number else half(13)
        write(tmp_path / "masks" / f"{number}_gtFine_labelTrainIds.png", mask)
    report = inspect_data_set(tmp_path)
    assert (report.issues, report.masks) == ((), "class indices (10)")
    assert report.class_shares()["road"] == 1600 / 1760
