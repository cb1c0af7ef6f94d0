"""Like is compared with like, and everything else is said to be not comparable."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.tensile import comparison
from meva_pipelines.domain.tensile.comparison import Comparison, Outcome, Property, Standard, Subject
from meva_pipelines.domain.tensile.evaluation.values import Symbol, Value, Withheld

STEEL = Standard(
    "Steel_AISI4140",
    None,
    25.0,
    "two handbooks",
    {
        Property.YOUNG_MODULUS: 205.0,
        Property.YIELD_STRENGTH: 415.0,
        Property.TENSILE_STRENGTH: 655.0,
    },
)


def value(symbol: Symbol, number: float, unit: str = "MPa", uncertainty: float = 0.0) -> Value:
    return Value(symbol, number, unit, "", "", uncertainty, ())


def subject(
    results: Mapping[Symbol, Value | Withheld] | None = None,
    *,
    material: str | None = "Steel AISI-4140",
    condition: str | None = None,
    temperature_c: float | None = None,
) -> Subject:
    return Subject(material, condition, temperature_c, results or {Symbol.RM: value(Symbol.RM, 655.0)})


def compared(item: Property, test: Subject, *standards: Standard) -> Comparison:
    return next(c for c in comparison.compare(test, standards or [STEEL]) if c.property is item)


@pytest.mark.parametrize(
    ("item", "symbol", "limit_pct"),
    [
        (Property.YOUNG_MODULUS, Symbol.MODULUS, 5.0),
        (Property.YIELD_STRENGTH, Symbol.RP02, 3.0),
        (Property.TENSILE_STRENGTH, Symbol.RM, 3.0),
    ],
)
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_tolerance_holds_on_both_sides(item: Property, symbol: Symbol, limit_pct: float, sign: int) -> None:
    unit = "GPa" if item is Property.YOUNG_MODULUS else "MPa"
    for share, outcome in ((0.999, Outcome.PASSED), (1.001, Outcome.FAILED)):
        number = STEEL.values[item] * (1 + sign * share * limit_pct / 100)
        found = compared(item, subject({symbol: value(symbol, number, unit)}))
        assert found.outcome is outcome
        assert found.difference_pct == pytest.approx(sign * share * limit_pct, rel=1e-9)


def test_a_quenched_steel_is_not_failed_by_the_annealed_values() -> None:
    """Rp0.2 of 1,100 MPa against 415 MPa would be 160 % off: the condition differs."""
    found = compared(Property.YIELD_STRENGTH, subject(condition="quenched and tempered"))
    assert found.outcome is Outcome.NOT_COMPARABLE
    assert found.reason == "condition quenched and tempered; standard values are for: none stated"


def test_a_modulus_in_mpa_is_compared_in_gpa() -> None:
    found = compared(
        Property.YOUNG_MODULUS, subject({Symbol.MODULUS: value(Symbol.MODULUS, 205_000.0, "MPa", 2_050.0)})
    )
    assert found.measured == pytest.approx(205.0)
    assert found.uncertainty_pct == pytest.approx(1.0)


def test_a_yield_point_is_compared_before_a_proof_strength() -> None:
    results = {Symbol.REH: value(Symbol.REH, 416.0), Symbol.RP02: value(Symbol.RP02, 300.0)}
    assert compared(Property.YIELD_STRENGTH, subject(results)).symbol is Symbol.REH


def test_what_is_withheld_is_not_comparable_for_the_same_reason() -> None:
    results: dict[Symbol, Value | Withheld] = {
        Symbol.MODULUS: Withheld(Symbol.MODULUS, "strain from the crosshead holds the frame's compliance")
    }
    found = compared(Property.YOUNG_MODULUS, subject(results))
    assert found.outcome is Outcome.NOT_COMPARABLE
    assert found.reason == "E is withheld: strain from the crosshead holds the frame's compliance"


def test_a_verdict_within_its_uncertainty_says_so() -> None:
    found = compared(Property.TENSILE_STRENGTH, subject({Symbol.RM: value(Symbol.RM, 655 * 1.04, uncertainty=10.0)}))
    assert found.outcome is Outcome.FAILED
    assert found.is_certain is False
    assert found.reason == (
        "Rm = 681.2 is 4.0 % above 655 of two handbooks; ±3 % is allowed, and its uncertainty of ±1.5 % reaches "
        "across that limit"
    )


def test_twice_the_standard_value_is_not_the_same_thing() -> None:
    found = compared(Property.YIELD_STRENGTH, subject({Symbol.RP02: value(Symbol.RP02, 1_100.0)}))
    assert found.outcome is Outcome.NOT_COMPARABLE
    assert found.reason == "Rp0.2 = 1100 is +165 % off 415 of two handbooks: not the same thing"


def test_a_property_without_a_standard_value_is_not_comparable() -> None:
    found = compared(Property.ELONGATION, subject({Symbol.A: value(Symbol.A, 20.0, "%")}))
    assert found.outcome is Outcome.NOT_COMPARABLE
    assert found.reason == "two handbooks gives no value"


@pytest.mark.parametrize("stated_c", [None, 10.0, 20.0, 35.0])
def test_room_temperature_is_the_reference_temperature(stated_c: float | None) -> None:
    assert compared(Property.TENSILE_STRENGTH, subject(temperature_c=stated_c)).outcome is Outcome.PASSED


def test_a_hot_test_is_not_compared_with_cold_values() -> None:
    found = compared(Property.TENSILE_STRENGTH, subject(temperature_c=400.0))
    assert found.reason == "tested at 400 °C; standard values are for 25 °C"


def test_a_hot_test_is_compared_with_hot_values() -> None:
    hot = Standard(STEEL.material, None, 400.0, "hot handbook", {Property.TENSILE_STRENGTH: 500.0})
    test = subject({Symbol.RM: value(Symbol.RM, 505.0)}, temperature_c=402.0)
    assert compared(Property.TENSILE_STRENGTH, test, STEEL, hot).source == "hot handbook"


def test_no_material_is_no_comparison() -> None:
    assert compared(Property.TENSILE_STRENGTH, subject(material=None)).outcome is Outcome.NOT_COMPARABLE
    assert "no approved standard value" in compared(Property.TENSILE_STRENGTH, subject(material="알루미늄")).reason


@pytest.mark.parametrize("written", ["STEEL_AISI4140", "steel aisi 4140", "Ｓteel–AISI4140"])
def test_names_are_compared_without_their_spelling(written: str) -> None:
    assert comparison.same_name("Steel_AISI4140", written)


def test_no_name_is_no_wildcard() -> None:
    assert comparison.same_name(None, None)
    assert not comparison.same_name(None, "annealed")


@given(
    st.floats(1e-3, 1e6),
    st.floats(1e-3, 1e6),
    st.floats(0, 1e5),
)
def test_a_verdict_is_that_of_the_difference(measured: float, standard: float, uncertainty: float) -> None:
    entry = Standard("m", None, 25.0, "s", {Property.TENSILE_STRENGTH: standard})
    test = subject({Symbol.RM: value(Symbol.RM, measured, uncertainty=uncertainty)}, material="m")
    found = compared(Property.TENSILE_STRENGTH, test, entry)
    is_within = abs(measured - standard) <= 0.03 * standard * (1 + 1e-12)
    if abs(measured / standard - 1) > 1:
        assert found.outcome is Outcome.NOT_COMPARABLE
        return
    assert (found.outcome is Outcome.PASSED) == is_within or abs(abs(measured / standard - 1) - 0.03) < 1e-12
