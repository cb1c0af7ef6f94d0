"""The publishing transaction on a real server, through lost connections, lost answers, locks and zombies."""

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from enum import Enum, auto

import psycopg
import pytest
from sqlalchemy import make_url

from meva_pipelines.domain.failures import MevaError, Rejected, Superseded, Unavailable
from meva_pipelines.resources import ledger, publishing
from meva_pipelines.resources.ledger import Attempt, Mode, Status
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.fixtures.warehouse import holders_of_locks
from meva_pipelines_tests.resources.test_ledger import DAY, SOURCE, SUBJECT, judged, row_of, writer
from meva_pipelines_tests.resources.test_postgres import centers, insert, terminate

__all__ = ["writer"]

DELAY_S = 0.5
SUITES = ("aed.staged_records", "aed.profile")


def opened(connection: psycopg.Connection, *, subject: str = SUBJECT) -> Attempt:
    return ledger.open_attempt(
        connection, subject=subject, source=SOURCE, mode=Mode.FULL, day=DAY, dagster_run_id="run"
    )


def status_of(connection: psycopg.Connection, attempt: Attempt) -> str:
    return row_of(connection, attempt)[0]


def publish(
    postgres: Postgres,
    attempt: Attempt,
    *,
    key: str = "published",
    afterwards: Callable[[psycopg.Connection], object] = lambda _connection: None,
) -> None:
    """Publish one row as an asset does: watched, in the locked transaction."""
    with ledger.watch(postgres, attempt), publishing.locked(postgres, attempt) as connection:
        insert(connection, key)
        afterwards(connection)


def test_the_rows_and_the_status_become_visible_together(postgres: Postgres, writer: psycopg.Connection) -> None:
    mine = opened(writer)
    with publishing.locked(postgres, mine) as connection:
        insert(connection, "published")
        assert centers(postgres) == []
        assert status_of(writer, mine) == Status.STARTED
    assert centers(postgres) == ["published"]
    assert status_of(writer, mine) == Status.PUBLISHED
    assert writer.execute("SELECT finished_at IS NOT NULL FROM ops.sync_runs").fetchone() == (True,)


def test_an_error_in_the_body_publishes_nothing(postgres: Postgres, writer: psycopg.Connection) -> None:
    mine = opened(writer)

    def refuse(_connection: psycopg.Connection) -> None:
        raise Rejected("a post-condition does not hold")

    with pytest.raises(Rejected):
        publish(postgres, mine, afterwards=refuse)
    assert centers(postgres) == []
    assert status_of(writer, mine) == Status.REJECTED


def test_an_overtaken_attempt_changes_nothing(postgres: Postgres, writer: psycopg.Connection) -> None:
    zombie = opened(writer)
    newer = opened(writer)
    with pytest.raises(Superseded):
        publish(postgres, zombie, key="zombie")
    publish(postgres, newer, key="newer")
    with pytest.raises(Superseded):
        publish(postgres, zombie, key="zombie")
    assert centers(postgres) == ["newer"]


def test_an_attempt_behind_a_failed_one_publishes(postgres: Postgres, writer: psycopg.Connection) -> None:
    mine, failed = opened(writer), opened(writer)
    ledger.record(writer, failed.token, status=Status.FAILED)
    publish(postgres, mine)
    assert status_of(writer, mine) == Status.PUBLISHED


def test_two_runs_with_the_same_attempt_publish_it_once(postgres: Postgres, writer: psycopg.Connection) -> None:
    mine, start = opened(writer), threading.Barrier(2)

    def run(key: str) -> bool:
        start.wait(timeout=120)
        try:
            publish(postgres, mine, key=key)
        except Superseded:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        has_won = [run.result(timeout=300) for run in [pool.submit(run, key) for key in ("one", "other")]]
    assert sorted(has_won) == [False, True]
    assert centers(postgres) == ["one" if has_won[0] else "other"]
    assert status_of(writer, mine) == Status.PUBLISHED


