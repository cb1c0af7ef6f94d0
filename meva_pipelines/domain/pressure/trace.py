"""One pressure-time curve as it was recorded or simulated: what may be one, and how noisy it is.

Nothing here compares two curves, resamples one or changes a pressure: readings below zero stay below zero.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from meva_pipelines.domain.failures import Unusable

Series: TypeAlias = npt.NDArray[np.float64]
"""Values at the points of a curve, shape (points,)."""

LEAST_STEP_MS: Final = 1e-9
"""Two points that are nearer to each other in time are one moment twice."""

FLAT_MPA: Final = 1e-9
"""A pressure that moves by less, a thousandth of a pascal, does not move."""

_GREATEST: Final = 1e9
"""No time in ms and no pressure in MPa is as large: far beyond gas generators, far below where squares overflow."""

_DIFFERENCE_ORDER: Final = 3
_DIFFERENCE_SCALE: Final = 20.0**0.5
"""Standard deviation of the third differences of white noise of standard deviation 1: √(1 + 9 + 9 + 1)."""

_CONSISTENT: Final = 1.4826
"""Median absolute deviation to standard deviation of a normal distribution: 1 / Φ⁻¹(3/4)."""


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """A curve of shape (points,), at least two: time in ms, strictly increasing, and pressure in MPa, all below 1e9.

    Raises:
        Unusable: rule `curve_shape`, `curve_length`, `curve_finite` or `curve_time`, with the row that breaks it.
    """

    time_ms: Series
    pressure_mpa: Series

    def __post_init__(self) -> None:
        _refuse_unlike(self.time_ms, self.pressure_mpa)
        if (row := _first(np.diff(self.time_ms) < LEAST_STEP_MS)) is not None:
            raise Unusable("time must increase from row to row", rule="curve_time", field="time_ms", row=row + 1)

    @property
    def duration_ms(self) -> float:
        """Time from the first to the last point."""
        return float(self.time_ms[-1] - self.time_ms[0])

    @property
    def step_ms(self) -> float:
        """The median distance between two points."""
        return float(np.median(np.diff(self.time_ms)))

    @property
    def noise_mpa(self) -> float:
        """Standard deviation of the noise, from the median size of the third differences of the readings.

        A part of the curve that is a parabola over four points adds nothing. 0 for fewer than four points.
        """
        if self.pressure_mpa.size <= _DIFFERENCE_ORDER:
            return 0.0
        differences = np.abs(np.diff(self.pressure_mpa, n=_DIFFERENCE_ORDER))
        return float(_CONSISTENT / _DIFFERENCE_SCALE * np.median(differences))


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """A curve from a file, and how many of its rows were merged because they repeat a time."""

    trace: Trace
    merged_rows: int


def recorded(time_ms: Series, pressure_mpa: Series) -> Recorded:
    """Return the curve of rows whose time never decreases, shape (rows,); rows of one time become their mean.

    Raises:
        Unusable: as for `Trace`, or fewer than two different times; `curve_time` where time runs backwards.
    """
    _refuse_unlike(time_ms, pressure_mpa)
    if (row := _first(np.diff(time_ms) < 0)) is not None:
        raise Unusable("time runs backwards", rule="curve_time", field="time_ms", row=row + 1)
    times, starts, counts = np.unique(time_ms, return_index=True, return_counts=True)
    if times.size == time_ms.size:
        return Recorded(Trace(time_ms, pressure_mpa), 0)
    pressures = np.add.reduceat(pressure_mpa, starts) / counts
    return Recorded(Trace(times, pressures), int(time_ms.size - times.size))


def is_flat(pressure_mpa: Series) -> bool:
    """Tell whether a pressure does not move: by less than a thousandth of a pascal, or than its rounding."""
    return bool(np.ptp(pressure_mpa) <= max(FLAT_MPA, 1e-12 * float(np.abs(pressure_mpa).max())))


def _refuse_unlike(time_ms: Series, pressure_mpa: Series) -> None:
    if time_ms.ndim != 1 or time_ms.shape != pressure_mpa.shape:
        shapes = f"{time_ms.shape} and {pressure_mpa.shape}"
        raise Unusable(f"time and pressure must be columns of one length, not {shapes}", rule="curve_shape")
    if time_ms.size < 2:
        raise Unusable(f"a curve has at least two points, not {time_ms.size}", rule="curve_length")
    for field, column in (("time_ms", time_ms), ("pressure_mpa", pressure_mpa)):
        if (row := _first(~(np.abs(column) < _GREATEST))) is not None:
            raise Unusable(f"{field} is not a number below {_GREATEST:g}", rule="curve_finite", field=field, row=row)


def _first(is_hit: npt.NDArray[np.bool_]) -> int | None:
    """The index of the first hit, or None."""
    return int(is_hit.argmax()) if is_hit.any() else None
