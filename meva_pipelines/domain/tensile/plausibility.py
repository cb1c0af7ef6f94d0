"""What cannot be true of an evaluated test, whatever the material. A result that breaks a rule is not published.

A rule of order gives the uncertainty of both sides the benefit of the doubt.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from meva_pipelines.domain.tensile.evaluation.values import Evaluation, Flag, Symbol, Value, Withheld

_GPA: Final = 1_000.0
MODULUS_GPA: Final = (1e-4, 1_100.0)
"""Rubber to diamond: what lies outside has a wrong unit of force, area or strain."""

ELONGATION_PCT: Final = (-1.0, 2_000.0)
"""Noise may put A of what breaks without flowing a little below zero; films are drawn to twenty times their length."""

_ALONE: Final = (
    ("modulus_is_that_of_a_solid", (Symbol.MODULUS,), (_GPA * MODULUS_GPA[0], _GPA * MODULUS_GPA[1])),
    (
        "strengths_are_positive",
        (Symbol.RP01, Symbol.RP02, Symbol.RP10, Symbol.RT05, Symbol.REH, Symbol.REL, Symbol.RM),
        (math.ulp(0.0), math.inf),
    ),
    ("elongation_is_possible", (Symbol.A,), ELONGATION_PCT),
    ("contraction_is_a_share", (Symbol.Z,), (0.0, 100.0)),
)
"""Rules that one value breaks by itself: smallest and largest in its unit."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A rule that an evaluation breaks, and the values that break it."""

    rule: str
    reason: str


def contradictions(evaluation: Evaluation) -> tuple[Contradiction, ...]:
    """Return every rule that an evaluation breaks; withheld values break none."""
    return (
        *_out_of_order(evaluation.results, is_discontinuous=bool(evaluation.is_discontinuous)),
        *_impossible(evaluation.results),
    )


def _out_of_order(results: Mapping[Symbol, Value | Withheld], *, is_discontinuous: bool) -> Iterator[Contradiction]:
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
        if reason := _reversed(results.get(smaller), results.get(greater)):
            yield Contradiction(rule, reason)


def _impossible(results: Mapping[Symbol, Value | Withheld]) -> Iterator[Contradiction]:
    for rule, symbols, (least, greatest) in _ALONE:
        for result in map(results.get, symbols):
            if isinstance(result, Value) and not least <= result.value <= greatest:
                yield Contradiction(rule, f"{result.symbol} = {result.value:.4g} {result.unit}")
    for symbol, result in results.items():
        if isinstance(result, Value) and not (
            math.isfinite(result.value) and math.isfinite(result.expanded_uncertainty)
        ):
            yield Contradiction("values_are_numbers", f"{symbol} is {result.value}")


def _reversed(smaller: Value | Withheld | None, greater: Value | Withheld | None) -> str | None:
    if not isinstance(smaller, Value) or not isinstance(greater, Value):
        return None
    doubt = math.hypot(smaller.expanded_uncertainty, greater.expanded_uncertainty)
    is_on_plateau = Flag.PLATEAU in smaller.flags or Flag.PLATEAU in greater.flags
    if is_on_plateau or smaller.value <= greater.value + doubt:
        return None
    return (
        f"{smaller.symbol} = {smaller.value:.4g} {smaller.unit} > {greater.symbol} = {greater.value:.4g} {greater.unit}"
    )
