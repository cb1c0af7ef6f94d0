"""How values are shown: rounded by the rule of a standard, which is named beside them. Stored values stay unrounded."""

import math
from dataclasses import dataclass
from enum import StrEnum

from meva_pipelines.domain.tensile.evaluation.values import Symbol, Value


class Rounding(StrEnum):
    """The standard by whose rule a value is shown."""

    ISO_6892 = "ISO 6892-1"
    ASTM_E8 = "ASTM E8"


@dataclass(frozen=True, slots=True)
class Shown:
    """A rounded value as text with its unit, and the rule, e.g. `1 MPa (ISO 6892-1)`."""

    text: str
    unit: str
    rule: str


_STRENGTHS = frozenset(
    {Symbol.RP01, Symbol.RP02, Symbol.RP10, Symbol.RT05, Symbol.REH, Symbol.REL, Symbol.RM},
)
_ELONGATIONS = frozenset({Symbol.AG, Symbol.AGT, Symbol.A, Symbol.AT})
_ISO_STEPS = dict.fromkeys(_STRENGTHS, 1.0) | dict.fromkeys(_ELONGATIONS, 0.5) | {Symbol.AE: 0.1, Symbol.Z: 1.0}
_SIGNIFICANT = 3


def shown(value: Value, rule: Rounding) -> Shown:
    """A value by the rule of a standard; three significant digits for what the standard has no rule for.

    ISO 6892-1: strengths 1 MPa, yield-point extension 0.1 %, other elongations 0.5 %, Z 1 %. ASTM E8: strengths 1 MPa
    below 500 MPa, 5 MPa below 1000 MPa, 10 MPa above; the rest as ISO 6892-1.
    """
    step = _ISO_STEPS.get(value.symbol)
    named: str = Rounding.ISO_6892
    if rule is Rounding.ASTM_E8 and value.symbol in _STRENGTHS:
        step, named = _of_e8(value.value), Rounding.ASTM_E8
    if step is None:
        return _significant(value)
    digits = 0 if step >= 1.0 else 1
    return Shown(f"{round(value.value / step) * step:.{digits}f}", value.unit, f"{step:g} {value.unit} ({named})")


def _of_e8(strength_mpa: float) -> float:
    if strength_mpa < 500.0:
        return 1.0
    return 5.0 if strength_mpa < 1000.0 else 10.0


def _significant(value: Value) -> Shown:
    number, unit = value.value, value.unit
    if value.symbol in {Symbol.SLOPE, Symbol.MODULUS}:
        number, unit = number / 1000, "GPa"
    magnitude = math.floor(math.log10(abs(number))) if number else 0
    digits = max(_SIGNIFICANT - 1 - magnitude, 0)
    rounded = round(number, _SIGNIFICANT - 1 - magnitude)
    return Shown(f"{rounded:.{digits}f}", unit, f"{_SIGNIFICANT} significant digits")
