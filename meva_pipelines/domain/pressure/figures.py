"""What one pressure-time curve says by itself: its figures, each with its value or the reason why it has none."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from meva_pipelines.domain.pressure import rise
from meva_pipelines.domain.pressure.trace import Trace

RATE_WINDOW: Final = 0.10
"""Width of the window that smooths the rate of pressure rise, as a share of the rise time t90 - t10."""

_LEAST_WINDOW: Final = 5
_WIDEST_WINDOW: Final = 0.5
_MOST_STEPS: Final = 100_000


class Figure(StrEnum):
    """The figures of one curve, named with their units."""

    PEAK_PRESSURE = "peak_pressure_mpa"
    PEAK_TIME = "peak_time_ms"
    T10 = "t10_ms"
    T50 = "t50_ms"
    T90 = "t90_ms"
    RISE_TIME = "rise_time_ms"
    MAX_RATE = "max_rate_mpa_per_ms"
    IMPULSE = "impulse_mpa_ms"
    DURATION_10 = "duration_above_10_pct_ms"
    DURATION_50 = "duration_above_50_pct_ms"


@dataclass(frozen=True, slots=True)
class Figures:
    """Every member of `Figure` is either in `values` or, with the reason, in `withheld`."""

    values: Mapping[Figure, float]
    withheld: Mapping[Figure, str]


def figures(trace: Trace) -> Figures:
    """Return the figures of a curve.

    The peak is the greatest reading, the first on ties. t10, t50 and t90 are the crossings of these shares of the
    peak on the rise (see `rise`), durations end where the pressure falls through the same share again. The impulse
    is the area under the whole record by trapezoids, readings below zero included. The greatest rate is that of the
    rise up to the peak (see `max_rate`).
    """
    top, limbs = rise.peak(trace), rise.limbs(trace)
    found: dict[Figure, float | str] = {
        Figure.PEAK_PRESSURE: top.pressure_mpa,
        Figure.PEAK_TIME: top.time_ms,
        Figure.IMPULSE: float(np.trapezoid(trace.pressure_mpa, trace.time_ms)),
    }
    if isinstance(limbs, str):
        found |= {figure: limbs for figure in Figure if figure not in found}
    else:
        found |= _timed(limbs)
    return Figures(
        {figure: value for figure, value in found.items() if not isinstance(value, str)},
        {figure: reason for figure, reason in found.items() if isinstance(reason, str)},
    )


def max_rate(trace: Trace, rise_time_ms: float) -> float | str:
    """Return the greatest dP/dt up to the peak in MPa/ms, or why the record is too coarse for one.

    The rate at a point is the slope of the parabola fitted to the window around it (Savitzky and Golay, Analytical
    Chemistry 36, 1964, order 2): 10 % of the rise time wide, an odd number of points, at least five. It is exact for
    a curve that is a parabola within the window. A record with uneven steps is interpolated to its median step. Five
    points that cover more than half of the rise would only tell its mean rate.
    """
    from scipy.signal import savgol_filter  # noqa: PLC0415 - costs 50 MB: only for those who look for a rate

    top = rise.peak(trace)
    steps = min(round((top.time_ms - float(trace.time_ms[0])) / trace.step_ms), _MOST_STEPS)
    least = _LEAST_WINDOW - 1
    if steps < least or least * trace.step_ms > _WIDEST_WINDOW * rise_time_ms:
        return f"{_LEAST_WINDOW} points are wider than {_WIDEST_WINDOW:.0%} of the rise"
    time_ms, step_ms = np.linspace(trace.time_ms[0], top.time_ms, steps + 1, retstep=True)
    pressure_mpa = np.interp(time_ms, trace.time_ms, trace.pressure_mpa)
    half = max(math.ceil(RATE_WINDOW * rise_time_ms / float(step_ms) / 2), least // 2)
    window = min(2 * half + 1, steps + 1 - steps % 2)
    return float(savgol_filter(pressure_mpa, window, 2, deriv=1, delta=float(step_ms)).max())


def _timed(limbs: rise.Limbs) -> dict[Figure, float | str]:
    t10, t50, t90 = (limbs.risen_ms(share) for share in (0.10, 0.50, 0.90))
    rise_time = _between(t10, t90)
    return {
        Figure.T10: t10,
        Figure.T50: t50,
        Figure.T90: t90,
        Figure.RISE_TIME: rise_time,
        Figure.MAX_RATE: rise_time if isinstance(rise_time, str) else max_rate(limbs.trace, rise_time),
        Figure.DURATION_10: _between(t10, limbs.fallen_ms(0.10)),
        Figure.DURATION_50: _between(t50, limbs.fallen_ms(0.50)),
    }


def _between(start_ms: float | str, end_ms: float | str) -> float | str:
    """The time from one moment to another, or the first reason why there is none."""
    if isinstance(start_ms, str):
        return start_ms
    return end_ms if isinstance(end_ms, str) else end_ms - start_ms
