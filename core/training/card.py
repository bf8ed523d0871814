"""The card beside the weights: what they are, where they come from, how good they are."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..models.checkpoint import CheckpointInfo

_PARTS = ("training", "validation", "test")


def model_card(name: str, info: CheckpointInfo, command: str) -> str:
    """The card in Markdown.

    Args:
        name: Name of the weights.
        info: Metadata as `core.training.train` fills it.
        command: Python that repeats the run.
    """
    training = info.training
    channels = "1 channel" if info.in_channels == 1 else f"{info.in_channels} channels"
    arguments = ", ".join(f"{key} = {value}" for key, value in info.arguments.items())
    network = (
        f"`{info.architecture}` with {arguments}; {training['parameters']:,} parameters. Images in [0, 1] are "
        f"normalised with mean {_numbers(info.mean)} and standard deviation {_numbers(info.std)}."
    )
    parts = [
        f"# {name}",
        f"A segmentation network ({', '.join(info.class_names)}) for images with {channels}.",
        "## Network",
        network,
        "## Data",
        *_data(training),
        "## Scores",
        _scores(info),
        "## How it was trained",
        f"With {training['versions']}, in {training['seconds'] / 60:.1f} minutes on {training['device']}:",
        f"```python\n{command}\n```",
        _table(("setting", "value"), [(key.replace("_", " "), str(v)) for key, v in training["settings"].items()]),
    ]
    return "\n\n".join(parts) + "\n"


def _data(training: Mapping[str, Any]) -> list[str]:
    settings, stems = training["settings"], training["stems"]
    names = [settings["images"]] if isinstance(settings["images"], str) else settings["images"]
    quoted = " and ".join(f"`{name}`" for name in names)
    return [
        f"Images of {quoted}, split at random (seed {settings['seed']}) where they do not come split:",
        "\n".join(f"- {part}, {len(stems[part])} images: {', '.join(stems[part])}" for part in _PARTS),
    ]


def _scores(info: CheckpointInfo) -> str:
    explanation = (
        "Mean IoU is the foreground's IoU of each image, averaged over the images; Dice likewise. The validation part "
        f"chose the checkpoint (epoch {info.training['best_epoch']} of {info.training['epochs']}); the test parts were "
        "scored once."
    )
    rows = [
        (part.replace("_", " "), str(score["images"]), f"{score['mean_iou']:.4f}", f"{score['mean_dice']:.4f}")
        for part, score in info.scores.items()
    ]
    return explanation + "\n\n" + _table(("part", "images", "mean IoU", "mean Dice"), rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows))


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)
