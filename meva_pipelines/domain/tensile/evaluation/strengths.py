"""Stresses: tensile strength, yield and proof strengths, each with its budget. ISO 6892-1, clauses 11 to 14."""

import math

from meva_pipelines.domain.tensile.evaluation import proof, uncertainty
from meva_pipelines.domain.tensile.evaluation.fitted import OF_THE_FRAME, Fitted
from meva_pipelines.domain.tensile.evaluation.proof import Crossing
from meva_pipelines.domain.tensile.evaluation.record import Record
from meva_pipelines.domain.tensile.evaluation.uncertainty import Equipment
from meva_pipelines.domain.tensile.evaluation.values import Contribution, Flag, Symbol, Value, Withheld

PROOF_OFFSETS = {Symbol.RP01: 0.001, Symbol.RP02: 0.002, Symbol.RP10: 0.01}
_TOTAL = 0.005
_REACH = 5.0  # standard deviations of noise below the greatest stress that a true maximum may lie
_INTERPOLATED = 1.5  # points that an interpolation between two is worth, over all places between them
_NO_PEAK = "no yield point: the force does not drop by 0.5 % and more than noise before it rises again"


def tensile(record: Record, peak: int, equipment: Equipment) -> Value:
    """Rm in MPa from the force at index `peak`.

    The greatest of n noisy values is too great, by up to σ·√(2 ln n); n counts the points that noise can make it.
    """
    stress = float(record.stress_mpa[peak])
    near = int((record.stress_mpa > stress - _REACH * record.noise_mpa).sum())
    excess = record.noise_mpa * math.sqrt(max(2 * math.log(max(near, 1)), 1.0))
    return uncertainty.value(
        Symbol.RM,
        stress,
        "MPa",
        method="greatest force over S0",
        clause="ISO 6892-1:2019, 3 (tensile strength)",
        budget=(*equipment.stress(stress), uncertainty.rectangular("noise of the force", excess)),
    )


def proof_strengths(test: Fitted) -> tuple[dict[Symbol, Value | Withheld], dict[Symbol, Crossing]]:
    """Rp0.1, Rp0.2 and Rp1.0 in MPa, and where the record crosses their offset lines."""
    results: dict[Symbol, Value | Withheld] = {}
    crossings: dict[Symbol, Crossing] = {}
    strain, stress = test.strain[: test.peak + 1], test.record.stress_mpa[: test.peak + 1]
    for symbol, offset in PROOF_OFFSETS.items():
        crossed = proof.crossing(strain, stress, test.line, offset, test.noise_about_line_mpa)
        if crossed is None:
            results[symbol] = Withheld(symbol, f"maximum force comes before {100 * offset:g} % plastic extension")
            continue
        crossings[symbol] = crossed
        results[symbol] = _proof(symbol, offset, crossed, test)
    return results, crossings


def _proof(symbol: Symbol, offset: float, crossed: Crossing, test: Fitted) -> Value:
    flags = list(test.flags)
    if test.yielding is not None and crossed.strain <= test.strain[test.yielding.end]:
        flags.append(Flag.PLATEAU)
    return uncertainty.value(
        symbol,
        crossed.stress_mpa,
        "MPa",
        method=f"elastic line moved by {100 * offset:g} %, first crossing",
        clause="ISO 6892-1:2019, 13",
        budget=(*test.equipment.stress(crossed.stress_mpa), *_proof_errors(offset, crossed, test)),
        flags=flags,
    )


def _proof_errors(offset: float, crossed: Crossing, test: Fitted) -> tuple[Contribution, ...]:
    """What moves a crossing: the scale of the strain, the line, and the noise of the record itself.

    With the slope m and the tangent T, a line that moves by δ along the strain moves the crossing by m·T/(m − T)·δ.
    """
    slope = test.line.slope_mpa
    tangent = min(crossed.tangent_mpa, 0.9 * slope)
    lever = slope * tangent / (slope - tangent)
    quiet = math.sqrt(max(crossed.points, _INTERPOLATED))
    noise = math.hypot(slope * test.record.noise_mpa, slope * tangent * test.record.noise_strain) / (slope - tangent)
    return (
        *test.equipment.strain(lever * offset, offset),
        *test.line_errors(crossed.stress_mpa, lever),
        uncertainty.normal("noise", noise / quiet),
    )


