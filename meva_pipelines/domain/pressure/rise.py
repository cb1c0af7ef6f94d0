"""When a curve passes a share of its peak, on the way up and on the way down; ignition is one of these moments.

Noise crosses a level many times, and a spike long before the rise crosses it too. A crossing therefore counts only
if the pressure does not fall back below the level by more than 5 % of the peak before the peak is reached.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from meva_pipelines.domain.pressure.trace import FLAT_MPA, Series, Trace

IGNITION_SHARE: Final = 0.10
"""Ignition is the crossing of this share of the peak."""

HYSTERESIS: Final = 0.05
"""By how much of the peak the pressure may fall back below a level without starting the search anew."""


@dataclass(frozen=True, slots=True)
class Peak:
    """The greatest pressure, the first point that has it, and its time."""

    pressure_mpa: float
    time_ms: float
    index: int


@dataclass(frozen=True, slots=True, eq=False)
class Limbs:
    """A curve with a peak that stands out of its noise: the way up to it and the way down from it."""

    trace: Trace
    peak: Peak

    def risen_ms(self, share: float) -> float | str:
        """Return when the pressure rises through a share of the peak, 0 < share < 1, or why that is not known."""
        end = self.peak.index + 1
        found = _crossing(self.trace.time_ms[:end], self.trace.pressure_mpa[:end], share)
        return f"the record begins above {share:.0%} of the peak" if found is None else found

    def fallen_ms(self, share: float) -> float | str:
        """Return when the pressure falls through a share of the peak, 0 < share < 1, or why that is not known."""
        start = self.peak.index
        time_ms, pressure_mpa = self.trace.time_ms[start:], self.trace.pressure_mpa[start:]
        found = _crossing(time_ms[::-1], pressure_mpa[::-1], share)
        return f"the record ends above {share:.0%} of the peak" if found is None else found


def peak(trace: Trace) -> Peak:
    """Return the peak as it was recorded: no fit, no smoothing; the first point on ties."""
    index = int(trace.pressure_mpa.argmax())
    return Peak(float(trace.pressure_mpa[index]), float(trace.time_ms[index]), index)


def limbs(trace: Trace) -> Limbs | str:
    """Return the curve as its two limbs, or why no share of its peak can be timed.

    The noise, or what a coarse curve jumps by, may be as large as the hysteresis: from there on the moment of a
    crossing is a matter of luck.
    """
    top = peak(trace)
    if top.pressure_mpa <= FLAT_MPA:
        return "the pressure is nowhere above zero"
    if trace.noise_mpa > HYSTERESIS * top.pressure_mpa:
        return f"points scatter by {trace.noise_mpa:.3g} MPa, more than {HYSTERESIS:.0%} of the peak"
    return Limbs(trace, top)


def ignition_ms(trace: Trace) -> float | str:
    """Return the moment of ignition in ms, which is 10 % of the peak on the rise, or why it is not known."""
    found = limbs(trace)
    return found if isinstance(found, str) else found.risen_ms(IGNITION_SHARE)


def _crossing(time_ms: Series, pressure_mpa: Series, share: float) -> float | None:
    """The first crossing of the level after the pressure was last clearly below it, by linear interpolation.

    The series end at the peak; None where they begin above the level.
    """
    top = pressure_mpa[-1]
    level = share * top
    below = np.flatnonzero(pressure_mpa < level - HYSTERESIS * top)
    start = int(below[-1]) if below.size else 0
    if pressure_mpa[start] > level:
        return None
    after = start + int((pressure_mpa[start:] >= level).argmax())
    if after == start:
        return float(time_ms[start])
    low, high = pressure_mpa[after - 1], pressure_mpa[after]
    return float(time_ms[after - 1] + (level - low) / (high - low) * (time_ms[after] - time_ms[after - 1]))
