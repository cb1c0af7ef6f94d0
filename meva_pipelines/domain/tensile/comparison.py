"""Measured properties beside standard values: the difference in percent, the verdict, or why there can be none.

A comparison is fair only between like and like: the same material in the same condition at the same temperature, a
value that the record supports, and a standard value that two sources agree on. Everything else is *not comparable*,
which is neither passed nor failed.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from meva_pipelines.domain.tensile.evaluation.values import Symbol, Value, Withheld

REFERENCE_TEMPERATURE_C: Final = 25.0
ROOM_TEMPERATURE_C: Final = (10.0, 35.0)
"""What ISO 6892-1 calls room temperature; a test that states no temperature was made at it."""

_SAME_TEMPERATURE_C: Final = 3.0
"""Permitted deviation of the indicated temperature up to 600 °C in ISO 6892-2."""


class Property(StrEnum):
    """What has a standard value, named as its column."""

    YOUNG_MODULUS = "young_modulus_gpa"
    YIELD_STRENGTH = "yield_strength_mpa"
    TENSILE_STRENGTH = "tensile_strength_mpa"
    ELONGATION = "elongation_pct"


TOLERANCE_PCT: Final[Mapping[Property, float]] = {
    Property.YOUNG_MODULUS: 5.0,
    Property.YIELD_STRENGTH: 3.0,
    Property.TENSILE_STRENGTH: 3.0,
    Property.ELONGATION: 5.0,
}
"""Largest difference from the standard value in percent (MEVA design: E ±5, yield ±3, tensile ±3, elongation ±5)."""

LARGEST_DIFFERENCE_PCT: Final = 100.0
"""Beyond this the two are not the same thing: another material, condition or unit (compare_to_std within ±100 %)."""

_MEASURED: Final[Mapping[Property, tuple[Symbol, ...]]] = {
    Property.YOUNG_MODULUS: (Symbol.MODULUS,),
    Property.YIELD_STRENGTH: (Symbol.REH, Symbol.RP02),
    Property.TENSILE_STRENGTH: (Symbol.RM,),
    Property.ELONGATION: (Symbol.A,),
}
"""The first of these that was determined is compared: a material that yields has ReH, any other Rp0.2."""

_UNIT_FACTORS: Final[Mapping[tuple[str, str], float]] = {("MPa", "gpa"): 1e-3}


class Outcome(StrEnum):
    """What a comparison ends in."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True, slots=True)
class Standard:
    """The approved standard values of a material in one condition at one temperature; a property may be missing."""

    material: str
    condition: str | None
    temperature_c: float
    source: str
    values: Mapping[Property, float]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is compared: the material as the test states it, and the evaluated properties."""

    material: str | None
    condition: str | None
    temperature_c: float | None
    results: Mapping[Symbol, Value | Withheld]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One property beside its standard value.

    `difference_pct` = (measured - standard) / standard · 100. `is_certain` tells whether the expanded uncertainty
    lies wholly on one side of the tolerance. `reason` says why there is no verdict, or what a failed one means.
    """

    property: Property
    outcome: Outcome
    reason: str
    symbol: Symbol | None = None
    measured: float | None = None
    standard: float | None = None
    difference_pct: float | None = None
    uncertainty_pct: float | None = None
    is_certain: bool | None = None
    source: str | None = None


def match(subject: Subject, standards: Iterable[Standard]) -> Standard | str:
    """Return the standard values that a test can be compared with, or the reason why there are none.

    Names are compared without regard to case, width, spaces, dashes and underscores.
    """
    if subject.material is None:
        return "neither file nor sidecar states the material"
    of_material = [standard for standard in standards if same_name(standard.material, subject.material)]
    if not of_material:
        return f"no approved standard value of {subject.material}"
    of_condition = [standard for standard in of_material if same_name(standard.condition, subject.condition)]
    if not of_condition:
        known = ", ".join(sorted({standard.condition or "none stated" for standard in of_material}))
        return f"condition {subject.condition or 'not stated'}; standard values are for: {known}"
    temperature = _temperature(subject.temperature_c)
    nearest = min(of_condition, key=lambda standard: abs(standard.temperature_c - temperature))
    if abs(nearest.temperature_c - temperature) > _SAME_TEMPERATURE_C:
        return f"tested at {temperature:g} °C; standard values are for {nearest.temperature_c:g} °C"
    return nearest


