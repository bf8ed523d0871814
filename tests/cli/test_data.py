"""`data`: the report on the terminal, the table, and the exit code."""

import csv

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import SIZE


def test_a_data_set_with_few_images_is_described(shell, data, tmp_path):
    table = tmp_path / "out" / "images.csv"
    code, out, err = shell("data", data, "--class-names", "dark,[bright]", "--csv", table)
    assert (code, err) == (0, "")
    for words in ("24×32", "1 of uint8", "0 and 255 (3)", "class [bright]", "warning few images, .: The data set"):
        assert words in out
    assert out.splitlines()[-1] == "no errors, 1 warning"
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["stem"] for row in rows] == ["first", "second", "third"]
    for row in rows:
        bright = np.asarray(Image.open(data / "masks" / f"{row['stem']}.png")) > 0
        assert float(row["share of [bright]"]) == bright.mean()
        pixels = np.asarray(Image.open(data / "images" / f"{row['stem']}.png"))
        assert float(row["brightness"]) == pytest.approx(pixels.mean() / 255)


def test_errors_are_all_listed_and_give_the_exit_code_1(shell, data):
    (data / "masks" / "first.png").unlink()
    cut = data / "images" / "second [a very long name that would be broken into lines on a narrow terminal].png"
    cut.write_bytes((data / "images" / "second.png").read_bytes()[:200])
    (data / "masks" / "second.png").rename(data / "masks" / cut.name)
    (data / "images" / "second.png").unlink()
    Image.fromarray(np.zeros(SIZE[::-1], np.uint8)).save(data / "masks" / "third.png")
    code, out, _ = shell("data", data)
    assert code == 1
    lines = out.splitlines()
    assert any(line.startswith("error image without mask, images/first.png: The image first.png") for line in lines)
    assert any(line.startswith(f"error unreadable, images/{cut.name}: {cut.name} is broken") for line in lines)
    assert any(line.startswith("error another size, masks/third.png") for line in lines)
    assert lines[-1] == "4 errors, no warnings"


def test_masks_elsewhere(shell, data, tmp_path):
    (data / "masks").rename(tmp_path / "elsewhere")
    assert shell("data", data / "images", "--masks", tmp_path / "elsewhere")[0] == 0
    code, _, err = shell("data", data)
    assert code == 2
    assert "does not hold a data set" in err
