"""The publishing transaction: nothing becomes visible but through here, and only with a passed verdict.

What is written is the subject's business; that it may be written, once, by the newest attempt, for exactly the
rows that were judged, is decided here.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from meva_pipelines.domain.digests import SLOW
from meva_pipelines.domain.failures import Unavailable
from meva_pipelines.resources import failpoints, journal, ledger, outbox
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.journal import Event
from meva_pipelines.resources.ledger import Attempt, Status
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role

LOCK_TIMEOUT = "30s"
STATEMENT_TIMEOUT = "20min"


@contextmanager
def locked(postgres: Postgres, attempt: Attempt) -> Iterator[psycopg.Connection]:
    """Lend the one transaction that may change a subject, and mark the attempt published when it commits.

    The body may call `ledger.record` to set the figures of the attempt. When the connection is lost while COMMIT
    is under way, the ledger tells whether it happened.

    Raises:
        Superseded: a newer attempt owns the subject, or this one has ended already.
        Unavailable: the lock was not to be had in time, or the connection was lost before the commit.
    """
    try:
        with postgres.connect(Role.WRITER, work=f"publish {attempt.token}") as connection:
            _prepare(connection)
            _lock(connection, attempt)
            ledger.demand_current(connection, attempt)
            failpoints.reach(Point.PUBLISH_LOCKED)
            yield connection
            ledger.record(connection, attempt.token, status=Status.PUBLISHED, finished_at=ledger.now(connection))
            ledger.close_overtaken(connection, attempt)
            outbox.tell_end(connection, attempt.token)
            failpoints.reach(Point.PUBLISH_BEFORE_COMMIT)
    except psycopg.OperationalError as error:
        if not _is_published(postgres, attempt):
            raise Unavailable(
                f"attempt {attempt.token} for {attempt.subject} was not published and changed nothing: "
                f"{error.diag.message_primary or 'the connection was lost'}. Run the sync again."
            ) from None
    failpoints.reach(Point.PUBLISH_AFTER_COMMIT)
    _tell(postgres, attempt)


@contextmanager
def publication(
    postgres: Postgres,
    attempt: Attempt,
    *,
    digest: Callable[[psycopg.Connection], str],
    suites: tuple[str, ...],
) -> Iterator[psycopg.Connection]:
    """Lend the publishing transaction of a staged batch.

    `digest` re-reads the digest of the staged rows; `suites` are the verdicts without which nothing is published.

    Raises:
        Rejected: a verdict is missing, failed, or speaks of other rows.
        Superseded, Unavailable: as `locked`.
    """
    with locked(postgres, attempt) as connection:
        ledger.demand_verdicts(connection, attempt, digest=digest(connection), suites=suites)
        yield connection


def _tell(postgres: Postgres, attempt: Attempt) -> None:
    with postgres.connect(Role.WRITER, work=f"look at {attempt.token}") as connection:
        took = ledger.now(connection) - attempt.started_at
    facts = {"token": attempt.token, "subject": attempt.subject, "source": attempt.source, "duration_s": took}
    journal.note(Event.SYNC_PUBLISHED, **facts, mode=attempt.mode, day=attempt.day)
    if took > SLOW:
        journal.note(Event.SYNC_SLOW, **facts, expected_s=SLOW)


def _prepare(connection: psycopg.Connection) -> None:
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(LOCK_TIMEOUT)))
    connection.execute(sql.SQL("SET LOCAL statement_timeout = {}").format(sql.Literal(STATEMENT_TIMEOUT)))
    connection.execute("SET LOCAL jit = off")


def _lock(connection: psycopg.Connection, attempt: Attempt) -> None:
    try:
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [attempt.subject])
    except psycopg.errors.LockNotAvailable:
        raise Unavailable(
            f"another run has been writing {attempt.subject} for longer than {LOCK_TIMEOUT}: attempt {attempt.token} "
            "changed nothing. Run the sync again when that run has ended."
        ) from None


def _is_published(postgres: Postgres, attempt: Attempt) -> bool:
    with postgres.connect(Role.WRITER, work=f"look up {attempt.token}") as connection:
        _prepare(connection)
        # a COMMIT whose answer was lost may still be under way: its lock on the row is waited for
        connection.execute("SELECT FROM ops.sync_runs WHERE token = %s FOR SHARE", [attempt.token])
        found = ledger.attempt(connection, attempt.token)
    if found is None:
        raise Unavailable(f"the ledger lost attempt {attempt.token}")
    return found.status is Status.PUBLISHED
