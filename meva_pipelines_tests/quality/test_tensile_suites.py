"""Every expectation is met by a clean batch and is the only critical one unmet where exactly its rule is broken.

Batches are staging tables in PostgreSQL; the judge is the real one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from meva_pipelines.domain.tensile.comparison import Comparison, Outcome, Property
from meva_pipelines.domain.tensile.recording import Reading
from meva_pipelines.domain.tensile.standards import Grade, Statement
from meva_pipelines.quality.expectations import Severity, Suite, Target
from meva_pipelines.quality.tensile_rules import TENSILE_RULES
from meva_pipelines.quality.tensile_suites import COMPARISONS, RESULTS, STANDARDS, TENSILE_SUITES
from meva_pipelines.quality.verdicts import Judge, Verdict
from meva_pipelines.resources import tensile_comparisons, tensile_results, tensile_staging, tensile_standards
from meva_pipelines.resources.ledger import Mode
from meva_pipelines.resources.tensile_registers import Machine, Registers, Standard
from meva_pipelines.schema.roles import STAGING_SCHEMA, Role
from meva_pipelines_tests.resources.tensile_desk import Desk, recording, shared_desk, upload

TESTS: dict[str, str] = {
    "name_is_given": "name = NULL",
    "content_sha256_is_given": "content_sha256 = NULL",
    "curve_sha256_is_given": "curve_sha256 = NULL",
    "content_sha256_occurs_once": "content_sha256 = 'twin'",
    "tests_have_two_points": "points = 1",
    "times_strictly_increase": "min_time_step_s = 0",
    "no_load_or_displacement_is_missing": "missing_values = 1",
    "displacement_has_a_source": "displacement_source = 'guessed'",
    **{
        f"{column}_is_positive": f"{column} = 0"
        for column in ("diameter_mm", "thickness_mm", "width_mm", "gauge_length_mm", "parallel_length_mm")
    },
    **{
        f"{column}_is_at_most_a_metre": f"{column} = 1000.1"
        for column in ("diameter_mm", "thickness_mm", "width_mm", "gauge_length_mm", "parallel_length_mm")
    },
    "areas_are_positive": "area_mm2 = 0",
    "temperatures_are_possible": "temperature_c = -50.1",
    "strains_are_possible": "strain_max = 20.1",
    "strains_do_not_shrink": "strain_min = -0.051",
    "strains_are_those_of_metals": "strain_max = 1.1",
    "stresses_are_possible": "stress_max_mpa = 10000.1",
    "loads_pull": "load_max_n = 0",
    "loads_rise_until_the_maximum": "largest_drop_ratio = 0.91",
    "loads_rarely_fall_before_the_maximum": "largest_drop_ratio = 0.31",
    "no_calibration_had_expired": "calibration_state = 'expired'",
    "calibrations_are_on_record": "calibration_state = 'unknown'",
}
EVALUATED: dict[str, str] = {
    "content_sha256_is_given": "content_sha256 = NULL",
    "results_is_given": "results = NULL",
    "moduli_are_those_of_solids": "young_modulus_gpa = 1100.1",
    "yield_strengths_are_positive": "yield_strength_mpa = 0",
    "tensile_strengths_are_positive": "tensile_strength_mpa = 0",
    "elongations_are_possible": "elongation_pct = -1.1",
    "no_result_contradicts_itself": "broken_rules = 'values_are_numbers'",
    "records_are_good_enough_for_a_slope": "quality_is_good = false",
}
COMPARED: dict[str, str] = {
    "sim_id_is_given": "sim_id = NULL",
    "reason_is_given": "reason = NULL",
    "outcomes_are_known": "outcome = 'perhaps'",
    "differences_are_comparable": "difference_pct = 100.1",
    "differences_are_moderate": "difference_pct = -25.1",
}
STATED: dict[str, str] = {
    "material_is_given": "material = NULL",
    "source_is_given": "source = NULL",
    "publisher_is_given": "publisher = NULL",
    "grades_are_known": "grade = 'E'",
    "moduli_are_those_of_solids": "young_modulus_gpa = 1100.1",
    "yield_strengths_are_possible": "yield_strength_mpa = -1",
    "tensile_strengths_are_possible": "tensile_strength_mpa = 10000.1",
    "elongations_are_possible": "elongation_pct = 2000.1",
    "densities_are_possible": "density_kg_m3 = 0.9",
    "yield_is_below_tensile_strength": "yield_strength_mpa = tensile_strength_mpa + 1",
}
STRICTER = {
    "strains_are_possible": {"strains_are_those_of_metals"},
    "loads_rise_until_the_maximum": {"loads_rarely_fall_before_the_maximum"},
    "no_calibration_had_expired": {"calibrations_are_on_record"},
    "differences_are_comparable": {"differences_are_moderate"},
}
"""Warnings that what breaks a critical expectation breaks as well."""

SUBJECTS: dict[str, tuple[tuple[Suite, ...], dict[str, str]]] = {
    "tests": (TENSILE_SUITES, TESTS),
    "results": ((RESULTS,), EVALUATED),
    "comparisons": ((COMPARISONS,), COMPARED),
    "standards": ((STANDARDS,), STATED),
}
CASES = [(subject, name) for subject, (_, breaks) in SUBJECTS.items() for name in breaks]
STRUCTURAL = {
    "there_is_a_test",  # a run without one is not judged
    "name_is_given",
    "content_sha256_is_given",
    "curve_sha256_is_given",
    "content_sha256_occurs_once",
    "displacement_has_a_source",
}
"""What only the staging itself can break: there is no test that one would put into quarantine for it."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Clean staged tables by subject, and copies of them to break."""

    desk: Desk
    tables: dict[str, str] = field(default_factory=dict)

    def broken(self, subject: str, *statements: str) -> str:
        """Copy the table of a subject, change the copy, and return its name."""
        with self.desk.postgres.connect(Role.WRITER, work="break a copy") as connection:
            copy, clean = (sql.Identifier(STAGING_SCHEMA, name) for name in ("broken", self.tables[subject]))
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(copy))
            connection.execute(sql.SQL("CREATE TABLE {} AS TABLE {}").format(copy, clean))
            for statement in statements:
                connection.execute(sql.SQL(statement).format(copy))
        return "broken"

    def judge(self, subject: str, table: str) -> list[Verdict]:
        """Ask the judge in this process."""
        suites: Sequence[Suite] = SUBJECTS[subject][0]
        url = self.desk.postgres.reading_url(Role.WRITER, schema=STAGING_SCHEMA)
        targets = {suite.target: table for suite in suites}
        return Judge(is_isolated=False).judge(suites, sqlalchemy_url=url, tables=targets)

    def unmet(self, subject: str, table: str) -> set[str]:
        """Names of the expectations that do not hold."""
        return {f.expectation for verdict in self.judge(subject, table) for f in verdict.findings if not f.is_met}


