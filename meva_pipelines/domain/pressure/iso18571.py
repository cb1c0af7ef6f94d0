"""ISO/TS 18571: how well a simulated curve agrees with a measured one, as corridor, phase, magnitude and slope.

The parameters are those of ISO/TS 18571:2024; the order of equally good steps of the warping and the smoothing of
the ends of the slope follow the reference implementation of TU Graz (OpenVT, `objective_rating_metrics` 1.3). The
rating is not symmetric: the test is the reference. The standard asks for curves at 10 kHz; which base the curves
are on is the caller's business, and the slope depends on it through the width of its moving average.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from scipy import fft

from meva_pipelines.domain.pressure import lattice
from meva_pipelines.domain.pressure.trace import Series, is_flat

WEIGHT_CORRIDOR: Final = 0.4
WEIGHT_PHASE: Final = 0.2
WEIGHT_MAGNITUDE: Final = 0.2
WEIGHT_SLOPE: Final = 0.2

INNER_CORRIDOR: Final = 0.05
OUTER_CORRIDOR: Final = 0.50
CORRIDOR_EXPONENT: Final = 2
MOST_SHIFT: Final = 0.20
WARPING_BAND: Final = 0.10
MOST_MAGNITUDE_ERROR: Final = 0.50
MOST_SLOPE_ERROR: Final = 2.0
SLOPE_WINDOW: Final = 9

LEAST_POINTS: Final = 11
"""From here on nine points remain after the greatest shift, as many as the moving average of the slope needs."""

_TIE: Final = 1e-12
"""Coefficients of correlation that differ by less are equal: the smaller shift is taken."""


class Grade(StrEnum):
    """The verdict in words, from the overall rating."""

    EXCELLENT = "excellent"
    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"


@dataclass(frozen=True, slots=True)
class Rating:
    """The four parts, each from 0 to 1, and by how many points the simulation is late (negative: early)."""

    corridor: float
    phase: float
    magnitude: float
    slope: float
    late_points: int

    @property
    def overall(self) -> float:
        """R = 0.4 Z + 0.2 E_P + 0.2 E_M + 0.2 E_S."""
        shifted = WEIGHT_PHASE * self.phase + WEIGHT_MAGNITUDE * self.magnitude + WEIGHT_SLOPE * self.slope
        return WEIGHT_CORRIDOR * self.corridor + shifted

    @property
    def grade(self) -> Grade:
        """The grade of the overall rating."""
        return graded(self.overall)


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two curves on one uniform base, each of shape (points,) and in one unit."""

    simulation: Series
    test: Series


def graded(overall: float) -> Grade:
    """Return the grade of an overall rating: poor up to 0.58, fair up to 0.80, good up to 0.94, excellent above."""
    for limit, grade in ((0.94, Grade.EXCELLENT), (0.80, Grade.GOOD), (0.58, Grade.FAIR)):
        if overall > limit:
            return grade
    return Grade.POOR


def rated(pair: Pair) -> Rating | str:
    """Return the rating of a pair, or why it has none. Work and memory grow with the square of its points."""
    if (reason := _unfit(pair)) is not None:
        return reason
    late = late_points(pair)
    together = _shifted(pair, late)
    return Rating(corridor(pair), phase(late, pair.test.size), magnitude(together), slope(together), late)


def corridor(pair: Pair) -> float:
    """Return Z: the mean of 1 within 5 % of max |T|, 0 outside 50 %, and the square of the way between in between."""
    scale = float(np.abs(pair.test).max())
    away = np.abs(pair.simulation - pair.test) / scale
    between = (OUTER_CORRIDOR - away) / (OUTER_CORRIDOR - INNER_CORRIDOR)
    return float((np.clip(between, 0.0, 1.0) ** CORRIDOR_EXPONENT).mean())


