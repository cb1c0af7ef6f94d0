"""The judge sees what is there, tells figures and never values, and says the same in a process of its own."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from meva_pipelines.domain.failures import Rejected, Unavailable
from meva_pipelines.quality.aed_suites import AED_SUITES, AED_TARGETS
from meva_pipelines.quality.expectations import Expectation, Severity, Suite, Target
from meva_pipelines.quality.verdicts import Errored, Finding, Judge, Verdict
from meva_pipelines.schema.roles import STAGING_SCHEMA, Role
from meva_pipelines_tests.resources.registry_desk import Desk, item, shared_desk

CANARY = "010-9876-5432"


@pytest.fixture(scope="module")
def desk(server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with shared_desk(server_url, template, str(tmp_path_factory.mktemp("home"))) as shared:
        yield shared


@pytest.fixture(scope="module")
def tables(desk: Desk) -> dict[Target, str]:
    """A batch in which a telephone stands in every text of every row, and many expectations are unmet."""
    staged = desk.stage([item(n, remarks=CANARY, institution_contact=CANARY, manager=CANARY) for n in range(20, 40)])
    desk.measure(staged)
    name = staged.batch.name("records")
    columns = (
        "installation_institution",
        "sido",
        "gugun",
        "region_status",
        "model_name",
        "equipment_serial",
        "source_id",
    )
    for column in columns:
        desk.change(f"UPDATE staging.{name} SET {column} = %s", CANARY * 25)
    desk.change(f"UPDATE staging.{name} SET latitude = 3.1234567, longitude = 310.9876543")
    desk.change(f"UPDATE staging.{staged.batch.name('profile')} SET guarded_change_pct = -55.5")
    return {target: staged.batch.name(target) for target in AED_TARGETS}


def url(desk: Desk, role: Role = Role.WRITER) -> str:
    return desk.postgres.reading_url(role, schema=STAGING_SCHEMA)


def ask(desk: Desk, tables: dict[Target, str], judge: Judge, suites: tuple[Suite, ...] = AED_SUITES) -> list[Verdict]:
    return judge.judge(suites, sqlalchemy_url=url(desk), tables=tables)


def test_the_isolated_judge_says_what_the_judge_in_this_process_says(desk: Desk, tables: dict[Target, str]) -> None:
    alone = [replace(verdict, duration_s=0.0) for verdict in ask(desk, tables, Judge())]
    here = [replace(verdict, duration_s=0.0) for verdict in ask(desk, tables, Judge(is_isolated=False))]
    assert alone == here
    assert not all(verdict.is_passed for verdict in here)


def test_no_value_of_a_row_is_in_a_verdict(desk: Desk, tables: dict[Target, str]) -> None:
    verdicts = ask(desk, tables, Judge(is_isolated=False))
    said = json.dumps([finding.as_json() for verdict in verdicts for finding in verdict.findings])
    unmet = [finding for verdict in verdicts for finding in verdict.findings if not finding.is_met]
    assert len(unmet) > 8
    assert not [value for value in (CANARY, "9876", "3.1234567", "310.98") if value in said]


def test_figures_of_the_profile_are_in_a_verdict(desk: Desk, tables: dict[Target, str]) -> None:
    (drift,) = [verdict for verdict in ask(desk, tables, Judge(is_isolated=False)) if "changes" in verdict.suite]
    (finding,) = [f for f in drift.findings if f.expectation == "counts_change_moderately"]
    assert "-55.5" in finding.observed


def test_the_judge_may_not_write(desk: Desk) -> None:
    import sqlalchemy  # noqa: PLC0415 - only to speak with the judge's own URL

    engine = sqlalchemy.create_engine(url(desk), poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection, pytest.raises(sqlalchemy.exc.DBAPIError, match="read-only transaction"):
        connection.execute(sqlalchemy.text("CREATE TABLE staging.written ()"))


def test_a_table_that_is_not_there_is_no_verdict(desk: Desk, tables: dict[Target, str]) -> None:
    with pytest.raises(Exception, match="not_there"):
        ask(desk, {**tables, Target.RECORDS: "not_there"}, Judge(is_isolated=False))


def test_an_expectation_that_cannot_be_evaluated_is_no_verdict(desk: Desk, tables: dict[Target, str]) -> None:
    wrong = Suite(
        "wrong",
        Target.RECORDS,
        "A column that nobody has",
        (Expectation("a_is_given", "ExpectColumnValuesToNotBeNull", {"column": "nobody_has_it"}),),
    )
    with pytest.raises(Errored, match=r"wrong\.a_is_given"):
        ask(desk, tables, Judge(is_isolated=False), (wrong,))


@pytest.mark.parametrize(
    ("findings", "is_passed"),
    [
        ((), True),
        ((Finding("a", Severity.CRITICAL, is_met=True, observed=""),), True),
        ((Finding("a", Severity.WARNING, is_met=False, observed=""),), True),
        ((Finding("a", Severity.CRITICAL, is_met=False, observed=""),), False),
    ],
)
def test_only_an_unmet_critical_expectation_stops(findings: tuple[Finding, ...], is_passed: bool) -> None:  # noqa: FBT001 - a table of cases
    assert Verdict("s", findings, 0.0).is_passed is is_passed


def test_an_error_of_the_judge_is_neither_a_verdict_nor_an_outage() -> None:
    assert not issubclass(Errored, Rejected | Unavailable)
