"""What running a network has shown: how its result is read, and whether its scores are probabilities."""

from dataclasses import dataclass, replace

from torch import Tensor

from ..errors import UserError
from .grid import Align
from .output_reading import Activation, Entry, OutputReading

_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Asked:
    """What the user stated about the network's result; None is found out by running it."""

    entry: Entry = None
    activation: Activation | None = None
    align: Align | None = None


@dataclass(frozen=True)
class Findings:
    """What running a network has shown.

    Attributes:
        reading: How its result is read.
        independent: Whether an image's scores do not depend on the other images of a batch.
        operations: Digest of its operations (see `OperationRecorder`).
        notes: Conclusions for the user, one sentence each.
        undecided: Whether the scores of noise were too even to distinguish logits from probabilities.
    """

    reading: OutputReading
    independent: bool
    operations: str
    notes: tuple[str, ...]
    undecided: bool = False


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
    inside, constant, sum_to_one, saturated = _are_probabilities(scores)
    several = scores.shape[1] > 1
    if asked.activation is not None:
        if asked.activation != "none" and not inside:
            raise UserError(
                f"The scores of {name} leave [0, 1], so they are not what a {asked.activation} gives; leave out the "
                "argument activation."
            )
        if asked.activation == "sigmoid" and several:
            raise UserError(
                f"{name} answers yes or no for each of {scores.shape[1]} labels; wrap it in a module that returns the "
                "one channel to explain, which then becomes two classes."
            )
        return replace(findings, reading=replace(findings.reading, activation=asked.activation))
    is_evidence = not constant or (of_noise and (saturated or (several and sum_to_one)))
    if not inside or not is_evidence:
        return replace(findings, undecided=inside)
    if several and not sum_to_one:
        raise UserError(
            f"All scores of {name} lie in [0, 1] but do not sum to 1, as after a sigmoid per label; if they are "
            'logits, say activation="none"; if not, wrap it in a module that returns the one channel to explain and '
            'say activation="sigmoid".'
        )
    activation: Activation = "softmax" if several else "sigmoid"
    note = f"its scores are probabilities (a {activation} inside) and are read as such"
    reading = replace(findings.reading, activation=activation)
    return replace(findings, reading=reading, notes=(*findings.notes, note), undecided=False)


def _are_probabilities(scores: Tensor) -> tuple[bool, bool, bool, bool]:
    """Whether all scores lie in [0, 1], those of each channel are alike, sum to 1, and are nearly 0 or 1.

    Exactly 0 everywhere is what a last layer gives that starts from zero; a sigmoid does not.
    """
    known = scores.float()
    inside = bool((known >= 0).all() and (known <= 1 + _SUM_TOLERANCE).all())  # NaN is not
    by_channel = known.transpose(0, 1).flatten(1)
    constant = bool((by_channel.amax(dim=1) - by_channel.amin(dim=1) < _SUM_TOLERANCE).all())
    saturated = bool(((known < _SUM_TOLERANCE) | (known > 1 - _SUM_TOLERANCE)).all() and known.any())
    return inside, constant, bool(((known.sum(dim=1) - 1).abs() < _SUM_TOLERANCE).all()), saturated