def late_points(pair: Pair) -> int:
    """Return the shift of at most 20 % of the points with the highest coefficient of correlation.

    Positive where the simulation is late. On ties the smallest shift, and a late simulation before an early one.
    """
    points = pair.test.size
    most = math.floor(points * MOST_SHIFT)
    late = _correlations(pair.simulation, pair.test, most)
    early = _correlations(pair.test, pair.simulation, most)
    found = np.stack((late, early), axis=1).ravel()
    at = int((found >= found.max() - _TIE).argmax())
    return -(at // 2) if at % 2 else at // 2


def phase(late: int, points: int) -> float:
    """Return E_P: 1 without a shift, 0 from 20 % of the points on, linear between."""
    return max(1.0 - abs(late) / (MOST_SHIFT * points), 0.0)


def magnitude(shifted: Pair) -> float:
    """Return E_M of shifted curves: 1 - error / 0.5, at least 0.

    The error is Σ|C - T| / Σ|T| along the warping path with the smallest sum of squared differences in a band of
    10 % of the points (Sakoe and Chiba).
    """
    half_width = max(math.ceil(WARPING_BAND * shifted.test.size) - 1, 0)
    at_simulation, at_test = lattice.swept(shifted.simulation, shifted.test, np.add, half_width=half_width).path()
    reference = shifted.test[at_test]
    error = np.abs(shifted.simulation[at_simulation] - reference).sum() / np.abs(reference).sum()
    return max(1.0 - float(error) / MOST_MAGNITUDE_ERROR, 0.0)


def slope(shifted: Pair) -> float:
    """Return E_S of shifted curves: 1 - error / 2, at least 0; the error is Σ|C' - T'| / Σ|T'| of smoothed slopes.

    Slopes are central differences, one-sided at the ends, then the mean of nine points; near the ends of the mean of
    1, 3, 5 and 7 points.
    """
    simulated, measured = _smoothed_slope(shifted.simulation), _smoothed_slope(shifted.test)
    total = float(np.abs(measured).sum())
    error = float(np.abs(simulated - measured).sum())
    if total == 0.0:
        return 1.0 if error == 0.0 else 0.0
    return max(1.0 - error / total / MOST_SLOPE_ERROR, 0.0)


def _unfit(pair: Pair) -> str | None:
    if pair.test.size < LEAST_POINTS:
        return f"{pair.test.size} common points; a rating needs {LEAST_POINTS}"
    for name, curve in (("simulation", pair.simulation), ("test", pair.test)):
        if is_flat(curve):
            return f"the pressure of the {name} is constant"
    return None


def _shifted(pair: Pair, late: int) -> Pair:
    """The part of both curves that remains together after the shift."""
    points = pair.test.size
    if late >= 0:
        return Pair(pair.simulation[late:], pair.test[: points - late])
    return Pair(pair.simulation[: points + late], pair.test[-late:])


def _correlations(leading: Series, lagging: Series, most: int) -> Series:
    """The coefficient of correlation of leading[m:] with lagging[:points - m] for m = 0 … most, shape (most + 1,).

    -inf where either part is constant.
    """
    points = leading.size
    ahead, behind = leading - leading.mean(), lagging - lagging.mean()
    size = fft.next_fast_len(2 * points, real=True)
    products = fft.irfft(fft.rfft(ahead, size) * np.conj(fft.rfft(behind, size)), size)[: most + 1]
    counts = np.arange(points, points - most - 1, -1, dtype=np.float64)
    sum_ahead, square_ahead = (_tails(values, most) for values in (ahead, ahead * ahead))
    sum_behind, square_behind = (_tails(values[::-1], most) for values in (behind, behind * behind))
    covariance = products - sum_ahead * sum_behind / counts
    spread_ahead = square_ahead - sum_ahead**2 / counts
    spread_behind = square_behind - sum_behind**2 / counts
    is_known = (spread_ahead > _TIE * square_ahead[0]) & (spread_behind > _TIE * square_behind[0])
    scale = np.sqrt(np.where(is_known, spread_ahead * spread_behind, 1.0))
    return np.where(is_known, covariance / scale, -np.inf)


def _tails(values: Series, most: int) -> Series:
    """The sums of values[m:] for m = 0 … most."""
    return np.cumsum(values[::-1])[::-1][: most + 1]


def _smoothed_slope(curve: Series) -> Series:
    """The slope per point, shape (points,)."""
    raw = np.gradient(curve)
    half = SLOPE_WINDOW // 2
    sums = np.concatenate(([0.0], np.cumsum(raw)))
    at = np.arange(raw.size)
    reach = np.minimum(half, np.minimum(at, raw.size - 1 - at))
    smoothed: Series = (sums[at + reach + 1] - sums[at - reach]) / (2 * reach + 1)
    return smoothed
