"""Extensions and contraction: Agt, Ag, At, A, Ae and Z in %. ISO 6892-1, clauses 16 to 21."""

import math

import numpy as np

from meva_pipelines.domain.tensile.evaluation import lines, uncertainty
from meva_pipelines.domain.tensile.evaluation.fitted import OF_THE_FRAME, Fitted
from meva_pipelines.domain.tensile.evaluation.uncertainty import Equipment
from meva_pipelines.domain.tensile.evaluation.values import Contribution, Flag, Symbol, Value, Withheld
from meva_pipelines.domain.tensile.recording import DisplacementSource, Specimen

_NO_BREAK = "no fracture: the record ends before the force collapses, and nothing measured after fracture is stated"
_NO_EXTENSOMETER = "the strain is from the crosshead: elongation takes an extensometer up to the break, or Lu by hand"
_OUTSIDE = "the gauge length became shorter between Fm and the break: the fracture lies outside of it, or the grip slid"
_CERTAIN = 6.0  # standard deviations of noise
_NOISY = 2.4  # standard deviations below Fm that may still be it: chosen so that generated curves are covered


def at_maximum(test: Fitted) -> dict[Symbol, Value | Withheld]:
    """Agt and Ag in %: total and plastic extension at Fm, in the middle of the plateau where the maximum is flat."""
    stress = float(test.record.stress_mpa[test.peak])
    total = _middle(test) - test.line.zero_strain
    plastic = total - stress / test.line.slope_mpa
    plateau = uncertainty.triangular("noise on a flat maximum", 50 * _doubtful(test))
    noise = uncertainty.normal("noise of the strain", 100 * test.record.noise_strain)
    results: dict[Symbol, Value | Withheld] = {Symbol.AGT: Withheld(Symbol.AGT, OF_THE_FRAME)}
    if not test.record.is_of_crosshead:
        results[Symbol.AGT] = uncertainty.value(
            Symbol.AGT,
            100 * total,
            "%",
            method="total extension at Fm, middle of the plateau",
            clause="ISO 6892-1:2019, 18",
            budget=(*test.equipment.strain(100 * total, total), *test.line_errors(0.0, 100), plateau, noise),
            flags=test.flags,
        )
    results[Symbol.AG] = uncertainty.value(
        Symbol.AG,
        100 * plastic,
        "%",
        method="plastic extension at Fm, middle of the plateau",
        clause="ISO 6892-1:2019, 17",
        budget=(*test.equipment.strain(100 * plastic, total), *test.line_errors(stress, 100), plateau, noise),
        flags=test.flags,
    )
    return results


def _middle(test: Fitted) -> float:
    """Strain in the middle of the neighbouring points that share the greatest force."""
    behind = test.record.stress_mpa[test.peak :] < test.record.stress_mpa[test.peak] - 0.5 * test.record.step_mpa
    end = lines.first(behind)
    last = test.strain.size - 1 if end is None else test.peak + end - 1
    return float(0.5 * (test.strain[test.peak] + test.strain[last]))


def _doubtful(test: Fitted) -> float:
    """The range of strain in which noise may have put the greatest force."""
    begin = 0 if test.yielding is None else test.yielding.lower
    stress = test.record.stress_mpa
    high = begin + np.flatnonzero(stress[begin:] >= stress[test.peak] - _NOISY * test.record.noise_mpa)
    return float(test.strain[high[-1]] - test.strain[high[0]])


def at_fracture(test: Fitted) -> dict[Symbol, Value | Withheld]:
    """At and A in % from the curve; withheld without a fracture and without an extensometer."""
    reason = why_not_at_fracture(test)
    if reason is not None:
        return {symbol: Withheld(symbol, reason) for symbol in (Symbol.AT, Symbol.A)}
    last = test.strain.size - 1
    total, plastic = test.total(last), test.plastic(last)
    stress = float(test.record.stress_mpa[last])
    return {
        Symbol.AT: uncertainty.value(
            Symbol.AT,
            100 * total,
            "%",
            method="total extension at the last point before the break",
            clause="ISO 6892-1:2019, 19",
            budget=(*test.equipment.strain(100 * total, total), *test.line_errors(0.0, 100), *_break_errors(test)),
            flags=test.flags,
        ),
        Symbol.A: uncertainty.value(
            Symbol.A,
            100 * plastic,
            "%",
            method="extension at the last point before the break without its elastic part",
            clause="ISO 6892-1:2019, 20",
            budget=(*test.equipment.strain(100 * plastic, total), *test.line_errors(stress, 100), *_break_errors(test)),
            flags=test.flags,
        ),
    }


