"""Hot and cold rows as one table: what is read, what is not, who sees what, and what a release in between changes."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from meva_pipelines.domain.archive.filters import EVERYTHING, Condition, Filter, Operator, of_json, of_words
from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.domain.archive.queries import Query, Sort
from meva_pipelines.domain.failures import Refused, Rejected, StoreUnavailable
from meva_pipelines.resources import archive_predicates, hot_and_cold
from meva_pipelines.resources.cold_rows import Effort
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.fixtures.warehouse import holders_of_locks
from meva_pipelines_tests.resources.cold_worlds import HISTORY, LOGS, QUARTER, SIMULATED, World, image

JANUARY = Period.named("2024-01")
MOMENT = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def world(postgres: Postgres, tmp_path: Path) -> World:
    return World(postgres, tmp_path)


def log(number: int, **values: Any) -> dict[str, Any]:
    row = {
        "id": number,
        "user_id": None,
        "log_type": "login",
        "action": f"action {number}",
        "details": "김철수",
        "ip_address": "10.0.0.7/32",
        "user_agent": None,
        "origin": None,
        "created_at": MOMENT + timedelta(hours=number),
        "chain_position": number,
        "chain_hash": bytes([number]) * 32,
    }
    return row | values


def points(simulation: int, count: int) -> list[dict[str, Any]]:
    return [
        {
            "id": simulation * count + place,
            "simulation_id": simulation,
            "sequence_number": place,
            "time_point": Decimal(place).scaleb(-2),
            "pressure": Decimal(place * simulation).scaleb(-6),
            "created_at": MOMENT + timedelta(minutes=simulation),
        }
        for place in range(count)
    ]


def rows(world: World, query: Query, role: Role = Role.READER) -> tuple[list[dict[str, Any]], Effort]:
    with hot_and_cold.answer(world.postgres, world.files, query, role=role) as found:
        return [row for batch in found.batches for row in batch.to_pylist()], found.effort


def ids(world: World, **asked: Any) -> list[int]:
    return [row["id"] for row in rows(world, Query(LOGS, columns=("id",), sort=(Sort("id"),), **asked))[0]]


def test_every_value_comes_as_it_is_from_both_sides(world: World) -> None:
    texts = ["", "NULL", "\\N", "\\.", '"', ",", "\r\n", "한글 中文 🧪", " ", "%s {} $1"]
    stored = [log(number, action=text, user_agent=text or None) for number, text in enumerate(texts, 1)]
    world.lay_hot(LOGS, stored[::2])
    world.lay_cold(LOGS, JANUARY, 1, stored[1::2])
    found, _ = rows(world, Query(LOGS, sort=(Sort("id"),)), role=Role.ARCHIVER)
    assert found == stored


def test_the_reader_is_not_offered_what_may_tell_of_a_person(world: World) -> None:
    world.lay_hot(LOGS, [log(1)])
    world.lay_cold(LOGS, JANUARY, 1, [log(2)])
    found, _ = rows(world, Query(LOGS))
    assert len(found) == 2
    assert not {"details", "ip_address", "user_agent"} & set(found[0])
    with pytest.raises(Refused, match="'details': there is no such field"):
        rows(world, Query(LOGS, Condition("details", Operator.LIKE, "%철수%"), columns=("id",)))
    seen, _ = rows(world, Query(LOGS, columns=("details", "ip_address")), role=Role.ARCHIVER)
    assert seen == [{"details": "김철수", "ip_address": "10.0.0.7/32"}] * 2


@pytest.mark.parametrize(
    "text",
    [
        "'; DROP TABLE aed.aed_history; --",
        "' OR '1'='1",
        "\\' OR 1=1 --",
        "$$; SELECT pg_sleep(9); $$",
        "%(start)s %s {} {0}",
        '") OR (TRUE',
        "a' UNION SELECT manager FROM aed.aed_data --",
    ],
)
def test_a_value_is_a_value_whatever_it_says(world: World, text: str) -> None:
    world.lay_hot(HISTORY, [image(1, model_name=text), image(2, model_name="other")])
    world.lay_cold(HISTORY, QUARTER, 1, [image(3, model_name=text), image(4, model_name="other")])
    names = archive_predicates.nameable(HISTORY, Role.READER)
    for operator in ("eq", "in", "gte", "like"):
        value = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") if operator == "like" else text
        wanted = [value] if operator == "in" else value
        asked = of_json(json.dumps({"field": "model_name", "operator": operator, "value": wanted}), names)
        found, _ = rows(world, Query(HISTORY, asked, columns=("history_id",), sort=(Sort("history_id"),)))
        others = [2, 4] if operator == "gte" else []
        assert [row["history_id"] for row in found] == sorted([1, 3, *others])


@pytest.mark.parametrize("name", ['id" --', "id; DROP TABLE mgg.users", "*", "pg_sleep(9)", "details", ""])
def test_a_name_is_one_of_the_list_or_refused(world: World, name: str) -> None:
    for query in (Query(LOGS, columns=(name,)), Query(LOGS, sort=(Sort(name),))):
        with pytest.raises(Refused, match="there is no such field"):
            rows(world, query)
    with pytest.raises(Refused, match="there is no such field"):
        of_words([(name, "eq", "1")], archive_predicates.nameable(LOGS, Role.READER))


def test_text_is_ordered_by_code_point_on_both_sides(world: World) -> None:
    """A collation of a language would put é beside e and lower case beside upper case."""
    texts = ["Z", "a", "é", "가", "中", "_", "~", "🧪", "\uffff"]
    world.lay_hot(LOGS, [log(number, action=text) for number, text in enumerate(texts, 1)])
    world.lay_cold(LOGS, JANUARY, 1, [log(number, action=text) for number, text in enumerate(texts, 100)])
    found, _ = rows(world, Query(LOGS, Condition("action", Operator.GT, "a"), ("action",), (Sort("action"),)))
    assert [row["action"] for row in found] == sorted([text for text in texts if text > "a"] * 2)
    world.clear(LOGS)
    world.lay_hot(LOGS, [log(number, action=text) for number, text in enumerate(texts, 1)])
    found, _ = rows(world, Query(LOGS, columns=("action",), sort=(Sort("action", is_descending=True),)))
    assert [row["action"] for row in found] == sorted(texts, reverse=True)


def test_one_curve_is_found_without_reading_the_others(world: World) -> None:
    for number in range(4):
        period = Period.containing(QUARTER.start + timedelta(days=100 * number), SIMULATED.span)
        stored = [
            row | {"created_at": period.start}
            for simulation in range(50 * number, 50 * (number + 1))
            for row in points(simulation, 400)
        ]
        world.lay_cold(SIMULATED, period, 1, stored, group_rows=1_000)
    asked = of_words([("simulation_id", "eq", "77")], archive_predicates.nameable(SIMULATED, Role.READER))
    found, effort = rows(world, Query(SIMULATED, asked, sort=(Sort("sequence_number"),)))
    assert [row["sequence_number"] for row in found] == list(range(400))
    assert [part.left_out for part in effort.parts] == ["other keys", "", "other keys", "other keys"]
    assert sum(part.row_groups_read for part in effort.parts) <= 2
    size = sum(path.stat().st_size for path in world.folder.rglob("*.parquet"))
    assert 0 < effort.bytes_read < size / 5


@pytest.mark.parametrize(
    ("words", "left_out"),
    [
        (("created_at", "lt", "2024-01-01T00:00:00Z"), "another time"),
        (("created_at", "gte", "2024-02-01T00:00:00Z"), "another time"),
        (("created_at", "lt", "2024-02-01T00:00:00Z"), ""),
        (("id", "gt", "5"), "other keys"),
        (("id", "in", ""), "other keys"),
        (("chain_position", "gt", "5"), ""),
    ],
)
def test_a_part_is_left_out_by_its_period_and_its_keys(
    world: World, words: tuple[str, str, str], left_out: str
) -> None:
    world.lay_cold(LOGS, JANUARY, 1, [log(1), log(5)])
    field, operator, value = words
    words = (field, operator, value or "[]")
    asked = of_words([words], archive_predicates.nameable(LOGS, Role.READER))
    _, effort = rows(world, Query(LOGS, asked))
    assert [part.left_out for part in effort.parts] == [left_out]
    assert (effort.bytes_read > 0) is not bool(left_out)


def test_row_groups_without_a_chosen_value_are_not_read(world: World) -> None:
    world.lay_cold(LOGS, JANUARY, 1, [log(number) for number in range(1, 11)], group_rows=2)
    asked = of_words([("chain_position", "eq", "5")], archive_predicates.nameable(LOGS, Role.READER))
    found, effort = rows(world, Query(LOGS, asked, columns=("id",)))
    assert found == [{"id": 5}]
    assert (effort.parts[0].row_groups, effort.parts[0].row_groups_read) == (5, 1)


@pytest.mark.parametrize("is_descending", [False, True])
def test_what_cannot_be_among_the_first_rows_is_not_read(world: World, is_descending: bool) -> None:  # noqa: FBT001 - a case
    """Of two periods with two row groups each, one row group has rows that beat the hot ones, or are their equals."""
    sign = -1 if is_descending else 1
    february = Period.named("2024-02")
    groups = [(2, 3), (None, 9), (4, 4), (7, None)]
    cold = [
        log(number, user_id=value and value * sign, created_at=(JANUARY, february)[number > 4].start)
        for number, value in enumerate((value for group in groups for value in group), 1)
    ]
    world.lay_cold(LOGS, JANUARY, 1, cold[:4], group_rows=2)
    world.lay_cold(LOGS, february, 1, cold[4:], group_rows=2)
    world.lay_hot(
        LOGS, [log(number, user_id=value and value * sign) for number, value in ((10, 1), (11, 3), (12, 5), (13, None))]
    )
    query = Query(LOGS, columns=("id",), sort=(Sort("user_id", is_descending),), limit=2, offset=1)
    found, effort = rows(world, query)
    assert found == [{"id": 1}, {"id": 2}]
    assert sum(part.row_groups_read for part in effort.parts) <= 2
    found, effort = rows(world, replace(query, limit=9, offset=0))
    assert [row["id"] for row in found] == [10, 1, 2, 11, 5, 6, 12, 7, 4]
    found, effort = rows(world, replace(query, limit=1, offset=0))
    assert found == [{"id": 10}]
    assert sum(part.row_groups_read for part in effort.parts) == 0


@pytest.mark.parametrize("is_descending", [False, True])
@pytest.mark.parametrize("field", ["id", "created_at"])
def test_periods_are_read_from_the_end_where_the_order_begins(world: World, field: str, is_descending: bool) -> None:  # noqa: FBT001 - a case
    periods = [Period.named(f"2024-0{month}") for month in (1, 2, 3)]
    for month, period in enumerate(periods):
        world.lay_cold(LOGS, period, 1, [log(10 * month + n, created_at=period.start) for n in range(4)], group_rows=2)
    found, effort = rows(
        world, Query(LOGS, columns=("id",), sort=(Sort(field, is_descending), Sort("user_id")), limit=1)
    )
    reads = [(part.row_groups_read, part.left_out) for part in effort.parts]
    behind = (0, "behind the rows that are asked for")
    assert found == [{"id": 23 if is_descending and field == "id" else 20 if is_descending else 0}]
    if is_descending:
        reads.reverse()
    assert reads == [(1 if field == "id" else 2, ""), behind, behind]


def test_keys_above_hide_what_the_filter_would_choose_below(world: World) -> None:
    """The newer row does not have the value that is asked for: the older one must not come in its place."""
    world.lay_cold(LOGS, JANUARY, 1, [log(1, action="old"), log(2, action="old"), log(3, action="old")])
    world.lay_cold(LOGS, JANUARY, 2, [log(2, action="new")])
    world.lay_hot(LOGS, [log(3, action="newest")])
    assert ids(world, filter=Condition("action", Operator.EQ, "old")) == [1]
    assert ids(world) == [1, 2, 3]


def test_only_committed_parts_are_read(world: World) -> None:
    world.lay_hot(LOGS, [log(1)])
    world.lay_cold(LOGS, JANUARY, 1, [log(1), log(2)])
    with psycopg.connect(world.postgres.dsn()) as connection:
        connection.execute("UPDATE mgg.archive_batches SET status = 'verified'")
    assert ids(world) == [1]


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("sort", [(), (Sort("id"),)])
def test_a_damaged_page_is_an_error_and_never_a_wrong_row(world: World, sort: tuple[Sort, ...]) -> None:
    key = world.lay_cold(LOGS, JANUARY, 1, [log(number) for number in range(1, 9)])
    damage(world.folder / key)
    with pytest.raises(Rejected, match=r"2024-01\.parquet .* is damaged"):
        rows(world, Query(LOGS, sort=sort), role=Role.ARCHIVER)


@pytest.mark.parametrize("is_late", [False, True])
def test_a_file_that_is_gone_is_an_error(world: World, is_late: bool) -> None:  # noqa: FBT001 - a case
    key = world.lay_cold(LOGS, JANUARY, 1, [log(1)])
    if is_late:
        world.lay_hot(LOGS, [log(1)])
    (world.folder / key).unlink()
    with pytest.raises(StoreUnavailable, match=r"2024-01\.parquet"):
        rows(world, Query(LOGS))


def test_files_that_changed_places_are_an_error(world: World) -> None:
    first = world.folder / world.lay_cold(LOGS, JANUARY, 1, [log(1)])
    february = Period.named("2024-02")
    second = world.folder / world.lay_cold(LOGS, february, 1, [log(2, created_at=february.start)])
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)
    with pytest.raises(Rejected, match="is not that of"):
        rows(world, Query(LOGS))


def test_rows_that_nobody_takes_leave_nothing_behind(world: World) -> None:
    world.lay_hot(LOGS, [log(number, action="x" * 100) for number in range(1, 250)])
    world.lay_cold(LOGS, JANUARY, 1, [log(1)])
    with hot_and_cold.answer(world.postgres, world.files, Query(LOGS)) as found:
        next(found.batches)
    assert holders_of_locks(world.postgres.dsn()) == []
    assert ids(world, limit=3) == [1, 2, 3]


@contextmanager
def releasing(world: World) -> Iterator[psycopg.Connection]:
    """The transaction of a release, as far as readers notice it; committed when the body ends."""
    with psycopg.connect(world.postgres.dsn()) as connection:
        connection.execute("SET lock_timeout = '300ms'")
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('archive.operation_logs.readers', 0))")
        connection.execute("DROP TABLE mgg.operation_logs_2024_01")
        connection.execute("UPDATE mgg.archive_batches SET status = 'committed'")
        yield connection


@pytest.fixture
def verified(world: World) -> World:
    """Rows that are hot and have a verified cold copy, ready to be released."""
    stored = [log(number) for number in range(1, 6)]
    world.lay_hot(LOGS, stored)
    world.lay_cold(LOGS, JANUARY, 1, stored)
    with psycopg.connect(world.postgres.dsn()) as connection:
        connection.execute("UPDATE mgg.archive_batches SET status = 'verified'")
    return world


def test_a_release_waits_for_whoever_reads(verified: World) -> None:
    with hot_and_cold.answer(verified.postgres, verified.files, Query(LOGS, columns=("id",))) as found:
        with pytest.raises(psycopg.errors.LockNotAvailable), releasing(verified):
            pass
        assert sorted(row["id"] for batch in found.batches for row in batch.to_pylist()) == [1, 2, 3, 4, 5]
    with releasing(verified):
        pass
    assert ids(verified) == [1, 2, 3, 4, 5]


def test_whoever_reads_while_rows_are_released_sees_each_once(verified: World) -> None:
    seen: list[int] = []
    reader = threading.Thread(target=lambda: seen.extend(ids(verified)))
    with releasing(verified) as connection:
        reader.start()
        ours = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        while not connection.execute(f"SELECT pid FROM pg_locks WHERE NOT granted AND {ours}").fetchone():
            pass
    reader.join(timeout=120)
    assert seen == [1, 2, 3, 4, 5]


def test_counting_is_counting_what_an_answer_holds(world: World) -> None:
    world.lay_hot(LOGS, [log(1), log(2)])
    world.lay_cold(LOGS, JANUARY, 1, [log(2), log(3)])
    asked: Filter = EVERYTHING
    assert hot_and_cold.count(world.postgres, world.files, Query(LOGS, asked, limit=1))[0] == 3
