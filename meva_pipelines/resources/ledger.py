"""Attempts to publish and the verdicts on their batches, as verbs. No rows of any subject are touched here.

What was taken in is in `fetches`, what is published in `published_runs`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from meva_pipelines.domain.days import korean_day
from meva_pipelines.domain.failures import MevaError, Rejected, Superseded, Unavailable
from meva_pipelines.resources import journal, outbox
from meva_pipelines.resources.journal import Event
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role


class Mode(StrEnum):
    """How an attempt comes by its rows."""

    FULL = "full"
    INCREMENTAL = "incremental"
    REPLAY = "replay"
    ROLLBACK = "rollback"
    DELETION = "deletion"
    ARCHIVE = "archive"
    RESTORE = "restore"


class Status(StrEnum):
    """How far an attempt has come."""

    STARTED = "started"
    FETCHED = "fetched"
    STAGED = "staged"
    PUBLISHED = "published"
    FAILED = "failed"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to publish; `token` grows with every attempt and fences out the older ones."""

    token: int
    subject: str
    source: str
    mode: Mode
    day: date
    dagster_run_id: str
    status: Status
    fetch_id: str | None
    staged_digest: str | None
    started_at: datetime


_ATTEMPT = sql.SQL("token, subject, source, mode, day, dagster_run_id, status, fetch_id, staged_digest, started_at")
_DATA_EXCEPTIONS = "22"
"""Class of the SQLSTATEs whose primary message quotes the value at fault."""


def open_attempt(
    connection: psycopg.Connection,
    *,
    subject: str,
    source: str,
    mode: Mode,
    day: date,
    dagster_run_id: str,
    fetch_id: str | None = None,
    target_token: int | None = None,
) -> Attempt:
    """Start an attempt. From here on every older attempt for the same subject and source is fenced out."""
    opened = _one(
        connection,
        sql.SQL(
            "INSERT INTO ops.sync_runs (subject, source, mode, day, dagster_run_id, status, fetch_id, target_token)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING {}"
        ).format(_ATTEMPT),
        [subject, source, mode, day, dagster_run_id, Status.STARTED, fetch_id, target_token],
    )
    journal.note(Event.SYNC_STARTED, token=opened.token, subject=subject, source=source, mode=mode, day=day)
    return opened


def attempt_of_run(connection: psycopg.Connection, *, subject: str, dagster_run_id: str) -> Attempt | None:
    """Return the newest attempt that a Dagster run opened for a subject."""
    return _maybe(
        connection,
        sql.SQL(
            "SELECT {} FROM ops.sync_runs WHERE subject = %s AND dagster_run_id = %s ORDER BY token DESC LIMIT 1"
        ).format(_ATTEMPT),
        [subject, dagster_run_id],
    )


def launched(connection: psycopg.Connection, *, subject: str, dagster_run_id: str) -> tuple[int, timedelta]:
    """Return how many attempts a Dagster run opened for a subject, and how long ago the first began."""
    row = connection.execute(
        "SELECT count(*), coalesce(clock_timestamp() - min(started_at), '0') FROM ops.sync_runs"
        " WHERE subject = %s AND dagster_run_id = %s",
        [subject, dagster_run_id],
    ).fetchone()
    return (0, timedelta()) if row is None else (int(row[0]), row[1])


def latest_attempt(
    connection: psycopg.Connection, *, subject: str, day: date, statuses: tuple[Status, ...]
) -> Attempt | None:
    """Return the newest attempt for a day that has one of `statuses`."""
    return _maybe(
        connection,
        sql.SQL(
            "SELECT {} FROM ops.sync_runs WHERE subject = %s AND day = %s AND status = ANY(%s)"
            " AND mode NOT IN ('rollback', 'deletion') ORDER BY token DESC LIMIT 1"
        ).format(_ATTEMPT),
        [subject, day, list(statuses)],
    )


def attempt(connection: psycopg.Connection, token: int) -> Attempt | None:
    """Return one attempt by its token."""
    return _maybe(connection, sql.SQL("SELECT {} FROM ops.sync_runs WHERE token = %s").format(_ATTEMPT), [token])


