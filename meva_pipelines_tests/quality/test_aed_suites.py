"""Every expectation is met by a clean batch and is the only one unmet where exactly its rule is broken.

Batches are staging tables in PostgreSQL; the judge is the real one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from psycopg import sql

from meva_pipelines.quality.aed_suites import AED_SUITES, AED_TARGETS
from meva_pipelines.quality.expectations import Severity, Suite, Target
from meva_pipelines.quality.verdicts import Errored, Judge, Verdict
from meva_pipelines.schema.roles import STAGING_SCHEMA, Role
from meva_pipelines_tests.resources.registry_desk import WORLD, Desk, item, shared_desk

ONE = " WHERE line = 0"
RECORDS: dict[str, str] = {
    "source_id_is_given": "source_id = NULL" + ONE,
    "source_id_has_at_most_50_characters": "source_id = repeat('가', 51)" + ONE,
    "installation_institution_is_given": "installation_institution = NULL" + ONE,
    "installation_institution_has_at_most_255_characters": "installation_institution = repeat('가', 256)" + ONE,
    "installation_address_is_given": "installation_address = NULL" + ONE,
    "installation_address_has_at_most_255_characters": "installation_address = repeat('가', 256)" + ONE,
    "sido_is_given": "sido = NULL" + ONE,
    "model_name_has_at_most_255_characters": "model_name = repeat('가', 256)" + ONE,
    "manufacturer_has_at_most_255_characters": "manufacturer = repeat('가', 256)" + ONE,
    "row_hash_is_given": "row_hash = NULL" + ONE,
    "source_id_occurs_once": "source_id = 'twin' WHERE line < 2",
    "latitudes_lie_in_korea": "latitude = 32.999" + ONE,
    "longitudes_lie_in_korea": "longitude = 132.001" + ONE,
    "regions_exist_on_the_day": "region_status = 'unknown_pair'" + ONE,
    "region_code_is_given": "region_code = NULL" + ONE,
    "devices_are_made_before_they_are_installed": "manufacturing_date = installation_date + 1 WHERE line < 2",
    "equipment_serial_occurs_once": "equipment_serial = 'twin' WHERE line < 2",
    "sido_code_is_given": "sido_code = NULL" + ONE,
    "sido_has_at_most_50_characters": "sido = repeat('가', 51)" + ONE,
    "gugun_has_at_most_50_characters": "gugun = repeat('가', 51)" + ONE,
    "jurisdiction_health_center_has_at_most_100_characters": "jurisdiction_health_center = repeat('가', 101)" + ONE,
    "operation_status_has_at_most_50_characters": "operation_status = repeat('가', 51)" + ONE,
    "access_control_has_at_most_50_characters": "access_control = repeat('가', 51)" + ONE,
}
PROFILES: dict[str, str] = {
    "devices_remain": "candidate_rows = 0",
    "devices_do_not_vanish": "absent_pct = 10.1 WHERE scope = 'all'",
    "counts_change_moderately": "guarded_change_pct = -10.1 WHERE scope = '11'",
    "coordinates_are_rarely_missing": "guarded_no_coordinates_pct = 20.1 WHERE scope = '11'",
    "coordinates_do_not_vanish": "no_coordinates_drift_pct = 2.1 WHERE scope = '11'",
    "addresses_do_not_lose_their_numbers": "no_number_drift_pct = 5.1 WHERE scope = '11'",
    "places_do_not_vanish": "no_position_drift_pct = 5.1 WHERE scope = '11'",
    "makers_do_not_vanish": "no_manufacturer_drift_pct = 5.1 WHERE scope = '11'",
    "changes_rarely_take_coordinates_away": "lost_coordinates_pct = 25.1 WHERE scope = 'all'",
    "changes_rarely_take_house_numbers_away": "lost_numbers_pct = 25.1 WHERE scope = 'all'",
    "changes_rarely_take_places_away": "lost_positions_pct = 25.1 WHERE scope = 'all'",
    "changes_rarely_take_makers_away": "lost_manufacturers_pct = 25.1 WHERE scope = 'all'",
    "addresses_mostly_have_numbers": "guarded_no_number_pct = 50.1 WHERE scope = '11'",
    "few_records_are_quarantined": "quarantined_pct = 5.1 WHERE scope = 'all'",
    "health_centers_are_known": "unknown_health_centers_pct = 20.1 WHERE scope = 'all'",
}
BREAKS = {**{name: (Target.RECORDS, change) for name, change in RECORDS.items()}} | {
    name: (Target.PROFILE, change) for name, change in PROFILES.items()
}
EXPECTATIONS = [expectation for suite in AED_SUITES for expectation in suite.expectations]


@dataclass(frozen=True, slots=True)
class Bench:
    """A clean staged batch, and copies of its tables to break."""

    desk: Desk
    tables: dict[Target, str]

    def broken(self, target: Target, *statements: str) -> dict[Target, str]:
        """Copy the table of a target as `broken` and change the copy; the other tables stay clean."""
        with self.desk.postgres.connect(Role.WRITER, work="break a copy") as connection:
            copy, clean = (sql.Identifier(STAGING_SCHEMA, name) for name in ("broken", self.tables[target]))
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(copy))
            connection.execute(sql.SQL("CREATE TABLE {} AS TABLE {}").format(copy, clean))
            for statement in statements:
                connection.execute(sql.SQL(statement).format(copy))
        return {**self.tables, target: "broken"}

    def judge(self, tables: dict[Target, str], suites: Sequence[Suite] = AED_SUITES) -> list[Verdict]:
        """Ask the judge in this process."""
        url = self.desk.postgres.reading_url(Role.WRITER, schema=STAGING_SCHEMA)
        return Judge(is_isolated=False).judge(suites, sqlalchemy_url=url, tables=tables)

    def unmet(self, tables: dict[Target, str]) -> set[str]:
        """Names of the expectations that do not hold."""
        return {f.expectation for verdict in self.judge(tables) for f in verdict.findings if not f.is_met}


@pytest.fixture(scope="module")
def bench(server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with shared_desk(server_url, template, str(tmp_path_factory.mktemp("home"))) as desk:
        numbers = [n for n in range(18, 140) if not WORLD.device(n, WORLD.epoch).flaws]
        staged = desk.stage([item(n) for n in numbers], page_rows=1_000)
        desk.measure(staged)
        yield Bench(desk, {target: staged.batch.name(target) for target in AED_TARGETS})


def test_a_clean_batch_meets_every_expectation(bench: Bench) -> None:
    verdicts = bench.judge(bench.tables)
    assert [verdict.suite for verdict in verdicts] == [suite.name for suite in AED_SUITES]
    assert [len(verdict.findings) for verdict in verdicts] == [len(suite.expectations) for suite in AED_SUITES]
    assert not [f.expectation for verdict in verdicts for f in verdict.findings if not f.is_met]
    assert all(verdict.is_passed for verdict in verdicts)


@pytest.mark.parametrize("name", BREAKS)
def test_a_batch_that_breaks_one_rule_leaves_exactly_that_expectation_unmet(bench: Bench, name: str) -> None:
    target, change = BREAKS[name]
    concerned = [suite for suite in AED_SUITES if suite.target is target]
    verdicts = bench.judge(bench.broken(target, "UPDATE {} SET " + change), concerned)
    (finding,) = [f for verdict in verdicts for f in verdict.findings if not f.is_met]
    (suite,) = [verdict for verdict in verdicts if finding in verdict.findings]
    assert finding.expectation == name
    assert suite.is_passed is (finding.severity == Severity.WARNING)


def test_growth_breaks_the_same_rule_as_loss(bench: Bench) -> None:
    tables = bench.broken(Target.PROFILE, "UPDATE {} SET guarded_change_pct = 10.1 WHERE scope = 'all'")
    assert bench.unmet(tables) == {"counts_change_moderately"}


def test_every_expectation_but_the_empty_table_has_its_breaking_batch() -> None:
    names = {expectation.name for expectation in EXPECTATIONS}
    assert set(BREAKS) == names - {"the_registry_is_not_empty"}


def test_expectation_names_are_unique_in_their_suite_and_suite_names_everywhere() -> None:
    for suite in AED_SUITES:
        assert len({expectation.name for expectation in suite.expectations}) == len(suite.expectations)
    assert len({suite.name for suite in AED_SUITES}) == len(AED_SUITES)


def test_an_empty_profile_never_passes(bench: Bench) -> None:
    unmet = bench.unmet(bench.broken(Target.PROFILE, "DELETE FROM {}"))
    assert unmet == {"the_registry_is_not_empty", "devices_remain"}


def test_an_empty_batch_of_records_breaks_nothing_by_itself_because_nothing_may_have_changed(bench: Bench) -> None:
    assert bench.unmet(bench.broken(Target.RECORDS, "DELETE FROM {}")) == set()


@pytest.mark.parametrize(
    "column", ["source_id", "installation_address", "sido", "region_code", "sido_code", "row_hash"]
)
def test_an_all_null_column_breaks_its_rule(bench: Bench, column: str) -> None:
    tables = bench.broken(Target.RECORDS, f"UPDATE {{}} SET {column} = NULL")
    assert bench.unmet(tables) == {f"{column}_is_given"}


@pytest.mark.parametrize(
    ("target", "column"),
    [
        (Target.RECORDS, "latitude"),
        (Target.RECORDS, "source_id"),
        (Target.RECORDS, "manufacturing_date"),
        (Target.PROFILE, "candidate_rows"),
        (Target.PROFILE, "quarantined_pct"),
    ],
)
def test_a_missing_column_is_an_error_and_not_a_verdict(bench: Bench, target: Target, column: str) -> None:
    tables = bench.broken(target, f"ALTER TABLE {{}} DROP COLUMN {column}")
    with pytest.raises(Errored, match="could not be evaluated"):
        bench.judge(tables)


def test_values_at_the_limit_pass(bench: Bench) -> None:
    tables = bench.broken(
        Target.RECORDS,
        "UPDATE {} SET gugun = repeat('가', 50), access_control = repeat('가', 50), model_name = repeat('가', 255),"
        " latitude = 33.0, longitude = 132.0" + ONE,
    )
    assert bench.unmet(tables) == set()
    limits = (
        "guarded_change_pct = -10, no_coordinates_drift_pct = 2, guarded_no_coordinates_pct = 20, quarantined_pct = 5"
    )
    assert bench.unmet(bench.broken(Target.PROFILE, f"UPDATE {{}} SET {limits}")) == set()
