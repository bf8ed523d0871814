"""What is read from a store, against numbers from the dense Jacobian."""

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from core.errors import UserError
from core.jacobian import (
    Jacobian,
    Threshold,
    effective_receptive_field,
    estimate,
    jacobian,
    normalised,
)
from core.jacobian.row_summaries import Histogram
from core.models import UNet
from core.segmenter import Segmenter
from tests.jacobian.rows import dense_jacobian, lively, random_image, rows_alone
from tests.networks import IMAGE_1_TO_9, TinySeg

SIZE = (24, 26)


def make_segmenter(channels: int) -> Segmenter:
    return Segmenter(lively(UNet(channels, 3, depth=1, width=3)), in_channels=channels)


@pytest.fixture(scope="module", params=[1, 3], ids=["one channel", "three channels"])
def computed(request, tmp_path_factory):
    """A segmenter, its Jacobian on disk and the same one dense, from the rows stored, with its magnitudes."""
    segmenter = make_segmenter(request.param)
    image = random_image(request.param, *SIZE)
    on_disk = jacobian(segmenter, image, out=tmp_path_factory.mktemp("store") / "run.zarr")
    dense = np.stack([[on_disk.row(row, column) for column in range(SIZE[1])] for row in range(SIZE[0])])
    magnitudes = np.sqrt((dense.astype(np.float64) ** 2).sum(axis=2)).astype(np.float32)
    return segmenter, on_disk, dense, magnitudes


def box_of(marked: np.ndarray) -> tuple[int, ...]:
    rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
    return (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1) if len(rows) else (0, 0, 0, 0)


def test_rows_are_those_of_autograd(computed):
    segmenter, on_disk, dense, _ = computed
    np.testing.assert_allclose(dense, dense_jacobian(segmenter, on_disk.image), atol=1e-5 * np.abs(dense).max())


