"""One training run, from the settings to the files."""

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..errors import UserError
from ..io.files import write_atomically
from ..models.checkpoint import CheckpointInfo, metadata_of, save_checkpoint
from ..models.factory import is_factory
from ..models.zoo import build_module
from ..scoring.overlap import evaluate_segmenter
from ..segmenter import Segmenter, choose_device
from .card import model_card
from .own_network import fresh_own_network, load_weights, write_loader
from .record import EpochRecord, OnEpoch, learning_curves
from .resuming import STATE_FILE, read_state
from .settings import TrainingSettings
from .stopping import TrainingStopped
from .training_data import TrainingData, gather

if TYPE_CHECKING:
    import lightning


_ABOUT = ("class_names", "in_channels", "mean", "std")
"""What a checkpoint says about the data that its network was trained on."""


@dataclass(frozen=True)
class TrainingResult:
    """Files and scores of a run.

    Attributes:
        checkpoint: The weights of the best epoch, `<out>/<name>.safetensors`.
        card: Description of the weights, `<out>/<name>.md`.
        metrics: One row per epoch, `<out>/metrics.csv`.
        curves: Loss and scores against the epoch, `<out>/curves.html`.
        records: The rows of `metrics`.
        best_epoch: The epoch with the highest validation IoU, counted from 1.
        scores: Images, mean IoU and mean Dice of "validation" and of the test images, "test_images", or "test_<name>"
            for each of several data sets that has any.
        seconds: Duration of the run.
    """

    checkpoint: Path
    card: Path
    metrics: Path
    curves: Path
    records: tuple[EpochRecord, ...]
    best_epoch: int
    scores: dict[str, dict[str, float]]
    seconds: float


def train(
    settings: TrainingSettings,
    out: str | Path,
    name: str = "model",
    *,
    device: str | torch.device = "auto",
    workers: int = 0,
    progress_bar: bool = True,
    on_epoch: OnEpoch | None = None,
    resume: bool = False,
    callbacks: "Sequence[lightning.Callback]" = (),
    on_warning: Callable[[str], object] | None = None,
) -> TrainingResult:
    """Train a network, keep the best epoch's weights, score them once on the held-out test images.

    The best weights so far are on disk after every epoch, and so is what a run needs to go on: one that was stopped or
    killed is resumed to the same weights as if it had not been. Files of the same names in `out` are replaced. The same
    settings on the same kind of device and the same number of threads give the same weights; the caller's random state
    is left as it was. With several `devices`, Lightning starts this program again for each further one, as it was
    started; such a process ends where this function would return.

    Args:
        settings: Data, network, augmentation, optimisation, seed.
        out: Folder for the files; made if it is not there.
        name: Name of the checkpoint and its card.
        device: "auto", "cpu", "cuda" or "cuda:1".
        workers: Processes that read images; 0 reads them in this one.
        progress_bar: Whether to show Lightning's progress bar.
        on_epoch: Called after each epoch.
        resume: Go on with the run of these settings in `out` after its last whole epoch.
        callbacks: Further ones for Lightning's trainer. One that raises `core.training.stopping.TrainingStopped` ends
            the training; what is done is scored, and can be resumed.
        on_warning: Called with each sentence about what is odd in the data, before anything is trained.

    Raises:
        UserError: Data or settings that cannot be trained with, nothing to resume, a loss that is no longer finite, or
            a GPU whose memory is too small.
    """
    from . import fitting  # noqa: PLC0415 - Lightning takes seconds to import
    from .processes import device_of_process  # noqa: PLC0415 - as above

    start = time.perf_counter()
    if not name or Path(name).name != name:
        raise UserError(f'"{name}" cannot be a file name; give a name without a folder.')
    torch_device = device_of_process(choose_device(device), settings.devices)
    data = gather(settings)
    if on_warning is not None:
        for sentence in data.warnings:
            on_warning(sentence)
    settings = replace(settings, class_names=data.class_names)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with fitting.repeatable(settings.seed), fitting.quiet():
        segmenter, info = fresh_segmenter(settings, data, torch_device, name)
        metadata_of(info, f"{name}.safetensors")  # told now, not after an epoch
        state = read_state(out, settings, data) if resume else None
        if is_factory(settings.architecture):
            write_loader(out / f"{name}.safetensors", settings, info)
        if not resume:
            (out / STATE_FILE).unlink(missing_ok=True)
        log = fitting.EpochLog(
            out / f"{name}.safetensors", info, out / "metrics.csv", on_epoch, keep_every=settings.keep_every,
            state=state,
        )  # fmt: skip
        try:
            fitting.fit(
                segmenter, settings, data, log, workers=workers, progress_bar=progress_bar, state=state,
                callbacks=callbacks,
            )  # fmt: skip
        except TrainingStopped:
            if not log.records:
                raise
        else:
            (out / STATE_FILE).unlink(missing_ok=True)
        best = load_weights(settings, log.checkpoint, torch_device)
        kept = _scores(len(data.pairs("validation")), log.best.validation_iou, log.best.validation_dice)
        scores = {"validation": kept} | _test_scores(best, data)
    seconds = time.perf_counter() - start
    outcome = {"best_epoch": log.best_epoch, "epochs": len(log.records), "seconds": round(seconds, 1)}
    info = replace(info, training=info.training | outcome, scores=scores)
    save_checkpoint(log.checkpoint, best.module, info)
    card = write_atomically(out / f"{name}.md", model_card(name, info, _command(settings, name)).encode())
    figure = learning_curves(log.records, log.best_epoch, name)
    curves = write_atomically(out / "curves.html", figure.to_html(include_plotlyjs=True).encode())
    records = tuple(log.records)
    return TrainingResult(log.checkpoint, card, log.metrics, curves, records, log.best_epoch, scores, seconds)


