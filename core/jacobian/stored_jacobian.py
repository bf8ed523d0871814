"""`Jacobian`: reading a Jacobian from its store."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..segmenter import Segmenter
from ..target import PREDICTED
from .effective import EffectiveReceptiveField, sampled_pixels
from .encoding import decode
from .export import write_dense
from .passes import PassRunner
from .row_summaries import STATISTICS
from .store import JacobianStore
from .summary_maps import SummaryMaps
from .threshold import Definition, Source, Threshold, ThresholdMaps, normalised, save_map


class Jacobian:
    """A Jacobian on disk, complete or in part. Opening reads a few kilobytes.

    Maps are (H, W) over the output pixels, NaN where a row is not computed: not sampled, or not yet.

    Args:
        path: The store.
        segmenter: The network, to compute rows that are not stored.

    Attributes:
        path: The store.
        manifest: Which Jacobian it is, of which model and image.
        image: The image, float32 (C, H, W).
        labels: The predicted class of each pixel, int (H, W).
        size: Height and width of the image.
        field: The structural receptive field.
        num_passes: Passes of the whole Jacobian.

    Raises:
        UserError: No whole store at `path`, or the segmenter is not the store's.
    """

    def __init__(self, path: str | Path, segmenter: Segmenter | None = None) -> None:
        self._store = store = JacobianStore(path)
        self.path, self.manifest, self.image, self.labels = store.path, store.manifest, store.image, store.labels
        self.size, self.field, self.num_passes = store.plan.size, store.plan.reach, store.num_passes
        if segmenter is not None and segmenter.weights_hash != self.manifest.weights_hash:
            raise UserError(f"{path} is the Jacobian of other weights ({self.manifest.model}) than {segmenter.name}.")
        self._segmenter = segmenter
        self._runner: PassRunner | None = None
        self._summaries = SummaryMaps(store)

    def __repr__(self) -> str:
        height, width = self.size
        return f"Jacobian({self.path}, {height}×{width}, {self.fraction:.0%} done)"

    @property
    def fraction(self) -> float:
        """Share of the passes that are done, 0 to 1."""
        return self._store.passes_done / self.num_passes

    @property
    def predicted_region(self) -> np.ndarray:
        """Bool (H, W): the pixels predicted as the class of the scores; all where it is the class predicted there."""
        class_index = self.manifest.class_index
        return np.ones(self.size, dtype=bool) if class_index == PREDICTED else self.labels == class_index

    @property
    def complete(self) -> bool:
        """Whether every requested row is computed."""
        return len(self._store.finished()) == self._store.num_blocks

    @property
    def damage(self) -> str:
        """Which parts of the store are missing or cut short, in one sentence; empty if none are."""
        return self._store.damage()

    @property
    def computed(self) -> np.ndarray:
        """Bool (H, W): the output pixels whose rows are computed."""
        return self._summaries.computed

    def row(self, row: int, column: int) -> np.ndarray:
        """∂score(row, column) / ∂image, float32 (C, H, W). One that is not stored is computed, given a segmenter.

        Raises:
            UserError: A pixel outside the image, or one whose row is neither stored nor can be computed.
        """
        self._check_pixel(row, column)
        if not self.is_stored(row, column):
            return self._fresh_row(row, column)
        window, top, left = self.row_window(row, column)
        values = np.zeros(self.image.shape, np.float32)
        values[:, top : top + window.shape[1], left : left + window.shape[2]] = window
        return values

    def is_stored(self, row: int, column: int) -> bool:
        """Whether the row of a pixel of the image is read from the store rather than computed."""
        index = int(self._store.plan.pass_of_pixel[row, column])
        if index < 0 or not self.manifest.keep_rows:
            return False
        return self._store.is_finished(index // self.manifest.passes_per_block)

    def row_window(self, row: int, column: int) -> tuple[np.ndarray, int, int]:
        """A stored row where it is not 0: float32 (C, h, w), and the row and column where these values begin.

        Raises:
            UserError: A pixel outside the image, or one whose row is not stored.
        """
        self._check_pixel(row, column)
        self._check_stored(row, column)
        rows, columns = self._store.plan.field.window(row, column)
        stored = self._store.read(
            "rows", (int(self._store.plan.pass_of_pixel[row, column]), slice(None), rows, columns)
        )
        exact = self.manifest.dtype == "float32"
        scale = np.float32(1) if exact else self._stored_statistic(row, column, "scale")
        window = decode(stored, scale, self.manifest.dtype)
        coupling = self._store.coupling
        if coupling is None:
            return window, rows.start, columns.start
        whole = coupling.rows(np.array([row]), np.array([column]))[0]
        whole[:, rows, columns] += window
        return whole, 0, 0

    def error_bound(self, row: int, column: int) -> float:
        """The largest storage error of any entry of a row; 0 for float32.

        Raises:
            UserError: The row is not stored.
        """
        self._check_pixel(row, column)
        self._check_stored(row, column)
        return float(self._stored_statistic(row, column, "error_bound"))

    def column(self, row: int, column: int) -> np.ndarray:
        """∂score(every output pixel) / ∂image(row, column), float32 (C, H, W), one influence map per channel.

        It reads through the whole store, some seconds for gigabytes. NaN where a row is not computed.

        Raises:
            UserError: A pixel outside the image, or a store of summaries only.
        """
        self._check_pixel(row, column)
        self._check_rows_kept("use core.attribution.influence instead")
        plan, field, coupling = self._store.plan, self._store.plan.field, self._store.coupling
        computed, scales = self.computed, self.statistic("scale")
        entries = np.zeros((len(plan), self.manifest.channels), self.manifest.dtype)
        for span in self._store.spans(self._store.finished()):
            entries[span] = self._store.read("rows", (span, slice(None), row, column))
        rows = np.flatnonzero((field.rows.first <= row) & (row <= field.rows.last))
        columns = np.flatnonzero((field.columns.first <= column) & (column <= field.columns.last))
        pixels = np.ix_(rows, columns)
        values = np.zeros((self.manifest.channels, *self.size), np.float32)
        found = np.moveaxis(entries[plan.pass_of_pixel[pixels]], -1, 0)
        values[:, rows[:, None], columns] = decode(found, scales[pixels], self.manifest.dtype)
        if coupling is not None:
            values += coupling.column(row, column)
        values[:, ~computed] = np.nan
        return values

    def statistic(self, name: str) -> np.ndarray:
        """One of `core.jacobian.STATISTICS` for every row, float32 (H, W)."""
        if name not in STATISTICS:
            raise UserError(f'The statistics are {", ".join(STATISTICS)}; "{name}" was asked for.')
        return self._summaries.statistic(name)

    def maximum(self, definition: Definition = "absolute") -> float:
        """The largest |J| ("absolute") or the largest signed J ("original") over all rows computed so far."""
        return self._maps(Threshold(definition=definition)).maximum

    def threshold(self, threshold: Threshold | float = 0.01) -> float:
        """The magnitude above which `threshold_map` counts; from histograms, moved to the nearest edge of a bin.

        Raises:
            UserError: As `threshold_map`.
        """
        return float(self._maps(threshold).magnitude())

    def thresholds(
        self, proportions: Sequence[float], definition: Definition = "absolute", source: Source | None = None
    ) -> np.ndarray:
        """`threshold` for many proportions, float32 (N,), at the cost of one; NaN where histograms do not resolve it.

        Raises:
            UserError: Rows are the source and are not kept.
        """
        return self._maps(Threshold(definition=definition, source=source)).magnitudes(proportions)

    def threshold_map(
        self,
        proportion: Threshold | float = 0.01,
        *,
        within_prediction: bool = False,
        definition: Definition = "absolute",
        source: Source | None = None,
    ) -> np.ndarray:
        """t(p) = #{q : |J[p, q]| > proportion · max |J|}, raw counts of input pixels, float32 (H, W).

        |J[p, q]| is the magnitude over the channels of pixel q. See `normalised` for a map between 0 and 1.

        Args:
            proportion: A `Threshold`, or its proportion of the maximum, 0 to 1.
            within_prediction: NaN outside the pixels predicted as this class.
            definition: As in `Threshold`, for a proportion.
            source: Likewise.

        Raises:
            UserError: A proportion outside [0, 1] or below what histograms resolve, or rows that are not kept.
        """
        threshold = Threshold.of(proportion, definition, source)
        counts = self._maps(threshold).counts()
        if threshold.definition == "original":
            counts = normalised(counts)
        if within_prediction:
            counts[~self.predicted_region] = np.nan
        return counts

    def bounding_boxes(self, threshold: Threshold | float = 0.01) -> np.ndarray:
        """The box around each row's entries above the threshold, int32 (H, W, 4): top, left, bottom, right.

        Bottom and right lie just outside. All are 0 where nothing is above the threshold or the row is not computed.
        From histograms the threshold is moved to the nearest level at which boxes are kept, one per octave.

        Raises:
            UserError: As `threshold_map`.
        """
        return self._maps(threshold).boxes()

    def area_map(self, threshold: Threshold | float = 0.01) -> np.ndarray:
        """The area of each row's bounding box in pixels, float32 (H, W)."""
        return self._maps(threshold).areas()

    def fulfilment_map(self, threshold: Threshold | float = 0.01) -> np.ndarray:
        """The count above the threshold divided by the area of its bounding box, float32 (H, W) in (0, 1].

        NaN where the box is empty. From histograms both are taken at the level of `bounding_boxes`.
        """
        return self._maps(threshold).fulfilment()

    def save_threshold_maps(
        self, folder: str | Path, threshold: Threshold | float = 0.01, *, within_prediction: bool = False
    ) -> list[Path]:
        """Write the threshold map and those of box area and fulfilment, each as `.npy` (raw) and `.png` (normalised).

        Returns:
            The files: `threshold_map`, `box_area` and `fulfilment`.
        """
        found = self._maps(threshold)
        maps = {"threshold_map": found.counts(), "box_area": found.areas(), "fulfilment": found.fulfilment()}
        if within_prediction:
            for values in maps.values():
                values[~self.predicted_region] = np.nan
        return [path for name, values in maps.items() for path in save_map(values, folder, name)]

    def effective_receptive_field(self) -> EffectiveReceptiveField:
        """The mean |row| centred on its pixel, over some thousand pixels spread over the image, and its radii.

        Raises:
            UserError: Nothing is computed yet.
        """
        plan = self._store.plan
        blocks = [block for block in sorted(self._store.finished()) if self._store.is_sampled(block)]
        sampled = sampled_pixels(plan.reach, plan.selected)
        passes = [index for block in blocks for index in self._store.passes_of(block)]
        num_pixels = sum(int(sampled[np.ix_(*plan.pixels(index))].sum()) for index in passes)
        if num_pixels == 0:
            raise UserError("No rows are computed yet; let the run go on for a while.")
        total = sum(self._store.read("centred", block).astype(np.float64) for block in blocks)
        return EffectiveReceptiveField(np.asarray(total) / num_pixels, self.field.centre, num_pixels)

    def export_dense(self, path: str | Path) -> Path:
        """Write the dense tensor (H, W, H, W), rows first, as the original project's `jacobian_gradient_0.pt`.

        Several channels give (H, W, C, H, W). The memory stays small; the disk must hold the tensor twice meanwhile.

        Raises:
            UserError: Too little disk space, or a Jacobian that is not complete.
        """
        self._check_rows_kept("compute it again with rows")
        if not self.computed.all():
            raise UserError("A dense tensor needs every row; let the run finish, with stride 1 and no region.")
        return write_dense(self._store, Path(path))

    def _maps(self, threshold: Threshold | float) -> ThresholdMaps:
        return ThresholdMaps(self._store, self._summaries, Threshold.of(threshold))

    def _fresh_row(self, row: int, column: int) -> np.ndarray:
        if self._segmenter is None:
            raise UserError(
                f"The row of pixel ({row}, {column}) is not stored; open the Jacobian with its segmenter to compute it."
            )
        if self._runner is None:
            manifest = self.manifest
            self._runner = PassRunner(self._segmenter, self.image, manifest.score, labels=self.labels)
        return self._runner.row(row, column)

    def _stored_statistic(self, row: int, column: int, name: str) -> np.float32:
        plan = self._store.plan
        place = int(plan.pass_of_pixel[row, column]), int(plan.slot_of_pixel[row, column]), STATISTICS.index(name)
        return np.float32(self._store.read("statistics", place))

    def _check_pixel(self, row: int, column: int) -> None:
        height, width = self.size
        if not (0 <= row < height and 0 <= column < width):
            raise UserError(f"The pixel ({row}, {column}) lies outside the image of {height} rows and {width} columns.")

    def _check_stored(self, row: int, column: int) -> None:
        if not self.is_stored(row, column):
            raise UserError(f"The row of pixel ({row}, {column}) is not stored.")

    def _check_rows_kept(self, instead: str) -> None:
        if not self.manifest.keep_rows:
            raise UserError(f"{self.path} keeps summaries only; {instead}.")
