"""Computing a Jacobian block by block, from the start or from where a run stopped."""

import errno
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..receptive_field import ReceptiveField
from ..segmenter import Image, Segmenter
from ..target import Space
from .array_layouts import passes_per_block
from .colouring import plan_passes
from .coupling import Coupling
from .disk_space import check_free_disk, disk_bytes
from .effective import add_centred
from .encoding import StoredType, encode
from .factors import FactorRunner, find_statistics
from .passes import PassRunner
from .preparation import UNPROVEN, prepare
from .proof import FieldTooSmallError, SumProof, check_field, check_row
from .request import ImageRequest, JacobianRequest
from .row_summaries import STATISTICS, PassWindows, magnitude, summarise
from .store import JacobianStore
from .stored_jacobian import Jacobian

_SECONDS_BETWEEN_REPORTS = 0.5
_SCALE = STATISTICS.index("scale")

Cancel = Callable[[], bool]
"""Called between passes; True stops the run."""


@dataclass(frozen=True)
class Progress:
    """The progress of a run.

    Attributes:
        passes: Passes done, those of earlier runs included.
        total: Passes of the whole Jacobian.
        seconds: Seconds since this run began.
        seconds_left: Seconds left at the pace so far; NaN before the first pass.
        jacobian: The Jacobian so far. Its maps cover the whole image, coarse to fine, NaN where nothing is known yet.
    """

    passes: int
    total: int
    seconds: float
    seconds_left: float
    jacobian: Jacobian

    @property
    def fraction(self) -> float:
        """Share of the passes that are done, 0 to 1."""
        return self.passes / self.total


ShowProgress = Callable[[Progress], object]
"""Called after every block of passes and about twice a second."""


def jacobian(
    segmenter: Segmenter,
    image: Image,
    class_index: int = 1,
    space: Space = "probability",
    out: str | Path = "run.zarr",
    stride: int = 1,
    *,
    region: np.ndarray | None = None,
    dtype: StoredType = "float32",
    keep_rows: bool = True,
    against: int | None = None,
    batch_size: int | None = None,
    progress: ShowProgress | None = None,
    cancel: Cancel | None = None,
) -> Jacobian:
    """The Jacobian of a score map with respect to the image, on disk.

    Row (row, column) holds ∂score(row, column) / ∂image. Output pixels whose structural supports do not meet share a
    backward pass (Curtis, Powell & Reid 1974), so the cost follows the receptive field and not the image: it equals
    the row-by-row computation to float rounding. The passes run coarse to fine. A run that was stopped, by `cancel` or
    by anything else, continues when it is called again with the same arguments.

    Args:
        segmenter: The network.
        image: (C, H, W) in [0, 1].
        class_index: As in `JacobianRequest`.
        space: As in `JacobianRequest`.
        out: The store, a folder.
        stride: As in `JacobianRequest`.
        region: Bool (H, W), the output pixels to compute; None for all.
        dtype: As in `JacobianRequest`.
        keep_rows: As in `JacobianRequest`.
        against: As in `JacobianRequest`.
        batch_size: Passes at once; None finds the fastest.
        progress: Called after every block of passes and about twice a second.
        cancel: Called between passes; True stops the run, which returns what is finished.

    Raises:
        UserError: Arguments that do not fit the network or the image, a store of another Jacobian, or too little disk
            space or memory.
    """
    request = JacobianRequest(class_index, space, stride, dtype, keep_rows, against)
    asked = ImageRequest.check(segmenter, image, request, region)
    store = open_or_create(segmenter, asked, Path(out), batch_size)
    compute_missing(segmenter, store, progress=progress, cancel=cancel)
    return Jacobian(store.path, segmenter)


