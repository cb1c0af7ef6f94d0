"""How far apart two curves on one base are: the simple measures, each a closed formula over the points.

The simulation C comes first, the test T is the reference. A measure that is not defined for a pair says why.
"""

import math
from typing import Final

import numpy as np

from meva_pipelines.domain.pressure import frechet
from meva_pipelines.domain.pressure.timebase import Base
from meva_pipelines.domain.pressure.trace import FLAT_MPA, Series, is_flat

NO_REFERENCE: Final = "the test is zero throughout"


def rmse(base: Base) -> float:
    """Return √ mean (C - T)² over the points, in MPa."""
    return float(np.sqrt(np.mean((base.simulation_mpa - base.test_mpa) ** 2)))


def mean_absolute_error(base: Base) -> float:
    """Return the mean |C - T| over the points, in MPa."""
    return float(np.mean(np.abs(base.simulation_mpa - base.test_mpa)))


def correlation(base: Base) -> float | str:
    """Return Pearson's coefficient over the points, from -1 to 1, or which curve is constant."""
    for name, curve in (("simulation", base.simulation_mpa), ("test", base.test_mpa)):
        if is_flat(curve):
            return f"the pressure of the {name} is constant"
    return float(np.clip(np.corrcoef(base.simulation_mpa, base.test_mpa)[0, 1], -1.0, 1.0))


def r_squared(base: Base) -> float | str:
    """Return 1 - Σ(C - T)² / Σ(T - mean T)², at most 1 and possibly negative, or why it is not defined."""
    if is_flat(base.test_mpa):
        return "the pressure of the test is constant"
    spread = np.sum((base.test_mpa - base.test_mpa.mean()) ** 2)
    return float(1.0 - np.sum((base.simulation_mpa - base.test_mpa) ** 2) / spread)


def area_mpa_ms(base: Base) -> float:
    """Return ∫ |C - T| dt in MPa·ms, exact for the straight lines between the points, crossings included."""
    apart = base.simulation_mpa - base.test_mpa
    left, right = np.abs(apart[:-1]), np.abs(apart[1:])
    total = left + right
    crossed = np.divide(left**2 + right**2, total, out=np.zeros_like(total), where=total > 0)
    return float(np.where(apart[:-1] * apart[1:] < 0, crossed, total).sum() / 2 * base.step_ms)


def sprague_geers(base: Base) -> tuple[float, float, float] | str:
    """Return magnitude M, phase P and comprehensive error C of Sprague and Geers, or why they are not defined.

    M = √(∫C² / ∫T²) - 1, P = arccos(∫CT / √(∫C² ∫T²)) / π, C = √(M² + P²) (Sprague and Geers, 2003), with
    integrals by trapezoids. M is negative where the simulation is too weak; P is from 0 to 1.
    """
    for curve, reason in ((base.test_mpa, NO_REFERENCE), (base.simulation_mpa, "the simulation is zero throughout")):
        if np.abs(curve).max() <= FLAT_MPA:
            return reason
    simulated, measured = math.sqrt(_integral(base.simulation_mpa**2)), math.sqrt(_integral(base.test_mpa**2))
    magnitude = simulated / measured - 1
    cosine = _integral(base.simulation_mpa * base.test_mpa) / (simulated * measured)
    phase = math.acos(min(max(cosine, -1.0), 1.0)) / math.pi
    return magnitude, phase, math.hypot(magnitude, phase)


def frechet_ratio(base: Base) -> float | str:
    """Return the discrete Fréchet distance, or why it is not defined.

    It is dimensionless: time in durations of the base, pressure in max |T|. A curve that is wrong by 5 % of the
    peak and one that is late by 5 % of the duration are both about 0.05 away.
    """
    scale = float(np.abs(base.test_mpa).max())
    if scale <= FLAT_MPA:
        return NO_REFERENCE
    return frechet.distance(1.0 / (base.time_ms.size - 1), base.simulation_mpa / scale, base.test_mpa / scale)


def _integral(values: Series) -> float:
    """The integral by trapezoids in units of the step."""
    return float(np.trapezoid(values))
