"""One test evaluated: every property with method and uncertainty, or withheld with a reason.

The order of an evaluation stands here; how a property is found stands in the module of its subject. The version
changes with every change that moves a published number.

Clauses are those of ISO 6892-1:2019 by its table of contents; its text decides where a number is disputed.
"""

import math
from dataclasses import replace

from meva_pipelines.domain.tensile.evaluation import (
    elongations,
    energies,
    geometry,
    hardening,
    pictures,
    record,
    sdar,
    sdar_quality,
    slope,
    strengths,
)
from meva_pipelines.domain.tensile.evaluation.fitted import Fitted, fitted
from meva_pipelines.domain.tensile.evaluation.proof import Crossing
from meva_pipelines.domain.tensile.evaluation.recipe import Recipe, SlopeMethod
from meva_pipelines.domain.tensile.evaluation.record import Record
from meva_pipelines.domain.tensile.evaluation.uncertainty import Equipment
from meva_pipelines.domain.tensile.evaluation.values import (
    Evaluation,
    Flag,
    Line,
    Marks,
    Quality,
    Symbol,
    TrueCurve,
    Value,
    Withheld,
)
from meva_pipelines.domain.tensile.recording import Curve, DisplacementSource, Specimen

EVALUATOR_VERSION = "1"

Results = dict[Symbol, Value | Withheld]

_CLAUSES = {
    SlopeMethod.STRESS_BAND: "ISO 6892-1:2019, annex G",
    SlopeMethod.STRAIN_BAND: "ISO 527-1, modulus",
    SlopeMethod.RESIDUALS: "ASTM E3076-18",
}
_LEAST_R_SQUARED, _MOST_RELATIVE_ERROR = 0.9995, 0.01  # ISO 6892-1, annex G
_OF_METALS = (
    Symbol.RP01,
    Symbol.RP02,
    Symbol.RP10,
    Symbol.RT05,
    Symbol.REH,
    Symbol.REL,
    Symbol.AE,
    Symbol.N,
    Symbol.K,
    Symbol.RESILIENCE,
)


def evaluate(curve: Curve, specimen: Specimen, recipe: Recipe, *, rows_after_break: int = 0) -> Evaluation:
    """Evaluate one test after ISO 6892-1, ASTM E8 and the recipe.

    `rows_after_break` is how many rows the reader took away because they were written after the break: they prove it.
    Nothing is raised for a record that supports little: what it does not support is withheld.
    """
    is_crosshead = curve.displacement_source is DisplacementSource.CROSSHEAD
    equipment = Equipment(recipe.machine, geometry.length_mm(specimen, curve.displacement_source), is_crosshead)
    results: Results = {Symbol.Z: elongations.contraction(specimen, geometry.area_mm2(specimen), equipment)}
    found = record.prepared(curve, specimen, recipe, rows_after_break)
    line = found if isinstance(found, str) else _line(found, recipe)
    if isinstance(found, str) or found.strain is None or isinstance(line, str):
        if isinstance(found, Record):
            results[Symbol.RM] = strengths.tensile(found, found.top, equipment)
        _withhold(results, tuple(Symbol), str(line))
        _by_hand(results, specimen, equipment)
        return _evaluation(results, recipe, equipment)
    why_not = slope.why_no_metal(line, recipe, is_of_crosshead=found.is_of_crosshead)
    test = fitted(found, found.strain, line, equipment, is_metal=why_not is None)
    part = sdar.region_around(test.strain[: found.top + 1], found.stress_mpa[: found.top + 1], line)
    quality = None if part is None else sdar_quality.quality(part, line)
    results[Symbol.RM] = strengths.tensile(found, test.peak, equipment)
    _elastic(results, test, recipe, quality)
    true_curve = hardening.true_curve(test)
    crossings = _of_metals(results, test, why_not)
    if why_not is None:
        results |= hardening.hollomon(test, true_curve, recipe.hardening_band)
    results |= elongations.at_maximum(test) | elongations.at_fracture(test)
    results[Symbol.TOUGHNESS] = energies.toughness(test)
    _by_hand(results, specimen, equipment)
    return _evaluation(
        results,
        recipe,
        equipment,
        test=test,
        quality=quality,
        true_curve=true_curve,
        marks=pictures.marks(test, results, crossings, part),
    )