def compare(subject: Subject, standards: Iterable[Standard]) -> tuple[Comparison, ...]:
    """Compare every property that has a standard value; the result has one entry for each of `Property`."""
    found = match(subject, standards)
    if isinstance(found, str):
        return tuple(Comparison(item, Outcome.NOT_COMPARABLE, found) for item in Property)
    return tuple(_compared(item, subject, found) for item in Property)


def same_name(one: str | None, other: str | None) -> bool:
    """Tell whether two names of a material or condition mean the same; None is equal to None only."""
    return name_key(one) == name_key(other)


def _compared(item: Property, subject: Subject, standard: Standard) -> Comparison:
    expected = standard.values.get(item)
    if expected is None:
        return Comparison(item, Outcome.NOT_COMPARABLE, f"{standard.source} gives no value", source=standard.source)
    results = [subject.results[symbol] for symbol in _MEASURED[item] if symbol in subject.results]
    value = next((result for result in results if isinstance(result, Value)), None)
    if value is None:
        reasons = {result.symbol: result.reason for result in results if isinstance(result, Withheld)}
        last = list(reasons.items())[-1:]
        reason = "; ".join(f"{symbol} is withheld: {why}" for symbol, why in last) or "not evaluated"
        return Comparison(item, Outcome.NOT_COMPARABLE, reason, standard=expected, source=standard.source)
    return _judged(item, value, expected, standard.source)


def _judged(item: Property, value: Value, expected: float, source: str) -> Comparison:
    factor = _UNIT_FACTORS.get((value.unit, item.value.rpartition("_")[2]), 1.0)
    measured, uncertainty = value.value * factor, value.expanded_uncertainty * factor
    difference, spread = 100 * (measured - expected) / expected, 100 * uncertainty / expected
    if abs(difference) > LARGEST_DIFFERENCE_PCT:
        reason = (
            f"{value.symbol} = {measured:.4g} is {difference:+.0f} % off {expected:.4g} of {source}: not the same thing"
        )
        return Comparison(item, Outcome.NOT_COMPARABLE, reason, value.symbol, measured, expected, source=source)
    limit = TOLERANCE_PCT[item]
    is_within = abs(difference) <= limit
    is_certain = abs(abs(difference) - limit) >= spread
    direction = "above" if difference > 0 else "below"
    reason = (
        f"{value.symbol} = {measured:.4g} is {abs(difference):.1f} % {direction} {expected:.4g} of {source}; "
        f"±{limit:g} % is allowed"
    )
    if not is_certain:
        reason += f", and its uncertainty of ±{spread:.1f} % reaches across that limit"
    return Comparison(
        item,
        Outcome.PASSED if is_within else Outcome.FAILED,
        reason,
        symbol=value.symbol,
        measured=measured,
        standard=expected,
        difference_pct=difference,
        uncertainty_pct=spread,
        is_certain=is_certain,
        source=source,
    )


def _temperature(stated_c: float | None) -> float:
    """Room temperature counts as the reference temperature."""
    low, high = ROOM_TEMPERATURE_C
    return REFERENCE_TEMPERATURE_C if stated_c is None or low <= stated_c <= high else stated_c


def name_key(name: str | None) -> str | None:
    """Return what two spellings of a name have in common: case, width, spaces, dashes and underscores do not count."""
    if name is None:
        return None
    return re.sub(r"[\s_\-‐-―]+", "", unicodedata.normalize("NFKC", name)).casefold() or None
