"""The card beside the weights: what they are, where they come from, how good they are."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..models.checkpoint import CheckpointInfo


def model_card(name: str, info: CheckpointInfo, command: str) -> str:
    """The card in Markdown.

    Args:
        name: Name of the weights.
        info: Metadata as `core.training.train` fills it.
        command: Python that repeats the run.
    """
    training, settings = info.training, info.training["settings"]
    channels = "1 channel" if info.in_channels == 1 else f"{info.in_channels} channels"
    arguments = ", ".join(f"{key} = {value}" for key, value in info.arguments.items())
    data_sets = [settings["images"]] if isinstance(settings["images"], str) else settings["images"]
    stems = "\n".join(f"- {part}, {len(names)} images: {', '.join(names)}" for part, names in training["stems"].items())
    scores = [
        (part.replace("_", " "), str(score["images"]), f"{score['mean_iou']:.4f}", f"{score['mean_dice']:.4f}")
        for part, score in info.scores.items()
    ]
    return f"""\
# {name}

A segmentation network ({", ".join(info.class_names)}) for images with {channels}.

## Network

`{info.architecture}` with {arguments}; {training["parameters"]:,} parameters. \
Images in [0, 1] are normalised with mean {_numbers(info.mean)} and standard deviation {_numbers(info.std)}.

## Data

Images of {" and ".join(f"`{data_set}`" for data_set in data_sets)}, \
{_split_in_words(settings)}:

{stems}

## Scores

Mean IoU is the foreground's IoU of each image, averaged over the images; Dice likewise. \
The validation part chose the checkpoint (epoch {training["best_epoch"]} of {training["epochs"]}); \
the test parts were scored once.

{_table(("part", "images", "mean IoU", "mean Dice"), scores)}

## How it was trained

With {training["versions"]}, in {training["seconds"] / 60:.1f} minutes on {training["device"]}:

```python
{command}
```

{_table(("setting", "value"), [(key.replace("_", " "), str(value)) for key, value in settings.items()])}
"""


def _split_in_words(settings: Mapping[str, Any]) -> str:
    if settings["split"]:
        return f"split as the file `{settings['split']}` says"
    seed = settings["seed"] if settings["split_seed"] is None else settings["split_seed"]
    how = f"fold {settings['fold']} of {settings['folds']}, dealt" if settings["folds"] else "split"
    groups = f" with no group (`{settings['groups']}`) on two sides" if settings["groups"] else ""
    return f"{how} at random (seed {seed}){groups} where they do not come split"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows))


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)
