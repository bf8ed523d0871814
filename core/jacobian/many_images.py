"""Jacobians of many images, in this process or on many machines with Dask.

A task is a block of passes of one image. It is named by its store and its number alone: image, plan and target lie in
the store, and each worker receives the network once. Workers write straight to the stores, each block to chunks of
its own, so stores must lie on a disk that every worker sees. A worker that dies costs the blocks it was computing:
Dask hands them to another, and what is on disk stays.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..compute.cluster import WorkerNetwork, run_on_workers
from ..errors import UserError
from ..segmenter import Image, Segmenter
from .engine import (
    Cancel,
    Progress,
    ProgressReporter,
    compute_block,
    compute_factors,
    compute_missing,
    missing_blocks,
    open_or_create,
    store_runner,
)
from .proof import FieldTooSmallError
from .request import EVERY_ROW, ImageRequest, JacobianRequest
from .store import JacobianStore
from .stored_jacobian import Jacobian

if TYPE_CHECKING:
    from distributed import Client

_RETRIES = 3

ImageProgress = Callable[[Path, Progress], object]
"""Called with the path of a store and its progress."""


def jacobians(
    segmenter: Segmenter,
    images: Mapping[str | Path, Image],
    request: JacobianRequest = EVERY_ROW,
    *,
    batch_size: int | None = None,
    scheduler: "str | Client | None" = None,
    progress: ImageProgress | None = None,
    cancel: Cancel | None = None,
) -> list[Jacobian]:
    """The Jacobians of many images, each in a store of its own; finished parts of earlier runs are kept.

    Args:
        segmenter: The network.
        images: The path of each store and its image (C, H, W).
        request: What is computed and kept.
        batch_size: Passes at once; None finds the fastest.
        scheduler: Address of a Dask scheduler such as "tcp://host:8786", or a Dask client; None computes in this
            process without Dask.
        progress: Called with a store's path and its progress.
        cancel: Called now and then; True stops the run, which returns what is finished.

    Raises:
        UserError: As `core.jacobian.jacobian`; or the scheduler does not answer.
    """
    stores: list[JacobianStore] = []
    for path, image in images.items():
        if cancel is not None and cancel():
            break
        asked = ImageRequest.check(segmenter, image, request)
        stores.append(open_or_create(segmenter, asked, Path(path), batch_size))
    reports = {store.path: None if progress is None else partial(progress, store.path) for store in stores}
    if scheduler is not None:
        reporters = {store.path: ProgressReporter(store, segmenter, reports[store.path]) for store in stores}
        _compute_on_workers(scheduler, segmenter, stores, reporters, cancel)
    else:
        for store in stores:
            if cancel is not None and cancel():
                break
            compute_missing(segmenter, store, progress=reports[store.path], cancel=cancel)
    return [Jacobian(store.path, segmenter) for store in stores]


def _compute_on_workers(
    scheduler: "str | Client",
    segmenter: Segmenter,
    stores: Sequence[JacobianStore],
    reporters: Mapping[Path, ProgressReporter],
    cancel: Cancel | None,
) -> None:
    for store in stores:  # a block needs all of the factors
        if not compute_factors(segmenter, store, reporters[store.path], cancel):
            return
    by_path = {store.path: store for store in stores}
    tasks = {
        (path, block): (str(path.absolute()), block)
        for path, store in by_path.items()
        for block in missing_blocks(store)
    }
    for (path, block), result in run_on_workers(scheduler, segmenter, _compute_task, tasks, _RETRIES):
        try:
            result()
        except FieldTooSmallError as error:
            # Other workers may still be writing to it, so it can neither continue nor start again now.
            (path / "zarr.json").unlink(missing_ok=True)
            raise UserError(
                f"Gradients leave the receptive field that was found for {path}, so what is there is wrong; delete it "
                "and compute it again without a scheduler, which then takes the dense path."
            ) from error
        reporters[path].passes_done(len(by_path[path].passes_of(block)))
        reporters[path].report()
        if cancel is not None and cancel():
            break


def _compute_task(network: WorkerNetwork, path: str, block: int) -> None:
    # The runner holds the forward graph, so it is kept until a block of another store comes.
    if network.kept is None or network.kept[0] != path:
        store = JacobianStore(path)
        network.kept = path, store, store_runner(network.segmenter, store)
    _, store, runner = network.kept
    compute_block(runner, store, block)