def publish_batch(postgres: Postgres, attempt: Attempt, *, digest: str = "d") -> None:
    def read_again(connection: psycopg.Connection) -> str:
        connection.execute("SELECT 1")
        return digest

    with (
        ledger.watch(postgres, attempt),
        publishing.publication(postgres, attempt, digest=read_again, suites=SUITES) as connection,
    ):
        insert(connection, "published")


def test_a_judged_batch_is_published(postgres: Postgres, writer: psycopg.Connection) -> None:
    mine = opened(writer)
    for suite in SUITES:
        judged(writer, mine, suite=suite)
    publish_batch(postgres, mine)
    assert centers(postgres) == ["published"]


@pytest.mark.parametrize(
    ("suites", "is_passed", "digest"),
    [((), True, "d"), (SUITES[:1], True, "d"), (SUITES, False, "d"), (SUITES, True, "changed since")],
    ids=["unjudged", "half judged", "failed", "changed"],
)
def test_a_batch_without_a_passed_verdict_on_these_rows_is_not_published(
    postgres: Postgres, writer: psycopg.Connection, suites: tuple[str, ...], digest: str, *, is_passed: bool
) -> None:
    mine = opened(writer)
    for suite in suites:
        judged(writer, mine, suite=suite, is_passed=is_passed)
    with pytest.raises(Rejected):
        publish_batch(postgres, mine, digest=digest)
    assert centers(postgres) == []
    assert status_of(writer, mine) == Status.REJECTED


def test_a_subject_that_stays_locked_is_unavailable_and_says_so(
    postgres: Postgres, writer: psycopg.Connection, warehouse_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "LOCK_TIMEOUT", "100ms")
    mine = opened(writer)
    with psycopg.connect(warehouse_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [SUBJECT])
        with pytest.raises(Unavailable, match=r"another run has been writing aed\.aed_data"):
            publish(postgres, mine)
        publish(postgres, opened(writer, subject="aed.other"), key="other subject")
    assert centers(postgres) == ["other subject"]
    assert status_of(writer, mine) == Status.FAILED
    again = opened(writer)
    publish(postgres, again, key="after the lock")
    assert status_of(writer, again) == Status.PUBLISHED


def test_a_row_that_stays_locked_is_unavailable_and_changes_nothing(
    postgres: Postgres, writer: psycopg.Connection, warehouse_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "LOCK_TIMEOUT", "100ms")
    insert(writer, "contended")
    mine = opened(writer)
    with psycopg.connect(warehouse_url) as other:
        other.execute("SELECT FROM aed.health_centers FOR UPDATE")
        with pytest.raises(Unavailable, match="lock timeout"):
            publish(postgres, mine, afterwards=lambda mine: mine.execute("UPDATE aed.health_centers SET devices = 9"))
    assert centers(postgres) == ["contended"]
    assert status_of(writer, mine) == Status.FAILED


def test_a_connection_that_is_ended_before_the_commit_publishes_nothing(
    postgres: Postgres, writer: psycopg.Connection, warehouse_url: str
) -> None:
    mine = opened(writer)
    with pytest.raises(Unavailable, match="was not published"):
        publish(postgres, mine, afterwards=lambda connection: terminate(warehouse_url, connection))
    assert centers(postgres) == []
    assert status_of(writer, mine) == Status.FAILED


def test_no_lock_outlives_a_publication(postgres: Postgres, writer: psycopg.Connection) -> None:
    publish(postgres, opened(writer))
    assert holders_of_locks(postgres.dsn()) == []


class Cut(Enum):
    """Where the line breaks around a COMMIT."""

    BEFORE_COMMIT = auto()
    BEFORE_THE_ANSWER = auto()
    WHILE_COMMITTING = auto()


