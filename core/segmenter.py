"""`Segmenter`: any torch segmentation network behind one face."""

import hashlib
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import UserError

Image = np.ndarray | Tensor
"""An image: float32 (C, H, W), values in [0, 1], NumPy or torch."""

_PADDING_MULTIPLES = (2, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the network says of one image.

    Attributes:
        probabilities: float32 (K, H, W), softmax over the classes.
        labels: int64 (H, W), the class with the highest probability.
    """

    probabilities: np.ndarray
    labels: np.ndarray


class Segmenter:
    """A frozen segmentation network: images (B, C, H, W) in [0, 1] -> logits (B, K, H, W), K ≥ 2.

    The module is kept as it is (`segmenter.module`, layer names unchanged), put into eval mode, its parameters frozen.
    Around it:

    - normalisation `(image - mean) / std` happens inside, so every gradient is per unit of image intensity;
    - the output may be a tensor, a mapping (entry "out", else the first), an object with `.logits`, a tuple or a list
      (the first entry); `output` selects another entry by key or index;
    - one output channel is read as a sigmoid network's logit z and becomes the two classes (0, z), whose softmax is
      (σ(-z), σ(z));
    - logits of a lower resolution are upsampled bilinearly;
    - a size that the network cannot take is padded at the bottom and the right by repeating the border, so that no
      false edge appears there, and cropped back; a border pixel's gradient counts its copies.

    Args:
        module: The network.
        class_names: One name a class; names like "class 0" by default. For a one-channel network: two names.
        in_channels: Channels of the image.
        mean: Subtracted from the image, one number or one a channel.
        std: Divides the image, one number or one a channel.
        output: Key or index of the output to explain where the network returns several.
        size_multiple: Height and width are padded to a multiple of this. By default it is found by trying.
        device: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:1".
        name: What to call it on screen and in files.
        notes: What was assumed of it, one sentence each, to be shown beside its name.

    Raises:
        UserError: A device that is not there, a zero std, or a mean or std of the wrong length.
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
    ) -> None:
        self.device = choose_device(device)
        self.module = module.to(self.device).eval().requires_grad_(requires_grad=False)
        self.in_channels = in_channels
        self.mean = _per_channel(mean, in_channels, "mean")
        self.std = _per_channel(std, in_channels, "std")
        if not all(0 < value < math.inf for value in self.std) or not all(map(math.isfinite, self.mean)):
            raise UserError("The normalisation needs a finite mean and a positive std for every channel.")
        self.output = output
        self.size_multiple = size_multiple
        self.name = name or type(module).__name__
        self.notes = tuple(notes)
        self.lock = threading.RLock()
        """Held by whatever hooks the module or reads its activations: a cached segmenter is shared by threads."""
        self._mean = torch.tensor(self.mean, device=self.device).view(1, -1, 1, 1)
        self._std = torch.tensor(self.std, device=self.device).view(1, -1, 1, 1)
        self._padded_sizes: dict[tuple[int, int], tuple[int, int]] = {}
        self._class_names = tuple(class_names) if class_names is not None else None

    def __repr__(self) -> str:
        return f"Segmenter({self.name}, in_channels={self.in_channels}, device={self.device})"

    def logits(self, images: Image) -> Tensor:
        """Logits (B, K, H, W) of images (B, C, H, W) or one image (C, H, W); differentiable.

        Raises:
            UserError: Wrong dimensions or channels, values that are not finite, or logits that are not finite.
        """
        batch = self.as_batch(images)
        logits = self.unchecked_logits(batch)
        if not bool(torch.isfinite(logits).all()):
            raise UserError(
                f"The network {self.name} gave values that are not finite; check its weights and its normalisation."
            )
        return logits

    def unchecked_logits(self, batch: Tensor) -> Tensor:
        """The same as `logits` for a float tensor (B, C, H, W) on this device, without any check of its values."""
        height, width = batch.shape[-2:]
        padded_height, padded_width = self._padded_size(height, width)
        return self._run(batch, padded_height, padded_width)[..., :height, :width]

    @torch.no_grad()
    def predict(self, image: Image) -> Prediction:
        """Probabilities (K, H, W) and labels (H, W) of one image (C, H, W)."""
        logits = self.logits(self.as_batch(image, single=True))[0]
        return prediction_of(logits)

    def as_batch(self, images: Image, *, single: bool = False) -> Tensor:
        """Images as a checked float32 tensor (B, C, H, W) on this device; a tensor stays in its autograd graph.

        Args:
            images: (B, C, H, W) or (C, H, W).
            single: Whether only one image is allowed.

        Raises:
            UserError: With the reason, if this network cannot take them.
        """
        tensor = torch.as_tensor(images)
        if not tensor.is_floating_point():
            raise UserError(
                f"The image holds {str(tensor.dtype).removeprefix('torch.')} values; scale it to [0, 1] first, "
                "as read_image does."
            )
        if tensor.ndim == 3:
            tensor = tensor.unsqueeze(0)
        if tensor.ndim != 4 or 0 in tensor.shape:
            raise UserError(f"An image has the shape (channels, height, width); this one is {tuple(tensor.shape)}.")
        if single and tensor.shape[0] != 1:
            raise UserError(f"One image is explained at a time; {tensor.shape[0]} were given.")
        if tensor.shape[1] != self.in_channels:
            raise UserError(
                f"The network {self.name} takes {_count(self.in_channels, 'channel')}, the image has "
                f"{tensor.shape[1]}; convert the image or choose another network."
            )
        if not bool(torch.isfinite(tensor).all()):
            raise UserError("The image has values that are not finite (NaN or infinite); replace them first.")
        return tensor.to(self.device, torch.float32)

    @cached_property
    def num_classes(self) -> int:
        """K, found by running the network once on a small black image."""
        size = 64 if self.size_multiple is None else self.size_multiple * -(-64 // self.size_multiple)
        with torch.no_grad():
            return self.unchecked_logits(torch.zeros(1, self.in_channels, size, size, device=self.device)).shape[1]

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """One name a class.

        Raises:
            UserError: The number of names given is not the number of classes.
        """
        if self._class_names is None:
            return tuple(f"class {index}" for index in range(self.num_classes))
        if len(self._class_names) != self.num_classes:
            raise UserError(f"{len(self._class_names)} class names were given for {self.num_classes} classes.")
        return self._class_names

    @cached_property
    def weights_hash(self) -> str:
        """SHA-256 over the names and values of the state dict and the normalisation: the identity of the model."""
        digest = hashlib.sha256(repr((self.mean, self.std, self.output)).encode())
        for key, value in sorted(self.module.state_dict().items()):
            digest.update(key.encode())
            if isinstance(value, Tensor):
                digest.update(str(value.dtype).encode() + str(tuple(value.shape)).encode())
                digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def _padded_size(self, height: int, width: int) -> tuple[int, int]:
        """The smallest size at least (height, width) that the network takes with logits that fit it."""
        if self.size_multiple is not None:
            return _round_up(height, self.size_multiple), _round_up(width, self.size_multiple)
        if (height, width) not in self._padded_sizes:
            self._padded_sizes[height, width] = self._find_padded_size(height, width)
        return self._padded_sizes[height, width]

    @torch.no_grad()
    def _find_padded_size(self, height: int, width: int) -> tuple[int, int]:
        black = torch.zeros(1, self.in_channels, height, width, device=self.device)
        first_error: Exception | None = None
        tried: set[tuple[int, int]] = set()
        for multiple in (1, *_PADDING_MULTIPLES):
            size = _round_up(height, multiple), _round_up(width, multiple)
            if size in tried:
                continue
            tried.add(size)
            try:
                output_size = self._forward(self._normalise_and_pad(black, *size)).shape[-2:]
            except torch.OutOfMemoryError:
                raise
            except (RuntimeError, ValueError, AssertionError) as error:  # what networks raise for a size they refuse
                first_error = first_error or error
                continue
            # Logits whose scale is a whole number lie exactly over the image; others would be shifted by upsampling.
            if size[0] % output_size[0] == 0 and size[1] % output_size[1] == 0:
                return size
        if first_error is None:
            return height, width
        raise UserError(
            f"The network {self.name} cannot take an image of {height}×{width} pixels with "
            f"{_count(self.in_channels, 'channel')}: {str(first_error).splitlines()[0]}"
        ) from first_error

    def _run(self, batch: Tensor, padded_height: int, padded_width: int) -> Tensor:
        logits = self._forward(self._normalise_and_pad(batch, padded_height, padded_width))
        if logits.shape[-2:] != (padded_height, padded_width):
            logits = F.interpolate(logits, size=(padded_height, padded_width), mode="bilinear", align_corners=False)
        if logits.shape[1] == 1:
            logits = torch.cat((torch.zeros_like(logits), logits), dim=1)
        return logits

    def _normalise_and_pad(self, batch: Tensor, padded_height: int, padded_width: int) -> Tensor:
        normalised = (batch - self._mean) / self._std
        height, width = batch.shape[-2:]
        if (height, width) == (padded_height, padded_width):
            return normalised
        return F.pad(normalised, (0, padded_width - width, 0, padded_height - height), mode="replicate")

    def _forward(self, normalised: Tensor) -> Tensor:
        logits = _select_output(self.module(normalised), self.output)
        if logits.ndim == 3:
            logits = logits.unsqueeze(1)
        if logits.ndim != 4:
            raise UserError(
                f"The network {self.name} gave a result of the shape {tuple(logits.shape)}; a segmentation network "
                "gives one score a class and pixel: (batch, classes, height, width)."
            )
        return logits


def prediction_of(logits: Tensor) -> Prediction:
    """The prediction from one image's logits (K, H, W)."""
    probabilities = logits.detach().softmax(dim=0)
    return Prediction(probabilities.cpu().numpy(), logits.detach().argmax(dim=0).cpu().numpy())


def choose_device(device: str | torch.device = "auto") -> torch.device:
    """The torch device for "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1" or "mps".

    Raises:
        UserError: A device that this machine does not have.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise UserError(f'There is no device "{device}"; use auto, cpu or cuda.') from error
    try:
        torch.zeros(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"This machine has no device {chosen} that torch can use; use auto or cpu.") from error
    return chosen


def _select_output(result: object, output: str | int | None) -> Tensor:
    """The tensor of logits inside whatever a network returned."""
    if isinstance(result, Tensor):
        return result
    selected: object = None
    if output is not None:
        try:
            selected = result[output]  # type: ignore[index]
        except (KeyError, IndexError, TypeError) as error:
            raise UserError(f"The network's result has no output {output!r}; it offers {_outputs(result)}.") from error
    elif isinstance(getattr(result, "logits", None), Tensor):
        selected = result.logits  # type: ignore[attr-defined]
    elif isinstance(result, Mapping) and result:
        selected = result["out"] if "out" in result else next(iter(result.values()))
    elif isinstance(result, Sequence) and result:
        selected = result[0]
    if not isinstance(selected, Tensor):
        raise UserError(
            f"The network returned a {type(result).__name__} without a tensor of logits; choose one with `output`."
        )
    return selected


def _outputs(result: object) -> str:
    if isinstance(result, Mapping):
        return ", ".join(repr(key) for key in result)
    return f"0 to {len(result) - 1}" if isinstance(result, Sequence) else f"a {type(result).__name__}"


def _per_channel(value: float | Sequence[float], channels: int, what: str) -> tuple[float, ...]:
    values = (float(value),) * channels if isinstance(value, int | float) else tuple(float(v) for v in value)
    if len(values) == 1:
        values *= channels
    if len(values) != channels:
        raise UserError(f"The normalisation's {what} has {len(values)} values for {_count(channels, 'channel')}.")
    return values


def _round_up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
