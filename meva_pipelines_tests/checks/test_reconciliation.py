"""The books are checked against each other and against the rows: whoever cooks either is found out."""

from collections.abc import Callable
from datetime import timedelta
from typing import cast

import dagster as dg
import pytest

from meva_pipelines.checks import operations, reconciliation
from meva_pipelines.resources.ledger import Mode
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines_tests.resources.registry_desk import DAY, Desk, item

Check = Callable[..., dg.AssetCheckResult]
BOOKS = cast("Check", reconciliation.every_received_row_is_accounted_for)
ROWS = cast("Check", reconciliation.published_rows_are_those_of_the_run)
PLACES = cast("Check", reconciliation.coordinates_lie_in_korea)


@pytest.fixture
def desk(postgres: Postgres) -> Desk:
    """Forty devices, then a day on which some change, some come, one is absent and one is quarantined."""
    prepared = Desk(postgres)
    prepared.deliver([item(n) for n in range(20, 60)])
    changed = [item(n, remarks="x", last_modified="2026-11-03T09:00:00+09:00") for n in range(20, 25)]
    others = [item(n) for n in range(25, 61) if n not in {30, 31}]
    prepared.deliver([*changed, item(30, latitude=0.0, longitude=0.0), *others], day=DAY + timedelta(days=1))
    return prepared


def asked(check: Check, desk: Desk) -> dg.AssetCheckResult:
    return check(postgres=desk.postgres)


def test_honest_books_balance(desk: Desk) -> None:
    found = asked(BOOKS, desk)
    assert found.passed
    figures = {name: value.value for name, value in found.metadata.items()}
    assert figures["received_rows"] == 40
    assert (figures["published_rows"], figures["unchanged_rows"], figures["quarantined_rows"]) == (6, 33, 1)
    assert asked(ROWS, desk).passed
    assert asked(PLACES, desk).passed


@pytest.mark.parametrize(
    "column", ["received_rows", "inserted_rows", "updated_rows", "unchanged_rows", "quarantined_rows"]
)
@pytest.mark.parametrize("by", [1, -1])
def test_a_row_too_many_or_too_few_anywhere_is_found(desk: Desk, column: str, by: int) -> None:
    desk.change(f"UPDATE ops.sync_runs SET {column} = {column} + %s WHERE token = %s", by, desk.newest())
    assert not asked(BOOKS, desk).passed


@pytest.mark.parametrize("column", ["inserted_rows", "updated_rows", "missing_rows"])
def test_the_ledger_cannot_claim_rows_that_are_not_there(desk: Desk, column: str) -> None:
    desk.change(f"UPDATE ops.sync_runs SET {column} = {column} + 1 WHERE token = %s", desk.newest())
    found = asked(ROWS, desk)
    assert not found.passed
    assert found.metadata["expected_rows"].value == int(str(found.metadata["found_rows"].value)) + 1


def test_a_row_that_vanishes_afterwards_is_found(desk: Desk) -> None:
    desk.change("DELETE FROM aed.aed_data WHERE source_id = %s", item(20)["equipment_serial"])
    assert not asked(ROWS, desk).passed


def test_outdated_and_reappeared_rows_leave_the_books_in_balance(desk: Desk) -> None:
    old = item(20, remarks="old", last_modified="2020-01-01T00:00:00+09:00")
    desk.deliver([old, item(31)], mode=Mode.INCREMENTAL)
    assert asked(BOOKS, desk).passed
    assert asked(ROWS, desk).passed


def test_a_run_that_was_rolled_back_left_no_rows(desk: Desk) -> None:
    desk.undo(desk.newest())
    assert asked(BOOKS, desk).passed
    found = asked(ROWS, desk)
    assert (found.passed, found.metadata["expected_rows"].value) == (True, 0)


@pytest.mark.parametrize(
    ("column", "value"), [("latitude", 39), ("latitude", 32), ("longitude", 124), ("longitude", 133)]
)
def test_one_device_outside_korea_is_found(desk: Desk, column: str, value: int) -> None:
    key = item(20)["equipment_serial"]
    desk.change(f"UPDATE aed.aed_data SET {column} = %s WHERE source_id = %s", value, key)
    found = asked(PLACES, desk)
    assert (found.passed, found.metadata["outside_rows"].value) == (False, 1)


def test_a_registry_without_any_coordinates_is_found(desk: Desk) -> None:
    desk.change("UPDATE aed.aed_data SET latitude = NULL, longitude = NULL")
    assert not asked(PLACES, desk).passed


@pytest.mark.parametrize("check", [BOOKS, ROWS, PLACES])
def test_nothing_published_passes_nothing(postgres: Postgres, check: Check) -> None:
    assert not check(postgres=postgres).passed


def test_a_schema_at_its_newest_revision_passes_and_an_older_one_does_not(postgres: Postgres) -> None:
    check = cast("Check", operations.schema_is_current)
    assert check(postgres=postgres).passed
    Desk(postgres).change("UPDATE ops.alembic_version SET version_num = '0001'")
    found = check(postgres=postgres)
    assert not found.passed
    assert "make migrate" in (found.description or "")