def fresh_segmenter(
    settings: TrainingSettings, data: TrainingData, device: torch.device, name: str
) -> tuple[Segmenter, CheckpointInfo]:
    """The untrained network and what its checkpoint will say."""
    about: dict[str, Any] = {name: getattr(data, name) for name in _ABOUT}
    metadata = settings.as_metadata()
    if is_factory(settings.architecture):
        arguments = dict(settings.arguments)
        segmenter = fresh_own_network(settings, about, device, name)
        about = {name: getattr(segmenter, name) for name in _ABOUT}
    else:
        arguments = {"in_channels": data.in_channels, "num_classes": len(data.class_names), **settings.arguments}
        module = build_module(settings.architecture, arguments)
        # Channels last is what this kind of network is fastest in: 1.4 times on a CPU for CustomResNet at width 16.
        segmenter = Segmenter(module.to(memory_format=torch.channels_last), **about, device=device, name=name)
    if segmenter.num_classes != len(data.class_names):
        raise UserError(f"The network has {segmenter.num_classes} classes and {len(data.class_names)} are named.")
    if segmenter.in_channels != data.in_channels:
        raise UserError(f"The network takes {segmenter.in_channels} channels and the images have {data.in_channels}.")
    # The size that the network takes is found by trying, which in training mode would count as training images.
    with torch.no_grad():
        segmenter.unchecked_logits(torch.zeros(1, data.in_channels, settings.crop, settings.crop, device=device))
    training = {
        "settings": metadata,
        "stems": {part: data.stems(part) for part in ("training", "validation", "test")},
        "parameters": sum(parameter.numel() for parameter in segmenter.module.parameters()),
        "device": _device_name(device),
        "versions": ", ".join(f"{package} {version(package)}" for package in ("torch", "lightning")),
    }
    return segmenter, CheckpointInfo(metadata["architecture"], arguments, **about, training=training)


def _test_scores(segmenter: Segmenter, data: TrainingData) -> dict[str, dict[str, float]]:
    scores = {}
    for name, split in data.splits.items():
        if split.test:
            found = evaluate_segmenter(segmenter, split.test)
            part = name if len(data.splits) > 1 else "images"
            scores[f"test_{part}"] = _scores(len(split.test), found.mean_iou, found.mean_dice)
    return scores


def _scores(images: int, iou: float, dice: float) -> dict[str, float]:
    return {"images": images, "mean_iou": iou, "mean_dice": dice}


def _command(settings: TrainingSettings, name: str) -> str:
    default = TrainingSettings(images="").as_metadata()
    changed = {key: value for key, value in settings.as_metadata().items() if value != default[key]}
    lines = "".join(f"    {key}={value!r},\n" for key, value in changed.items())
    return f'train(TrainingSettings(\n{lines}), "runs/{name}", "{name}")'


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{threads} {'thread' if threads == 1 else 'threads'} of a {platform.machine()} CPU"
