"""The test of a map, against networks whose falls are added up by hand."""

import json

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from torch import Tensor, nn

from core import Target, UserError
from core.attribution.registry import explain, importance
from core.counterfactual import map_test
from core.counterfactual.map_areas import SHAPES, distances, first_pixels, random_areas
from tests.trust.networks import PixelIsLogit, Squares, segmenter_of, whole

SIZE = (20, 19)
SEGMENTER = segmenter_of(PixelIsLogit())


def image_of(size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.random.default_rng(1).random((1, *size), dtype=np.float32)


def test_the_falls_are_the_sums_of_what_was_removed():
    """The score is the sum of all pixels, so without some of them it falls by their sum."""
    image = image_of()
    found = map_test(SEGMENTER, image, whole(*SIZE), image[0], 0.1, "zero", draws=7)
    assert found.pixels == 38
    assert found.start == pytest.approx(image.sum(), rel=1e-5)
    assert found.map_fall == pytest.approx(np.sort(image.ravel())[-38:].sum(), rel=1e-4)
    for name, fall in (("nearest", found.nearest_fall), ("random", found.random_falls[0])):
        assert fall == pytest.approx(image[0][found.areas[name]].sum(), rel=1e-4)
        assert not found.images[name][0][found.areas[name]].any()
        np.testing.assert_array_equal(found.images[name][0][~found.areas[name]], image[0][~found.areas[name]])
    assert len(found.random_falls) == 7
    low, high = stats.t.interval(0.95, 6, found.random_falls.mean(), stats.sem(found.random_falls))
    assert found.random_fall.mean == pytest.approx(found.random_falls.mean())
    assert (found.random_fall.low, found.random_fall.high) == pytest.approx((low, high))


def test_random_areas_of_scattered_pixels_are_fair():
    """Each pixel goes as often as any other: over many draws the mean fall is the area's share of the sum."""
    image = image_of()
    found = map_test(SEGMENTER, image, whole(*SIZE), image[0], 0.1, "zero", draws=2000)
    error = stats.sem(found.random_falls)
    assert abs(found.random_fall.mean - 38 / image.size * image.sum()) < 4 * error
    assert error < 0.05


def test_the_moved_area_is_that_of_the_map_elsewhere():
    image = image_of()
    found = map_test(SEGMENTER, image, whole(*SIZE), image[0], 0.1, "zero", 30, "moved")
    sums = [
        image[0][np.roll(found.areas["map"], (down, right), (0, 1))].sum() for down in range(20) for right in range(19)
    ]
    assert all(np.isclose(sums, fall, rtol=1e-4).any() for fall in found.random_falls)
    assert len(np.unique(found.random_falls)) > 10


@pytest.mark.parametrize("shape", list(SHAPES))
@pytest.mark.parametrize("count", [1, 63, 64, 100, 379])
def test_all_areas_have_the_same_number_of_pixels(shape, count):
    every, some = np.ones(SIZE, bool), np.ones(SIZE, bool)
    some[4:15, 4:15] = False
    for eligible in (every, some):
        number = min(count, int(eligible.sum()) - 1)
        top = first_pixels(-image_of()[0], number, eligible, np.random.default_rng(0))
        areas = [top, *random_areas(shape, top, 5, eligible, np.random.default_rng(0))]
        assert [area.sum() for area in areas] == [number] * 6
        assert not any(area[~eligible].any() for area in areas)


def test_patches_are_whole_but_for_the_last():
    top = np.zeros((40, 33), bool)
    top.ravel()[:300] = True
    for area in random_areas("patches", top, 20, np.ones_like(top), np.random.default_rng(2)):
        cells = [area[row : row + 8, column : column + 8] for row in range(0, 40, 8) for column in range(0, 33, 8)]
        assert sum(not cell.all() and cell.any() for cell in cells) <= 1


def test_nearest_pixels_by_brute_force_and_ties_by_the_seed():
    target = Target.region(np.isin(np.arange(380).reshape(SIZE), (5, 300, 301)), 1, "logit")
    places = np.argwhere(target.pixels(SIZE))
    rows, columns = np.mgrid[:20, :19]
    expected = np.min([np.hypot(rows - row, columns - column) for row, column in places], axis=0)
    np.testing.assert_allclose(distances(target.pixels(SIZE)), expected, rtol=1e-6)
    areas = [
        map_test(SEGMENTER, image_of(), target, image_of()[0], 0.08, seed=seed).areas["nearest"] for seed in (0, 0, 1)
    ]
    for area in areas:
        assert area.sum() == 30
        assert expected[area].max() == expected[~area].min()  # a tie
    assert (areas[0] == areas[1]).all()
    assert (areas[0] != areas[2]).any()


def test_equal_pixels_of_a_map_go_as_the_seed_has_it_and_it_is_said():
    values = np.zeros(SIZE)
    values[4, 4:8] = 1
    found = [map_test(SEGMENTER, image_of(), whole(*SIZE), values, 0.1, seed=seed) for seed in (0, 0, 1)]
    assert all(one.areas["map"][4, 4:8].all() for one in found)
    assert (found[0].areas["map"] == found[1].areas["map"]).all()
    assert (found[0].areas["map"] != found[2].areas["map"]).any()
    assert found[0].marked == 4
    assert "to 4 of the 38 pixels removed" in found[0].notes[0]


class Elsewhere(nn.Module):
    """The logit of class 1 is everywhere ten times the mean of the corner of 4×4 pixels at the top left."""

    def forward(self, images: Tensor) -> Tensor:
        corner = 10 * images[:, :, :4, :4].mean(dim=(2, 3), keepdim=True).expand_as(images)
        return torch.cat((torch.zeros_like(corner), corner), dim=1)


CORNER = np.zeros(SIZE)
CORNER[:4, :4] = 1


def test_a_map_that_knows_where_the_network_looks():
    """The pixel explained lies far away from the pixels that decide it."""
    segmenter, target, image = segmenter_of(Elsewhere()), Target.pixel(18, 17, 1, "logit"), np.full((1, *SIZE), 0.7)
    found = map_test(segmenter, image, target, CORNER, 16 / 380, "zero")
    assert found.map_fall == pytest.approx(7, rel=1e-5)
    assert found.nearest_fall == pytest.approx(0, abs=1e-5)
    assert (found.against_nearest, found.against_random) == (1, 1)
    assert found.knows_more
    assert found.overlap == 0
    assert "the logit falls by 7; " in found.sentence
    assert found.sentence.endswith("the map knows more than the distance to the target.")


def test_a_map_that_only_knows_the_place():
    segmenter, target, image = segmenter_of(Elsewhere()), Target.pixel(0, 0, 1, "logit"), np.full((1, *SIZE), 0.7)
    near = -distances(target.pixels(SIZE))
    found = map_test(segmenter, image, target, near, 0.1, "zero")
    assert (found.against_nearest, found.against_random) == (0, 1)
    assert not found.knows_more
    assert "about as much as the distance" in found.verdict
    assert found.overlap > 0.8


def test_a_map_that_points_away():
    segmenter, target, image = segmenter_of(Elsewhere()), Target.pixel(18, 17, 1, "logit"), np.full((1, *SIZE), 0.7)
    found = map_test(segmenter, image, target, -CORNER, 0.5, "zero")
    assert found.map_fall == pytest.approx(0, abs=1e-5)
    assert found.against_random == -1
    assert "no more than chance" in found.verdict


def test_the_context_only():
    """The target's pixels stay, though they are the most important and the nearest."""
    image = image_of()
    inside = np.zeros(SIZE, bool)
    inside[6:12, 6:12] = True
    target = Target.region(inside, 1, "logit")
    own = map_test(SEGMENTER, image, target, inside.astype(float), 36 / 380, "zero")
    assert own.map_fall == pytest.approx(image[0][inside].sum(), rel=1e-4)
    assert "pixels of the target itself" in own.notes[0]
    found = map_test(SEGMENTER, image, target, inside + image[0], 0.1, "zero", shape="moved", context_only=True)
    assert found.pixels == 34  # a tenth of the 344 pixels around
    assert not any(area[inside].any() for area in found.areas.values())
    assert found.map_fall == found.nearest_fall == 0
    order = np.argsort(np.where(inside, -1, image[0]).ravel())
    assert set(np.flatnonzero(found.areas["map"])) == set(order[-34:])
    with pytest.raises(UserError, match="no context"):
        map_test(SEGMENTER, image, whole(*SIZE), image[0], context_only=True)


def test_a_rise_is_called_a_rise():
    """Darker pixels become the image's mean, so the sum rises."""
    image = image_of()
    found = map_test(SEGMENTER, image, whole(*SIZE), -image[0], 0.1, "mean")
    rise = 38 * image.mean() - np.sort(image.ravel())[:38].sum()
    assert found.map_fall == pytest.approx(-rise, rel=1e-3)
    assert "the logit rises by" in found.sentence


def test_fills():
    """A blur takes scipy's values; a mean of the neighbours continues a ramp as it was."""
    image, target = image_of(), whole(*SIZE)
    found = map_test(SEGMENTER, image, target, image[0], 0.1, "blur")
    blurred = ndimage.gaussian_filter(image[0], 10, mode="nearest")
    removed = found.areas["map"]
    assert found.map_fall == pytest.approx((image[0] - blurred)[removed].sum(), rel=1e-3)
    ramp = np.broadcast_to(np.linspace(0, 1, SIZE[1], dtype=np.float32), (1, *SIZE)).copy()
    inside = np.zeros(SIZE)
    inside[5:9, 6:12] = 1
    kept = map_test(SEGMENTER, ramp, target, inside, 24 / 380, "inpaint")
    assert abs(kept.map_fall) < 0.02
    assert map_test(SEGMENTER, ramp, target, inside, 24 / 380, "zero").map_fall == pytest.approx(
        ramp[0][inside > 0].sum(), rel=1e-4
    )


def test_an_attribution_is_ranked_by_its_importance(tmp_path):
    segmenter, image, target = segmenter_of(Squares()), image_of(), Target.pixel(9, 9, 1, "logit")
    attribution = explain(segmenter, image, target, "gradient")
    found = map_test(segmenter, image, target, attribution, 9 / 380, "zero")
    expected = np.zeros(SIZE, bool)
    expected[8:11, 8:11] = True
    np.testing.assert_array_equal(found.areas["map"], expected)
    again = map_test(segmenter, image, target, importance(attribution), 9 / 380, "zero")
    assert again.map_fall == found.map_fall
    assert found.map_fall == pytest.approx(image[0][expected].mean() ** 2, rel=1e-4)
    folder = found.save(tmp_path / "map-test")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["fall"]["map"] == found.map_fall
    assert manifest["fall"]["random"] == found.random_falls.tolist()
    assert manifest["parameters"]["method"] == "gradient"
    assert manifest["sentence"] == found.sentence
    np.testing.assert_array_equal(np.load(folder / "nearest_area.npy"), found.areas["nearest"])
    assert (folder / "map_removed.png").is_file()
    with pytest.raises(UserError, match="another image"):
        map_test(segmenter, image[:, ::-1], target, attribution)


def test_progress_counts_every_image_and_may_stop_it():
    seen = []
    image = image_of()
    map_test(SEGMENTER, image, whole(*SIZE), image[0], draws=5, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (8, 8)

    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        map_test(SEGMENTER, image, whole(*SIZE), image[0], progress=stop)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"share": 0}, "share"),
        ({"share": 1}, "share"),
        ({"draws": 1}, "at least 2 draws"),
        ({"fill": "chalk"}, "fill is one of"),
        ({"shape": "rings"}, "shape of the random areas is one of"),
        ({"attribution": np.zeros((3, 3))}, "one size"),
        ({"attribution": np.full(SIZE, np.nan)}, "not finite"),
        ({"target": Target.region(np.zeros(SIZE, bool), 1, "logit")}, "no pixel"),
    ],
)
def test_what_cannot_be_tested_is_one_sentence(given, message):
    arguments = {"target": whole(*SIZE), "attribution": np.ones(SIZE)} | given
    with pytest.raises(UserError, match=message):
        map_test(SEGMENTER, image_of(), **arguments)
