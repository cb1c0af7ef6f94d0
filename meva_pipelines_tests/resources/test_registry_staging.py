"""Staging keeps what differs, counts everything, loses nothing, and says by its digest exactly what it holds."""

import tracemalloc
from datetime import timedelta

import pytest
from psycopg import sql

from meva_pipelines.resources import registry_staging, staging
from meva_pipelines.resources.ledger import Mode
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.resources.registry_desk import DAY, WORLD, Desk, Staged, item, items

NEXT_DAY = DAY + timedelta(days=1)


@pytest.fixture
def desk(postgres: Postgres) -> Desk:
    return Desk(postgres)


def staged_keys(desk: Desk, staged: Staged) -> set[str]:
    return {key for (key,) in desk.rows(f"SELECT source_id FROM staging.{staged.batch.name('records')}")}


def test_the_first_delivery_is_staged_whole(desk: Desk) -> None:
    staged = desk.stage(items())
    present = WORLD.present_on(DAY).equipment_serials
    rejected = {key for (key,) in desk.rows("SELECT source_id FROM aed.quarantine")}
    assert (staged.received.rows, staged.received.pages) == (len(present), 3)
    assert staged_keys(desk, staged) == present - rejected


def test_only_changed_and_new_records_are_staged_the_next_day(desk: Desk) -> None:
    desk.deliver(items())
    staged = desk.stage(items(NEXT_DAY), day=NEXT_DAY)
    expected = WORLD.changed_between(DAY, NEXT_DAY).equipment_serials | WORLD.born_on(NEXT_DAY).equipment_serials
    assert expected
    assert staged_keys(desk, staged) | quarantined(desk) == expected | quarantined(desk)
    assert staged.received.changed == len(expected | quarantined(desk))
    assert staged.received.rows == WORLD.count(NEXT_DAY)


def quarantined(desk: Desk) -> set[str]:
    return {key for (key,) in desk.rows("SELECT source_id FROM aed.quarantine")}


def test_received_is_staged_plus_rejected_plus_unchanged(desk: Desk) -> None:
    desk.deliver([item(n) for n in range(1, 21)])
    records = [item(n) for n in range(1, 11)]  # unchanged
    records += [item(n, remarks="changed") for n in range(11, 16)]
    records += [item(n, latitude=0.0, longitude=0.0) for n in range(16, 18)]
    records += [item(18, installation_date="soon"), item(19, equipment_serial=None)]
    staged = desk.stage(records, mode=Mode.INCREMENTAL)
    assert (staged.received.rows, staged.received.changed, staged.rejected) == (19, 9, 4)
    assert len(staged_keys(desk, staged)) == 5
    assert staged.quarantined == staged.rejected == len(quarantined(desk))


# ---- the digest


CHANGES = {
    "a value": "UPDATE {records} SET manufacturer = 'x' WHERE line = 0",
    "a null": "UPDATE {records} SET manufacturer = NULL WHERE line = 0",
    "a value moved to the neighbouring column": "UPDATE {records} SET category_2 = category_1, category_1 = category_2"
    " WHERE line = 0",
    "a row less": "DELETE FROM {records} WHERE line = 0",
    "a row twice": "INSERT INTO {records} SELECT * FROM {records} WHERE line = 0",
    "values of two rows exchanged": "UPDATE {records} AS r SET manager = o.remarks FROM {records} AS o"
    " WHERE r.line = 0 AND o.line = 1",
    "a key no longer seen": "DELETE FROM {seen} WHERE line = 0",
    "another key seen": "UPDATE {seen} SET source_id = 'x' WHERE line = 0",
    "an unchanged row said to be changed": "UPDATE {seen} SET is_changed = NOT is_changed WHERE line = 0",
    "a rejection less": "DELETE FROM {rejected}",
}


def test_any_change_of_what_is_staged_changes_the_digest(desk: Desk) -> None:
    staged = desk.stage([*(item(n) for n in range(1, 6)), item(6, latitude=0.0, longitude=0.0)])
    found = {}
    with desk.postgres.connect(Role.WRITER, work="change staging") as connection:
        for name, statement in CHANGES.items():
            connection.execute(
                sql.SQL(statement).format(
                    records=staged.batch.records, seen=staged.batch.seen, rejected=staged.batch.rejected
                )
            )
            found[name] = registry_staging.digest(connection, staged.batch)
            connection.rollback()
        assert registry_staging.digest(connection, staged.batch) == staged.digest
    assert staged.digest not in found.values()
    assert len(set(found.values())) == len(CHANGES)


def test_the_digest_does_not_depend_on_the_order_of_arrival(desk: Desk) -> None:
    records = [item(n) for n in range(1, 6)]
    staged = desk.stage(records)
    with desk.postgres.connect(Role.WRITER, work="shuffle staging") as connection:
        connection.execute(sql.SQL("CREATE TEMP TABLE t AS SELECT * FROM {}").format(staged.batch.records))
        connection.execute(sql.SQL("DELETE FROM {}").format(staged.batch.records))
        connection.execute(sql.SQL("INSERT INTO {} SELECT * FROM t ORDER BY line DESC").format(staged.batch.records))
        assert registry_staging.digest(connection, staged.batch) == staged.digest
        connection.rollback()