def stage_tests(desk: Desk) -> str:
    stated: dict[str, Any] = {
        "diameter_mm": 8.0,
        "thickness_mm": 2.0,
        "width_mm": 25.0,
        "parallel_length_mm": 30.0,
        "temperature_c": 23.0,
    }
    readings = [(upload(f"{n}.csv"), Reading((recording(f"T-{n}", stiffness=1 + n / 10, **stated),))) for n in range(3)]
    batch = desk.stage(*readings)
    with desk.postgres.connect(Role.WRITER, work="calibrate") as connection:
        connection.execute(sql.SQL("UPDATE {} SET calibration_state = 'valid'").format(batch.tests))
    return batch.name("tests")


def stage_results(desk: Desk) -> str:
    rows = tensile_results.staged(desk.open(Mode.FULL))
    with desk.postgres.connect(Role.WRITER, work="stage results") as connection:
        numbers = [205.0, 415.0, 655.0, 25.0]
        rows.stage(
            connection, [[n, f"T-{n}", 1, f"{n}", "1", "", *numbers, True, False, 0, "", {"n": n}] for n in range(3)]
        )
    return rows.name


def stage_comparisons(desk: Desk) -> str:
    rows = tensile_comparisons.staged(desk.open(Mode.FULL))
    said = [
        Comparison(Property.ELONGATION, Outcome.NOT_COMPARABLE, "A is withheld"),
        Comparison(Property.TENSILE_STRENGTH, Outcome.PASSED, "Rm is 1 % above", difference_pct=1.0),
    ]
    with desk.postgres.connect(Role.WRITER, work="stage comparisons") as connection:
        rows.stage(connection, (tensile_comparisons.values(1, each) for each in said))
    return rows.name


def stage_standards(desk: Desk) -> str:
    values = {
        "young_modulus_gpa": 205.0,
        "yield_strength_mpa": 415.0,
        "tensile_strength_mpa": 655.0,
        "elongation_pct": 25.0,
        "poisson_ratio": 0.29,
        "density_kg_m3": 7850.0,
    }
    stated = tuple(
        Standard("Steel", None, 25.0, Statement(source, source, Grade.STANDARD, values)) for source in ("ISO", "DIN")
    )
    machine = Machine("Z100", None, None, date(2026, 1, 1), date(2027, 1, 1), "1", None)
    batch = tensile_standards.Batch(desk.open(Mode.FULL))
    with desk.postgres.connect(Role.WRITER, work="stage registers") as connection:
        tensile_standards.stage(connection, batch, Registers((machine,), stated))
    return batch.name("standards")


