"""Training on several devices, a process for each; Lightning starts them and averages their gradients."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from ..errors import UserError
from .settings import TrainingSettings


def process_rank() -> int:
    """Number of this process among those that train together, as Lightning starts them; 0 where it is alone."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def device_of_process(device: torch.device, devices: int) -> torch.device:
    """The GPU of this process among several that train together.

    Raises:
        UserError: There are fewer GPUs.
    """
    if device.type != "cuda" or devices == 1:
        return device
    if torch.cuda.device_count() < devices:
        raise UserError(f"There are {torch.cuda.device_count()} GPUs, not {devices}; ask for as many as there are.")
    return torch.device("cuda", process_rank())


class Share(Sampler[int]):
    """This process's crops of an epoch, in an order that all processes draw alike.

    What else this process draws in the epoch, as its augmentation, is seeded when its first crop is asked for. Both
    follow from seed and epoch alone, so that a run that is taken up again goes on as it would have.
    """

    def __init__(self, crops: int, settings: TrainingSettings, epochs_done: Callable[[], int]) -> None:
        self._crops, self._settings, self._epochs_done = crops, settings, epochs_done

    def __len__(self) -> int:
        return self._crops // self._settings.devices

    def __iter__(self) -> Iterator[int]:
        order = torch.randperm(self._crops, generator=torch.Generator().manual_seed(self._seed(0)))
        torch.manual_seed(self.own_seed())
        return iter(order[process_rank() :: self._settings.devices][: len(self)].tolist())

    def own_seed(self) -> int:
        """What this process's further draws in this epoch follow from."""
        return self._seed(1 + process_rank())

    def _seed(self, purpose: int) -> int:
        return int(np.random.SeedSequence((self._settings.seed, self._epochs_done(), purpose)).generate_state(1)[0])


class SharedBatches(DataLoader[Any]):
    """The batches of a `Share`; in each epoch the processes that read images are seeded anew."""

    def __init__(self, crops: Dataset[Any], share: Share, batch_size: int, workers: int) -> None:
        super().__init__(
            crops, batch_size, sampler=share, drop_last=len(share) >= 4 * batch_size, num_workers=workers,
            generator=torch.Generator(),
        )  # fmt: skip
        self._share = share

    def __iter__(self) -> Any:
        self.generator.manual_seed(self._share.own_seed())
        return super().__iter__()


@contextlib.contextmanager
def ending_others(trainer: lightning.Trainer) -> Iterator[None]:
    """Ends the processes that Lightning has started where this one fails or stops: they would wait for it."""
    try:
        yield
    except BaseException:
        for process in getattr(trainer.strategy.launcher, "procs", ()):
            process.kill()
        raise
