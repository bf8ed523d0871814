"""SAM and SAM 2: networks that are given a point beside the image, and answer with masks of the object there."""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError

_SAM, _SAM2 = "SamModel", "Sam2Model"
"""The classes of transformers that take an image and a point."""
CLASS_NAMES = ("not the object", "object")

Size = tuple[int, int]
"""Height and width."""
Prompt = tuple[float, float]
"""Row and column of a point, in pixels of the image."""


class PromptNeededError(UserError):
    """A network is given no point on the object that it is to answer about."""


class PromptedMask(nn.Module):
    """A SAM or SAM 2 with a point as its prompt: images (B, C, H, W) -> the logit of one mask (B, 1, H, W).

    Image, point and mask are resized as the library's processor does it: for SAM to a longest side of
    `config.prompt_encoder_config.image_size`, with zeros below or to the right of the image; for SAM 2 to a square. So
    the gradient is that of the image at its own size. The mask is resized as `post_process_masks` does it, without the
    threshold, which is 0.

    Args:
        network: `SamModel` or `Sam2Model` of transformers (Kirillov et al., "Segment anything", 2023; Ravi et al., "SAM
            2: segment anything in images and videos", 2024).
        prompt: Row and column of the point on the object.
        mask: Index of the mask; by default the one whose predicted IoU is the highest for the image at hand, which may
            be another one for another image.

    Raises:
        UserError: A network of another kind, a prompt that is no point, or a mask that is not there.
    """

    def __init__(self, network: nn.Module, prompt: Prompt, mask: str | int | None = None) -> None:
        super().__init__()
        if (kind := _kind_of(network)) is None:
            raise prompt_refused(type(network).__name__)
        config: Any = network.config
        number = config.mask_decoder_config.num_multimask_outputs
        if not (mask is None or (isinstance(mask, int) and 0 <= mask < number)):
            raise UserError(f"There is no mask {mask!r}; {type(network).__name__} gives the masks 0 to {number - 1}.")
        self.network = network
        self.prompt = _checked_point(prompt)
        self.mask = mask
        self.side: int = config.prompt_encoder_config.image_size
        self.is_padded = kind == _SAM
        self.eval()

    @property
    def notes(self) -> tuple[str, ...]:
        """What is asked, and what is done with the image."""
        (row, column), side = self.prompt, self.side
        chosen = "the mask of the highest predicted IoU" if self.mask is None else f"mask {self.mask}"
        size = f"a longest side of {side} pixels" if self.is_padded else f"{side}×{side} pixels"
        return (
            f"it is given the point at row {row:g}, column {column:g}, and {chosen} is explained",
            f"it resizes the image to {size} and the mask back, as its processor does",
        )

    def with_prompt(self, prompt: Prompt) -> "PromptedMask":
        """The same network, its weights shared, with another point."""
        other = copy.copy(self)  # with what is hooked to it
        other.prompt = _checked_point(prompt)
        return other

    def forward(self, images: Tensor) -> Tensor:
        """The logit of the chosen mask (B, 1, H, W)."""
        size = images.shape[2], images.shape[3]
        height, width = self._resized_size(size)
        resized = images
        if size != (height, width):
            resized = F.interpolate(images, (height, width), mode="bilinear", align_corners=False, antialias=True)
        row, column = self.prompt
        point = images.new_tensor([column * (width / size[1]), row * (height / size[0])])
        result = self.network(
            pixel_values=F.pad(resized, (0, self.side - width, 0, self.side - height)),
            input_points=point.expand(len(images), 1, 1, 2),
            input_labels=torch.ones(len(images), 1, 1, dtype=torch.int, device=images.device),
            multimask_output=True,
        )
        masks, scores = result.pred_masks[:, 0], result.iou_scores[:, 0]
        index = scores.argmax(dim=1) if self.mask is None else scores.new_full((len(scores),), self.mask).long()
        mask = masks.gather(1, index[:, None, None, None].expand(-1, 1, *masks.shape[2:]))
        if self.is_padded:
            whole = F.interpolate(mask, (self.side, self.side), mode="bilinear", align_corners=False)
            mask = whole[..., :height, :width]
        return F.interpolate(mask, size, mode="bilinear", align_corners=False)

    def extra_repr(self) -> str:
        """What is asked, for `repr`."""
        return f"prompt={self.prompt}, mask={self.mask}"

    def covered_size(self, size: Size) -> Size:
        """The area that the network's square covers, in pixels of an image of this size; the image is its top left."""
        height, width = self._resized_size(size)
        return round(self.side * size[0] / height), round(self.side * size[1] / width)

    def _resized_size(self, size: Size) -> Size:
        if not self.is_padded:
            return self.side, self.side
        height, width = (max(1, int(side * (self.side / max(size)) + 0.5)) for side in size)
        return height, width


def prompt_refused(name: str) -> UserError:
    """The error for a point where the network takes none."""
    return UserError(f"{name} takes no point beside the image; leave out the prompt.")


def check_prompt(module: nn.Module, size: Size) -> None:
    """Raise a UserError where the network's prompt lies outside an image of this size."""
    if isinstance(module, PromptedMask) and not (module.prompt[0] < size[0] and module.prompt[1] < size[1]):
        row, column = module.prompt
        raise UserError(
            f"The prompt, row {row:g} and column {column:g}, lies outside the image of {size[0]}×{size[1]}."
        )


def check_has_prompt(module: nn.Module) -> None:
    """Raise a PromptNeededError for a SAM without a prompt."""
    if _kind_of(module) is not None:
        raise PromptNeededError(
            f"{type(module).__name__} answers about one object; give a point on it: Segmenter(PromptedMask(network, "
            "(row, column))), or load_segmenter(folder, prompt=(row, column))."
        )


def layer_sizes(module: nn.Module, size: Size) -> tuple[Size, Size]:
    """Size of the input that the layers see for an image of this size, and what it covers in pixels of the image."""
    if isinstance(module, PromptedMask):
        return (module.side, module.side), module.covered_size(size)
    return size, size


def _checked_point(prompt: Prompt) -> Prompt:
    row, column = prompt
    if not (0 <= row < torch.inf and 0 <= column < torch.inf):
        raise UserError(f"The prompt is a point of the image (row, column); {row}, {column} is none.")
    return float(row), float(column)


def _kind_of(module: nn.Module) -> str | None:
    """The name of its class or of one that it is made from, where that takes a point."""
    return next((base.__name__ for base in type(module).__mro__ if base.__name__ in (_SAM, _SAM2)), None)
