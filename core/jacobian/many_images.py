"""Jacobians of many images, in this process or on many machines with Dask.

A task is a block of passes of one image. It is named by its store and its number alone: image, plan and target lie in
the store, and the network is shipped once to each worker. Workers write straight to the stores, each block to chunks of
its own, so stores must lie on a disk that every worker sees. A worker that dies costs the blocks it was computing:
Dask hands them to another, and what is on disk stays.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..compute.cluster import ShippedSegmenter, connected, network_on_worker, shipped
from ..errors import UserError
from ..segmenter import Image, Segmenter
from ..target import Space
from .encoding import StoredType
from .engine import (
    Progress,
    compute_block,
    compute_missing,
    missing_blocks,
    open_or_create,
    store_runner,
    write_block,
)
from .passes import PassRunner
from .preparation import Request
from .proof import FieldTooSmallError
from .store import JacobianStore
from .stored_jacobian import Jacobian

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["ImageProgress", "ShippedSegmenter", "jacobians"]

_RETRIES = 3

ImageProgress = Callable[[Path, Progress], None]
"""Called with the store that went on and how far it is."""


def jacobians(
    segmenter: Segmenter,
    images: Mapping[str | Path, Image],
    class_index: int = 1,
    space: Space = "probability",
    stride: int = 1,
    *,
    dtype: StoredType = "float32",
    keep_rows: bool = True,
    batch_size: int | None = None,
    scheduler: "str | Client | None" = None,
    progress: ImageProgress | None = None,
    cancel: Callable[[], bool] | None = None,
) -> list[Jacobian]:
    """The Jacobians of many images, each in a store of its own; finished parts of earlier runs are kept.

    Args:
        segmenter: The network.
        images: The path of each store and its image (C, H, W).
        class_index: As in `core.jacobian.jacobian`; likewise the rest up to `batch_size`.
        space: See there.
        stride: See there.
        dtype: See there.
        keep_rows: See there.
        batch_size: See there.
        scheduler: Address of a Dask scheduler such as "tcp://host:8786", or a Dask client; None computes in this
            process without Dask.
        progress: Called with a store's path and its progress.
        cancel: Asked now and then; True stops the run and returns what is finished.

    Raises:
        UserError: As `core.jacobian.jacobian`; or the scheduler does not answer.
    """
    stores: list[JacobianStore] = []
    for path, image in images.items():
        if cancel is not None and cancel():
            break
        request = Request.check(segmenter, image, class_index, space, stride, dtype=dtype, keep_rows=keep_rows)
        stores.append(open_or_create(segmenter, request, Path(path), batch_size))
    if scheduler is None:
        for store in stores:
            if cancel is not None and cancel():
                break
            report = None if progress is None else _for_store(progress, store.path)
            compute_missing(segmenter, store, progress=report, cancel=cancel)
    else:
        with connected(scheduler) as client:
            _distribute(client, segmenter, stores, progress, cancel)
    return [Jacobian(store.path, segmenter) for store in stores]


def _for_store(progress: ImageProgress, path: Path) -> Callable[[Progress], None]:
    return lambda so_far: progress(path, so_far)


def _distribute(
    client: "Client",
    segmenter: Segmenter,
    stores: Sequence[JacobianStore],
    progress: ImageProgress | None,
    cancel: Callable[[], bool] | None,
) -> None:
    from distributed import as_completed  # noqa: PLC0415 - it takes a second, and only runs on many machines need it

    started = time.perf_counter()
    results = {store.path: Jacobian(store.path, segmenter) for store in stores}
    done = dict.fromkeys(results, 0)
    with shipped(client, segmenter) as network:
        tasks = {
            client.submit(
                _compute_on_worker, str(store.path.absolute()), block, network, retries=_RETRIES, pure=False
            ): (store, block)
            for store in stores
            for block in missing_blocks(store)
        }
        try:
            for task in as_completed(tasks):
                store, block = tasks[task]
                try:
                    task.result()
                except FieldTooSmallError as error:
                    # Other workers may still be writing to it, so it can neither go on nor be begun anew right now.
                    (store.path / "zarr.json").unlink(missing_ok=True)
                    raise UserError(
                        f"Gradients leave the receptive field that was found for {store.path}, so what is there is "
                        "wrong; delete it and compute it again without a scheduler, which then takes the dense path."
                    ) from error
                done[store.path] += len(store.passes_of(block))
                if progress is not None:
                    progress(store.path, _progress_of(results[store.path], done[store.path], started))
                if cancel is not None and cancel():
                    break
        finally:
            client.cancel(list(tasks))


def _progress_of(jacobian: Jacobian, done: int, started: float) -> Progress:
    seconds = time.perf_counter() - started
    passes = round(jacobian.fraction * jacobian.num_passes)
    return Progress(passes, jacobian.num_passes, seconds, seconds / done * (jacobian.num_passes - passes), jacobian)


def _compute_on_worker(path: str, block: int, network_name: str) -> None:
    network = network_on_worker(network_name)
    with network.segmenter.lock:
        store, runner = _runner_for(path, network)
        write_block(store, block, compute_block(runner, store, block))


def _runner_for(path: str, network: Any) -> tuple[JacobianStore, PassRunner]:
    """The runner of a store, kept until a block of another store comes: it holds the forward graph."""
    if network.kept is None or network.kept[0] != path:
        store = JacobianStore(path)
        network.kept = (path, store, store_runner(network.segmenter, store))
    return network.kept[1], network.kept[2]
