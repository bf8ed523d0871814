"""Work on Dask workers, each of which receives the network once."""

import copy
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import cloudpickle
import torch

from ..errors import UserError
from ..segmenter import Segmenter

if TYPE_CHECKING:
    from distributed import Client

Key = TypeVar("Key")

_NEVER = "1000 TiB"
"""Dask warns of large objects that are sent along with every task; the network is sent once."""


@dataclass(eq=False)
class WorkerNetwork:
    """A network and the work that is done with it, as a worker receives them: once, for all of its tasks.

    Attributes:
        segmenter: The network, on a GPU if it came from one and the worker has one.
        work: Called with this object and the arguments of a task.
        kept: What a task keeps for later tasks on the same worker; None before.
    """

    segmenter: Segmenter
    work: Callable[..., Any]
    kept: Any = None

    def __reduce__(self) -> tuple[Callable[..., "WorkerNetwork"], tuple[Any, ...]]:
        # The device and the lock of a segmenter, and what is kept, cannot leave their process.
        segmenter = self.segmenter
        arguments = {
            "class_names": segmenter.given_names,
            "in_channels": segmenter.in_channels,
            "mean": segmenter.mean,
            "std": segmenter.std,
            "output": segmenter.asked.entry,
            "activation": segmenter.asked.activation,
            "align": segmenter.asked.align,
            "any_intensity": segmenter.any_intensity,
            "label": segmenter.asked.label,
            "size_multiple": segmenter.size_multiple,
            "name": segmenter.name,
            "notes": segmenter.given_notes,
        }
        on_cpu = segmenter.device.type == "cpu"
        module = segmenter.module if on_cpu else copy.deepcopy(segmenter.module).cpu()
        return _received, (module, arguments, segmenter.device.type, self.work)


def _received(
    module: torch.nn.Module, arguments: dict[str, Any], device: str, work: Callable[..., Any]
) -> WorkerNetwork:
    on_gpu = device == "cuda" and torch.cuda.is_available()
    return WorkerNetwork(Segmenter(module, device="cuda" if on_gpu else "cpu", **arguments), work)


def run_on_workers(
    scheduler: "str | Client",
    segmenter: Segmenter,
    work: Callable[..., Any],
    tasks: Mapping[Key, tuple[Any, ...]],
    retries: int = 0,
) -> Iterator[tuple[Key, Callable[[], Any]]]:
    """Run the same work for each task on Dask workers.

    Network and work are sent once; workers that join later get them from the others. Tasks that are not finished when
    the caller stops iterating are cancelled.

    Args:
        scheduler: Address of a Dask scheduler such as "tcp://host:8786", or a Dask client, which stays open.
        segmenter: The network.
        work: Called on a worker with its `WorkerNetwork`, whose segmenter it has for itself meanwhile, and the
            arguments of a task. It must be picklable.
        tasks: Arguments by the key of the task.
        retries: How often a task that raised an error is tried again.

    Yields:
        In the order in which they end: the key of a task, and a function that returns its result or raises its error;
        `distributed.KilledWorker` where its worker died more than once at it, a `UserError` where the worker could not
        import a module.

    Raises:
        UserError: The network cannot be sent, or the scheduler does not answer.
    """
    import dask  # noqa: PLC0415 - see `_connected`
    from distributed import as_completed  # noqa: PLC0415 - see `_connected`

    packed = _packed(WorkerNetwork(segmenter, work))
    with _connected(scheduler) as client:
        # A task, not scattered data: should all the workers that hold it die, Dask makes it again. As bytes, which the
        # scheduler does not unpack: it may lack the network's code.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": _NEVER}):
            network = client.submit(pickle.loads, packed, pure=False)
        client.replicate([network])
        futures = {
            client.submit(_run_task, network, arguments, retries=retries, pure=False): key
            for key, arguments in tasks.items()
        }
        try:
            for future in as_completed(futures):
                # What is forgotten here is not computed again when its worker dies.
                yield futures.pop(future), partial(_result_of, future)
        finally:
            client.cancel([network, *futures])


def _packed(network: WorkerNetwork) -> Any:
    try:
        return cloudpickle.dumps(network)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"The network {network.segmenter.name} cannot be sent to Dask workers "
            f"({type(error).__name__}: {' '.join(str(error).split())}); put its code where the workers can import it, "
            "and name it package.module:function."
        ) from error


@contextmanager
def _connected(scheduler: "str | Client") -> "Iterator[Client]":
    from distributed import Client  # noqa: PLC0415 - it takes a second, and only runs on many machines need it

    if isinstance(scheduler, Client):
        yield scheduler
        return
    try:
        client = Client(scheduler, timeout="5s")
    except (OSError, ValueError) as error:
        raise UserError(f"No Dask scheduler answers at {scheduler}; start one with `dask scheduler`.") from error
    with client:
        yield client


def _run_task(network: WorkerNetwork, arguments: tuple[Any, ...]) -> Any:
    from distributed import get_worker  # noqa: PLC0415 - see `_connected`

    # Dask says how many threads the worker may use; torch would take every core of the machine.
    torch.set_num_threads(get_worker().state.nthreads)
    with network.segmenter.lock:
        return network.work(network, *arguments)


def _result_of(future: Any) -> Any:
    try:
        return future.result()
    except ModuleNotFoundError as error:
        raise UserError(
            f"A Dask worker cannot import {error.name}; install it there, or start the workers where it is found."
        ) from error