# ---- quarantine


def bad(number: int = 6) -> dict[str, object]:
    return item(number, latitude=0.0, longitude=0.0)


def test_a_quarantined_record_is_kept_as_received_with_rule_and_reason(desk: Desk) -> None:
    desk.stage([item(1), bad()])
    ((rule, field, reason, code, payload, line, seen),) = desk.rows(
        "SELECT rule, field, reason, code, payload, line, times_seen FROM aed.quarantine"
    )
    assert (rule, field, code, line, seen) == ("coordinates_are_not_zero", "latitude, longitude", 422, 1, 1)
    assert reason == "0/0 is a default, not a place"
    assert payload == bad()


def test_a_record_that_comes_again_is_counted_not_stored_twice(desk: Desk) -> None:
    for _ in range(3):
        desk.deliver([item(1), bad()])
    ((first, last, seen),) = desk.rows("SELECT first_token, last_token, times_seen FROM aed.quarantine")
    assert (seen, last - first) == (3, 2)


def test_quarantining_a_batch_again_changes_nothing(desk: Desk) -> None:
    staged = desk.stage([item(1), bad()])
    before = desk.rows("SELECT * FROM aed.quarantine")
    page = desk.mapper().page(1, [item(1), bad()])
    with desk.postgres.connect(Role.WRITER, work="quarantine again") as connection:
        assert registry_staging.quarantine(connection, staged.batch, fetch_id="x", page_at=lambda _: page) == 1
    assert desk.rows("SELECT * FROM aed.quarantine") == before


def test_equal_bad_records_of_one_batch_are_all_kept(desk: Desk) -> None:
    desk.stage([item(1), item(6, equipment_serial=None), item(6, equipment_serial=None)])
    assert desk.rows("SELECT copy, line FROM aed.quarantine ORDER BY 1") == [(0, 1), (1, 2)]


@pytest.mark.parametrize(
    "changes",
    [
        {"remarks": "a\0b"},
        {"equipment_serial": "a\0b"},
        {"remarks": ["a\0", {"b": "\0"}]},
        {"unheard\0of": "x\0", "latitude": 0.0, "longitude": 0.0},
    ],
    ids=["field", "key", "nested", "unknown field"],
)
def test_what_postgresql_cannot_store_is_quarantined_and_costs_one_row(desk: Desk, changes: dict[str, object]) -> None:
    staged = desk.stage([item(1), {**item(2), **changes}, item(3)])
    assert (staged.rejected, staged.quarantined) == (1, 1)
    assert len(staged_keys(desk, staged)) == 2


# ---- life of staging tables


def test_a_second_try_begins_with_empty_tables(desk: Desk) -> None:
    staged = desk.stage(items())
    with desk.postgres.connect(Role.WRITER, work="stage again") as connection:
        registry_staging.create(connection, staged.batch)
    assert staged_keys(desk, staged) == set()


def test_abandoned_tables_go_and_those_of_a_living_attempt_stay(desk: Desk) -> None:
    old, published, living = (desk.stage([item(n)]) for n in (1, 2, 3))
    desk.change("UPDATE ops.sync_runs SET started_at = now() - interval '25 hours' WHERE token = %s", old.token)
    desk.change("UPDATE ops.sync_runs SET status = 'published' WHERE token = %s", published.token)
    with desk.postgres.connect(Role.WRITER, work="collect") as connection:
        connection.execute("CREATE TABLE staging.aed_999_records ()")
        assert staging.drop_abandoned(connection) == 7
        assert staging.drop_abandoned(connection) == 0
    left = desk.rows("SELECT relname FROM pg_class WHERE relnamespace = 'staging'::regnamespace AND relkind = 'r'")
    assert {name for (name,) in left} == {living.batch.name(part) for part in ("records", "seen", "rejected")}


# ---- replay and memory


def test_replaying_the_same_pages_changes_nothing(desk: Desk) -> None:
    desk.deliver(items())
    desk.deliver(items(NEXT_DAY)[5:], day=NEXT_DAY)
    before = (desk.digest(), desk.rows("SELECT count(*) FROM aed.aed_history"))
    again = desk.deliver(items(NEXT_DAY)[5:], day=NEXT_DAY)
    assert (again.inserted_rows, again.updated_rows, again.reappeared_rows, again.missing_rows) == (0, 0, 0, 0)
    assert (desk.digest(), desk.rows("SELECT count(*) FROM aed.aed_history")) == before


def test_memory_is_that_of_a_page_however_many_pages_come(desk: Desk) -> None:
    template = item(1, remarks="가" * 2_000)

    def peak(pages: int) -> int:
        def records() -> "list[dict[str, object]]":
            return [{**template, "equipment_serial": f"11-{number:07d}"} for number in range(200)]

        mapper = desk.mapper()
        with desk.postgres.connect(Role.WRITER, work="measure memory") as connection:
            batch = desk.stage([]).batch
            tracemalloc.start()
            registry_staging.stage(
                connection, batch, (mapper.page(n, records()) for n in range(1, pages + 1)), mapped=mapper.rows
            )
            reached = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return reached

    peak(1)
    assert peak(16) < 1.5 * peak(2)
