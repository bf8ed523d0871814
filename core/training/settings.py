"""Settings of a training run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import UserError

Penalty = Literal["none", "l1", "l2"]
Normalisation = Literal["measured", "imagenet"]

PENALTIES: tuple[Penalty, ...] = get_args(Penalty)
NORMALISATIONS: tuple[Normalisation, ...] = get_args(Normalisation)


@dataclass(frozen=True)
class Augmentation:
    """Random changes of the training images.

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


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(Augmentation):
    """Everything that decides the result of a training run, apart from the files themselves.

    The fields of `Augmentation` belong to it.

    Attributes:
        images: One or several data sets as `core.data.data_sets.find_pairs` reads them, or that come split
            (`find_split`). Several are joined: trained and validated together, tested apart.
        masks: Folder of the masks, where `images` is the folder of the images themselves.
        architecture: Key of `core.models.ARCHITECTURES`.
        arguments: Arguments of the architecture, without `in_channels` and `num_classes`, which come from the data.
            "num_classes": 1 asks for a network of two classes with one output, the logit of the second (a sigmoid).
        class_names: One name per class, the background first; None takes the names that the data sets give (a palette,
            Cityscapes' file names), or else "background" and "vessel".
        normalisation: "measured": mean and standard deviation of the training images; "imagenet": those of ImageNet.
        validation_fraction: Fraction of the images for early stopping and the choice of the checkpoint; like
            `test_fraction`, for data sets that do not come split.
        test_fraction: Fraction of the images that is scored once at the end.
        crops_per_image: Random crops from each image in every epoch; one number, or one per data set.
        batch_size: Crops per step.
        epochs: Largest number of epochs; the one-cycle learning rate is planned for all of them.
        learning_rate: Peak of the one-cycle learning rate (Smith & Topin 2019), AdamW.
        weight_decay: Weight decay of AdamW, decoupled from the gradient (Loshchilov & Hutter 2019).
        penalty: "l1" adds penalty_weight · Σ|θ| to the loss, "l2" adds penalty_weight · Σθ², over all trainable
            parameters θ. Its gradient passes through Adam's scaling, so "l2" is not the same as `weight_decay`.
        penalty_weight: Factor of the penalty.
        patience: Training stops after this many epochs without a better IoU on the validation images.
        seed: Seed of the split, the first weights, the order and the augmentation.
    """

    images: str | Path | Sequence[str | Path] = ()
    masks: str | Path | None = None
    architecture: str = "custom_resnet"
    arguments: Mapping[str, Any] = field(default_factory=lambda: {"width": 16})
    class_names: tuple[str, ...] | None = None
    normalisation: Normalisation = "measured"
    validation_fraction: float = 0.1
    test_fraction: float = 0.2
    crops_per_image: int | Sequence[int] = 1
    batch_size: int = 8
    epochs: int = 60
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    penalty: Penalty = "none"
    penalty_weight: float = 1e-6
    patience: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.folders:
            raise UserError(
                "There is nothing to train on; give a folder of images with masks."
                if self.masks is None
                else "A folder of masks was given without images; give the folder of the images too."
            )
        if self.masks is not None and len(self.folders) > 1:
            raise UserError("A folder of masks belongs to one folder of images; put masks/ beside images/ instead.")
        from ..models.zoo import ARCHITECTURES, unknown_architecture  # noqa: PLC0415 - imports torch

        if self.architecture not in ARCHITECTURES:
            raise UserError(unknown_architecture(self.architecture))
        if self.penalty not in PENALTIES:
            raise UserError(f'There is no penalty "{self.penalty}"; use {", ".join(PENALTIES)}.')
        if self.class_names is not None and len(self.class_names) < 2:
            raise UserError("Training needs the names of at least two classes, the background first.")
        if self.normalisation not in NORMALISATIONS:
            raise UserError(f'There is no normalisation "{self.normalisation}"; use {", ".join(NORMALISATIONS)}.')
        if len(self.crops) != len(self.folders):
            raise UserError(f"Give one number of crops per image, or one per data set, not {len(self.crops)}.")
        self._check_numbers()

    @property
    def folders(self) -> tuple[Path, ...]:
        """The data sets."""
        return tuple(map(Path, (self.images,) if isinstance(self.images, str | Path) else self.images))

    @property
    def crops(self) -> tuple[int, ...]:
        """The crops per image of each data set."""
        given = (self.crops_per_image,) if isinstance(self.crops_per_image, int) else tuple(self.crops_per_image)
        return given * len(self.folders) if len(given) == 1 else given

    def as_metadata(self) -> dict[str, Any]:
        """The settings as JSON values, with the names of folders but not their places, which are private."""
        values: dict[str, Any] = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        names = [folder.name for folder in self.folders]
        values["images"] = names[0] if len(names) == 1 else names
        values["masks"] = Path(self.masks).name if self.masks is not None else None
        values["arguments"] = dict(self.arguments)
        values["class_names"] = list(self.class_names) if self.class_names is not None else None
        values["crops_per_image"] = self.crops[0] if len(set(self.crops)) == 1 else list(self.crops)
        return values

    def _check_numbers(self) -> None:
        numbers = {entry.name: getattr(self, entry.name) for entry in fields(self)} | {
            "crops_per_image": min(self.crops)
        }
        for name in ("crop", "crops_per_image", "batch_size", "epochs", "patience", "learning_rate"):
            if numbers[name] <= 0:
                raise UserError(f"The {_words(name)} must be more than 0; it is {numbers[name]:g}.")
        for name in ("zoom", "jitter", "weight_decay", "penalty_weight", "seed"):
            if numbers[name] < 0:
                raise UserError(f"The {_words(name)} must not be negative; it is {numbers[name]:g}.")


def _words(name: str) -> str:
    return "number of " + name.replace("_per_", " per ") if name.endswith(("s", "image")) else name.replace("_", " ")
