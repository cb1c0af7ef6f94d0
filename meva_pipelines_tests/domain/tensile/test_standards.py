"""A standard value counts when two publishers agree on it, and comes from the best of those that do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.tensile import standards
from meva_pipelines.domain.tensile.standards import Approved, Grade, Statement

E, YIELD = "young_modulus_gpa", "yield_strength_mpa"


def says(source: str, grade: str = "C", publisher: str = "", **values: float) -> Statement:
    return Statement(source, publisher or source, Grade(grade), values)


def test_one_source_alone_approves_nothing() -> None:
    assert standards.approved([says("ASTM", "A", yield_strength_mpa=250)]) == {}


def test_two_documents_of_one_publisher_are_one_voice() -> None:
    both = [
        says("sheet 1", publisher="Acme", yield_strength_mpa=250),
        says("sheet 2", publisher="ACME", yield_strength_mpa=250),
    ]
    assert standards.approved(both) == {}


@pytest.mark.parametrize(
    ("name", "limit_pct"), [(E, 5), (YIELD, 3), ("tensile_strength_mpa", 3), ("elongation_pct", 5)]
)
def test_agreement_reaches_as_far_as_the_tolerance_of_a_test(name: str, limit_pct: int) -> None:
    assert standards.agrees(name, 100.0, 100.0 - limit_pct)
    assert not standards.agrees(name, 100.0, 100.0 - limit_pct - 0.01)


def test_the_best_grade_of_those_that_agree_gives_the_value() -> None:
    found = standards.approved(
        [
            says("vendor", "D", yield_strength_mpa=248, young_modulus_gpa=210),
            says("EN 10025", "A", yield_strength_mpa=250),
            says("paper", "C", yield_strength_mpa=300, young_modulus_gpa=207),
        ]
    )
    assert found == {YIELD: Approved(250, "EN 10025"), E: Approved(207, "paper")}


def test_a_lone_standard_of_grade_a_does_not_overrule_two_that_agree() -> None:
    found = standards.approved(
        [
            says("A", "A", yield_strength_mpa=300),
            says("B", "B", yield_strength_mpa=250),
            says("C", "C", yield_strength_mpa=251),
        ]
    )
    assert found == {YIELD: Approved(250, "B")}


_STATEMENTS = st.lists(
    st.builds(
        lambda source, grade, value: says(source, grade, yield_strength_mpa=value),
        st.sampled_from(["P", "Q", "R", "S"]),
        st.sampled_from("ABCD"),
        st.floats(200, 300),
    ),
    max_size=5,
    unique_by=lambda each: each.source,
)


@given(_STATEMENTS, st.randoms(use_true_random=False))
def test_the_order_of_sources_decides_nothing(statements: list[Statement], random: object) -> None:
    shuffled = list(statements)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # Hypothesis gives a Random
    assert standards.approved(statements) == standards.approved(shuffled)


@given(_STATEMENTS)
def test_an_approved_value_has_a_second_voice(statements: list[Statement]) -> None:
    for name, chosen in standards.approved(statements).items():
        near = [
            each
            for each in statements
            if each.source != chosen.source and standards.agrees(name, each.values[name], chosen.value)
        ]
        assert near
