"""Reading a layer's output as a map: feature maps in either order of axes, and tokens that lie on a grid."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class SpatialForm:
    """How a layer's output (B, …) is a map (B, channels, height, width).

    Attributes:
        height: Rows of the map.
        width: Columns of the map.
        channels: Channels of the map.
        channel_axis: Axis of the output that holds the channels: 1, or -1 for tokens and channels-last maps.
        leading_tokens: Tokens before those of the grid, such as a class token; 0 for maps.
    """

    height: int
    width: int
    channels: int
    channel_axis: int
    leading_tokens: int = 0

    def as_map(self, output: Tensor) -> Tensor:
        """The output as (B, channels, height, width)."""
        if self.channel_axis == 1:
            return output
        if output.ndim == 4:
            return output.movedim(-1, 1)
        grid = output[:, self.leading_tokens :]
        return grid.reshape(output.shape[0], self.height, self.width, self.channels).movedim(-1, 1)


def spatial_form(shape: tuple[int, ...], size: tuple[int, int]) -> SpatialForm | None:
    """The form of an output of this shape for an image of `size` (height, width); None where it is not a map.

    (B, C, h, w) is a map, and so is (B, h, w, C) where h×w fits the image at one stride and the last two axes do not.
    Tokens (B, N, C) are a map where N, or N - 1 with a class token in front, is ⌈height / s⌉ · ⌈width / s⌉ for a whole
    stride s; an s that divides both sides is preferred, and no class token.
    """
    if len(shape) == 4:
        if _stride(shape[2:4], size) is None and _stride(shape[1:3], size) is not None:
            return SpatialForm(shape[1], shape[2], shape[3], -1)
        return SpatialForm(shape[2], shape[3], shape[1], 1)
    if len(shape) != 3:
        return None
    for leading in (0, 1):
        if (grid := _token_grid(shape[1] - leading, size)) is not None:
            return SpatialForm(*grid, shape[2], -1, leading)
    return None


def _stride(grid: tuple[int, ...], size: tuple[int, int]) -> int | None:
    """The whole number of pixels between positions, the same along both axes; None if there is none."""
    if min(grid) < 1:
        return None
    nearest = round(size[0] / grid[0])
    for stride in (nearest, nearest + 1, nearest - 1):
        if stride >= 1 and tuple(-(-side // stride) for side in size) == tuple(grid):
            return stride
    return None


def _token_grid(count: int, size: tuple[int, int]) -> tuple[int, int] | None:
    grids = [(-(-size[0] // stride), -(-size[1] // stride), stride) for stride in range(1, max(size) + 1)]
    fitting = [grid for grid in grids if grid[0] * grid[1] == count and count > 1]
    if not fitting:
        return None
    height, width, _ = min(fitting, key=lambda grid: (size[0] % grid[2] + size[1] % grid[2] > 0, grid[2]))
    return height, width