def total_strength(test: Fitted) -> tuple[Value | Withheld, Crossing | None]:
    """Rt0.5 in MPa: the stress at 0.5 % total extension, counted from the toe-compensated zero."""
    if test.record.is_of_crosshead:
        return Withheld(Symbol.RT05, OF_THE_FRAME), None
    strain, stress = test.strain[: test.peak + 1], test.record.stress_mpa[: test.peak + 1]
    reached = proof.reaching(strain, stress, test.line.stop - 1, _TOTAL + test.line.zero_strain)
    if reached is None:
        return Withheld(
            Symbol.RT05, "0.5 % total extension does not lie between elastic window and maximum force"
        ), None
    noise = math.hypot(test.record.noise_mpa, reached.tangent_mpa * test.record.noise_strain)
    found = uncertainty.value(
        Symbol.RT05,
        reached.stress_mpa,
        "MPa",
        method="stress at 0.5 % total extension",
        clause="ISO 6892-1:2019, 14",
        budget=(
            *test.equipment.stress(reached.stress_mpa),
            *test.equipment.strain(reached.tangent_mpa * _TOTAL, _TOTAL),
            *test.line_errors(0.0, reached.tangent_mpa),
            uncertainty.normal("noise", noise / math.sqrt(_INTERPOLATED)),
        ),
        flags=test.flags,
    )
    return found, reached


def yield_strengths(test: Fitted) -> dict[Symbol, Value | Withheld]:
    """ReH and ReL in MPa where the record yields with a drop, otherwise withheld."""
    if test.yielding is None:
        return {symbol: Withheld(symbol, _NO_PEAK) for symbol in (Symbol.REH, Symbol.REL)}
    noise = test.record.noise_mpa
    upper = float(test.record.stress_mpa[test.yielding.upper])
    lower = test.yielding.lower_mpa
    averaged = test.yielding.averaged
    return {
        Symbol.REH: _yield_strength(Symbol.REH, upper, "first peak before a drop", "11", noise, test),
        Symbol.REL: _yield_strength(
            Symbol.REL,
            lower,
            f"lowest of yielding without the first undershoot, {averaged} points averaged",
            "12",
            noise,
            test,
        ),
    }


def _yield_strength(symbol: Symbol, stress: float, method: str, clause: str, noise: float, test: Fitted) -> Value:
    return uncertainty.value(
        symbol,
        stress,
        "MPa",
        method=method,
        clause=f"ISO 6892-1:2019, {clause}",
        budget=(*test.equipment.stress(stress), uncertainty.rectangular("noise of the force", 2 * noise)),
    )


def slope_mpa(test: Fitted, method: str, clause: str, flags: tuple[Flag, ...]) -> Value:
    """Slope mE in MPa: that of the elastic line, whatever measured the strain."""
    line = test.line
    extension = line.strain_band[1] - line.strain_band[0]
    return uncertainty.value(
        Symbol.SLOPE,
        line.slope_mpa,
        "MPa",
        method=method,
        clause=clause,
        budget=(
            *test.equipment.stress(line.slope_mpa),
            *test.equipment.strain(line.slope_mpa, extension),
            uncertainty.normal("regression", line.slope_error_mpa),
        ),
        flags=(*test.flags, *flags),
    )


def true_slope(slope: Value, test: Fitted, compliance_error_mm_per_n: float) -> Value | Withheld:
    """E in MPa: the slope, where it is that of the material; `compliance_error_mm_per_n` is a standard uncertainty."""
    if test.record.is_of_crosshead:
        return Withheld(Symbol.MODULUS, OF_THE_FRAME)
    length = test.record.length_mm
    budget: tuple[Contribution, ...] = slope.budget
    if Flag.COMPLIANCE in test.flags and length is not None:
        moved = slope.value**2 * test.record.area_mm2 / length * compliance_error_mm_per_n
        budget = (*budget, uncertainty.normal("compliance of the frame", moved))
    return uncertainty.value(
        Symbol.MODULUS,
        slope.value,
        slope.unit,
        method=slope.method,
        clause=slope.clause,
        budget=budget,
        flags=slope.flags,
    )
