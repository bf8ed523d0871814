"""Settings of a training run."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import UserError

Penalty = Literal["none", "l1", "l2"]
Normalisation = Literal["measured", "imagenet"]
Loss = Literal["cross_entropy", "dice_cross_entropy", "focal"]
Schedule = Literal["one_cycle", "reduce_on_plateau"]
Precision = Literal["32-true", "16-mixed", "bf16-mixed"]
Strategy = Literal["ddp", "ddp_find_unused_parameters_true"]

_CHOICES = (Penalty, Normalisation, Loss, Schedule, Precision, Strategy)
BALANCED = "balanced"
_OF_A_WIDTH = ("custom_resnet", "unet")

_POSITIVE, _NOT_NEGATIVE = "be more than 0", "not be negative"


def described(default: Any, sentence: str, bound: str = "", option: str = "") -> Any:
    """A field with its help, what a number must be, and the name of its option where that is not the field's."""
    return field(default=default, metadata={"help": sentence, "bound": bound, "option": option})


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
    architecture: str = described(
        "custom_resnet",
        "Architecture of the network, a key of `core.models.ARCHITECTURES`; or your own: path/to/file.py:function or "
        "package.module:function, which is called with those of the arguments, in_channels and num_classes that it "
        "takes.",
    )
    # The data gives in_channels and num_classes. With one output, the logit of the second class, there are two classes.
    arguments: Mapping[str, Any] = described(
        None,
        'Arguments of the architecture, by default {"width": 16} for custom_resnet and unet; "num_classes": 1 is a '
        "network of one output (a sigmoid).",
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
    split: str | None = described(
        None, "CSV or JSON file that says which image is for train, val and test (see `given_split`)."
    )
    groups: str | None = described(
        None,
        "What no two parts share, as a patient: a CSV file with the columns stem and group, or a regular expression "
        "that finds the group in an image's name.",
    )
    folds: int = described(
        0, "Number of folds for cross-validation, 3 or more; each run takes one as its test part. 0: none.",
        _NOT_NEGATIVE,
    )  # fmt: skip
    fold: int = described(
        1, "Which of the folds is the test part, counted from 1; the next one chooses the epoch.", _POSITIVE
    )
    split_seed: int | None = described(
        None, "Seed of the split, for runs that differ in all else; default: the seed.", _NOT_NEGATIVE
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
    class_weights: str | None = described(
        None,
        'Weight of each class in the loss, as "1, 5"; or "balanced": inversely as the number of its pixels in the '
        "training masks.",
    )
    weight_decay: float = described(1e-4, "Decoupled weight decay of AdamW (Loshchilov & Hutter 2019).", _NOT_NEGATIVE)
    # Its gradient passes through Adam's scaling, so "l2" is not the same as `weight_decay`.
    penalty: Penalty = described(
        "none", "Term of the loss: l1: weight · Σ|θ|, l2: weight · Σθ², over all trainable parameters θ."
    )
    penalty_weight: float = described(1e-6, "Weight of the penalty.", _NOT_NEGATIVE)
    patience: int = described(20, "Epochs without a better validation IoU before training stops.", _POSITIVE)
    precision: Precision = described(
        "32-true",
        "Lightning's: float32, or the network's products in 16 bits, which GPUs and newer CPUs do faster.",
    )
    devices: int = described(1, "Number of GPUs, or of processes on a CPU; each takes batches of its own.", _POSITIVE)
    strategy: Strategy = described(
        "ddp",
        "Lightning's, for several devices: each has the whole network; the second is for networks with parts that are "
        "not used in every step.",
    )
    keep_every: int = described(
        0,
        "The weights of the first epoch and of every so many are kept, to follow explanations along training; 0: none.",
        _NOT_NEGATIVE,
    )
    seed: int = described(0, "Seed of the split, the first weights, the order and the augmentation.", _NOT_NEGATIVE)

    def __post_init__(self) -> None:
        given: Any = self.arguments
        if given is None:
            usual = {"width": 16} if self.architecture in _OF_A_WIDTH else {}
            object.__setattr__(self, "arguments", usual)
        self._check_data()
        self._check_network()
        self._check_values()
        self._check_split()
        self.stated_class_weights()

    def _check_data(self) -> None:
        if not self.folders:
            raise UserError(
                "There is nothing to train on; give a folder of images with masks."
                if self.masks is None
                else "A folder of masks was given without images; give the folder of the images too."
            )
        if self.masks is not None and len(self.folders) > 1:
            raise UserError("A folder of masks belongs to one folder of images; put masks/ beside images/ instead.")
        if len(self.crops) != len(self.folders):
            raise UserError(f"Give one number of crops per image, or one per data set, not {len(self.crops)}.")

    def _check_network(self) -> None:
        from ..models.factory import is_factory  # noqa: PLC0415 - imports torch
        from ..models.zoo import check_architecture  # noqa: PLC0415 - as above

        if not is_factory(self.architecture):
            check_architecture(self.architecture)
        if self.class_names is not None and len(self.class_names) < 2:
            raise UserError("Training needs the names of at least two classes, the background first.")

    def _check_values(self) -> None:
        """Names among those that there are, numbers within their bounds."""
        for own in fields(self):
            value = min(self.crops) if own.name == "crops_per_image" else getattr(self, own.name)
            if own.type in _CHOICES and value not in get_args(own.type):
                raise UserError(f'There is no {own.name} "{value}"; use {", ".join(get_args(own.type))}.')
            if isinstance(value, float) and not math.isfinite(value):
                raise UserError(f"The {_words(own.name)} must be a finite number; it is {value:g}.")
            bound = own.metadata["bound"]
            if bound and value is not None and (value < 0 or (value == 0 and bound == _POSITIVE)):
                raise UserError(f"The {_words(own.name)} must {bound}; it is {value:g}.")

    def _check_split(self) -> None:
        if self.fold > max(self.folds, 1):
            raise UserError(f"There is no fold {self.fold} of {self.folds}; folds are counted from 1.")
        if self.split is not None and (self.folds or self.groups is not None):
            raise UserError("A file that gives the split leaves nothing to deal; leave out folds and groups.")
        if len(self.folders) > 1 and (self.split is not None or self.groups is not None):
            raise UserError("A file with the split, or groups, are for one data set; put all images into one folder.")

    @property
    def folders(self) -> tuple[Path, ...]:
        """The data sets."""
        return tuple(map(Path, (self.images,) if isinstance(self.images, str | Path) else self.images))

    @property
    def crops(self) -> tuple[int, ...]:
        """The crops per image of each data set."""
        given = (self.crops_per_image,) if isinstance(self.crops_per_image, int) else tuple(self.crops_per_image)
        return given * len(self.folders) if len(given) == 1 else given

    def stated_class_weights(self) -> tuple[float, ...] | None:
        """The numbers among the class weights; None where there are none or the data give them.

        Raises:
            UserError: They are no positive numbers.
        """
        if self.class_weights in (None, "", BALANCED):
            return None
        try:
            found = tuple(float(part) for part in str(self.class_weights).split(","))
        except ValueError:
            found = ()
        if not found or not all(0 <= weight < math.inf for weight in found) or not any(found):
            raise UserError(
                f'The class weights are "{self.class_weights}"; write {BALANCED}, or a number per class, as 1, 5.'
            )
        return found

    def check_crop(self, sizes: Iterable[tuple[str, int, int]]) -> None:
        """Refuse crops that are larger than an image, given as stem, height and width.

        Raises:
            UserError: The crop does not fit; it names the smallest image.
        """
        stem, height, width = min(sizes, key=lambda size: min(size[1:]))
        if min(height, width) < self.crop:
            raise UserError(
                f"The image {stem} is {height}×{width} pixels, smaller than the crop of {self.crop}; set the crop to "
                f"{min(height, width)} or less."
            )

    def as_metadata(self) -> dict[str, Any]:
        """The settings as JSON values, with the names of folders but not their places, which are private."""
        names = [folder.name for folder in self.folders]
        return {entry.name: getattr(self, entry.name) for entry in fields(self)} | {
            "images": names[0] if len(names) == 1 else names,
            "masks": Path(self.masks).name if self.masks is not None else None,
            "architecture": _without_folder(self.architecture),
            "split": Path(self.split).name if self.split is not None else None,
            "groups": _without_folder(self.groups) if self.groups is not None else None,
            "arguments": dict(self.arguments),
            "class_names": list(self.class_names) if self.class_names is not None else None,
            "crops_per_image": self.crops[0] if len(set(self.crops)) == 1 else list(self.crops),
        }


def _without_folder(text: str) -> str:
    """The text, or the name of the file that it names; a regular expression stays."""
    return Path(text).name if text.endswith(".csv") or ".py:" in text else text


def _words(name: str) -> str:
    return "number of " + name.replace("_per_", " per ") if name.endswith(("s", "image")) else name.replace("_", " ")
