"""What running a network has shown: how its result is read, and whether its scores are probabilities."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..errors import UserError
from .grid import Align, Grid
from .output_reading import Activation, Entry, entry_of
from .queries import QUERIES

_SUM_TOLERANCE = 1e-3
_LEAST_PROBABILITY = torch.finfo(torch.float32).tiny
_SURE = 1 - 2**-24


@dataclass(frozen=True)
class Asked:
    """What the user stated about the network's result; None is found out by running it."""

    entry: Entry = None
    activation: Activation | None = None
    align: Align | None = None
    label: int | None = field(default=None, repr=False)  # the others alone are part of a network's identity of old


class LabelNeededError(UserError):
    """The network answers yes or no for each of several labels, and one is to be chosen.

    Attributes:
        num_labels: Number of labels.
    """

    def __init__(self, sentence: str, num_labels: int) -> None:
        super().__init__(sentence)
        self.num_labels = num_labels


@dataclass(frozen=True)
class Findings:
    """What running a network has shown: how logits are read from its result, and what it runs.

    Attributes:
        entry: Entry of the result that holds the scores; None if the result is a tensor.
        grid: How the scores lie over the image.
        num_channels: Channels of the scores; one stands for two classes.
        label: The channel that is explained alone, as a label that is on or off whatever the others are.
        activation: What the network has applied to its logits already.
        undecided: Whether the scores of noise were too even to distinguish logits from probabilities.
        independent: Whether an image's scores do not depend on the other images of a batch.
        operations: Digest of its operations (see `OperationRecorder`).
        notes: Conclusions for the user, one sentence each.
    """

    entry: Entry
    grid: Grid
    num_channels: int = 0
    label: int | None = None
    activation: Activation = "none"
    undecided: bool = False
    independent: bool = False
    operations: str = ""
    notes: tuple[str, ...] = ()

    def logits(self, result: object) -> Tensor:
        """The logits (B, num_channels, h, w) in a network's result; with a label (B, 1, h, w)."""
        scores = self.scores(result)
        if self.label is not None:
            scores = scores[:, self.label : self.label + 1]
        if self.activation == "softmax":
            return scores.clamp_min(_LEAST_PROBABILITY).log()
        if self.activation == "sigmoid":
            probabilities = scores.clamp(_LEAST_PROBABILITY, _SURE)
            return probabilities.log() - torch.log1p(-probabilities)
        return scores

    def scores(self, result: object) -> Tensor:
        """The scores (B, num_channels, h, w) as the network gives them."""
        scores = entry_of(result, self.entry)
        if scores.ndim == 3:
            return scores.unsqueeze(1)
        return scores.movedim(-1, 1) if self.grid.channels_last else scores


def decided(findings: Findings, scores: Tensor, asked: Asked, name: str, *, of_noise: bool = True) -> Findings:
    """The findings with the activation that the network applies to its logits, as far as these scores show it.

    Args:
        findings: What is known without it.
        scores: (B, num_channels, h, w) as the network gives them. Where an image lies far outside [0, 1] and its scores
            within it, they must have been squashed.
        asked: What the user stated.
        name: Name of the network, for messages.
        of_noise: Whether the images were noise, on which a trained network may be certain everywhere.

    Raises:
        UserError: What the user stated cannot be right, or the scores leave it open and the user did not state it.
    """
    scores = scores.float()
    several = scores.shape[1] > 1 and asked.label is None
    inside = bool((scores >= 0).all() and (scores <= 1 + _SUM_TOLERANCE).all())  # NaN is not
    if asked.activation is not None:
        if asked.activation != "none" and not inside:
            raise UserError(
                f"The scores of {name} leave [0, 1], so they are not what a {asked.activation} gives; leave out the "
                "argument activation."
            )
        if asked.activation == "sigmoid" and several:
            raise LabelNeededError(
                f"{name} answers yes or no for each of {scores.shape[1]} labels; choose the one to explain with the "
                "argument label.",
                scores.shape[1],
            )
        if asked.activation == "softmax" and asked.label is not None:
            raise UserError(f"The classes of a softmax exclude each other; leave out the label for {name}.")
        return replace(findings, activation=asked.activation)
    if findings.entry == QUERIES:
        return findings
    by_channel = scores.transpose(0, 1).flatten(1)
    constant = bool((by_channel.amax(dim=1) - by_channel.amin(dim=1) < _SUM_TOLERANCE).all())
    sum_to_one = scores.shape[1] > 1 and bool(((scores.sum(dim=1) - 1).abs() < _SUM_TOLERANCE).all())
    nearly_0_or_1 = bool(((scores < _SUM_TOLERANCE) | (scores > 1 - _SUM_TOLERANCE)).all())
    saturated = nearly_0_or_1 and bool(scores.any())  # a last layer that starts from zero gives 0, a sigmoid does not
    is_evidence = not constant or (of_noise and (saturated or sum_to_one))
    if not inside or not is_evidence:
        return replace(findings, undecided=inside)
    if several and not sum_to_one:
        raise LabelNeededError(
            f"All scores of {name} lie in [0, 1] but do not sum to 1, as after a sigmoid per label: choose the label "
            f"to explain, one of {scores.shape[1]}, with the argument label; if they are logits of classes, say "
            'activation="none".',
            scores.shape[1],
        )
    if asked.label is not None and sum_to_one:
        raise UserError(
            f"The scores of {name} sum to 1, so its classes exclude each other; leave out the label, or say "
            'activation="sigmoid" if each label is on or off by itself.'
        )
    activation: Activation = "softmax" if several else "sigmoid"
    note = f"its scores are probabilities (a {activation} inside) and are read as such"
    return replace(findings, activation=activation, notes=(*findings.notes, note), undecided=False)
