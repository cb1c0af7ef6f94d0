"""The chain of operation logs holds across hot and cold, and tells where it was touched."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.failures import Refused
from meva_pipelines.resources import archive_chain
from meva_pipelines.resources.archive_chain import GENESIS, Chain, Link, Log
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.resources.archive_desk import LOGS, MONTH, Desk, chained_logs

MOMENT = datetime(2024, 2, 1, 12, 30, 15, 123_456, tzinfo=UTC)
WHOLE = Chain(logs=0, first_break=None, breaks=0, missing=0, doubles=0)


@pytest.fixture
def desk(postgres: Postgres) -> Desk:
    return Desk(postgres)


def read(desk: Desk) -> tuple[list[Log], Link]:
    with desk.postgres.connect(Role.ARCHIVER, work="test") as connection:
        return chained_logs(connection), archive_chain.head(connection)


def made(count: int) -> list[Log]:
    """Logs chained by the definition."""
    logs: list[Log] = []
    for position in range(1, count + 1):
        log = Log(position, None, "admin", f"a{position}", None, None, None, None, MOMENT, position, b"")
        previous = logs[-1].chain_hash if logs else GENESIS.hash
        logs.append(replace(log, chain_hash=archive_chain.link(previous, log)))
    return logs


def end(logs: list[Log]) -> Link:
    return Link(logs[-1].chain_position, logs[-1].chain_hash)


def test_an_empty_chain_is_whole(desk: Desk) -> None:
    logs, head = read(desk)
    assert (logs, head) == ([], GENESIS)
    assert archive_chain.verify(logs, head=head) == WHOLE


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"details": "Größe 1,5 mg; 正向仿真\n\t\\", "user_agent": "", "origin": "a" * 3_000, "user_id": 1},
        {"ip_address": "10.1.2.3"},
        {"ip_address": "10.1.2.3/24"},
        {"ip_address": "2001:db8::1"},
        {"ip_address": "fe80::/10"},
        {"ip_address": "::ffff:10.1.2.3"},
        {"created_at": MOMENT},
        {"created_at": datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)},
    ],
)
def test_the_server_and_we_compute_the_same_chain(desk: Desk, columns: dict[str, object]) -> None:
    moment = columns.get("created_at", MONTH.start)
    assert isinstance(moment, datetime)
    desk.log()
    desk.log(moment, **columns)
    desk.log()
    logs, head = read(desk)
    assert archive_chain.verify(logs, head=head) == replace(WHOLE, logs=3)


@pytest.mark.parametrize("address", ["10.1.2.3", "10.1.2.3/32", "2001:db8::1/128"])
def test_an_address_may_come_as_text_from_a_cold_file(desk: Desk, address: str) -> None:
    desk.log(ip_address=address)
    logs, head = read(desk)
    assert archive_chain.verify([replace(log, ip_address=address) for log in logs], head=head).is_whole


def test_places_have_no_gaps_whatever_is_rolled_back(desk: Desk) -> None:
    desk.log()
    with pytest.raises(psycopg.errors.CheckViolation):
        desk.log(log_type="nonsense")
    with desk.postgres.connect(Role.WRITER, work="test") as connection:
        for is_kept in (True, False, True):
            with connection.transaction(force_rollback=not is_kept):
                connection.execute(
                    "INSERT INTO mgg.operation_logs (log_type, action, created_at)"
                    " SELECT 'admin', 'a', '2024-02-02' FROM generate_series(1, 10)"
                )
    logs, head = read(desk)
    assert [log.chain_position for log in logs] == list(range(1, 22))
    assert archive_chain.verify(logs, head=head).is_whole


def test_writers_at_the_same_time_make_one_chain(desk: Desk) -> None:
    start = threading.Barrier(4)

    def race() -> None:
        start.wait(timeout=120)
        for _ in range(20):
            desk.log()

    with ThreadPoolExecutor(4) as pool:
        for racer in [pool.submit(race) for _ in range(4)]:
            racer.result(timeout=300)
    logs, head = read(desk)
    assert archive_chain.verify(logs, head=head) == replace(WHOLE, logs=80)


def test_nobody_but_the_archiver_brings_a_place_along(desk: Desk) -> None:
    desk.log()
    desk.log(chain_position=77, chain_hash=bytes(32))
    logs, head = read(desk)
    assert archive_chain.verify(logs, head=head).is_whole
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        desk.execute("UPDATE mgg.operation_log_head SET position = 0", role=Role.WRITER)
    for role in (Role.WRITER, Role.ARCHIVER):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            desk.execute("DELETE FROM mgg.operation_logs", role=role)


def test_the_chain_holds_when_a_month_has_left_and_when_it_is_back(desk: Desk) -> None:
    desk.log()
    desk.log(MONTH.end)
    desk.log()
    before, head = read(desk)
    rows = desk.rows("SELECT * FROM mgg.operation_logs WHERE created_at < %s", [MONTH.end])
    desk.release(*desk.prove(LOGS, MONTH))
    hot, _ = read(desk)
    assert [log.chain_position for log in hot] == [2]
    assert archive_chain.verify(hot, head=head) == replace(WHOLE, logs=1, missing=2)
    assert archive_chain.verify([before[0], *hot, before[2]], head=head).is_whole
    with desk.postgres.connect(Role.ARCHIVER, work="test") as connection:
        connection.execute("SELECT mgg.ensure_partition('operation_logs', %s)", [MONTH.start])
        connection.cursor().executemany(
            f"INSERT INTO mgg.operation_logs OVERRIDING SYSTEM VALUE VALUES ({', '.join(['%s'] * 11)})".encode(), rows
        )
    desk.log()
    logs, head = read(desk)
    assert logs[:3] == before
    assert archive_chain.verify(logs, head=head) == replace(WHOLE, logs=4)


def changed(logs: list[Log]) -> list[Log]:
    logs[2] = replace(logs[2], action="forged")
    return logs


def forged_with_its_hash(logs: list[Log]) -> list[Log]:
    log = replace(logs[2], action="forged")
    logs[2] = replace(log, chain_hash=archive_chain.link(logs[1].chain_hash, log))
    return logs


@pytest.mark.parametrize(
    ("touch", "found"),
    [
        (changed, Chain(5, 3, 1, 0, 0)),
        (forged_with_its_hash, Chain(5, 4, 1, 0, 0)),
        (lambda logs: logs[:2] + logs[3:], Chain(4, None, 0, 1, 0)),
        (lambda logs: logs[1:], Chain(4, None, 0, 1, 0)),
        (lambda logs: logs[:3], Chain(3, None, 0, 2, 0)),
        (lambda logs: logs[:2] + logs[1:], Chain(6, None, 0, 0, 1)),
        (lambda logs: [*logs[:2], replace(logs[1], chain_hash=bytes(32)), *logs[2:]], Chain(6, 2, 2, 0, 1)),
        (lambda logs: [*logs, replace(logs[4], chain_position=6)], Chain(6, 6, 2, 0, 0)),
        (lambda logs: [*logs[:4], replace(logs[4], chain_hash=bytes(32))], Chain(5, 5, 2, 0, 0)),
    ],
)
def test_what_was_touched_is_found(touch: Callable[[list[Log]], list[Log]], found: Chain) -> None:
    logs = made(5)
    assert archive_chain.verify(touch(list(logs)), head=end(logs)) == found
    assert not found.is_whole


def test_a_part_of_the_chain_is_verified_from_a_link_on() -> None:
    logs = made(9)
    assert archive_chain.verify(logs[4:], head=end(logs), after=end(logs[:4])) == replace(WHOLE, logs=5)


def test_logs_out_of_order_are_refused() -> None:
    logs = made(3)
    with pytest.raises(Refused, match="out of order: 2 behind 3"):
        archive_chain.verify(logs[::-1], head=end(logs))


TEXTS = st.none() | st.text()


@given(
    first=st.tuples(TEXTS, TEXTS, TEXTS),
    second=st.tuples(TEXTS, TEXTS, TEXTS),
    moment=st.datetimes(timezones=st.just(UTC)),
)
def test_no_two_logs_share_a_hash(
    first: tuple[str | None, str | None, str | None],
    second: tuple[str | None, str | None, str | None],
    moment: datetime,
) -> None:
    """Lengths stand before contents: nothing moves from one field into the next unseen, and NULL is not empty."""
    one, other = (
        Log(1, None, "admin", "a", details, None, agent, origin, moment, 1, b"")
        for details, agent, origin in (first, second)
    )
    assert (archive_chain.link(GENESIS.hash, one) == archive_chain.link(GENESIS.hash, other)) == (first == second)


def test_a_microsecond_makes_another_hash() -> None:
    (log,) = made(1)
    later = replace(log, created_at=MOMENT + timedelta(microseconds=1))
    assert archive_chain.link(GENESIS.hash, later) != log.chain_hash