def _line(found: Record, recipe: Recipe) -> Line | str:
    if found.strain is None:
        return "no strain: neither a gauge length L0 nor a strain is stated"
    line = slope.elastic(found, found.strain, recipe)
    return f"no elastic line: {line}" if isinstance(line, str) else line


def _elastic(results: Results, test: Fitted, recipe: Recipe, quality: Quality | None) -> None:
    """The slope and, where it is one, the modulus."""
    line, flags = test.line, []
    if line.r_squared <= _LEAST_R_SQUARED or line.relative_error >= _MOST_RELATIVE_ERROR:
        flags.append(Flag.ANNEX)
    if quality is None or not quality.is_data_good:
        flags.append(Flag.DATA_QUALITY)
    if quality is None or not quality.is_fit_good:
        flags.append(Flag.FIT_QUALITY)
    low, high = line.stress_band_mpa
    method = f"{recipe.described()}: {line.points} points from {low:.4g} to {high:.4g} MPa, R² {line.r_squared:.6f}"
    found = strengths.slope_mpa(test, method, _CLAUSES[recipe.slope], tuple(flags))
    results[Symbol.SLOPE] = found
    results[Symbol.MODULUS] = strengths.true_slope(found, test, recipe.compliance_uncertainty_mm_per_n)


def _of_metals(results: Results, test: Fitted, why_not: str | None) -> dict[Symbol, Crossing]:
    """What ISO 6892-1 defines for metals only; returns where the record crosses the lines of the proof strengths."""
    if why_not is not None:
        _withhold(results, _OF_METALS, why_not)
        return {}
    proofs, crossings = strengths.proof_strengths(test)
    results |= proofs | strengths.yield_strengths(test)
    results[Symbol.RT05], reached = strengths.total_strength(test)
    if reached is not None:
        crossings[Symbol.RT05] = reached
    results[Symbol.AE] = elongations.yield_point(test)
    strength = Symbol.RP02 if test.yielding is None else Symbol.REH
    results[Symbol.RESILIENCE] = energies.resilience(test, results[strength])
    return crossings


def _by_hand(results: Results, specimen: Specimen, equipment: Equipment) -> None:
    """A from lengths measured after fracture stands before that of the curve; a contradiction is flagged."""
    measured, seen = elongations.by_hand(specimen, equipment), results[Symbol.A]
    if measured is None:
        return
    if isinstance(seen, Value):
        limit = math.hypot(measured.expanded_uncertainty, seen.expanded_uncertainty)
        if abs(measured.value - seen.value) > limit:
            measured = replace(measured, flags=(*measured.flags, Flag.DISAGREES))
    results[Symbol.A] = measured


def _withhold(results: Results, symbols: tuple[Symbol, ...], reason: str) -> None:
    for symbol in symbols:
        results.setdefault(symbol, Withheld(symbol, reason))


def _evaluation(
    results: Results,
    recipe: Recipe,
    equipment: Equipment,
    *,
    test: Fitted | None = None,
    quality: Quality | None = None,
    marks: Marks | None = None,
    true_curve: TrueCurve | None = None,
) -> Evaluation:
    return Evaluation(
        evaluator_version=EVALUATOR_VERSION,
        recipe=recipe.described(),
        results={symbol: results[symbol] for symbol in Symbol},
        line=None if test is None else test.line,
        quality=quality,
        is_metal=None if test is None else test.is_metal,
        is_discontinuous=None if test is None else test.yielding is not None,
        marks=marks,
        true_curve=true_curve,
        assumptions=equipment.assumptions(),
    )
