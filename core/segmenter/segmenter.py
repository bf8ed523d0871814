"""`Segmenter`: any torch segmentation network behind one interface."""

import copy
import hashlib
import math
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError
from .canvas import Canvas, canvases_to_try, rounded_up
from .device import choose_device, number_type
from .examination import REFUSALS, Examination, size_refused
from .findings import Asked, Findings, decided
from .grid import Align
from .identity import weights_checksum, weights_digest
from .image_batch import Image, checked_batch, counted
from .interruption import stop_if_interrupted
from .output_reading import Activation
from .prompts import CLASS_NAMES, Prompt, PromptedMask, check_has_prompt, check_prompt, prompt_refused
from .queries import check_task, with_scores_of_queries

_ANY_POINT = (0.0, 0.0)
"""A SAM is examined with it: how its result is read is the same for all points."""
_ADDRESS = re.compile(" at 0x[0-9a-f]+")


@dataclass(frozen=True, eq=False)
class Prediction:
    """A network's prediction for one image.

    Attributes:
        probabilities: float32 (K, H, W), softmax over the classes.
        labels: int64 (H, W), the class with the highest probability.
    """

    probabilities: np.ndarray
    labels: np.ndarray


def prediction_of(logits: Tensor) -> Prediction:
    """The prediction from one image's logits (K, H, W)."""
    probabilities = logits.detach().softmax(dim=0)
    return Prediction(probabilities.cpu().numpy(), logits.detach().argmax(dim=0).cpu().numpy())


