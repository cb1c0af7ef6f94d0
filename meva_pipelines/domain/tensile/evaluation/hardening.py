"""True stress over true strain up to maximum force, and Hollomon's n and K. ISO 10275.

With engineering stress R and strain e: true stress R·(1 + e), true strain ln(1 + e), plastic part less stress / mE.
"""

import math

import numpy as np

from meva_pipelines.domain.tensile.evaluation import lines, uncertainty
from meva_pipelines.domain.tensile.evaluation.fitted import Fitted
from meva_pipelines.domain.tensile.evaluation.values import Symbol, TrueCurve, Value, Withheld

_LEAST_POINTS = 5
_LEAST_SPAN = 1.5  # ratio of the largest to the smallest plastic strain


def true_curve(test: Fitted) -> TrueCurve:
    """True strain and stress from the elastic window to maximum force, toe-compensated."""
    part = slice(test.line.start, test.peak + 1)
    extended = 1.0 + test.strain[part] - test.line.zero_strain
    strain, stress = np.log(extended), test.record.stress_mpa[part] * extended
    return TrueCurve(strain, stress, strain - stress / test.line.slope_mpa)


def hollomon(test: Fitted, curve: TrueCurve, band: tuple[float, float]) -> dict[Symbol, Value | Withheld]:
    """Exponent n and strength K in MPa: the line of ln stress over ln plastic strain in a band of plastic extension.

    `band` bounds it as ratios; it is cut at Ag, and begins after a yield-point extension.
    """
    low, high = band
    plastic = test.strain[test.line.start : test.peak + 1] - test.line.zero_strain
    plastic = plastic - test.record.stress_mpa[test.line.start : test.peak + 1] / test.line.slope_mpa
    if test.yielding is not None:
        low = max(low, test.plastic(test.yielding.end))
    is_within = (plastic >= low) & (plastic <= high) & (curve.plastic_strain > 0.0) & (curve.stress_mpa > 0.0)
    x, y = np.log(curve.plastic_strain[is_within]), np.log(curve.stress_mpa[is_within])
    name = f"{100 * low:.3g}–{100 * min(high, float(plastic[-1])):.3g} %"
    if x.size < _LEAST_POINTS or float(np.ptp(x)) < math.log(_LEAST_SPAN):
        reason = f"too little uniform plastic extension: {x.size} points between {100 * low:.3g} % and Ag"
        return {symbol: Withheld(symbol, reason) for symbol in (Symbol.N, Symbol.K)}
    line = lines.fitted(x, y, 0, x.size)
    if line is None or line.slope_mpa <= 0.0:
        return {symbol: Withheld(symbol, "the record does not harden") for symbol in (Symbol.N, Symbol.K)}
    strength = math.exp(line.intercept_mpa)
    at_one = strength * math.hypot(line.residual_mpa / math.sqrt(line.points), line.mean_strain * line.slope_error_mpa)
    method = f"ln stress over ln plastic strain, {name} plastic extension, {line.points} points"
    return {
        Symbol.N: uncertainty.value(
            Symbol.N,
            line.slope_mpa,
            "1",
            method=method,
            clause="ISO 10275:2020",
            budget=(uncertainty.normal("regression", line.slope_error_mpa),),
            flags=test.flags,
        ),
        Symbol.K: uncertainty.value(
            Symbol.K,
            strength,
            "MPa",
            method=method,
            clause="ISO 10275:2020",
            budget=(
                *test.equipment.stress(strength),
                *test.equipment.strain(line.slope_mpa * strength, high),
                uncertainty.normal("regression", at_one),
            ),
            flags=test.flags,
        ),
    }