def record(connection: psycopg.Connection, token: int, **columns: object) -> None:
    """Set columns of an attempt's row."""
    assignments = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in columns)
    values = [Jsonb(value) if isinstance(value, dict) else value for value in columns.values()]
    connection.execute(
        sql.SQL("UPDATE ops.sync_runs SET {} WHERE token = %s").format(assignments),
        [*values, token],
    )


def now(connection: psycopg.Connection) -> datetime:
    """Return the database's clock: the only one that decides."""
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    if row is None:
        raise Unavailable("PostgreSQL returned no time")
    return row[0]  # type: ignore[no-any-return]


def today(connection: psycopg.Connection) -> date:
    """Return the Korean day by the database's clock."""
    return korean_day(now(connection))


def demand_current(connection: psycopg.Connection, attempt: Attempt) -> None:
    """Refuse an attempt that has ended, or that a newer one has overtaken.

    Raises:
        Superseded: this attempt was published, failed or rejected already, or a newer attempt for the same subject
            and source is under way or has published.
    """
    ended = connection.execute(
        "SELECT status FROM ops.sync_runs WHERE token = %s AND status IN ('published', 'failed', 'rejected')",
        [attempt.token],
    ).fetchone()
    if ended is not None:
        raise Superseded(
            f"attempt {attempt.token} for {attempt.subject} has ended already, {ended[0]}: this run changed nothing. "
            "Nothing needs to be done if it was published; otherwise run the sync again."
        )
    row = connection.execute(
        "SELECT max(token) FROM ops.sync_runs WHERE subject = %s AND source = %s AND token > %s"
        " AND status NOT IN ('failed', 'rejected')",
        [attempt.subject, attempt.source, attempt.token],
    ).fetchone()
    if row is not None and row[0] is not None:
        raise Superseded(
            f"attempt {attempt.token} for {attempt.subject} was overtaken by attempt {row[0]}: it changed nothing. "
            "Nothing needs to be done if the newer run succeeds; otherwise run the sync again."
        )


def close_overtaken(connection: psycopg.Connection, attempt: Attempt) -> None:
    """End the older attempts that never said how they ended, now that this one is published: they were killed."""
    connection.execute(
        "UPDATE ops.sync_runs SET status = 'failed', finished_at = clock_timestamp(), error_type = %s, error = %s"
        " WHERE subject = %s AND source = %s AND token < %s AND status IN ('started', 'fetched', 'staged')",
        [
            Superseded.__name__,
            f"overtaken by attempt {attempt.token} before it ended",
            attempt.subject,
            attempt.source,
            attempt.token,
        ],
    )


@contextmanager
def watch(
    postgres: Postgres, attempt: Attempt, *, is_last: Callable[[MevaError], bool] = lambda _: True
) -> Iterator[None]:
    """Write down how an attempt ended when the body raises; the error goes on, stripped of row contents.

    People are told unless `is_last` says that another attempt follows by itself.
    A psycopg error may quote a whole row: only its primary message is kept, and not even that where it quotes a value.
    """
    try:
        yield
    except MevaError as error:
        _end(postgres, attempt, error, str(error), is_told=is_last(error))
        raise
    except psycopg.Error as error:
        if _was_overtaken(postgres, attempt):
            raise Superseded(
                f"attempt {attempt.token} for {attempt.subject} was overtaken while it ran: it changed nothing. "
                "Nothing needs to be done if the newer run succeeds; otherwise run the sync again."
            ) from None
        message = f"PostgreSQL: {_without_values(error)} (SQLSTATE {error.sqlstate})"
        unavailable = Unavailable(f"attempt {attempt.token} for {attempt.subject} failed. {message}")
        _end(postgres, attempt, error, message, is_told=is_last(unavailable))
        raise unavailable from None
    except Exception as error:
        _end(postgres, attempt, error, type(error).__name__, is_told=True)
        raise


def _was_overtaken(postgres: Postgres, attempt: Attempt) -> bool:
    """Whether a newer attempt has ended this one, and with it the staging tables that it worked on."""
    try:
        with postgres.connect(Role.WRITER, work=f"look up {attempt.token}") as connection:
            row = connection.execute(
                "SELECT error_type FROM ops.sync_runs WHERE token = %s AND status = 'failed'", [attempt.token]
            ).fetchone()
    except (MevaError, psycopg.Error):
        return False
    return row is not None and row[0] == Superseded.__name__


