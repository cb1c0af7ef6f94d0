"""ASTM E3076: the slope of the linear region by analysis of residuals, all windows by prefix sums.

The quality figures of the method are in `sdar_quality`; they apply to every line, however it was found.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from meva_pipelines.domain.tensile.evaluation import lines
from meva_pipelines.domain.tensile.evaluation.values import Line
from meva_pipelines.domain.tensile.recording import Series

_RAISES = 17
_BLOCK = 1 << 14  # windows at a time: the sums of a block stay in the cache
_LEAST_POINTS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """The searched part: indices of its points in the record, and x and y between the first point and tangency.

    A strain of the record is x_zero + x · x_scale, a stress in MPa y_zero + y · y_scale.
    """

    indices: npt.NDArray[np.intp]
    x: Series
    y: Series
    x_zero: float
    y_zero: float
    x_scale: float
    y_scale: float


@dataclass(frozen=True, slots=True)
class Window:
    """The points `start` to `stop` (exclusive) of two series, and the share of variance that their line leaves."""

    start: int
    stop: int
    residual: float


def region(strain: Series, stress_mpa: Series, raised: int = 0) -> Region | None:
    """The record up to the point of tangency, shifted to its first point and normalised by that point (steps 1–4).

    `strain` and `stress_mpa` have shape (points,) and end at maximum force; `raised` is how many times the offset
    point was raised. None where no tangency is found.
    """
    x, y = strain - strain[0], stress_mpa - stress_mpa[0]
    top = float(y.max())
    begin = lines.first(y > 0.05 * top)
    if begin is None:
        return None
    offset = y[begin] + (0.15 + 0.05 * raised) * top
    above = np.flatnonzero((y > offset) & (x > x[begin]))
    slopes = (y[above] - offset) / (x[above] - x[begin])
    peaks = np.flatnonzero((slopes[1:-1] >= slopes[:-2]) & (slopes[1:-1] > slopes[2:])) + 1
    if peaks.size == 0:
        return None
    at = int(above[peaks[slopes[peaks].argmax()]])
    indices = np.flatnonzero((x <= x[at]) & (y <= y[at]))
    x_scale, y_scale = float(x[at]), float(y[at])
    if x_scale <= 0.0 or y_scale <= 0.0:
        return None
    return Region(
        indices,
        x[indices] / x_scale,
        y[indices] / y_scale,
        float(strain[0]),
        float(stress_mpa[0]),
        x_scale,
        y_scale,
    )


def best_window(x: Series, y: Series, least_points: int) -> Window:
    """Of all windows of at least `least_points` points, the one with the smallest SSE/SST of its least-squares line.

    `x` and `y` have shape (points,) and are of order one. Every window is looked at: about points²/2 of them.
    """
    sums = _prefix_sums(x, y)
    points = x.size
    best = Window(0, points, math.inf)
    floor = float(least_points) ** 4 * 1e-24
    first, last = 0, points - least_points
    while first <= last:
        width = points - first - least_points + 1
        rows = min(max(_BLOCK // width, 1), last - first + 1)
        shares = _explained(sums, first, rows, least_points, floor)
        at = int(shares.argmax())
        row, column = divmod(at, width)
        residual = 1.0 - float(shares.flat[at])
        if residual < best.residual:
            best = Window(first + row, first + least_points + column, residual)
        first += rows
    return best


def _prefix_sums(x: Series, y: Series) -> npt.NDArray[np.float64]:
    """Sums of x, y, xx, xy and yy before each point, shape (5, points + 1); centred against cancellation."""
    x, y = x - x.mean(), y - y.mean()
    sums = np.zeros((5, x.size + 1))
    np.cumsum(np.stack((x, y, x * x, x * y, y * y)), axis=1, out=sums[:, 1:])
    return sums


def _explained(
    sums: npt.NDArray[np.float64], first: int, rows: int, least: int, floor: float
) -> npt.NDArray[np.float64]:
    """R² of the windows that begin at `first` and the next rows (axis 0) and end after each later point (axis 1)."""
    ends = sums[:, None, first + least :]
    sx, sy, sxx, sxy, syy = ends - sums[:, first : first + rows, None]
    count = np.arange(float(least), float(least + sx.shape[1])) - np.arange(float(rows))[:, None]
    sxy *= count
    sxy -= sx * sy
    sxx *= count
    sx *= sx
    sxx -= sx
    syy *= count
    sy *= sy
    syy -= sy
    sxx *= syy
    sxy *= sxy
    np.copyto(sxx, np.inf, where=sxx < floor)
    sxy /= sxx
    corner = min(rows, sx.shape[1])
    sxy[:, :corner][count[:, :corner] < least] = -1.0
    explained: npt.NDArray[np.float64] = sxy
    return explained


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """What the search found: the line in units of the record, and the part that was searched."""

    line: Line
    region: Region
    raised: int


def search(strain: Series, stress_mpa: Series, *, min_fraction: float, most_points: int) -> Search | None:
    """The linear region of a record (steps 1–8 and 11).

    `strain` and `stress_mpa` have shape (points,) and end at maximum force. The search part is thinned to
    `most_points`; the final regression takes all its points. None where no tangency or too few points are found.
    """
    found: Search | None = None
    for raised in range(_RAISES + 1):
        part = region(strain, stress_mpa, raised)
        if part is None or part.indices.size < _LEAST_POINTS:
            break
        if found is not None and (part.x_scale, part.y_scale) == (found.region.x_scale, found.region.y_scale):
            continue
        taken = _thinned(part.indices.size, most_points)
        least = max(math.ceil(min_fraction * taken.size), _LEAST_POINTS)
        if least > taken.size:
            break
        window = best_window(part.x[taken], part.y[taken], least)
        chosen = part.indices[taken[window.start] : taken[window.stop - 1] + 1]
        line = _fitted(strain, stress_mpa, chosen)
        if line is None:
            break
        found = Search(line, part, raised)
        if window.stop < taken.size:
            break
    return found


def region_around(strain: Series, stress_mpa: Series, line: Line) -> Region | None:
    """The part that would have been searched for a line found otherwise: raised until the line ends inside it."""
    part: Region | None = None
    for raised in range(_RAISES + 1):
        higher = region(strain, stress_mpa, raised)
        if higher is None:
            break
        part = higher
        if int(part.indices[-1]) >= line.stop:
            break
    return part


def _thinned(points: int, most: int) -> npt.NDArray[np.intp]:
    if points <= most:
        return np.arange(points)
    return np.linspace(0, points - 1, most).astype(np.intp)


def _fitted(strain: Series, stress_mpa: Series, chosen: npt.NDArray[np.intp]) -> Line | None:
    """The line through the chosen points, with the indices of the record in place of theirs."""
    start, stop = int(chosen[0]), int(chosen[-1]) + 1
    if stop - start == chosen.size:
        return lines.fitted(strain, stress_mpa, start, stop)
    line = lines.fitted(strain[chosen], stress_mpa[chosen], 0, chosen.size)
    return None if line is None else replace(line, start=start, stop=stop)
