"""Values are shown by the rule of a standard, and the rule is named."""

import pytest

from meva_pipelines.domain.tensile.evaluation.rounding import Rounding, Shown, shown
from meva_pipelines.domain.tensile.evaluation.values import Symbol, Value


def found(symbol: Symbol, number: float, unit: str) -> Value:
    return Value(symbol, number, unit, "method", "clause", 0.0, ())


@pytest.mark.parametrize(
    ("symbol", "number", "unit", "rule", "expected"),
    [
        (Symbol.RM, 1187.9389, "MPa", Rounding.ISO_6892, Shown("1188", "MPa", "1 MPa (ISO 6892-1)")),
        (Symbol.RM, 1187.9389, "MPa", Rounding.ASTM_E8, Shown("1190", "MPa", "10 MPa (ASTM E8)")),
        (Symbol.RP02, 742.4, "MPa", Rounding.ASTM_E8, Shown("740", "MPa", "5 MPa (ASTM E8)")),
        (Symbol.REH, 312.4, "MPa", Rounding.ASTM_E8, Shown("312", "MPa", "1 MPa (ASTM E8)")),
        (Symbol.A, 14.602, "%", Rounding.ISO_6892, Shown("14.5", "%", "0.5 % (ISO 6892-1)")),
        (Symbol.AE, 1.9731, "%", Rounding.ISO_6892, Shown("2.0", "%", "0.1 % (ISO 6892-1)")),
        (Symbol.Z, 55.4177, "%", Rounding.ASTM_E8, Shown("55", "%", "1 % (ISO 6892-1)")),
        (Symbol.MODULUS, 201875.59, "MPa", Rounding.ISO_6892, Shown("202", "GPa", "3 significant digits")),
        (Symbol.SLOPE, 1127.1154, "MPa", Rounding.ISO_6892, Shown("1.13", "GPa", "3 significant digits")),
        (Symbol.N, 0.060368, "1", Rounding.ISO_6892, Shown("0.0604", "1", "3 significant digits")),
        (Symbol.K, 1504.05, "MPa", Rounding.ISO_6892, Shown("1500", "MPa", "3 significant digits")),
        (Symbol.N, 0.0, "1", Rounding.ISO_6892, Shown("0.00", "1", "3 significant digits")),
    ],
)
def test_a_value_is_shown_by_the_rule(
    symbol: Symbol, number: float, unit: str, rule: Rounding, expected: Shown
) -> None:
    assert shown(found(symbol, number, unit), rule) == expected