def test_summaries_agree_with_the_rows(computed):
    _, on_disk, dense, magnitudes = computed
    np.testing.assert_array_equal(on_disk.statistic("maximum"), magnitudes.max(axis=(2, 3)))
    total = magnitudes.sum(axis=(2, 3), dtype=np.float64)
    np.testing.assert_allclose(on_disk.statistic("sum"), total, rtol=1e-5)
    rows, columns = np.arange(SIZE[0]), np.arange(SIZE[1])
    with np.errstate(invalid="ignore"):
        centroid_row = (magnitudes.sum(axis=3, dtype=np.float64) * rows).sum(axis=2) / total
        centroid_column = (magnitudes.sum(axis=2, dtype=np.float64) * columns).sum(axis=2) / total
    np.testing.assert_allclose(on_disk.statistic("centroid_row"), centroid_row, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(on_disk.statistic("centroid_column"), centroid_column, rtol=1e-4, atol=1e-4)
    assert on_disk.maximum() == magnitudes.max()
    assert on_disk.maximum("original") == dense.max()
    assert on_disk.complete
    assert on_disk.computed.all()


@pytest.mark.parametrize("proportion", [0.0, 0.001, 0.03, 0.2, 1.0])
def test_threshold_map_counts_exactly(computed, proportion):
    _, on_disk, _, magnitudes = computed
    expected = (magnitudes > np.float32(proportion) * magnitudes.max()).sum(axis=(2, 3))
    np.testing.assert_array_equal(on_disk.threshold_map(proportion), expected)


def test_threshold_of_the_original(computed):
    """Its own code: |J| > proportion · max(J), then (map - min) / (max - min)."""
    _, on_disk, dense, magnitudes = computed
    counts = (magnitudes > np.float32(0.05) * dense.max()).sum(axis=(2, 3))
    expected = (counts - counts.min()) / (counts.max() - counts.min())
    np.testing.assert_allclose(on_disk.threshold_map(0.05, definition="original"), expected, rtol=1e-6)


@pytest.mark.parametrize("proportion", [0.0005, 0.004, 0.013, 0.1, 0.77])
def test_histogram_counts_exactly_at_the_threshold_it_names(computed, proportion):
    _, on_disk, _, magnitudes = computed
    threshold = on_disk.threshold(Threshold(proportion, source="histogram"))
    assert threshold == pytest.approx(proportion * on_disk.maximum(), rel=0.07)
    expected = (magnitudes > np.float32(threshold)).sum(axis=(2, 3))
    np.testing.assert_array_equal(on_disk.threshold_map(Threshold(proportion, source="histogram")), expected)


def test_map_within_the_prediction(computed):
    segmenter, on_disk, _, _ = computed
    labels = segmenter.predict(on_disk.image).labels
    within = on_disk.threshold_map(0.05, within_prediction=True)
    np.testing.assert_array_equal(np.isnan(within), labels != 1)
    np.testing.assert_array_equal(within[labels == 1], on_disk.threshold_map(0.05)[labels == 1])


def test_boxes_area_and_fulfilment(computed):
    _, on_disk, _, magnitudes = computed
    marked = magnitudes > np.float32(0.1) * magnitudes.max()
    expected = np.array([[box_of(marked[row, column]) for column in range(SIZE[1])] for row in range(SIZE[0])])
    np.testing.assert_array_equal(on_disk.bounding_boxes(0.1), expected)
    area = (expected[..., 2] - expected[..., 0]) * (expected[..., 3] - expected[..., 1])
    np.testing.assert_array_equal(on_disk.area_map(0.1), area)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(on_disk.fulfilment_map(0.1), marked.sum(axis=(2, 3)) / area, rtol=1e-6)


def test_boxes_of_the_summaries(computed):
    _, on_disk, _, magnitudes = computed
    boxes = on_disk.bounding_boxes(Threshold(0.1, source="histogram"))
    levels = Histogram(on_disk.manifest.lowest_bin).box_levels
    matching = [
        level
        for level in levels
        if all(boxes[index].tolist() == list(box_of(magnitudes[index] >= level)) for index in np.ndindex(SIZE))
    ]
    assert len(matching) == 1
    assert 0.5 <= matching[0] / (0.1 * on_disk.maximum()) <= 2
    counts = (magnitudes >= matching[0]).sum(axis=(2, 3))
    area = on_disk.area_map(Threshold(0.1, source="histogram"))
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.where(area > 0, counts / area, np.nan)
    np.testing.assert_allclose(on_disk.fulfilment_map(Threshold(0.1, source="histogram")), expected, rtol=1e-6)


def test_columns_are_the_transposed_rows(computed):
    _, on_disk, dense, _ = computed
    for row, column in ((0, 0), (23, 25), (13, 20)):
        np.testing.assert_array_equal(on_disk.column(row, column), np.moveaxis(dense[..., row, column], 2, 0))


def test_dense_export_is_the_tensor_of_the_original(computed, tmp_path):
    _, on_disk, dense, _ = computed
    tensor = torch.load(on_disk.export_dense(tmp_path / "jacobian_gradient_0.pt"), weights_only=True)
    if on_disk.manifest.channels == 1:
        assert tensor.shape == (*SIZE, *SIZE)
    np.testing.assert_array_equal(tensor.numpy().reshape(dense.shape), dense)
    assert [path.name for path in tmp_path.iterdir()] == ["jacobian_gradient_0.pt"]


def test_effective_receptive_field_is_the_mean_of_centred_rows(computed):
    segmenter, on_disk, _, magnitudes = computed
    whole = effective_receptive_field(segmenter, on_disk.image, num_pixels=10_000)
    expected = np.zeros_like(whole.mean)
    up, left = whole.centre
    count = 0
    for row, column in np.ndindex(SIZE):
        rows, columns = on_disk.field.window(row, column)
        if rows.start == 0 or rows.stop == SIZE[0] or columns.start == 0 or columns.stop == SIZE[1]:
            continue
        count += 1
        for q_row, q_column in np.ndindex(rows.stop - rows.start, columns.stop - columns.start):
            place = rows.start + q_row - row + up, columns.start + q_column - column + left
            expected[place] += magnitudes[row, column, rows.start + q_row, columns.start + q_column]
    assert whole.num_pixels == count
    np.testing.assert_allclose(whole.mean, expected / count, rtol=1e-5, atol=1e-9)
    stored = on_disk.effective_receptive_field()
    assert 0 < stored.num_pixels <= count
    assert stored.radii[0.5] == pytest.approx(whole.radii[0.5], abs=1.5)
    assert stored.radii[0.5] <= stored.radii[0.9] <= stored.radii[0.99]


def test_radius_by_hand():
    from core.jacobian import EffectiveReceptiveField

    mean = np.zeros((5, 5))
    mean[2, 2], mean[2, 3], mean[0, 0] = 5, 4, 1
    field = EffectiveReceptiveField(mean, (2, 2), 1)
    assert field.radii == {0.5: 0.0, 0.9: 1.0, 0.99: pytest.approx(8**0.5)}


def test_files_of_the_maps(computed, tmp_path):
    _, on_disk, _, _ = computed
    paths = on_disk.save_threshold_maps(tmp_path, 0.05)
    assert {path.name for path in paths} == {
        f"{name}.{kind}" for name in ("threshold_map", "box_area", "fulfilment") for kind in ("npy", "png")
    }
    np.testing.assert_array_equal(np.load(tmp_path / "threshold_map.npy"), on_disk.threshold_map(0.05))
    assert PillowImage.open(tmp_path / "box_area.png").size == SIZE[::-1]


def test_normalised_by_hand():
    np.testing.assert_array_equal(normalised(np.array([[2.0, 6.0], [4.0, np.nan]])), [[0.0, 1.0], [0.5, np.nan]])
    np.testing.assert_array_equal(normalised(np.array([[3.0, 3.0]])), [[0.0, 0.0]])


def test_tiny_seg_by_hand(tmp_path):
    """The row of logit 1 at the middle pixel is -1 all around and 3 in the middle."""
    segmenter = Segmenter(TinySeg(), in_channels=1)
    computed = jacobian(segmenter, IMAGE_1_TO_9, 1, "logit", tmp_path / "run.zarr")
    assert computed.row(1, 1).tolist() == [[[-1, -1, -1], [-1, 3, -1], [-1, -1, -1]]]
    assert computed.maximum() == 3.0
    assert computed.statistic("signed_minimum")[1, 1] == -1
    assert computed.statistic("sum")[1, 1] == 11
    assert computed.threshold_map(0.3)[1, 1] == 9
    assert computed.threshold_map(0.34)[1, 1] == 1
    assert computed.bounding_boxes(0.34)[1, 1].tolist() == [1, 1, 2, 2]


@pytest.mark.parametrize(("dtype", "relative_bound"), [("float16", 2**-11), ("uint8", 0.5 / 127 * 1.001)])
@pytest.mark.parametrize("channels", [1, 3])
def test_smaller_number_types_keep_their_bounds(dtype, relative_bound, channels, tmp_path):
    segmenter = make_segmenter(channels)
    image = random_image(channels, 24, 20)
    exact = jacobian(segmenter, image, out=tmp_path / "exact.zarr", batch_size=1)
    small = jacobian(segmenter, image, out=tmp_path / "small.zarr", dtype=dtype, batch_size=1)
    for row, column in np.ndindex(24, 20):
        expected = exact.row(row, column)
        bound = small.error_bound(row, column)
        assert np.abs(small.row(row, column) - expected).max() <= bound
        assert bound <= relative_bound * np.abs(expected).max()
    np.testing.assert_array_equal(small.statistic("maximum"), exact.statistic("maximum"))
    np.testing.assert_array_equal(
        small.column(7, 9),
        np.stack([[small.row(r, c)[:, 7, 9] for c in range(20)] for r in range(24)]).transpose(2, 0, 1),
    )
    assert exact.error_bound(3, 4) == 0


def test_summaries_only(tmp_path):
    segmenter = make_segmenter(1)
    image = random_image(1, 30, 26)
    full = jacobian(segmenter, image, out=tmp_path / "full.zarr", batch_size=1)
    summary = jacobian(segmenter, image, out=tmp_path / "summary.zarr", keep_rows=False, batch_size=1)
    assert not (tmp_path / "summary.zarr" / "rows").exists()
    np.testing.assert_array_equal(summary.threshold_map(0.02), full.threshold_map(0.02, source="histogram"))
    assert summary.effective_receptive_field().radii == full.effective_receptive_field().radii
    np.testing.assert_array_equal(summary.row(11, 12), rows_alone(segmenter, image, [(11, 12)])[0])
    alone = Jacobian(tmp_path / "summary.zarr")
    for use in (lambda: alone.row(1, 1), lambda: alone.column(1, 1), lambda: alone.threshold_map(source="rows")):
        with pytest.raises(UserError):
            use()
    with pytest.raises(UserError, match="summaries only"):
        alone.export_dense(tmp_path / "dense.pt")
    with pytest.raises(UserError, match="larger proportion"):
        alone.threshold_map(1e-9)


def test_sampled_rows_and_a_region(tmp_path):
    segmenter = make_segmenter(1)
    image = random_image(1, 30, 26)
    full = jacobian(segmenter, image, out=tmp_path / "full.zarr", batch_size=1)
    sampled = jacobian(segmenter, image, out=tmp_path / "sampled.zarr", stride=4, batch_size=1)
    computed = np.zeros((30, 26), dtype=bool)
    computed[::4, ::4] = True
    np.testing.assert_array_equal(sampled.computed, computed)
    assert sampled.num_passes < full.num_passes
    np.testing.assert_array_equal(sampled.row(8, 12), full.row(8, 12))
    np.testing.assert_array_equal(sampled.statistic("sum")[::4, ::4], full.statistic("sum")[::4, ::4])
    with pytest.raises(UserError, match="not stored"):
        Jacobian(tmp_path / "sampled.zarr").row(1, 1)
    np.testing.assert_array_equal(sampled.row(1, 1), full.row(1, 1))
    region = np.zeros((30, 26), dtype=bool)
    region[3:9, 20:] = True
    part = jacobian(segmenter, image, out=tmp_path / "part.zarr", region=region, batch_size=1)
    np.testing.assert_array_equal(part.computed, region)
    np.testing.assert_array_equal(part.row(4, 25), full.row(4, 25))
    with pytest.raises(UserError, match="every row"):
        part.export_dense(tmp_path / "dense.pt")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_index": 3}, "no class 3"),
        ({"space": "odds"}, "score space"),
        ({"stride": 0}, "at least 1"),
        ({"dtype": "float64"}, "float32, float16, uint8"),
        ({"region": np.zeros((30, 26))}, "holds no pixel"),
        ({"region": np.ones((3, 3))}, "one size"),
    ],
)
def test_what_cannot_be_asked_for(arguments, message, tmp_path):
    with pytest.raises(UserError, match=message):
        jacobian(make_segmenter(1), random_image(1, 30, 26), out=tmp_path / "run.zarr", **arguments)
    assert not any(tmp_path.iterdir())


