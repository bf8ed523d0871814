"""Settings of a training run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import UserError

Penalty = Literal["none", "l1", "l2"]
Normalisation = Literal["measured", "imagenet"]
Loss = Literal["cross_entropy", "dice_cross_entropy", "focal"]
Schedule = Literal["one_cycle", "reduce_on_plateau"]
Precision = Literal["32-true", "16-mixed", "bf16-mixed"]

_POSITIVE, _NOT_NEGATIVE = "be more than 0", "not be negative"


def described(default: Any, sentence: str, bound: str = "", option: str = "") -> Any:
    """A field with its help, what a number must be, and the name of its option where that is not the field's."""
    about = {"help": sentence, "bound": bound, "option": option}
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=about)
    return field(default=default, metadata=about)


@dataclass(frozen=True)
class Augmentation:
    """Random changes of the training images; each field's `metadata` says what it is."""

    crop: int = described(128, "Side of the random square crops, in pixels.", _POSITIVE)
    zoom: float = described(
        0.0,
        "Crops have a side of crop · exp(u), u uniform in ±zoom, and are resized; 0 keeps the scale.",
        _NOT_NEGATIVE,
    )
    jitter: float = described(0.3, "Strength of the intensity changes, see `jitter_intensity`; 0: none.", _NOT_NEGATIVE)
    upright: bool = described(default=False, sentence="Mirror images from left to right, but do not turn them.")
    elastic: float = described(
        0.0,
        "Standard deviation of a smooth random displacement, in pixels, see `elastic_deformation`; 0: none.",
        _NOT_NEGATIVE,
    )
    noise: float = described(
        0.0, "Largest standard deviation of Gaussian noise added to images in [0, 1]; 0: none.", _NOT_NEGATIVE
    )


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(Augmentation):
    """Everything that decides the result of a training run, apart from the files themselves.

    Each field's `metadata` says what it is. Data sets are read by `find_split`, else `find_pairs`; several are trained
    and validated together, and tested apart.
    """

    images: str | Path | Sequence[str | Path] = described(
        (), "Data set: images/ beside labels/ or masks/, or train/, val/ and maybe test/ of these."
    )
    masks: str | Path | None = described(None, "Folder of the masks, if `images` holds only the images.")
    architecture: str = described("custom_resnet", "Architecture of the network, a key of `core.models.ARCHITECTURES`.")
    # The data gives in_channels and num_classes. With one output, the logit of the second class, there are two classes.
    arguments: Mapping[str, Any] = described(
        {"width": 16}, 'Arguments of the architecture; "num_classes": 1 is a network of one output (a sigmoid).'
    )
    class_names: tuple[str, ...] | None = described(
        None, 'Names of the classes, background first; default: those of the data sets, or "background", "vessel".'
    )
    normalisation: Normalisation = described("measured", "Mean and std: of the training images, or of ImageNet.")
    validation_fraction: float = described(
        0.1, "Fraction of the images that chooses the epoch, in data that does not come split.", option="--validation"
    )
    test_fraction: float = described(
        0.2, "Fraction that is scored once at the end, in data that does not come split.", option="--test"
    )
    crops_per_image: int | Sequence[int] = described(1, "Crops per image and epoch; or one per data set.", _POSITIVE)
    batch_size: int = described(8, "Crops per step.", _POSITIVE)
    epochs: int = described(60, "Largest number of epochs; the learning rate is planned for all of them.", _POSITIVE)
    learning_rate: float = described(3e-3, "Peak of the learning rate.", _POSITIVE)
    schedule: Schedule = described(
        "one_cycle",
        "Course of the learning rate: up and down once (Smith & Topin 2019), or a third of what it was after a third "
        "of the patience without a better validation IoU.",
    )
    loss: Loss = described(
        "cross_entropy",
        "Cross-entropy; cross-entropy plus 1 - soft Dice, averaged over the classes; or the focal loss (Lin et al. "
        "2017) with γ = 2.",
    )
    weight_decay: float = described(1e-4, "Decoupled weight decay of AdamW (Loshchilov & Hutter 2019).", _NOT_NEGATIVE)
    # Its gradient passes through Adam's scaling, so "l2" is not the same as `weight_decay`.
    penalty: Penalty = described(
        "none", "Term of the loss: l1: weight · Σ|θ|, l2: weight · Σθ², over all trainable parameters θ."
    )
    penalty_weight: float = described(1e-6, "Weight of the penalty.", _NOT_NEGATIVE)
    patience: int = described(20, "Epochs without a better validation IoU before training stops.", _POSITIVE)
    precision: Precision = described(
        "32-true", "Lightning's: float32, or the network's products in 16 bits, which GPUs do faster."
    )
    keep_every: int = described(
        0,
        "The weights of every so many epochs are kept, to follow explanations along training; 0: none.",
        _NOT_NEGATIVE,
    )
    seed: int = described(0, "Seed of the split, the first weights, the order and the augmentation.", _NOT_NEGATIVE)

    def __post_init__(self) -> None:
        if not self.folders:
            raise UserError(
                "There is nothing to train on; give a folder of images with masks."
                if self.masks is None
                else "A folder of masks was given without images; give the folder of the images too."
            )
        if self.masks is not None and len(self.folders) > 1:
            raise UserError("A folder of masks belongs to one folder of images; put masks/ beside images/ instead.")
        from ..models.zoo import check_architecture  # noqa: PLC0415 - imports torch

        check_architecture(self.architecture)
        if self.class_names is not None and len(self.class_names) < 2:
            raise UserError("Training needs the names of at least two classes, the background first.")
        if len(self.crops) != len(self.folders):
            raise UserError(f"Give one number of crops per image, or one per data set, not {len(self.crops)}.")
        for own in fields(self):
            value = min(self.crops) if own.name == "crops_per_image" else getattr(self, own.name)
            if own.type in (Penalty, Normalisation, Loss, Schedule, Precision) and value not in get_args(own.type):
                raise UserError(f'There is no {own.name} "{value}"; use {", ".join(get_args(own.type))}.')
            bound = own.metadata["bound"]
            if bound and (value < 0 or (value == 0 and bound == _POSITIVE)):
                raise UserError(f"The {_words(own.name)} must {bound}; it is {value:g}.")

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
        names = [folder.name for folder in self.folders]
        return {entry.name: getattr(self, entry.name) for entry in fields(self)} | {
            "images": names[0] if len(names) == 1 else names,
            "masks": Path(self.masks).name if self.masks is not None else None,
            "arguments": dict(self.arguments),
            "class_names": list(self.class_names) if self.class_names is not None else None,
            "crops_per_image": self.crops[0] if len(set(self.crops)) == 1 else list(self.crops),
        }


def _words(name: str) -> str:
    return "number of " + name.replace("_per_", " per ") if name.endswith(("s", "image")) else name.replace("_", " ")
