"""What cannot be true of an evaluated test, whatever the material. A result that breaks a rule is not published.

Each rule gives the uncertainty of both sides the benefit of the doubt.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from meva_pipelines.domain.tensile.evaluation.values import Evaluation, Flag, Symbol, Value, Withheld

_GPA: Final = 1_000.0
MODULUS_GPA: Final = (1e-4, 1_100.0)
"""Rubber to diamond: what lies outside has a wrong unit of force, area or strain."""

_RATIO_SYMBOLS: Final = (Symbol.Z,)


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A rule that an evaluation breaks, and the values that break it."""

    rule: str
    reason: str


def contradictions(evaluation: Evaluation) -> tuple[Contradiction, ...]:
    """Return every rule that an evaluation breaks; withheld values break none."""
    return tuple(_broken(evaluation.results, is_discontinuous=bool(evaluation.is_discontinuous)))


def _broken(results: Mapping[Symbol, Value | Withheld], *, is_discontinuous: bool) -> Iterator[Contradiction]:
    pairs = [
        ("plastic_extension_is_less_than_total", Symbol.AG, Symbol.AGT),
        ("extension_at_maximum_is_less_than_at_fracture", Symbol.AGT, Symbol.AT),
        ("uniform_elongation_is_less_than_elongation", Symbol.AG, Symbol.A),
        ("lower_yield_is_less_than_upper", Symbol.REL, Symbol.REH),
    ]
    if not is_discontinuous:  # past a yield drop the force falls, and with it the proof strengths
        pairs += [
            ("proof_strengths_are_in_order", Symbol.RP01, Symbol.RP02),
            ("proof_strengths_are_in_order", Symbol.RP02, Symbol.RP10),
            ("proof_strength_is_less_than_tensile", Symbol.RP02, Symbol.RM),
        ]
    for rule, smaller, greater in pairs:
        if reason := _out_of_order(results.get(smaller), results.get(greater)):
            yield Contradiction(rule, reason)
    modulus = results.get(Symbol.MODULUS)
    if isinstance(modulus, Value):
        low, high = MODULUS_GPA
        if not low <= modulus.value / _GPA <= high:
            yield Contradiction("modulus_is_that_of_a_solid", f"E = {modulus.value / _GPA:.4g} GPa")
    for symbol in _RATIO_SYMBOLS:
        share = results.get(symbol)
        if isinstance(share, Value) and not 0 <= share.value <= 100:
            yield Contradiction("contraction_is_a_share", f"{symbol} = {share.value:.4g} %")
    for symbol, result in results.items():
        if isinstance(result, Value) and not (
            math.isfinite(result.value) and math.isfinite(result.expanded_uncertainty)
        ):
            yield Contradiction("values_are_numbers", f"{symbol} is {result.value}")


def _out_of_order(smaller: Value | Withheld | None, greater: Value | Withheld | None) -> str | None:
    if not isinstance(smaller, Value) or not isinstance(greater, Value):
        return None
    doubt = math.hypot(smaller.expanded_uncertainty, greater.expanded_uncertainty)
    is_on_plateau = Flag.PLATEAU in smaller.flags or Flag.PLATEAU in greater.flags
    if is_on_plateau or smaller.value <= greater.value + doubt:
        return None
    return (
        f"{smaller.symbol} = {smaller.value:.4g} {smaller.unit} > {greater.symbol} = {greater.value:.4g} {greater.unit}"
    )