def open_or_create(
    segmenter: Segmenter, asked: ImageRequest, path: Path, batch_size: int | None = None
) -> JacobianStore:
    """The store to compute into: the one at `path` if it holds this Jacobian, else a new one.

    Raises:
        UserError: Something else is at `path`, or the rows will not fit on the disk.
    """
    if path.exists():
        store = JacobianStore(path)
        difference = store.manifest.difference(asked.identity(segmenter))
        if difference:
            raise UserError(
                f"{path} holds another Jacobian ({difference} differ); choose another name, or delete it first."
            )
        total = disk_bytes(store.plan, store.manifest)
        check_free_disk(path, total * len(missing_blocks(store)) // store.num_blocks)
        return store
    prepared = prepare(segmenter, asked, batch_size)
    check_free_disk(path, disk_bytes(prepared.plan, prepared.manifest))
    return JacobianStore.create(path, prepared.manifest, prepared.plan, asked.image, prepared.labels)


def missing_blocks(store: JacobianStore) -> list[int]:
    """Blocks that are not finished, in the order to run them."""
    return sorted(set(range(store.num_blocks)) - store.finished())


def compute_missing(
    segmenter: Segmenter,
    store: JacobianStore,
    *,
    progress: ShowProgress | None = None,
    cancel: Cancel | None = None,
) -> None:
    """Compute all blocks that a store lacks; a block cut short by `cancel` is not written.

    Where a gradient leaves the planned receptive field, everything is computed again, see `widened`.

    Raises:
        UserError: The store is of another network, the disk is full, or memory ran out.
    """
    report = ProgressReporter(store, segmenter, progress)
    if not compute_factors(segmenter, store, report, cancel):
        return
    runner = store_runner(segmenter, store)
    proof = SumProof(runner, store.plan, store.coupling)
    try:
        for block in missing_blocks(store):
            results = _compute_block(runner, store, block, proof, report, cancel)
            if results is None:
                break
            if proof.is_due:
                proof.check()
            _write_block(store, block, results)
            report.report()
        proof.check()
    except FieldTooSmallError:
        compute_missing(segmenter, widened(store), progress=progress, cancel=cancel)


def compute_factors(
    segmenter: Segmenter, store: JacobianStore, report: "ProgressReporter | None" = None, cancel: Cancel | None = None
) -> bool:
    """Compute what a store lacks of its coupling's factors, if it has one; False if cancelled.

    Raises:
        UserError: The store is of another network, or the disk is full.
    """
    blocks = store.missing_factors
    if not blocks:
        return True
    check_network(segmenter, store)
    runner = FactorRunner(segmenter, store.image, store.manifest.score, store.labels)
    for block in blocks:
        if cancel is not None and cancel():
            return False
        with _full_disk_explained(store):
            store.write_factors(block, runner.factors(block))
        if report is not None:
            report.passes_done(2 * len(block))
    return True


def widened(store: JacobianStore) -> JacobianStore:
    """An empty store in place of one whose field was too small, with a pass for each pixel and a note that says so.

    Which of the passes so far are wrong is not known: what has left one window may lie in another.

    Raises:
        UserError: The rows will not fit on the disk.
    """
    old = store.manifest
    plan = plan_passes(ReceptiveField.whole(store.plan.size), region=store.plan.selected)
    block = passes_per_block(plan, old.channels, old.batch_size)
    manifest = replace(
        old, dense=True, note=UNPROVEN, statistics=0, batch_size=min(old.batch_size, block), passes_per_block=block
    )
    check_free_disk(store.path, disk_bytes(plan, manifest))
    shutil.rmtree(store.path)
    return JacobianStore.create(store.path, manifest, plan, store.image, store.labels)


def store_runner(segmenter: Segmenter, store: JacobianStore) -> PassRunner:
    """Runs the passes of a store.

    Raises:
        UserError: The store is of another network.
    """
    check_network(segmenter, store)
    manifest = store.manifest
    statistics = find_statistics(segmenter, store.image) if manifest.statistics else None
    return PassRunner(segmenter, store.image, manifest.score, manifest.batch_size, store.labels, statistics)


def check_network(segmenter: Segmenter, store: JacobianStore) -> None:
    """Raise a UserError if the store is of another network."""
    if store.manifest.weights_hash != segmenter.weights_hash:
        raise UserError(f"{store.path} was made with other weights ({store.manifest.model}); load those to go on.")


def compute_block(runner: PassRunner, store: JacobianStore, block: int) -> None:
    """Compute the passes of one block and write it to its store, whatever happens to other blocks.

    Raises:
        UserError: The disk is full.
        FieldTooSmallError: See `widened`.
    """
    proof = SumProof(runner, store.plan, store.coupling) if store.is_sampled(block) else None
    results = _compute_block(runner, store, block, proof)
    assert results is not None  # noqa: S101 - only a cancelled block has no results
    if proof is not None:
        proof.check()
    _write_block(store, block, results)


def _write_block(store: JacobianStore, block: int, results: Mapping[str, np.ndarray]) -> None:
    with _full_disk_explained(store):
        store.write(block, results)


@contextmanager
def _full_disk_explained(store: JacobianStore) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        done = len(store.finished()) / store.num_blocks
        raise UserError(
            f"The disk is full with {done:.0%} of {store.path} done; free some space and start again: what is done is "
            "kept."
        ) from error


def _compute_block(
    runner: PassRunner,
    store: JacobianStore,
    block: int,
    proof: SumProof | None,
    report: "ProgressReporter | None" = None,
    cancel: Cancel | None = None,
) -> dict[str, np.ndarray] | None:
    """None if cancelled."""
    plan, manifest, passes = store.plan, store.manifest, store.passes_of(block)
    results = store.new_results(block)
    done: list[tuple[PassWindows, np.ndarray]] = []
    for start in range(passes.start, passes.stop, manifest.batch_size):
        if cancel is not None and cancel():
            return None
        batch = range(start, min(start + manifest.batch_size, passes.stop))
        gradients = runner(np.stack([plan.outputs(index) for index in batch]))
        if start == passes.start and store.is_sampled(block):
            check_row(runner, plan, start, gradients[0], store.coupling)
        for index, gradient in zip(batch, gradients, strict=True):
            windows = store.windows[index]
            check_field(windows, gradient)
            if proof is not None:
                proof.add(index, windows, gradient)
            _add_pass(store, results, index - passes.start, windows, gradient)
            if store.coupling is not None:
                done.append((windows, gradient))
        if report is not None and store.coupling is None:
            report.passes_done(len(batch))
    return results if store.coupling is None else _with_coupling(store, store.coupling, results, done, report, cancel)


def _add_pass(
    store: JacobianStore, results: dict[str, np.ndarray], place: int, windows: PassWindows, gradient: np.ndarray
) -> None:
    """Put what is kept of a pass into the results of its block."""
    summary, pixels = summarise(windows, gradient, store.bins), windows.selected.size
    if "rows" in results:
        results["rows"][place] = encode(gradient, windows, summary["statistics"], store.manifest.dtype)
    summary["statistics"][~windows.selected] = np.nan
    for name, values in summary.items():
        results[name][place, :pixels] = values.reshape(pixels, *values.shape[2:])
    if store.coupling is None and "centred" in results:
        add_centred(results["centred"], windows, magnitude(gradient), store.plan)


def _with_coupling(
    store: JacobianStore,
    coupling: Coupling,
    results: dict[str, np.ndarray],
    passes: Sequence[tuple[PassWindows, np.ndarray]],
    report: "ProgressReporter | None",
    cancel: Cancel | None,
) -> dict[str, np.ndarray] | None:
    """The results of a block's passes with the summaries of the whole rows in place of those of the parts stored.

    The scale and the error bound remain those of what is stored. None if cancelled.
    """
    done = 0
    for row in coupling.rows_of_passes(store.plan, passes):
        if row.number > done:
            if cancel is not None and cancel():
                return None
            if report is not None:
                report.passes_done(row.number - done)
            done = row.number
        summary = summarise(row.window, row.values, store.bins)
        (i, j), columns = row.place, len(passes[row.number][0].columns)
        place = row.number, i * columns + j
        of_storage = results["statistics"][place][_SCALE:].copy()
        for name, values in summary.items():
            results[name][place] = values[0, 0]
        results["statistics"][place][_SCALE:] = of_storage
        if "centred" in results:
            add_centred(results["centred"], row.window, magnitude(row.values), store.plan)
    if report is not None:
        report.passes_done(len(passes) - done)
    return results


class ProgressReporter:
    """Reports the progress of a run on a store to `show`, seldom enough to cost nothing; None reports nothing."""

    def __init__(self, store: JacobianStore, segmenter: Segmenter, show: ShowProgress | None) -> None:
        self._show = show
        self._started = self._reported = time.perf_counter()
        self._total = store.num_passes
        self._before = store.passes_done
        self._done = 0
        self._jacobian = Jacobian(store.path, segmenter) if show is not None else None

    def passes_done(self, number: int) -> None:
        """Count passes, and report if the last report is older than half a second."""
        self._done += number
        if time.perf_counter() - self._reported >= _SECONDS_BETWEEN_REPORTS:
            self.report()

    def report(self) -> None:
        """Report how far the run is."""
        if self._show is None or self._jacobian is None:
            return
        self._reported = time.perf_counter()
        seconds = self._reported - self._started
        passes = self._before + self._done
        seconds_left = seconds / self._done * (self._total - passes) if self._done else float("nan")
        self._show(Progress(passes, self._total, seconds, seconds_left, self._jacobian))