def test_pixels_outside_and_wrong_words(computed):
    _, on_disk, _, _ = computed
    with pytest.raises(UserError, match="outside the image"):
        on_disk.row(30, 0)
    with pytest.raises(UserError, match="outside the image"):
        on_disk.column(0, -1)
    with pytest.raises(UserError, match="between 0 and 1"):
        on_disk.threshold_map(1.5)
    with pytest.raises(UserError, match="absolute or original"):
        on_disk.threshold_map(definition="relative")
    with pytest.raises(UserError, match="rows or histogram"):
        on_disk.threshold_map(source="summary")
    with pytest.raises(UserError, match="statistics are"):
        on_disk.statistic("median")


def test_estimate_matches_the_run(tmp_path):
    segmenter = make_segmenter(1)
    image = random_image(1, 64, 48)
    expected = estimate(segmenter, image, out=tmp_path / "run.zarr")
    computed = jacobian(segmenter, image, out=tmp_path / "run.zarr")
    assert (expected.passes, expected.pixels) == (computed.num_passes, 64 * 48) == (18**2, 64 * 48)
    assert expected.receptive_field == (9, 9, 9, 9)
    assert not expected.dense
    assert expected.note == ""
    assert expected.fits_on_disk
    on_disk = sum(path.stat().st_size for path in (tmp_path / "run.zarr").rglob("*") if path.is_file())
    assert 64 * 48 * 18 * 18 * 4 <= on_disk <= expected.disk_bytes + 100_000