def _without_values(error: psycopg.Error) -> str:
    if error.sqlstate is None or error.sqlstate.startswith(_DATA_EXCEPTIONS):
        return type(error).__name__
    return error.diag.message_primary or type(error).__name__


def _end(postgres: Postgres, attempt: Attempt, error: Exception, message: str, *, is_told: bool) -> None:
    status = Status.REJECTED if isinstance(error, Rejected) else Status.FAILED
    event = Event.SYNC_OVERTAKEN if isinstance(error, Superseded) else Event.SYNC_FAILED
    if is_told:
        about = {"token": attempt.token, "subject": attempt.subject, "source": attempt.source}
        journal.note(event, **about, error=type(error).__name__, message=message)
    try:
        with postgres.connect(Role.WRITER, work=f"end attempt {attempt.token}") as connection:
            ended = connection.execute(
                "UPDATE ops.sync_runs SET status = %s, finished_at = clock_timestamp(), error_type = %s, error = %s"
                " WHERE token = %s AND status NOT IN ('published', 'rejected')",
                [status, type(error).__name__, message, attempt.token],
            )
            if ended.rowcount and is_told:
                outbox.tell_end(connection, attempt.token)
    except (MevaError, psycopg.Error):
        return  # the database itself is gone: the open attempt is closed by the next one


def reject(connection: psycopg.Connection, attempt: Attempt, message: str) -> None:
    """End an attempt whose batch may not be published, in the caller's transaction, and tell people."""
    record(
        connection,
        attempt.token,
        status=Status.REJECTED,
        finished_at=now(connection),
        error_type=Rejected.__name__,
        error=message,
    )
    outbox.tell_end(connection, attempt.token)
    journal.note(Event.BATCH_REJECTED, token=attempt.token, subject=attempt.subject, message=message)


def store_verdict(
    connection: psycopg.Connection,
    token: int,
    *,
    suite: str,
    digest: str,
    is_passed: bool,
    results: list[Mapping[str, object]],
    duration_s: float,
) -> None:
    """Write what the judge said of a staged batch. A verdict is written once and never changed."""
    connection.execute(
        "INSERT INTO ops.audit_verdicts (token, suite, digest, is_passed, results, duration_s)"
        " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (token, suite) DO NOTHING",
        [token, suite, digest, is_passed, Jsonb(results), duration_s],
    )


def demand_verdicts(connection: psycopg.Connection, attempt: Attempt, *, digest: str, suites: tuple[str, ...]) -> None:
    """Refuse a batch that was not judged, judged on other rows, or judged and failed.

    Raises:
        Rejected: naming the suites at fault.
    """
    rows = connection.execute(
        "SELECT suite, is_passed, digest = %s FROM ops.audit_verdicts WHERE token = %s",
        [digest, attempt.token],
    ).fetchall()
    said = {suite: (is_passed, is_same) for suite, is_passed, is_same in rows}
    unjudged = sorted(suite for suite in suites if suite not in said)
    failed = sorted(suite for suite in suites if suite in said and not said[suite][0])
    stale = sorted(suite for suite in suites if suite in said and not said[suite][1])
    for problem, names in (
        ("was not judged by", unjudged),
        ("failed", failed),
        ("changed since it was judged by", stale),
    ):
        if names:
            raise Rejected(
                f"batch {attempt.token} for {attempt.subject} {problem}: {', '.join(names)}. Nothing was published. "
                "The checks of the staged asset show what was found; stage the batch again after the cause is mended."
            )


def _one(connection: psycopg.Connection, statement: sql.Composed, values: list[object]) -> Attempt:
    found = _maybe(connection, statement, values)
    if found is None:
        raise Unavailable("PostgreSQL returned no row for a new attempt")
    return found


def _maybe(connection: psycopg.Connection, statement: sql.Composed, values: list[object]) -> Attempt | None:
    with connection.cursor() as cursor:
        row = cursor.execute(statement, values).fetchone()
    if row is None:
        return None
    token, subject, source, mode, day, run_id, status, fetch_id, digest, started_at = row
    return Attempt(
        token=token,
        subject=subject,
        source=source,
        mode=Mode(mode),
        day=day,
        dagster_run_id=run_id,
        status=Status(status),
        fetch_id=fetch_id,
        staged_digest=digest,
        started_at=started_at,
    )
