"""Which output pixels share one backward pass, and in which order the passes run.

Output pixels whose supports do not meet can share a pass: the gradient of the sum of their scores then holds each of
their rows, side by side (Curtis, Powell & Reid 1974, "On the estimation of sparse Jacobian matrices"). Supports lie
within windows rows × columns, so each axis is coloured alone: a pass is one colour of rows and one of columns.
Colouring intervals greedily by their start needs as many colours as intervals overlap anywhere, which is the least.
"""

import heapq
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..receptive_field import AxisSupport, ReceptiveField

_LEVEL_STEPS = (8, 4, 2, 1)
_EXTRA_PASSES = 1.05
"""How many more passes than the least are accepted for having the coarsest grids first."""


@dataclass(frozen=True, eq=False)
class Plan:
    """All passes of a Jacobian, coarse to fine.

    Attributes:
        field: The structural receptive field; with statistics, of what is left of the network while they are held.
        rows: The sampled rows by colour, in each colour ordered by their supports.
        columns: The sampled columns by colour.
        passes: int (P, 2), the row colour and the column colour of each pass, in the order they run.
        selected: bool (H, W), the output pixels whose rows are computed.
        statistics: Number of statistics over the image that couple the rows, see `Coupling`.
    """

    field: ReceptiveField
    rows: tuple[np.ndarray, ...]
    columns: tuple[np.ndarray, ...]
    passes: np.ndarray
    selected: np.ndarray
    statistics: int = 0

    def __len__(self) -> int:
        return len(self.passes)

    @cached_property
    def reach(self) -> ReceptiveField:
        """What the rows reach: the field, or the whole image where statistics couple them."""
        return ReceptiveField.whole(self.size) if self.statistics else self.field

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image."""
        return self.field.size

    @property
    def num_pixels(self) -> int:
        """The number of rows of the Jacobian that are computed."""
        return int(self.selected.sum())

    @property
    def slots(self) -> int:
        """The most pixels that share one pass."""
        return max(len(c) for c in self.rows) * max(len(c) for c in self.columns)

    def pixels(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The output rows and columns of pass `index`; its pixels are all their pairs that are selected."""
        row_colour, column_colour = self.passes[index]
        return self.rows[row_colour], self.columns[column_colour]

    def outputs(self, index: int) -> np.ndarray:
        """Float32 (H, W): 1 at the pixels of pass `index`, the vector of its vector-Jacobian product."""
        rows, columns = self.pixels(index)
        outputs = np.zeros(self.size, np.float32)
        outputs[np.ix_(rows, columns)] = self.selected[np.ix_(rows, columns)]
        return outputs

    @cached_property
    def pass_of_pixel(self) -> np.ndarray:
        """Int (H, W): the pass that computes each output pixel's row, -1 for none."""
        table = np.full((len(self.rows) + 1, len(self.columns) + 1), -1, np.int64)
        table[tuple(self.passes.T)] = np.arange(len(self.passes))
        row_colour, _ = places(self.rows, self.size[0])
        column_colour, _ = places(self.columns, self.size[1])
        return np.where(self.selected, table[row_colour[:, None], column_colour], -1)

    @cached_property
    def slot_of_pixel(self) -> np.ndarray:
        """Int (H, W): the place of each output pixel within its pass."""
        _, row_place = places(self.rows, self.size[0])
        column_colour, column_place = places(self.columns, self.size[1])
        columns_in_pass = np.array([*map(len, self.columns), 0])
        return row_place[:, None] * columns_in_pass[column_colour] + column_place


def plan_passes(field: ReceptiveField, stride: int = 1, region: np.ndarray | None = None, statistics: int = 0) -> Plan:
    """The passes for every `stride`-th output row and column, within the region bool (H, W) if one is given."""
    height, width = field.size
    selected = np.zeros((height, width), dtype=bool)
    selected[::stride, ::stride] = True if region is None else region[::stride, ::stride]
    row_positions = np.flatnonzero(selected.any(axis=1))
    column_positions = np.flatnonzero(selected.any(axis=0))
    (rows, row_levels), (columns, column_levels) = _colour_axes(field, row_positions, column_positions, stride)
    passes = _order(row_levels, column_levels)
    if not selected[np.ix_(row_positions, column_positions)].all():
        wanted = [selected[np.ix_(rows[r], columns[c])].any() for r, c in passes]
        passes = passes[wanted]
    return Plan(field, rows, columns, passes, selected, statistics)


def colour_intervals(support: AxisSupport, positions: np.ndarray) -> list[np.ndarray]:
    """Groups of positions whose intervals are disjoint; as few groups as possible."""
    order = positions[np.argsort(support.first[positions], kind="stable")]
    groups: list[list[int]] = []
    free: list[tuple[int, int]] = []
    for position in order:
        if free and free[0][0] < support.first[position]:
            _, colour = heapq.heappop(free)
        else:
            colour = len(groups)
            groups.append([])
        groups[colour].append(int(position))
        heapq.heappush(free, (int(support.last[position]), colour))
    return [np.array(group) for group in groups]


_AxisColouring = tuple[tuple[np.ndarray, ...], np.ndarray]
"""The positions of each colour, and whether it is of the coarsest grid (0), the next one (1), and so on."""


def _colour_axes(
    field: ReceptiveField, rows: np.ndarray, columns: np.ndarray, stride: int
) -> tuple[_AxisColouring, _AxisColouring]:
    """Colour both axes grid by grid, coarse to fine, as far as that costs few more passes than all at once."""
    fewest = len(colour_intervals(field.rows, rows)) * len(colour_intervals(field.columns, columns))
    for num_grids in range(len(_LEVEL_STEPS), 0, -1):
        steps = tuple(step * stride for step in _LEVEL_STEPS[: num_grids - 1])
        both = (_colour_by_grid(field.rows, rows, steps), _colour_by_grid(field.columns, columns, steps))
        if len(both[0][1]) * len(both[1][1]) <= _EXTRA_PASSES * fewest:
            break
    return both


def _colour_by_grid(support: AxisSupport, positions: np.ndarray, steps: tuple[int, ...]) -> _AxisColouring:
    colours: list[np.ndarray] = []
    levels: list[int] = []
    offsets = positions - positions[0]
    remaining = np.ones(len(positions), dtype=bool)
    for level, step in enumerate((*steps, 1)):
        on_grid = remaining & (offsets % step == 0)
        remaining &= ~on_grid
        groups = colour_intervals(support, positions[on_grid])
        colours += groups
        levels += [level] * len(groups)
    return tuple(colours), np.array(levels)


def _order(row_levels: np.ndarray, column_levels: np.ndarray) -> np.ndarray:
    """All pairs of colours by the finer of their two grids, shuffled within it so that every picture is even."""
    shuffled = np.random.default_rng(0).permutation(len(row_levels) * len(column_levels))
    rows, columns = np.divmod(shuffled, len(column_levels))
    levels = np.maximum(row_levels[rows], column_levels[columns])
    return np.stack((rows, columns), axis=1)[np.argsort(levels, kind="stable")]


def places(colours: tuple[np.ndarray, ...], length: int) -> tuple[np.ndarray, np.ndarray]:
    """The colour of each position on an axis, -1 for none, and its place within the colour."""
    colour = np.full(length, -1, np.int64)
    place = np.zeros(length, np.int64)
    for index, positions in enumerate(colours):
        colour[positions] = index
        place[positions] = np.arange(len(positions))
    return colour, place