@pytest.fixture(scope="module")
def bench(server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    home: Path = tmp_path_factory.mktemp("home")
    with shared_desk(server_url, template, home) as desk:
        yield Bench(
            desk,
            {
                "tests": stage_tests(desk),
                "results": stage_results(desk),
                "comparisons": stage_comparisons(desk),
                "standards": stage_standards(desk),
            },
        )


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_clean_batch_meets_every_expectation(bench: Bench, subject: str) -> None:
    suites, _ = SUBJECTS[subject]
    verdicts = bench.judge(subject, bench.tables[subject])
    assert [len(verdict.findings) for verdict in verdicts] == [len(suite.expectations) for suite in suites]
    assert bench.unmet(subject, bench.tables[subject]) == set()


@pytest.mark.parametrize(("subject", "name"), CASES)
def test_a_batch_that_breaks_one_rule_leaves_that_expectation_unmet(bench: Bench, subject: str, name: str) -> None:
    suites, breaks = SUBJECTS[subject]
    verdicts = bench.judge(subject, bench.broken(subject, "UPDATE {} SET " + breaks[name]))
    unmet = {f.expectation for verdict in verdicts for f in verdict.findings if not f.is_met}
    assert unmet == {name} | STRICTER.get(name, set())
    severity = next(e.severity for suite in suites for e in suite.expectations if e.name == name)
    assert all(verdict.is_passed for verdict in verdicts) is (severity is Severity.WARNING)


@pytest.mark.parametrize(
    ("subject", "name"),
    [("tests", "there_is_a_test"), ("results", "there_is_a_result"), ("standards", "there_is_a_standard_value")],
)
def test_an_empty_table_never_passes(bench: Bench, subject: str, name: str) -> None:
    assert name in bench.unmet(subject, bench.broken(subject, "DELETE FROM {}"))


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_expectation_but_the_empty_table_has_its_breaking_batch(subject: str) -> None:
    suites, breaks = SUBJECTS[subject]
    names = {expectation.name for suite in suites for expectation in suite.expectations}
    assert set(breaks) == {name for name in names if not name.startswith("there_is_a_")}


@pytest.mark.parametrize(
    "name",
    [
        expectation.name
        for suite in TENSILE_SUITES
        for expectation in suite.expectations
        if expectation.severity is Severity.CRITICAL and expectation.name not in STRUCTURAL
    ],
)
def test_a_test_that_would_stop_the_batch_is_taken_out_by_a_row_rule(desk: Desk, name: str) -> None:
    """One bad test must not hold back a day of good ones."""
    stated: dict[str, Any] = {"thickness_mm": 2.0, "width_mm": 25.0, "diameter_mm": 8.0, "parallel_length_mm": 30.0}
    pair = [(upload(f"{n}.csv"), Reading((recording(f"T-{n}", stiffness=1 + n, **stated),))) for n in range(2)]
    batch = desk.stage(*pair)
    with desk.postgres.connect(Role.WRITER, work="break a test") as connection:
        connection.execute(sql.SQL("UPDATE {} SET " + TESTS[name] + " WHERE name = 'T-0'").format(batch.tests))
        assert tensile_staging.triage(connection, batch, TENSILE_RULES) == 1
        left = connection.execute(sql.SQL("SELECT name FROM {}").format(batch.tests)).fetchall()
    assert left == [("T-1",)]
    url = desk.postgres.reading_url(Role.WRITER, schema=STAGING_SCHEMA)
    said = Judge(is_isolated=False).judge(
        TENSILE_SUITES, sqlalchemy_url=url, tables={Target.TESTS: batch.name("tests")}
    )
    assert all(verdict.is_passed for verdict in said)


@pytest.fixture
def desk(bench: Bench) -> Desk:
    return bench.desk


def test_every_row_rule_says_what_to_do_or_what_is_allowed() -> None:
    assert all(rule.reason and rule.name for rule in TENSILE_RULES)
    assert len({(rule.name, rule.field) for rule in TENSILE_RULES}) == len(TENSILE_RULES)


def test_values_at_the_limit_pass(bench: Bench) -> None:
    limits = "temperature_c = 1000, strain_min = -0.05, largest_drop_ratio = 0.3, points = 2, stress_max_mpa = 10000"
    assert bench.unmet("tests", bench.broken("tests", f"UPDATE {{}} SET {limits}")) == set()
    assert bench.unmet("results", bench.broken("results", "UPDATE {} SET elongation_pct = -1")) == set()
    assert bench.unmet("standards", bench.broken("standards", "UPDATE {} SET yield_strength_mpa = 655")) == set()


def test_what_is_withheld_breaks_nothing(bench: Bench) -> None:
    nothing = (
        "UPDATE {} SET young_modulus_gpa = NULL, yield_strength_mpa = NULL, tensile_strength_mpa = NULL,"
        " elongation_pct = NULL, quality_is_good = NULL"
    )
    assert bench.unmet("results", bench.broken("results", nothing)) == set()
