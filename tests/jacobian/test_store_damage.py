"""A store that lost a part, or of which a part was changed, never gives a wrong answer."""

import shutil

import numpy as np
import pytest
import torch

from core.errors import UserError
from core.jacobian import Jacobian, Threshold, jacobian
from core.jacobian.row_summaries import STATISTICS
from core.jacobian.store import JacobianStore
from core.segmenter import Segmenter
from tests.jacobian.rows import random_image
from tests.jacobian.stores import ARRAYS, CONSTANTS, RESULTS, chunks, small_segmenter, small_store


@pytest.fixture(scope="module", params=[(3, 1), (12, None)], ids=["3x3", "12x12"])
def original(request, tmp_path_factory):
    size, batch_size = request.param
    return small_store(tmp_path_factory.mktemp("stores") / "small.zarr", size, batch_size).path


@pytest.fixture
def path(original, tmp_path):
    return shutil.copytree(original, tmp_path / "copy.zarr")


def answers(found: Jacobian):
    """Name, a question, and whether its answer depends on nothing but the block of each pixel."""
    height, width = found.size
    for name in STATISTICS:
        yield name, lambda name=name: found.statistic(name)
    for source in ("rows", "histogram"):
        # At the proportion 0 the threshold does not depend on which rows are computed.
        yield f"counts of {source}", lambda source=source: found.threshold_map(0, source=source)
        yield f"areas of {source}", lambda source=source: found.area_map(Threshold(0, source=source))
    yield "column", lambda: found.column(1, 2)
    for row, column in ((0, 0), (1, 2), (height - 1, width - 1), (2, 0)):
        yield f"row {row} {column}", lambda place=(row, column): found.row(*place)


def check_no_answer_is_wrong(found: Jacobian, expected: Jacobian) -> int:
    """The number of answers that were refused; all others are those of the undamaged store, or NaN."""
    refused = 0
    for (name, question), (_, right) in zip(answers(found), answers(expected), strict=True):
        try:
            values = question()
        except UserError:
            refused += 1
            continue
        known = ~np.isnan(values)
        np.testing.assert_array_equal(values[known], right()[known], err_msg=name)
        if found.complete:
            np.testing.assert_array_equal(values, right(), err_msg=name)
    try:
        field, right_field = found.effective_receptive_field(), expected.effective_receptive_field()
    except UserError:
        return refused + 1
    if found.complete:
        assert field.num_pixels == right_field.num_pixels
    if field.num_pixels == right_field.num_pixels:
        np.testing.assert_array_equal(field.mean, right_field.mean)
    return refused


def flip(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]


@pytest.mark.parametrize("name", ARRAYS)
def test_a_missing_chunk_is_damage(path, original, name):
    expected = Jacobian(original)
    found_chunks = [chunk for chunk in chunks(original) if chunk.parent.name == name]
    assert found_chunks
    for chunk in found_chunks:
        (path / chunk).unlink()
        if name in CONSTANTS:
            with pytest.raises(UserError, match=f"not a whole Jacobian store .*{name} is missing"):
                Jacobian(path)
        else:
            found = Jacobian(path)
            assert not found.complete
            assert found.fraction < 1
            assert (f"{name} of block " in found.damage) == (name != "statistics")
            check_no_answer_is_wrong(found, expected)
        shutil.copy(original / chunk, path / chunk)
    assert Jacobian(path).complete