class Segmenter:
    """A frozen segmentation network: images (B, C, H, W) in [0, 1] -> logits (B, K, H, W), K ≥ 2.

    The module is kept as it is (`segmenter.module`, layer names unchanged), put into eval mode, its parameters frozen.
    Around it:

    - normalisation `(image - mean) / std` happens inside, so every gradient is per unit of image intensity;
    - the module runs in the number type of its own weights;
    - the output may be a tensor, a mapping, an object with `.logits`, a tuple or a list, its classes the second or the
      last axis. How it is to be read is found out by running the network on noise before its first answer (see
      `Examination`); `notes` holds the conclusions, and what cannot be proved is an error that names the argument;
    - one output channel is read as a sigmoid network's logit z and becomes the two classes (0, z), whose softmax is
      (σ(-z), σ(z));
    - of labels that are on or off each by itself one is chosen, and its logit z is read in the same way;
    - probabilities become logits again: the log of a softmax, the log-odds of a sigmoid;
    - queries and their masks, of the networks of transformers that answer so, become one log-score per class and pixel
      (see `with_scores_of_queries`);
    - logits of a lower resolution are upsampled bilinearly; the image of a network without padding, whose output leaves
      out a border, is extended by repeating its border, so that every pixel has its logits;
    - a size that the network cannot take is padded at the bottom and the right by repeating the border, so that no
      false edge appears there, and cropped back; a border pixel's gradient counts its copies;
    - where images of a batch change each other's scores, each is run alone.

    Args:
        module: The network.
        class_names: One name per class; names like "class 0" by default. For a one-channel network: two names. With a
            label: one name per label.
        in_channels: Channels of the image.
        mean: Subtracted from the image, one number or one per channel.
        std: Divides the image, one number or one per channel.
        output: Key or index of the output to explain where the network returns several.
        size_multiple: Height and width are padded to a multiple of this. By default it is found by trying.
        device: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:1".
        name: Name on screen and in files.
        notes: Assumptions about the network, one sentence each, shown beside its name.
        activation: Activation inside the network: "none", "softmax" or "sigmoid". By default it is found out.
        align: How an output of another size lies over the image: "stretch" over all of it, or "centre", without a
            border. By default it is found out.
        any_intensity: Whether images may hold intensities far beyond [0, 1], which are otherwise taken for a mistake.
        label: Name or index of the one label to explain where several may be on at a pixel. The classes are then "not"
            this label and the label.

    Raises:
        UserError: A missing device, a zero std, a mean or std of the wrong length, a class name given twice, or a label
            that is not among the names.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        class_names: Sequence[str] | None = None,
        in_channels: int = 3,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
        output: str | int | None = None,
        size_multiple: int | None = None,
        device: str | torch.device = "cpu",
        name: str = "",
        notes: Sequence[str] = (),
        activation: Activation | None = None,
        align: Align | None = None,
        any_intensity: bool = False,
        label: str | int | None = None,
    ) -> None:
        self.device = choose_device(device)
        check_task(module)
        check_has_prompt(module)
        self.module = module.to(self.device).eval()
        for parameter in self.module.parameters():  # all at once is what compiled modules refuse
            parameter.requires_grad = False
        self.in_channels = in_channels
        self.mean, self.std = normalisation_of(mean, std, in_channels)
        self.size_multiple = size_multiple
        self.name = name or type(module).__name__
        self.lock = threading.RLock()
        """To be held while hooking the module or reading its activations: a cached segmenter is shared by threads."""
        self.any_intensity = any_intensity
        self.given_notes = tuple(notes)
        """The notes given, without the conclusions of the examination."""
        self._mean = torch.tensor(self.mean, device=self.device).view(1, -1, 1, 1)
        self._std = torch.tensor(self.std, device=self.device).view(1, -1, 1, 1)
        self._canvases: dict[tuple[int, int], Canvas] = {}
        self._findings: Findings | None = None
        self._identity: tuple[tuple[object, ...], str] | None = None
        if isinstance(module, PromptedMask):  # it returns the logit of one mask
            class_names = CLASS_NAMES if class_names is None else class_names
            activation = activation or "none"
        self.given_names = tuple(class_names) if class_names is not None else None
        """One name per class, or per label where one is chosen; None where they are not known."""
        if self.given_names is not None and len(set(self.given_names)) < len(self.given_names):
            twice = next(name for name in self.given_names if self.given_names.count(name) > 1)
            raise UserError(f'Two classes are called "{twice}"; give each class its own name.')
        self.asked = Asked(output, activation, align, None if label is None else self._index_of_label(label))
        """What the user stated about the network's result."""

    def __repr__(self) -> str:
        return f"Segmenter({self.name}, in_channels={self.in_channels}, device={self.device})"

    def for_label(self, label: str | int) -> "Segmenter":
        """The same network, its weights shared, explained for one of its labels (see the argument of that name).

        Raises:
            UserError: There is no label of this name.
        """
        return self._changed(asked=replace(self.asked, label=self._index_of_label(label)))

    def for_prompt(self, prompt: Prompt) -> "Segmenter":
        """The same SAM, its weights shared, given another point (row, column) of the image, such as a clicked one.

        Raises:
            UserError: The network takes no point.
        """
        if not isinstance(self.module, PromptedMask):
            raise prompt_refused(f"The network {self.name}")
        module = self.module.with_prompt(prompt)
        return self._changed(module=module, _findings=self._findings, _canvases=self._canvases)

    @property
    def prompt(self) -> Prompt | None:
        """Row and column of the point that the network is given; None where it takes none."""
        return self.module.prompt if isinstance(self.module, PromptedMask) else None

    def _changed(self, **attributes: object) -> "Segmenter":
        """A segmenter of the same network and lock with other attributes, which has found out nothing else yet."""
        changed = copy.copy(self)
        vars(changed).update({"_findings": None, "_canvases": {}, "_identity": None} | attributes)
        return changed

    def _index_of_label(self, label: str | int) -> int:
        names = self.given_names or ()
        if label in names:
            return names.index(str(label))
        if isinstance(label, int) or label.isdecimal():
            return int(label)
        raise UserError(
            f'The network {self.name} has no label "{label}"; its labels are {", ".join(names)}.'
            if names
            else f'The names of the labels of {self.name} are not known; give the index of "{label}", or class_names.'
        )

    def logits(self, images: Image) -> Tensor:
        """Logits (B, K, H, W) of images (B, C, H, W) or one image (C, H, W); differentiable.

        Raises:
            UserError: Wrong dimensions or channels, values that are not finite, or logits that are not finite.
        """
        batch = self.as_batch(images)
        self.decide(batch)
        return self.finite(self.unchecked_logits(batch))

    def finite(self, logits: Tensor) -> Tensor:
        """The logits themselves, or a UserError where they are not finite."""
        if not bool(torch.isfinite(logits).all()):
            raise UserError(
                f"The network {self.name} gave values that are not finite; check its weights and its normalisation."
            )
        return logits

    def unchecked_logits(self, batch: Tensor, canvas: Canvas | None = None) -> Tensor:
        """The same as `logits` for a float tensor (B, C, H, W) on this device, without any check of its values.

        With a canvas, the network runs on that instead of the one found for the size.
        """
        height, width = batch.shape[-2:]
        findings = self.findings((height, width))
        if len(batch) > 1 and not findings.independent:
            return torch.cat([self.unchecked_logits(image[None], canvas) for image in batch])
        canvas = canvas or self.canvas(height, width)
        logits = findings.logits(self._result(batch, canvas)).to(batch.dtype)
        if findings.grid.align == "stretch" and logits.shape[-2:] != (canvas.height, canvas.width):
            logits = F.interpolate(logits, size=(canvas.height, canvas.width), mode="bilinear", align_corners=False)
        if logits.shape[1] == 1:
            logits = torch.cat((torch.zeros_like(logits), logits), dim=1)
        return logits[..., :height, :width]

    @torch.no_grad()
    def predict(self, image: Image) -> Prediction:
        """Probabilities (K, H, W) and labels (H, W) of one image (C, H, W)."""
        return prediction_of(self.logits(self.as_batch(image, single=True))[0])

    def as_batch(self, images: Image, *, single: bool = False) -> Tensor:
        """Images as a checked float32 tensor (B, C, H, W) on this device; a tensor stays in its autograd graph.

        Args:
            images: (B, C, H, W) or (C, H, W).
            single: Whether only one image is allowed.

        Raises:
            UserError: With the reason, if this network cannot take them.
        """
        batch = checked_batch(images, self.in_channels, self.name, any_intensity=self.any_intensity, single=single)
        check_prompt(self.module, (batch.shape[2], batch.shape[3]))
        return batch.to(self.device, torch.float32)

    def findings(self, size: tuple[int, int] | None = None) -> Findings:
        """How the network's result is read, found out at the first call by running it on noise.

        Args:
            size: Height and width of the image at hand, which is tried where the usual sizes are refused.

        Raises:
            UserError: A result that cannot be read, or only with an argument that says how.
        """
        if self._findings is None:
            with self.lock, torch.no_grad():
                if self._findings is None:
                    found = (
                        self.for_prompt(_ANY_POINT).findings(size)
                        if self.prompt not in (None, _ANY_POINT)
                        else Examination(
                            self.module,
                            lambda images: self._result(images.to(self.device)),
                            self.in_channels,
                            self.asked,
                            self.name,
                            self.size_multiple,
                        ).findings(size)
                    )
                    if self.asked.label is not None:
                        self._names_of(found)  # a name's place among names of another number means nothing
                    self._findings = found
        return self._findings

    @property
    def notes(self) -> tuple[str, ...]:
        """Assumptions about the network and, once it has run, conclusions, one sentence each."""
        about_prompt = self.module.notes if isinstance(self.module, PromptedMask) else ()
        return self.given_notes + about_prompt + (self._findings.notes if self._findings is not None else ())

    @property
    def num_classes(self) -> int:
        """K, the number of classes."""
        return 2 if self.asked.label is not None else max(2, self.findings().num_channels)

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name per class.

        Raises:
            UserError: The number of names given is not the number of classes.
        """
        return self._names_of(self.findings())

    def _names_of(self, findings: Findings) -> tuple[str, ...]:
        names, label = self.given_names, self.asked.label
        number = max(2, findings.num_channels) if label is None else findings.num_channels
        if names is None:
            names = tuple(f"{'class' if label is None else 'label'} {index}" for index in range(number))
        if len(names) != number:
            kind = "classes" if label is None else "labels"
            raise UserError(f"{len(names)} class names were given for {number} {kind}.")
        return names if label is None else (f"not {names[label]}", names[label])

    @property
    def weights_hash(self) -> str:
        """SHA-256 of all that determines the logits: the identity of the model.

        It covers the weights, the operations of a run with their settings, the normalisation, and how images and
        results are treated. Changed weights give another hash.
        """
        checksum = (*weights_checksum(self.module), self._findings is None)
        if self._identity is None or self._identity[0] != checksum:
            try:
                operations = self.findings().operations
            except UserError:  # it takes none of the usual sizes, or its result cannot be read
                operations = _ADDRESS.sub("", repr(self.module))
            settings = self.mean, self.std, self.size_multiple, self.asked
            label = "" if self.asked.label is None else f"label {self.asked.label}"
            prompt = "" if self.prompt is None else f"prompt {self.prompt}"
            content = f"{settings}{label}{prompt}{operations}{weights_digest(self.module)}"
            checksum = (*checksum[:-1], self._findings is None)
            self._identity = checksum, hashlib.sha256(content.encode()).hexdigest()
        return self._identity[1]

    @torch.no_grad()
    def decide(self, batch: Tensor) -> None:
        """Distinguish logits from probabilities by images (B, C, H, W), where noise left it open."""
        findings = self.findings((batch.shape[2], batch.shape[3]))
        if not findings.undecided:
            return
        with self.lock:
            canvas = self.canvas(batch.shape[2], batch.shape[3])
            scores = findings.scores(self._result(batch.detach()[:1], canvas))
            self._findings = decided(findings, scores, self.asked, self.name, of_noise=False)

    def canvas(self, height: int, width: int) -> Canvas:
        """The smallest area around an image (height, width) that the network takes with logits that fit it."""
        if (height, width) not in self._canvases:
            self._canvases[height, width] = self._find_canvas(height, width)
        return self._canvases[height, width]

    @torch.no_grad()
    def _find_canvas(self, height: int, width: int) -> Canvas:
        findings = self.findings((height, width))
        if self.size_multiple is not None and findings.grid.align == "stretch":
            return Canvas(*rounded_up((height, width), self.size_multiple))
        noise = np.random.default_rng(3).random((1, self.in_channels, height, width), dtype=np.float32)
        image = torch.from_numpy(noise).to(self.device)
        first_error: Exception | None = None
        for canvas in canvases_to_try(height, width, findings.grid.border, self.size_multiple):
            try:
                found = findings.scores(self._result(image, canvas)).shape[-2:]
            except REFUSALS as error:
                if isinstance(error, UserError | torch.OutOfMemoryError):
                    raise
                first_error = first_error or error
                continue
            if findings.grid.align == "stretch":
                return canvas
            if found[0] >= height and found[1] >= width:
                missing = canvas.height - found[0], canvas.width - found[1]
                return Canvas(canvas.height, canvas.width, missing[0] // 2, missing[1] // 2)
        if first_error is None:
            return Canvas(height, width)
        raise size_refused(self.name, (height, width), self.in_channels, first_error) from first_error

    def _result(self, images: Tensor, canvas: Canvas | None = None) -> object:
        """The network's raw result for images (B, C, H, W) in [0, 1], on a canvas around them or as they are."""
        stop_if_interrupted()
        normalised = (images - self._mean) / self._std
        dtype = number_type(self.module)
        extended = normalised if canvas is None else canvas.extend(normalised)
        result = self.module(extended if dtype in (None, extended.dtype) else extended.to(dtype))
        if self.asked.entry is not None:
            return result
        return with_scores_of_queries(self.module, result, (extended.shape[2], extended.shape[3]))


def normalisation_of(
    mean: float | Sequence[float], std: float | Sequence[float], channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std of each channel.

    Raises:
        UserError: A wrong number of values, a std of zero, or values that are not finite.
    """
    means, stds = _per_channel(mean, channels, "mean"), _per_channel(std, channels, "std")
    if not all(0 < value < math.inf for value in stds) or not all(map(math.isfinite, means)):
        raise UserError("The normalisation needs a finite mean and a positive std for every channel.")
    return means, stds


def _per_channel(value: float | Sequence[float], channels: int, what: str) -> tuple[float, ...]:
    values = tuple(map(float, [value] if isinstance(value, int | float) else value))
    if len(values) not in (1, channels):
        raise UserError(f"The normalisation's {what} has {len(values)} values for {counted(channels, 'channel')}.")
    return values * channels if len(values) == 1 else values