@dataclass(slots=True)
class Line:
    """A line to the server that breaks once, at the next COMMIT after `cut` was set."""

    address: tuple[str, int]
    listener: socket.socket
    cut: Cut | None = None
    threads: list[threading.Thread] = field(default_factory=list)

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.threads.append(threading.Thread(target=self._relay, args=[client], daemon=True))
                self.threads[-1].start()

    def _relay(self, client: socket.socket) -> None:
        with suppress(OSError), closing(client), socket.create_connection(self.address, timeout=10) as server:
            while True:
                for one, other in (client, server), (server, client):
                    if not select.select([one], [], [], 0.005)[0]:
                        continue
                    data = one.recv(65_536)
                    if not data:
                        return
                    if one is client and self.cut is not None and b"COMMIT" in data:
                        self._break(client, server, data)
                        return
                    other.sendall(data)

    def _break(self, client: socket.socket, server: socket.socket, data: bytes) -> None:
        cut, self.cut = self.cut, None
        if cut is Cut.BEFORE_COMMIT:
            return
        if cut is Cut.WHILE_COMMITTING:
            client.shutdown(socket.SHUT_RDWR)
            time.sleep(DELAY_S)
        server.sendall(data)
        server.recv(65_536)


@pytest.fixture
def line(warehouse_url: str) -> Iterator[Line]:
    """A line that can be broken, between us and the warehouse."""
    url = make_url(warehouse_url)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Line((url.host or "localhost", url.port or 5432), listener)
        thread = threading.Thread(target=made.serve, daemon=True)
        thread.start()
        yield made
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    for running in (thread, *made.threads):
        running.join(timeout=120)


@pytest.fixture
def far_postgres(line: Line, warehouse_url: str, postgres: Postgres) -> Postgres:
    """The warehouse at the other end of the line."""
    port = line.listener.getsockname()[1]
    url = make_url(warehouse_url).set(host="127.0.0.1", port=port)
    plain = url.update_query_dict({"sslmode": "disable", "gssencmode": "disable"})
    return Postgres(url=plain.render_as_string(hide_password=False), home=postgres.home)


def publish_over(line: Line, far: Postgres, attempt: Attempt, cut: Cut) -> None:
    with ledger.watch(far, attempt), publishing.locked(far, attempt) as connection:
        insert(connection, "published")
        line.cut = cut


@pytest.mark.parametrize("cut", [Cut.BEFORE_THE_ANSWER, Cut.WHILE_COMMITTING])
def test_a_commit_whose_answer_was_lost_is_looked_up_and_counts(
    line: Line, far_postgres: Postgres, postgres: Postgres, writer: psycopg.Connection, cut: Cut
) -> None:
    """The second line breaks before the server has even received COMMIT: the ledger waits for how it ends."""
    mine = opened(writer)
    publish_over(line, far_postgres, mine, cut)
    assert line.cut is None
    assert centers(postgres) == ["published"]
    assert row_of(writer, mine) == (Status.PUBLISHED, None, None)


def test_a_commit_that_never_arrived_is_looked_up_and_does_not_count(
    line: Line, far_postgres: Postgres, postgres: Postgres, writer: psycopg.Connection
) -> None:
    mine = opened(writer)
    with pytest.raises(Unavailable, match="was not published"):
        publish_over(line, far_postgres, mine, Cut.BEFORE_COMMIT)
    assert centers(postgres) == []
    assert status_of(writer, mine) == Status.FAILED


def test_a_retry_after_any_broken_line_ends_with_the_row_published_once(
    line: Line, far_postgres: Postgres, postgres: Postgres, writer: psycopg.Connection
) -> None:
    def attempted(cut: Cut) -> Callable[[], None]:
        return lambda: publish_over(line, far_postgres, opened(writer), cut)

    outcomes: list[type[MevaError] | None] = []
    for run in (attempted(Cut.BEFORE_COMMIT), attempted(Cut.BEFORE_THE_ANSWER)):
        try:
            run()
        except MevaError as error:
            outcomes.append(type(error))
        else:
            outcomes.append(None)
    assert outcomes == [Unavailable, None]
    assert centers(postgres) == ["published"]
    found = writer.execute("SELECT status FROM ops.sync_runs ORDER BY token").fetchall()
    assert found == [(Status.FAILED,), (Status.PUBLISHED,)]


def test_nobody_publishes_without_the_writers_role(postgres: Postgres, writer: psycopg.Connection) -> None:
    mine = opened(writer)
    with publishing.locked(postgres, mine) as connection:
        found = connection.execute("SELECT current_user, current_setting('lock_timeout')").fetchone()
    assert found == (Role.WRITER.value, publishing.LOCK_TIMEOUT)