def why_not_at_fracture(test: Fitted) -> str | None:
    """Why nothing can be said about the break from the curve; None where it can."""
    if test.record.evidence is None:
        return _NO_BREAK
    if test.record.source is DisplacementSource.CROSSHEAD:
        return _NO_EXTENSOMETER
    shortened = test.plastic(test.peak) - test.plastic(test.strain.size - 1)
    return _OUTSIDE if shortened > _CERTAIN * test.noise_about_line_mpa / test.line.slope_mpa else None


def _break_errors(test: Fitted) -> tuple[Contribution, ...]:
    step = float(test.strain[-1] - test.strain[-2])
    return (
        uncertainty.rectangular("moment of the break between two points", 100 * step),
        uncertainty.normal("noise", 100 * test.noise_about_line_mpa / test.line.slope_mpa),
    )


def by_hand(specimen: Specimen, equipment: Equipment) -> Value | None:
    """A in % from the gauge length measured after fracture; None where it is not stated."""
    original, final = specimen.gauge_length_mm, specimen.final_gauge_length_mm
    if original is None or final is None or original <= 0.0 or final < original:
        return None
    return uncertainty.value(
        Symbol.A,
        100 * (final - original) / original,
        "%",
        method="(Lu − L0) / L0",
        clause="ISO 6892-1:2019, 20",
        budget=(equipment.final_length(100 / original), equipment.gauge_length(100 * final / original)),
        flags=(Flag.BY_HAND,),
    )


def contraction(specimen: Specimen, area_mm2: float | None, equipment: Equipment) -> Value | Withheld:
    """Z in % from the cross-section after fracture in mm²."""
    final = specimen.final_area_mm2
    if area_mm2 is None or final is None:
        return Withheld(Symbol.Z, "no cross-section after fracture Su" if area_mm2 else "no cross-section S0")
    if not 0.0 <= final <= area_mm2:
        return Withheld(Symbol.Z, f"the cross-section after fracture, {final:g} mm², is none of {area_mm2:g} mm²")
    share = 100 * final / area_mm2
    return uncertainty.value(
        Symbol.Z,
        100 - share,
        "%",
        method="(S0 − Su) / S0",
        clause="ISO 6892-1:2019, 21",
        budget=(equipment.original_area(share), equipment.final_area(share)),
    )


def yield_point(test: Fitted) -> Value | Withheld:
    """Ae in %: from ReH to the beginning of uniform hardening."""
    yields = test.yielding
    if yields is None:
        return Withheld(Symbol.AE, "no yield point")
    if yields.end_strain is None:
        return Withheld(Symbol.AE, "the record does not harden after yielding")
    extension = yields.end_strain - float(test.strain[yields.upper])
    blurred = test.strain[min(yields.end + yields.averaged, test.strain.size - 1)] - test.strain[yields.end]
    return uncertainty.value(
        Symbol.AE,
        100 * extension,
        "%",
        method="from ReH to where the level of yielding meets the line of beginning hardening",
        clause="ISO 6892-1:2019, 16",
        budget=(
            *test.equipment.strain(100 * extension, extension),
            uncertainty.rectangular("end of yielding", 100 * abs(yields.end_strain - float(test.strain[yields.end]))),
            uncertainty.rectangular("averaging at the end of yielding", 100 * float(blurred)),
            uncertainty.normal("noise of the strain", 100 * math.sqrt(2.0) * test.record.noise_strain),
        ),
        flags=test.flags,
    )