@pytest.mark.parametrize("name", RESULTS)
def test_a_chunk_that_goes_while_the_store_is_open_is_damage(path, original, name):
    for chunk in chunks(original):
        if chunk.parent.name == name:
            found = Jacobian(path)
            assert found.complete
            (path / chunk).unlink()
            assert check_no_answer_is_wrong(found, Jacobian(original)) > 0
            shutil.copy(original / chunk, path / chunk)


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("damage", ["first byte", "a byte", "last byte", "half", "empty", "zeros", "longer"])
def test_a_changed_chunk_is_damage(path, original, name, damage):
    expected = Jacobian(original)
    found_chunks = [chunk for chunk in chunks(original) if chunk.parent.name == name]
    if damage not in {"a byte", "half"}:
        found_chunks = found_chunks[:2]
    for number, chunk in enumerate(found_chunks):
        content = (original / chunk).read_bytes()
        place = int(np.random.default_rng(number).integers(len(content)))
        changed = {
            "first byte": flip(content, 0),
            "a byte": flip(content, place),
            "last byte": flip(content, len(content) - 1),
            "half": content[: len(content) // 2],
            "empty": b"",
            "zeros": bytes(len(content)),
            "longer": content + b"\0",
        }[damage]
        (path / chunk).write_bytes(changed)
        if name in CONSTANTS:
            with pytest.raises(UserError, match=f"not a whole Jacobian store .*{name} is"):
                Jacobian(path)
        else:
            found = Jacobian(path)
            refused = check_no_answer_is_wrong(found, expected)
            assert refused > 0 or not found.complete
        (path / chunk).write_bytes(content)
    assert check_no_answer_is_wrong(Jacobian(path), expected) == 0


def test_the_damage_is_told_and_a_run_computes_it_anew(path, original):
    segmenter = small_segmenter()
    num_blocks = JacobianStore(path).num_blocks
    assert Jacobian(path).damage == ""
    (path / "histogram" / "c.1.0.0").unlink()
    assert Jacobian(path).damage == (
        f"A part of {path} is missing or cut short (histogram of block 1); start the run again, which computes it anew."
    )
    for name in ("rows/c.0.0.0.0", "boxes/c.0.0.0.0", "centred/c.0.0.0"):
        (path / name).unlink()
    damage = Jacobian(path).damage
    assert damage.startswith(f"4 parts of {path} are missing or cut short (")
    assert damage.endswith(", …); start the run again, which computes them anew.")
    assert Jacobian(path).fraction == (1 - 2 / num_blocks if num_blocks > 2 else 0)
    computed = jacobian(segmenter, Jacobian(original).image, out=path)
    assert computed.complete
    assert computed.damage == ""
    assert check_no_answer_is_wrong(computed, Jacobian(original)) == 0


def test_a_changed_chunk_is_named_and_computed_anew_without_it(path, original):
    file = path / "rows" / "c.1.0.0.0"
    file.write_bytes(flip(file.read_bytes(), 21))
    with pytest.raises(UserError, match=r"rows/c\.1\.0\.0\.0 is changed.*delete this file and start the run again"):
        Jacobian(path).threshold_map()
    file.unlink()
    computed = jacobian(small_segmenter(), Jacobian(original).image, out=path)
    assert check_no_answer_is_wrong(computed, Jacobian(original)) == 0


def test_a_run_in_progress_is_not_damaged(tmp_path):
    asked = iter(range(10**6))
    image = random_image(1, 12, 12)
    part = jacobian(small_segmenter(), image, out=tmp_path / "part.zarr", batch_size=1, cancel=lambda: next(asked) >= 4)
    whole = jacobian(small_segmenter(), image, out=tmp_path / "whole.zarr", batch_size=1)
    assert 0 < part.fraction < 1
    assert part.damage == ""
    assert np.isnan(part.threshold_map(0.1)).any()
    assert check_no_answer_is_wrong(part, whole) <= 4


def test_chunks_of_nothing_but_zeros_are_written(tmp_path):
    """A network whose scores are constant: every gradient, histogram and box is zero."""
    layer = torch.nn.Conv2d(1, 2, 3, padding=1)
    torch.nn.init.zeros_(layer.weight)
    for dtype in ("float32", "uint8"):
        computed = jacobian(
            Segmenter(layer, in_channels=1), np.zeros((1, 7, 6), np.float32), out=tmp_path / dtype, dtype=dtype
        )
        assert computed.complete
        store = JacobianStore(tmp_path / dtype)
        assert len(chunks(tmp_path / dtype)) >= len(CONSTANTS) + 4 * store.num_blocks
        assert computed.damage == ""
        np.testing.assert_array_equal(computed.threshold_map(0, source="rows"), 0)
        for name in ("rows", "histogram", "boxes"):
            chunk = next((tmp_path / dtype / name).glob("c.*"))
            chunk.unlink()
            assert not Jacobian(tmp_path / dtype).complete
            assert Jacobian(tmp_path / dtype).damage
            assert jacobian(
                Segmenter(layer, in_channels=1), np.zeros((1, 7, 6), np.float32), out=tmp_path / dtype, dtype=dtype
            ).complete


def test_chunks_of_no_block_are_left_alone(path):
    shutil.copy(path / "statistics" / "c.0.0.0", path / "statistics" / "c.999.0.0")
    found = Jacobian(path)
    assert found.complete
    assert found.fraction == 1
    assert found.damage == ""


def test_the_image_of_another_store_is_not_taken(path, tmp_path):
    size = Jacobian(path).size[0]
    image = random_image(1, size, size, seed=99)
    other = jacobian(small_segmenter(), image, out=tmp_path / "other.zarr", batch_size=1).path
    shutil.rmtree(path / "image")
    shutil.copytree(other / "image", path / "image")
    with pytest.raises(UserError, match="image is damaged"):
        Jacobian(path)


def test_the_sentence_on_damage_stays_short(path):
    for file in (path / "boxes").glob("c.*"):
        file.unlink()
    assert len(Jacobian(path).damage) < 250 + len(str(path))
