"""Two curves on one uniform time base. The curves themselves stay as they are; nothing is ever extrapolated.

The base covers exactly the time that both curves have; between two points of a curve the pressure is interpolated
linearly. Curves are never compared point number by point number.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from meva_pipelines.domain.pressure.trace import Series, Trace

MOST_POINTS: Final = 100_000
"""Most points of a base; a finer pair is thinned to it."""

_SAME_STEP: Final = 1e-6
"""A part of a step that is this small is rounding of the times."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """The time that a shifted simulation and a test have in common, on the clock of the test.

    `ratio` is its share of the duration of the test; `shift_ms` was subtracted from the times of the simulation.
    """

    start_ms: float
    end_ms: float
    step_ms: float
    ratio: float
    shift_ms: float


@dataclass(frozen=True, slots=True, eq=False)
class Base:
    """Both curves in MPa at the same uniform times, each of shape (points,)."""

    time_ms: Series
    simulation_mpa: Series
    test_mpa: Series

    @property
    def step_ms(self) -> float:
        """The distance between two points."""
        return float(self.time_ms[-1] - self.time_ms[0]) / (self.time_ms.size - 1)


def overlap(simulation: Trace, test: Trace, *, shift_ms: float, least_ratio: float) -> Overlap | str:
    """Return what the curves have in common, or why they cannot be compared; the step is the finer of the two.

    `shift_ms` is subtracted from the times of the simulation; `least_ratio` is the smallest share of the duration
    of the test that the simulation must cover.
    """
    start = max(float(simulation.time_ms[0]) - shift_ms, float(test.time_ms[0]))
    end = min(float(simulation.time_ms[-1]) - shift_ms, float(test.time_ms[-1]))
    ratio = max(end - start, 0.0) / test.duration_ms
    if ratio <= 0 or ratio < least_ratio:
        return f"the simulation covers {ratio:.0%} of the test; {least_ratio:.0%} are needed"
    return Overlap(start, end, min(simulation.step_ms, test.step_ms), ratio, shift_ms)


def base(simulation: Trace, test: Trace, common: Overlap, *, most_points: int = MOST_POINTS) -> Base:
    """Return both curves on the uniform base of the overlap, which includes both of its ends.

    The step is the greatest that divides the overlap evenly and is at most `common.step_ms`; with more than
    `most_points` points it is made coarser.
    """
    steps = max(math.ceil((common.end_ms - common.start_ms) / common.step_ms - _SAME_STEP), 1)
    points = min(steps + 1, most_points)
    time_ms = np.linspace(common.start_ms, common.end_ms, points)
    return Base(
        time_ms,
        np.interp(time_ms, simulation.time_ms - common.shift_ms, simulation.pressure_mpa),
        np.interp(time_ms, test.time_ms, test.pressure_mpa),
    )
