"""Strokes, moves, undo and redo: by hand on small images, and as properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, uniform_filter

from core.counterfactual.brush import KINDS, Brush
from core.counterfactual.edit import Edit
from core.counterfactual.painting import Painting
from core.errors import UserError


def _image(channels: int = 1, height: int = 24, width: int = 30, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((channels, height, width), dtype=np.float32)


def _painted(image: np.ndarray, brush: Brush, *points: tuple[float, float]) -> Painting:
    painting = Painting(image)
    painting.begin(brush)
    painting.draw(points)
    painting.finish()
    return painting


def test_a_hard_brush_paints_the_pixels_whose_centres_lie_under_it_and_no_other():
    image = _image()
    painting = _painted(image, Brush(radius=3, intensity=(0.25,)), (10, 12))
    rows, columns = np.mgrid[:24, :30]
    disc = (rows - 10) ** 2 + (columns - 12) ** 2 <= 9
    assert (painting.image[0][disc] == 0.25).all()
    assert np.array_equal(painting.image[0][~disc], image[0][~disc])


def test_a_soft_brush_fades_from_its_centre_to_its_rim():
    painting = _painted(np.zeros((1, 21, 21), np.float32), Brush(radius=8, softness=1, intensity=(1,)), (10, 10))
    profile = painting.image[0, 10, 10:]
    assert profile[0] == 1
    assert profile[4] == pytest.approx(0.5, abs=1e-6)  # half way of a raised cosine
    assert (np.diff(profile[:9]) < 0).all()
    assert (profile[8:] == 0).all()


def test_a_stroke_does_not_hang_on_how_its_points_came():
    image = _image(seed=1)
    points = [(4.2, 3.1), (9.5, 11.0), (14.0, 25.5)]
    for kind in KINDS:
        brush = Brush(kind, radius=3.5, softness=0.4, intensity=(0.5,), offset=(2, -3))
        whole = _painted(image, brush, *points)
        slow = Painting(image)
        slow.begin(brush)
        for point in points:
            slow.draw([point])
        slow.finish()
        assert np.array_equal(whole.image, slow.image), kind


def test_blur_and_mean_are_those_of_scipy():
    image = _image(2, seed=2)
    blurred = _painted(image, Brush("blur", radius=4, sigma=1.5), (12, 15)).image
    assert np.allclose(blurred[:, 12, 15], gaussian_filter(image, (0, 1.5, 1.5))[:, 12, 15], atol=1e-5)
    mean = _painted(image, Brush("mean", radius=4), (12, 15)).image
    assert np.allclose(mean[:, 12, 15], uniform_filter(image, (0, 9, 9))[:, 12, 15], atol=1e-6)
    assert np.allclose(mean[:, 12, 15], image[:, 8:17, 11:20].mean(axis=(1, 2)), atol=1e-6)


def test_clone_copies_and_noise_has_its_deviation():
    image = _image(seed=3)
    cloned = _painted(image, Brush("clone", radius=3, offset=(6, -5)), (10, 12)).image
    assert np.array_equal(cloned[0, 8:13, 10:15], image[0, 14:19, 5:10])
    grey = np.full((1, 80, 80), 0.5, np.float32)
    noisy = _painted(grey, Brush("noise", radius=38, amount=0.05, seed=7), (40, 40)).image
    change = (noisy - grey)[noisy != grey]
    assert change.std() == pytest.approx(0.05, rel=0.05)
    assert abs(change.mean()) < 0.003


def test_in_painting_continues_a_ramp():
    ramp = np.broadcast_to(np.linspace(0.1, 0.9, 40, dtype=np.float32), (1, 40, 40))
    painted = _painted(ramp, Brush("inpaint", radius=6), (20, 20)).image
    assert np.abs(painted - ramp).max() < 5e-3  # a linear ramp is harmonic
    assert (painted != ramp).any()


def test_erasing_brings_back_the_original_bit_for_bit():
    image = _image(3, seed=4)
    painting = _painted(image, Brush("noise", radius=6, seed=1), (12, 12))
    painting.begin(Brush("erase", radius=9))
    painting.draw([(12, 12)])
    painting.finish()
    assert painting.is_original


def test_moving_takes_along_fills_the_hole_and_follows_the_hand():
    image = np.full((1, 30, 30), 0.5, np.float32)
    image[0, 5:9, 5:9] = 1
    mask = np.zeros((30, 30), bool)
    mask[4:10, 4:10] = True
    painting = Painting(image)
    painting.move(mask, (3, 3))
    painting.move(mask, (12, 14))
    assert np.array_equal(painting.image[0, 16:22, 18:24], image[0, 4:10, 4:10])
    assert np.allclose(painting.image[0, 4:10, 4:10], 0.5, atol=2e-3)
    assert np.allclose(painting.image[0, 10:13, 10:13], 0.5)  # where the hand passed by
    painting.move(mask, (0, 0))
    assert painting.is_original
    painting.move(mask, (-6, 0), is_copied=True)
    assert np.array_equal(painting.image[0, 0:4, 4:10], image[0, 6:10, 4:10])  # what leaves the image is cut off
    assert (painting.image[0, 5:9, 5:9] == 1).all()
    painting.undo()
    assert painting.is_original


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from(list(KINDS)), st.integers(0, 23), st.integers(0, 29)), min_size=1, max_size=6)
)
def test_undo_and_redo_restore_every_step_bit_for_bit(strokes):
    image = _image(seed=5)
    painting, seen = Painting(image), [image]
    for number, (kind, row, column) in enumerate(strokes):
        painting.begin(Brush(kind, radius=4, softness=0.5, seed=number, offset=(3, 2)))
        painting.draw([(row, column), (row + 3, column - 4)])
        painting.finish()
        if len(painting.steps) == len(seen):
            seen.append(painting.image.copy())
        assert painting.image.min() >= 0
        assert painting.image.max() <= 1
    for before in reversed(seen[:-1]):
        painting.undo()
        assert np.array_equal(painting.image, before)
    assert not painting.can_undo
    for after in seen[1:]:
        painting.redo()
        assert np.array_equal(painting.image, after)


def test_the_boxes_returned_hold_every_changed_pixel():
    image = _image(seed=6)
    for kind in KINDS:
        painting = Painting(image)
        painting.begin(Brush("noise", radius=5))
        painting.draw([(12, 12)])
        painting.begin(Brush(kind, radius=4, offset=(1, 1)))
        before = painting.image.copy()
        box = painting.draw([(10, 10), (11, 14)])
        changed = (painting.image != before).any(axis=0)
        assert box is not None
        changed[box] = False
        assert not changed.any(), kind


def test_the_oldest_steps_go_where_undoing_would_need_too_much():
    painting = Painting(_image(seed=7), most_bytes=1000)
    for row in range(3, 20, 4):
        painting.begin(Brush(radius=3))
        painting.draw([(row, 10)])
    painting.finish()
    assert len(painting.steps) == 5  # still told
    undone = 0
    while painting.can_undo:
        painting.undo()
        undone += 1
    assert 1 <= undone < 5


def test_an_area_is_filled_and_restored():
    image = _image(seed=8)
    mask = np.zeros((24, 30), bool)
    mask[5:9, 7:12] = True
    painting = Painting(image)
    painting.fill(mask, Brush(intensity=(0.75,)))
    assert (painting.image[0][mask] == 0.75).all()
    assert np.array_equal(painting.image[0][~mask], image[0][~mask])
    painting.restore()
    assert painting.is_original
    painting.undo()
    assert (painting.image[0][mask] == 0.75).all()


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"kind": "spray"}, "is one of"),
        ({"radius": 1e9}, "radius"),
        ({"softness": 2.0}, "softness"),
        ({"intensity": (2.0,)}, "intensities"),
        ({"sigma": 0.0}, "sigma"),
        ({"amount": 5.0}, "deviation"),
    ],
)
def test_a_brush_out_of_range_is_told(values, word):
    with pytest.raises(UserError, match=word):
        Brush(**values)


def test_what_makes_no_stroke_is_told():
    painting = Painting(_image())
    with pytest.raises(UserError, match="no stroke"):
        painting.draw([(1, 1)])
    with pytest.raises(UserError, match="channels"):
        painting.begin(Brush(intensity=(0.1, 0.2)))
    painting.begin(Brush())
    with pytest.raises(UserError, match="points"):
        painting.draw([(np.nan, 1)])
    with pytest.raises(UserError, match="no pixel"):
        painting.move(np.zeros((24, 30), bool), (1, 1))
    with pytest.raises(UserError, match="one size"):
        painting.move(np.ones((3, 3), bool), (1, 1))


def test_a_stroke_beside_the_image_is_no_step():
    painting = _painted(_image(), Brush(radius=3), (-50, -50))
    assert not painting.can_undo
    assert painting.is_original


def test_the_edit_of_a_painting_makes_the_same_image_again():
    image = _image(3, seed=9)
    painting = _painted(image, Brush("blur", radius=6, softness=0.5), (10, 10), (12, 20))
    edit = Edit.load(painting.edit().file_bytes())
    other = Painting(image)
    other.load(edit)
    assert np.array_equal(other.image, painting.image)
    assert edit.steps == ("Blur of sigma 4 px, radius 6 px, 50% soft",)
