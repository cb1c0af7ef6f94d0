"""Monotone paths through the lattice of two curves: the dynamic programme behind warping and the Fréchet distance.

A cell (i, j) pairs point i of the first curve with point j of the second; a path leads from (0, 0) to the last cell
in steps (1, 0), (0, 1) or (1, 1). Each cell gets the best value of a path that ends in it, one antidiagonal i + j
after the other, because the cells of an antidiagonal do not depend on each other.

With h = half the width of the band, row m of `even` holds the cells with i + j = 2m: its column s is i = m + s - h,
j = m - s + h. Row m of `odd` holds i + j = 2m + 1: its column s + 1 is i = m + s - h + 1, j = m - s + h; its first
and its last column stand outside. Cells outside the lattice or its band are infinite.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from meva_pipelines.domain.pressure.trace import Series

Grid: TypeAlias = npt.NDArray[np.float64]
Path: TypeAlias = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """One swept lattice; the layout of `even` and `odd` is that of the module."""

    even: Grid
    odd: Grid

    @property
    def value(self) -> float:
        """The best value of a path to the last cell."""
        return float(self.even[-1, self.even.shape[1] // 2])

    def path(self) -> tuple[Path, Path]:
        """Return the best path as the indices i and j of its cells, from the last cell to the first.

        Where predecessors are equally good, (i - 1, j) goes before (i, j - 1), and that before (i - 1, j - 1).
        """
        even, odd = self.even.data, self.odd.data
        half = self.even.shape[1] // 2
        row, column = self.even.shape[0] - 1, half
        firsts, seconds = [row], [row]
        is_even = True
        while row > 0 or not is_even or column != half:
            if is_even:
                up, left = odd[row - 1, column], odd[row - 1, column + 1]
                step = _cheapest(up, left, even[row - 1, column])
                row -= 1
                column += step == 1
            else:
                up, left = even[row, column - 1], even[row, column]
                step = _cheapest(up, left, odd[row - 1, column] if row else math.inf)
                column -= step == 0
                row -= step == 2
            is_even = is_even == (step == 2)
            firsts.append(row + column - half)
            seconds.append(row - column + half + (not is_even))
        return np.array(firsts, dtype=np.intp), np.array(seconds, dtype=np.intp)


def swept(first: Series, second: Series, join: np.ufunc, *, half_width: int, offset_cost: float = 0.0) -> Lattice:
    """Return the lattice of two series of shape (points,), at least two: value = join(cost, best predecessor).

    The cost of a cell is (first[i] - second[j])² + offset_cost · (i - j)²; no path enters a cell with
    |i - j| > `half_width`. `join` is `np.add` for the cheapest path and `np.maximum` for the one with the smallest
    worst cell. Work and memory grow with points · half_width.
    """
    points, half = first.size, max((half_width + 1) // 2, 1)
    even, odd = np.empty((points, 2 * half + 1)), np.full((points - 1, 2 * half + 2), np.inf)
    ahead = np.pad(first, half, constant_values=np.inf)
    behind = np.pad(second, half, constant_values=-np.inf)
    _differences(ahead, behind, out=even)
    _differences(ahead[1:-1], behind[1:-1], out=odd[:, 1:-1])
    for cells, lowest in ((even, -2 * half), (odd[:, 1:-1], 1 - 2 * half)):
        offsets = lowest + 2.0 * np.arange(cells.shape[1])
        np.multiply(cells, cells, out=cells)
        if offset_cost:
            np.add(cells, offset_cost * offsets**2, out=cells)
        cells[:, np.abs(offsets) > half_width] = np.inf
    _sweep(even, odd, join)
    return Lattice(even, odd)


def _cheapest(up: float, left: float, straight: float) -> int:
    if up <= left:
        return 0 if up <= straight else 2
    return 1 if left <= straight else 2


def _differences(first: Series, second: Series, *, out: Grid) -> None:
    """Row by row the points of a window of the first series less those of the second backwards."""
    width = out.shape[1]
    ahead = np.lib.stride_tricks.sliding_window_view(first, width)
    behind = np.lib.stride_tricks.sliding_window_view(second, width)[:, ::-1]
    np.subtract(ahead, behind, out=out)


def _sweep(even: Grid, odd: Grid, join: np.ufunc) -> None:
    """Replace every cost by the best value of a path to its cell, in place."""
    best_even, best_odd = np.empty(even.shape[1]), np.empty(even.shape[1] - 1)
    above, above_odd = even[0], np.full(even.shape[1] - 1, np.inf)
    views = (even[:-1, :-1], even[:-1, 1:], odd[:, 1:-1], odd[:, :-1], odd[:, 1:], even[1:])
    for left, right, inner, below_left, below_right, cells in zip(*views, strict=True):
        np.minimum(left, right, out=best_odd)
        np.minimum(best_odd, above_odd, out=best_odd)
        join(inner, best_odd, out=inner)
        np.minimum(below_left, below_right, out=best_even)
        np.minimum(best_even, above, out=best_even)
        join(cells, best_even, out=cells)
        above, above_odd = cells, inner
