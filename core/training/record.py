"""The record of a run: one row per epoch, and the learning curves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle

import plotly.graph_objects as go
from plotly.subplots import make_subplots

_COLOURS = "#4C78A8", "#F58518", "#54A24B", "#B279A2"


@dataclass(frozen=True)
class EpochRecord:
    """One row of `metrics.csv`.

    Attributes:
        epoch: Counted from 1.
        train_loss: Loss over the epoch's crops, dropout on, without the penalty; cross-entropy is in nats per pixel.
        penalty: Value of the L1 or L2 penalty in the loss.
        validation_loss: The same loss over the validation images.
        validation_iou: Mean over the validation images of the foreground's IoU (see `core.scoring.overlap`).
        validation_dice: Mean over the validation images of the foreground's Dice.
        learning_rate: Learning rate of the epoch's last step.
        seconds: Duration of the epoch, validation included.
    """

    epoch: int
    train_loss: float
    penalty: float
    validation_loss: float
    validation_iou: float
    validation_dice: float
    learning_rate: float
    seconds: float

    def as_row(self) -> dict[str, str]:
        """The values by column, six digits each."""
        return {name: f"{value:.6g}" for name, value in asdict(self).items()}


OnEpoch = Callable[[EpochRecord], None]


def compare_curves(runs: Mapping[str, Sequence[EpochRecord]]) -> go.Figure:
    """Validation loss (left) and mean IoU (right) of several runs against the epoch, by the names of the runs."""
    figure = make_subplots(1, 2, subplot_titles=("Validation loss", "Mean IoU of the validation images"))
    for (name, records), colour in zip(runs.items(), cycle(_COLOURS)):
        epochs = [record.epoch for record in records]
        for column, values in (
            (1, [record.validation_loss for record in records]),
            (2, [record.validation_iou for record in records]),
        ):
            figure.add_trace(
                go.Scatter(
                    x=epochs, y=values, name=name, legendgroup=name, showlegend=column == 1, line_color=colour,
                    mode="lines+markers" if len(records) < 3 else "lines",
                ),
                row=1, col=column,
            )  # fmt: skip
    figure.update_xaxes(title_text="epoch")
    figure.update_yaxes(type="log", row=1, col=1)
    figure.update_yaxes(range=[0, 1], row=1, col=2)
    figure.update_layout(legend_orientation="h", legend_y=-0.2)
    return figure


def learning_curves(records: Sequence[EpochRecord], best_epoch: int, title: str = "") -> go.Figure:
    """Loss (left) and validation scores (right) against the epoch, the chosen epoch marked."""
    figure = make_subplots(1, 2, subplot_titles=("Loss", "Validation scores"))
    epochs = [record.epoch for record in records]
    mode = "lines+markers" if len(records) < 3 else "lines"
    for column, name, label, colour in (
        (1, "train_loss", "training loss", "#4C78A8"),
        (1, "validation_loss", "validation loss", "#F58518"),
        (2, "validation_iou", "mean IoU", "#54A24B"),
        (2, "validation_dice", "mean Dice", "#B279A2"),
    ):
        values = [getattr(record, name) for record in records]
        figure.add_trace(go.Scatter(x=epochs, y=values, name=label, mode=mode, line_color=colour), row=1, col=column)
    figure.add_vline(best_epoch, line_dash="dot", line_color="#888888", annotation_text=f"epoch {best_epoch} kept")
    figure.update_xaxes(title_text="epoch")
    figure.update_yaxes(title_text="loss", type="log", row=1, col=1)
    figure.update_yaxes(title_text="score", range=[0, 1], row=1, col=2)
    figure.update_layout(template="plotly_white", title=title, legend_orientation="h", legend_y=-0.2)
    return figure
