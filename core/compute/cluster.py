"""Dask: the way to a scheduler, and networks that are shipped once to each of its workers."""

import copy
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..errors import UserError
from ..segmenter import Segmenter

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True)
class ShippedSegmenter:
    """A segmenter without what cannot leave its process (device and lock)."""

    module: nn.Module
    arguments: dict[str, Any]
    device: str

    @classmethod
    def of(cls, segmenter: Segmenter) -> "ShippedSegmenter":
        """Of a segmenter; its weights are copied to the main memory."""
        arguments = {
            "class_names": segmenter.class_names,
            "in_channels": segmenter.in_channels,
            "mean": segmenter.mean,
            "std": segmenter.std,
            "output": segmenter.asked.entry,
            "activation": segmenter.asked.activation,
            "align": segmenter.asked.align,
            "any_intensity": segmenter.any_intensity,
            "size_multiple": segmenter.size_multiple,
            "name": segmenter.name,
            "notes": segmenter.given_notes,
        }
        module = segmenter.module
        if segmenter.device.type != "cpu":
            module = copy.deepcopy(module).cpu()
        return cls(module, arguments, segmenter.device.type)

    def unpack(self) -> Segmenter:
        """The segmenter, on a GPU if it came from one and there is one here."""
        on_gpu = self.device == "cuda" and torch.cuda.is_available()
        return Segmenter(self.module, device="cuda" if on_gpu else "cpu", **self.arguments)


@contextmanager
def connected(scheduler: "str | Client") -> "Iterator[Client]":
    """A Dask client of a scheduler's address such as "tcp://host:8786", closed afterwards; a client stays open.

    Raises:
        UserError: The scheduler does not answer.
    """
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


@contextmanager
def shipped(client: "Client", segmenter: Segmenter) -> Iterator[str]:
    """Ships the network once to every worker, also to those that join or come back later.

    The name that it gives is what `network_on_worker` asks for in a task.
    """
    plugin = _network_plugin(segmenter)
    client.register_plugin(plugin)
    try:
        yield plugin.name
    finally:
        client.unregister_worker_plugin(plugin.name)


def network_on_worker(name: str) -> Any:
    """What `shipped` put on the worker that runs this task.

    It has `segmenter`, and `kept`, which is None until a task keeps something there for those that follow.
    """
    from distributed import get_worker  # noqa: PLC0415 - see `connected`

    return get_worker().plugins[name]


def _network_plugin(segmenter: Segmenter) -> Any:
    from distributed import WorkerPlugin  # noqa: PLC0415 - see `connected`

    class Network(WorkerPlugin):
        name = f"whypixel-{uuid.uuid4().hex}"

        def __init__(self, shipped_segmenter: ShippedSegmenter) -> None:
            self._shipped = shipped_segmenter
            self.segmenter: Segmenter | None = None
            self.kept: Any = None

        def setup(self, worker: Any) -> None:
            # Dask says how many threads the worker may use; torch would take every core of the machine.
            torch.set_num_threads(worker.state.nthreads)
            self.segmenter = self._shipped.unpack()

    return Network(ShippedSegmenter.of(segmenter))
