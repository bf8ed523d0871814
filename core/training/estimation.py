"""What a training run would take, from a few real steps."""

import time
from dataclasses import dataclass

import torch

from ..compute.memory import graph_bytes
from ..errors import UserError, is_out_of_memory
from ..segmenter import choose_device
from .fitting import repeatable, training_batches
from .learner import loss_of, parameter_penalty
from .run import fresh_segmenter
from .settings import TrainingSettings
from .training_data import LabelledImages, TrainingData, gather

_RESIDENT_BYTES = 600_000_000
"""Of Python with torch and Lightning."""
_TIMED_STEPS = 2
_IN_16_BITS = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
_BYTES_PER_PARAMETER = 16
"""Weight, gradient and two moments of Adam, float32."""


@dataclass(frozen=True)
class TrainingEstimate:
    """What a run would take, if it does not stop early.

    Attributes:
        parameters: Number of the network's parameters.
        steps_per_epoch: Optimiser steps.
        seconds_per_step: The shortest of two, after one that is not counted.
        seconds_per_validation: For all validation images once.
        seconds: For all epochs.
        memory_bytes: Of the process at its peak, or of the GPU's memory, by the size of the network and of its graph.
    """

    parameters: int
    steps_per_epoch: int
    seconds_per_step: float
    seconds_per_validation: float
    seconds: float
    memory_bytes: int


def estimate(settings: TrainingSettings, device: str | torch.device = "auto") -> TrainingEstimate:
    """Time a few steps on the run's own data, and the validation of one image.

    Raises:
        UserError: Data or settings that cannot be trained with, or memory that runs out.
    """
    torch_device, data = choose_device(device), gather(settings)
    try:
        return _timed(settings, data, torch_device)
    except UserError:
        raise
    except (RuntimeError, ValueError) as error:  # whatever a network makes torch raise
        if is_out_of_memory(error):
            raise UserError("Memory ran out; lower the batch size or the crop, or take a smaller network.") from error
        reason = str(error).partition("\n")[0].rstrip(".")
        raise UserError(
            f"The network cannot take a step with these settings ({reason}); try a larger crop, another batch size or "
            "another network."
        ) from error


def _timed(settings: TrainingSettings, data: TrainingData, torch_device: torch.device) -> TrainingEstimate:
    with repeatable(settings.seed):
        segmenter, info = fresh_segmenter(settings, data, torch_device, "estimate")
        module = segmenter.module.requires_grad_(requires_grad=True)
        optimizer = torch.optim.AdamW(module.parameters(), lr=settings.learning_rate)
        crops = data.training_crops(settings)
        batches = training_batches(crops, settings.batch_size)  # of one device
        module.train()
        seconds = []
        for _ in range(1 + _TIMED_STEPS):
            started = time.perf_counter()
            images, masks = (each.to(torch_device) for each in next(iter(batches)))
            with torch.autocast(
                torch_device.type, _IN_16_BITS.get(settings.precision), settings.precision in _IN_16_BITS
            ):
                logits = segmenter.unchecked_logits(images.contiguous(memory_format=torch.channels_last))
            loss = loss_of(settings.loss, logits, masks, data.class_weights)
            penalty = parameter_penalty(module, settings.penalty, settings.penalty_weight)
            optimizer.zero_grad()
            (loss + penalty.to(loss.device)).backward()
            optimizer.step()
            float(loss.detach())  # waits for a GPU
            seconds.append(time.perf_counter() - started)
        module.eval()
        graph = graph_bytes(segmenter, images[0].cpu().numpy())
        image, _ = LabelledImages(data.pairs("validation"))[0]
        started = time.perf_counter()
        segmenter.predict(image)
        per_validation = (time.perf_counter() - started) * len(data.pairs("validation"))
    per_step, steps = min(seconds[1:]), max(1, len(batches) // settings.devices)
    parameters = int(info.training["parameters"])
    return TrainingEstimate(
        parameters, steps, per_step, per_validation, settings.epochs * (steps * per_step + per_validation),
        _BYTES_PER_PARAMETER * parameters + graph * settings.batch_size
        + (_RESIDENT_BYTES if torch_device.type == "cpu" else 0),
    )  # fmt: skip
