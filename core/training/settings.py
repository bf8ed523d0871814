"""What a training run is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from phantoms.kinds import PHANTOM_KINDS, PhantomKind, phantom_classes

from ..errors import UserError
from ..models.zoo import ARCHITECTURES, unknown_architecture

Penalty = Literal["none", "l1", "l2"]
Normalisation = Literal["measured", "imagenet"]

PENALTIES: tuple[Penalty, ...] = get_args(Penalty)
NORMALISATIONS: tuple[Normalisation, ...] = get_args(Normalisation)


@dataclass(frozen=True)
class Augmentation:
    """How training images are varied.

    Attributes:
        crop: Side of the random square crops, in pixels.
        zoom: Crops are taken with a side of crop · exp(u), u uniform in [-zoom, zoom], and resized; 0 keeps the scale.
        jitter: Strength of the intensity changes, 0 for none; see `core.training.augmentation.jitter_intensity`.
        upright: Whether images keep their top at the top: they are then mirrored from left to right, never turned.
    """

    crop: int = 128
    zoom: float = 0.0
    jitter: float = 0.3
    upright: bool = False


@dataclass(frozen=True)
class TrainingSettings:
    """All that decides the result of a training run, beside the files themselves.

    Attributes:
        images: A data set as `core.data.layout.find_pairs` reads it, or one that comes split (`find_split`); None to
            train on phantoms only.
        masks: The folder of the masks, where `images` is the folder of the images themselves.
        phantoms: Number of synthetic images that are added to the training images. Held-out phantoms are drawn beside
            these, with other seeds, in the proportion of the validation and test fractions.
        phantom_kind: What they show; one of `phantoms.kinds.PHANTOM_KINDS`.
        architecture: A key of `core.models.ARCHITECTURES`.
        arguments: Its arguments beside `in_channels` and `num_classes`, which come from the data and the class names.
            "num_classes": 1 asks for a network of two classes with one output, the logit of the second (a sigmoid).
        class_names: One name a class, the background first.
        normalisation: "measured": mean and standard deviation of the training images; "imagenet": those of ImageNet.
        validation_fraction: Of the images, for early stopping and the choice of the checkpoint.
        test_fraction: Of the images, scored once at the end.
        crop: Side of the random square crops, in pixels.
        zoom: Strength of the random change of scale; 0 for none.
        jitter: Strength of the random change of intensity; 0 for none.
        upright: Whether images are only mirrored, for those that have a top and a bottom, and never turned.
        crops_per_image: Random crops from each image in every epoch (phantoms give one).
        batch_size: Crops in a step.
        epochs: At most so many; the one-cycle learning rate is planned for all of them.
        learning_rate: The peak of the one-cycle learning rate (Smith & Topin 2019), AdamW.
        weight_decay: AdamW's, decoupled from the gradient (Loshchilov & Hutter 2019).
        penalty: "l1" adds penalty_weight · Σ|θ| to the loss, "l2" adds penalty_weight · Σθ², over all trainable
            parameters θ. Its gradient passes through Adam's scaling, so "l2" is not the same as `weight_decay`.
        penalty_weight: The factor of the penalty.
        patience: Training stops after so many epochs without a better IoU on the validation images.
        seed: Of the split, the first weights, the order and the augmentation.
    """

    images: str | Path | None = None
    masks: str | Path | None = None
    phantoms: int = 0
    phantom_kind: PhantomKind = "vessels"
    architecture: str = "custom_resnet"
    arguments: Mapping[str, Any] = field(default_factory=lambda: {"width": 16})
    class_names: tuple[str, ...] = ("background", "vessel")
    normalisation: Normalisation = "measured"
    validation_fraction: float = 0.1
    test_fraction: float = 0.2
    crop: int = 128
    zoom: float = 0.0
    jitter: float = 0.3
    upright: bool = False
    crops_per_image: int = 1
    batch_size: int = 8
    epochs: int = 60
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    penalty: Penalty = "none"
    penalty_weight: float = 1e-6
    patience: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if self.images is None and self.masks is not None:
            raise UserError("A folder of masks was given without images; give the folder of the images too.")
        if self.images is None and self.phantoms == 0:
            raise UserError("There is nothing to train on; give a folder of images, a number of phantoms, or both.")
        if self.architecture not in ARCHITECTURES:
            raise UserError(unknown_architecture(self.architecture))
        if self.penalty not in PENALTIES:
            raise UserError(f'There is no penalty "{self.penalty}"; use {", ".join(PENALTIES)}.')
        if len(self.class_names) < 2:
            raise UserError("Training needs the names of at least two classes, the background first.")
        if self.normalisation not in NORMALISATIONS:
            raise UserError(f'There is no normalisation "{self.normalisation}"; use {", ".join(NORMALISATIONS)}.')
        if self.phantom_kind not in PHANTOM_KINDS:
            raise UserError(f'There are no phantoms "{self.phantom_kind}"; use {", ".join(PHANTOM_KINDS)}.')
        self._check_phantom_classes()
        self._check_numbers()

    @property
    def augmentation(self) -> Augmentation:
        """The part that varies the training images."""
        return Augmentation(self.crop, self.zoom, self.jitter, self.upright)

    def as_metadata(self) -> dict[str, Any]:
        """The settings as JSON values, with no folder but its name: where a data set lies is nobody else's business."""
        values: dict[str, Any] = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        values["images"] = Path(self.images).name if self.images is not None else None
        values["masks"] = Path(self.masks).name if self.masks is not None else None
        values["arguments"] = dict(self.arguments)
        values["class_names"] = list(self.class_names)
        return values

    def _check_phantom_classes(self) -> None:
        classes = phantom_classes(self.phantom_kind)
        if not self.phantoms or len(self.class_names) == len(classes):
            return
        number = "two" if len(classes) == 2 else str(len(classes))
        raise UserError(
            f"Phantoms have {number} classes, {', '.join(classes[:-1])} and {classes[-1]}, and "
            f"{len(self.class_names)} are named; name these, or train without phantoms for other classes."
        )

    def _check_numbers(self) -> None:
        for name in ("crop", "crops_per_image", "batch_size", "epochs", "patience", "learning_rate"):
            if getattr(self, name) <= 0:
                raise UserError(f"The {_words(name)} must be more than 0; it is {getattr(self, name):g}.")
        for name in ("phantoms", "zoom", "jitter", "weight_decay", "penalty_weight", "seed"):
            if getattr(self, name) < 0:
                raise UserError(f"The {_words(name)} must not be negative; it is {getattr(self, name):g}.")


def _words(name: str) -> str:
    return "number of " + name.replace("_per_", " per ") if name.endswith(("s", "image")) else name.replace("_", " ")
