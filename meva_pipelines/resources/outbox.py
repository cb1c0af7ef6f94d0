"""Incidents and messages as verbs on `ops.incidents` and `ops.outbox`, in the caller's transaction.

What is told is decided in `domain/alerts`, how it is worded in `domain/alert_messages`; sending is in `alerts`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import class_row, dict_row

from meva_pipelines.domain import alert_messages, alerts, digests
from meva_pipelines.domain.alert_messages import Message, Severity
from meva_pipelines.domain.alerts import Incident, Kind, Outcome, Standing, Sync
from meva_pipelines.domain.digests import Window
from meva_pipelines.domain.failures import Unavailable
from meva_pipelines.resources import backlogs, journal, reference
from meva_pipelines.resources.journal import Event

_SYNC = sql.SQL(
    "SELECT r.token, r.subject, r.source, r.mode, r.day, r.status, coalesce(r.error_type, '') AS error_type,"
    " r.fetched_at IS NOT NULL AS is_fetched, r.started_at, r.finished_at, coalesce(r.retries, 0) AS retries,"
    " coalesce(r.quarantined_rows, 0) AS quarantined_rows, r.dagster_run_id AS run_id,"
    " (SELECT count(*) FROM ops.ingest_ledger AS i WHERE i.token = r.token AND i.outcome = 'rejected')"
    " AS refused_files,"
    " (SELECT count(*) FROM ops.sync_parts AS p WHERE p.token = r.token AND p.verdict = 'withheld') AS withheld_parts,"
    " (SELECT count(*) FROM ops.sync_parts AS p WHERE p.token = r.token AND p.verdict = 'incomplete')"
    " AS incomplete_parts,"
    " ARRAY(SELECT v.suite || '.' || (f ->> 'expectation') FROM ops.audit_verdicts AS v,"
    " jsonb_array_elements(v.results) AS f WHERE v.token = r.token AND f ->> 'severity' = 'warning'"
    " AND NOT (f ->> 'is_met')::boolean ORDER BY 1) AS unmet"
    " FROM ops.sync_runs AS r WHERE {} ORDER BY r.token"
)


@dataclass(frozen=True, slots=True)
class Due:
    """What time made true and nobody was told yet: days not published, attempts open for too long, a digest."""

    overdue: tuple[tuple[Standing, date], ...]
    overlong: tuple[Sync, ...]
    digest: tuple[Window, Message] | None

    def __bool__(self) -> bool:
        return bool(self.overdue or self.overlong or self.digest)

    @property
    def names(self) -> tuple[str, ...]:
        """Return one stable name for each thing that is due."""
        return (
            *(f"{Kind.DEADLINE_MISSED}/{standing.subject}/{day}" for standing, day in self.overdue),
            *(f"{Kind.SYNC_TOO_SLOW}/{sync.token}" for sync in self.overlong),
            *([f"digest/{self.digest[0].day}"] if self.digest else []),
        )


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that was not delivered yet."""

    id: int
    severity: str
    title: str
    body: str
    attempts: int
    due_at: datetime
    last_error: str | None

    @property
    def message(self) -> Message:
        """Return the message as it is sent."""
        return Message(Severity(self.severity), self.title, self.body)


def tell_end(connection: psycopg.Connection, token: int) -> None:
    """Open, count or resolve the incidents that the end of an attempt stands for.

    Runs in the transaction that ends the attempt, after its row says so: the message and the fact commit together.
    """
    (ended,) = _syncs(connection, "r.token = %s", [token])
    _lock(connection, ended.subject)
    since_success = _syncs(
        connection,
        "r.subject = %s AND r.source = %s AND r.token > (SELECT coalesce(max(token), 0) FROM ops.sync_runs"
        " WHERE subject = %s AND source = %s AND status = 'published' AND mode = ANY(%s))",
        [*[ended.subject, ended.source] * 2, _SYNC_MODES],
    )
    for kind in alerts.raised_by(ended, since_success=since_success):
        message = alert_messages.opened(
            kind,
            ended,
            failures=alerts.failures_in_a_row(ended, since_success=since_success),
            rules=_unmet_rules(connection, token) if kind is Kind.CORRUPTION_DETECTED else (),
        )
        _raise(connection, kind, message, subject=ended.subject, source=ended.source, day=ended.day, token=token)
    for incident in alerts.resolved_by(ended, open_incidents(connection), rivals=reference.asked_sources()):
        _resolve(connection, incident, ended)


def due(connection: psycopg.Connection) -> Due:
    """Return what time made true and nobody was told yet. Reads only."""
    now, incidents = _now(connection), open_incidents(connection)
    overdue = [
        (standing, day)
        for standing in _standings(connection)
        if (day := alerts.overdue_day(standing, incidents, now=now)) is not None
    ]
    newest = _syncs(
        connection,
        "r.token IN (SELECT max(token) FROM ops.sync_runs WHERE mode = ANY(%s) GROUP BY subject, source)",
        [_SYNC_MODES],
    )
    overlong = [sync for sync in newest if alerts.is_overlong(sync, incidents, now=now)]
    return Due(tuple(overdue), tuple(overlong), _digest(connection, now=now))


def note_due(connection: psycopg.Connection) -> Due:
    """Write what time made true into incidents and messages, and return it; what is told already is not repeated."""
    for subject in _subjects(connection):
        _lock(connection, subject)
    found = due(connection)
    for standing, day in found.overdue:
        kind = Kind.DEADLINE_MISSED
        message = alert_messages.deadline_missed(standing.subject, day, published_day=standing.published_day)
        _raise(connection, kind, message, subject=standing.subject, source="", day=day, token=None)
    for sync in found.overlong:
        kind = Kind.SYNC_TOO_SLOW
        message = alert_messages.opened(kind, sync, failures=0)
        _raise(connection, kind, message, subject=sync.subject, source=sync.source, day=sync.day, token=sync.token)
    if found.digest is not None:
        window, message = found.digest
        connection.execute(
            "INSERT INTO ops.outbox (kind, day, severity, title, body) VALUES ('digest', %s, %s, %s, %s)"
            " ON CONFLICT (day) WHERE kind = 'digest' DO NOTHING",
            [window.day, message.severity, message.title, message.body],
        )
    return found


def open_alarm(connection: psycopg.Connection, kind: str, message: Message, *, subject: str, day: date) -> None:
    """Open or count an incident that no sync stands behind; its message is told once."""
    _lock(connection, subject)
    _raise(connection, kind, message, subject=subject, source="", day=day, token=None)


def close_alarm(connection: psycopg.Connection, kind: str, message: Message, *, subject: str, day: date) -> bool:
    """End an incident that no sync stands behind; whether one was open."""
    _lock(connection, subject)
    row = connection.execute(
        "UPDATE ops.incidents SET resolved_at = greatest(clock_timestamp(), opened_at)"
        " WHERE kind = %s AND subject = %s AND source = '' AND resolved_at IS NULL RETURNING id",
        [kind, subject],
    ).fetchone()
    if row is not None:
        _write(connection, row[0], "resolved", day, message)
    return row is not None


def open_incidents(connection: psycopg.Connection) -> tuple[Incident, ...]:
    """Return the open incidents of the kinds that this version knows, oldest first."""
    rows = connection.execute(
        "SELECT id, kind, subject, source, day, last_token FROM ops.incidents"
        " WHERE resolved_at IS NULL AND kind = ANY(%s) ORDER BY id",
        [list(Kind)],
    ).fetchall()
    return tuple(Incident(number, Kind(kind), *rest) for number, kind, *rest in rows)


def open_among(connection: psycopg.Connection, kinds: Collection[str]) -> list[tuple[int, str, str]]:
    """Return number, kind and subject of the open incidents of some kinds, oldest first."""
    return connection.execute(
        "SELECT id, kind, subject FROM ops.incidents WHERE resolved_at IS NULL AND kind = ANY(%s) ORDER BY id",
        [list(kinds)],
    ).fetchall()


def waiting(connection: psycopg.Connection) -> tuple[Waiting, ...]:
    """Return the messages that were not delivered yet, oldest first, whether their time has come or not."""
    with connection.cursor(row_factory=class_row(Waiting)) as cursor:
        return tuple(
            cursor.execute(
                sql.SQL("SELECT {} FROM ops.outbox AS o WHERE delivered_at IS NULL ORDER BY id").format(_WAITING)
            ).fetchall()
        )


def take(connection: psycopg.Connection) -> Waiting | None:
    """Lock the next message whose time has come until the transaction ends; other deliverers pass it by.

    What an incident's end says never overtakes what its beginning says.
    """
    with connection.cursor(row_factory=class_row(Waiting)) as cursor:
        return cursor.execute(
            sql.SQL(
                "SELECT {} FROM ops.outbox AS o WHERE delivered_at IS NULL AND due_at <= clock_timestamp()"
                " AND NOT EXISTS (SELECT FROM ops.outbox AS before WHERE before.incident_id = o.incident_id"
                " AND before.id < o.id AND before.delivered_at IS NULL) ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"
            ).format(_WAITING)
        ).fetchone()


def mark_delivered(connection: psycopg.Connection, number: int) -> None:
    """Write down that the receiver accepted a message."""
    connection.execute(
        "UPDATE ops.outbox SET delivered_at = clock_timestamp(), attempts = attempts + 1, last_error = NULL"
        " WHERE id = %s",
        [number],
    )


def postpone(connection: psycopg.Connection, number: int, *, reason: str, wait: timedelta) -> None:
    """Write down why a message was not accepted and when it is tried again."""
    connection.execute(
        "UPDATE ops.outbox SET attempts = attempts + 1, last_error = %s, due_at = clock_timestamp() + %s WHERE id = %s",
        [reason, wait, number],
    )


def mark_logged(connection: psycopg.Connection, numbers: Sequence[int], *, reason: str) -> None:
    """Write down that messages stand in the log only, and why; they go on waiting."""
    connection.execute("UPDATE ops.outbox SET last_error = %s WHERE id = ANY(%s)", [reason, list(numbers)])


_WAITING = sql.SQL("o.id, o.severity, o.title, o.body, o.attempts, o.due_at, o.last_error")


def _raise(
    connection: psycopg.Connection,
    kind: str,
    message: Message,
    *,
    subject: str,
    source: str,
    day: date,
    token: int | None,
) -> None:
    """Open an incident with its one message, or count an open one; the same attempt counts once."""
    row = connection.execute(
        "INSERT INTO ops.incidents AS i (kind, subject, source, day, first_token, last_token, opened_at, last_seen_at)"
        " VALUES (%(kind)s, %(subject)s, %(source)s, %(day)s, %(token)s, %(token)s, clock_timestamp(),"
        " clock_timestamp()) ON CONFLICT (kind, subject, source) WHERE resolved_at IS NULL DO UPDATE SET"
        " occurrences = i.occurrences + CASE WHEN i.last_token = excluded.last_token THEN 0 ELSE 1 END,"
        " last_seen_at = greatest(i.last_seen_at, excluded.last_seen_at), day = greatest(i.day, excluded.day),"
        " last_token = coalesce(excluded.last_token, i.last_token)"
        " RETURNING id, NOT EXISTS (SELECT FROM ops.outbox AS o WHERE o.incident_id = i.id)",
        {"kind": kind, "subject": subject, "source": source, "day": day, "token": token},
    ).fetchone()
    if row is not None and row[1]:
        _write(connection, row[0], "opened", day, message)
        journal.note(Event.INCIDENT_OPENED, kind=kind, subject=subject, source=source or None, day=day, token=token)


def _resolve(connection: psycopg.Connection, incident: Incident, success: Sync) -> None:
    row = connection.execute(
        "UPDATE ops.incidents SET resolved_at = greatest(clock_timestamp(), opened_at), resolved_token = %s"
        " WHERE id = %s AND resolved_at IS NULL RETURNING opened_at, occurrences",
        [success.token, incident.id],
    ).fetchone()
    if row is not None:
        opened_at, occurrences = row
        message = alert_messages.resolved(incident.kind, success, opened_at=opened_at, occurrences=occurrences)
        _write(connection, incident.id, "resolved", success.day, message)
        journal.note(Event.INCIDENT_RESOLVED, kind=incident.kind, subject=incident.subject, token=success.token)


def _write(connection: psycopg.Connection, incident: int, kind: str, day: date, message: Message) -> None:
    connection.execute(
        "INSERT INTO ops.outbox (kind, incident_id, day, severity, title, body, created_at, due_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, clock_timestamp(), clock_timestamp())",
        [kind, incident, day, message.severity, message.title, message.body],
    )


def _digest(connection: psycopg.Connection, *, now: datetime) -> tuple[Window, Message] | None:
    row = connection.execute("SELECT max(day) FROM ops.outbox WHERE kind = 'digest'").fetchone()
    window = digests.digest_window(now=now, last_day=row[0] if row else None)
    if window is None:
        return None
    syncs = _syncs(connection, "r.finished_at >= %s AND r.finished_at < %s", [window.since, window.until])
    last_success = connection.execute(
        "SELECT subject, source, max(token) FROM ops.sync_runs WHERE status = 'published' AND mode = ANY(%s)"
        " GROUP BY subject, source",
        [_SYNC_MODES],
    ).fetchall()
    tallies = digests.tally(syncs, last_success={(subject, source): token for subject, source, token in last_success})
    message = alert_messages.digest(window.day, tallies, backlogs.laboratory(connection, window))
    return None if message is None else (window, message)


def _standings(connection: psycopg.Connection) -> list[Standing]:
    """How far the subjects are that a source has to bring every day; files and replays of single rows bring no day."""
    with connection.cursor(row_factory=class_row(Standing)) as cursor:
        return cursor.execute(
            "SELECT r.subject, min(r.started_at) AS first_started_at, max(r.day) FILTER (WHERE r.status = 'published'"
            " AND i.mode IS DISTINCT FROM 'replay') AS published_day FROM ops.sync_runs AS r"
            " LEFT JOIN ops.ingest_ledger AS i ON i.subject = r.subject AND i.fetch_id = r.fetch_id"
            " WHERE r.mode = ANY(%s) AND r.source = ANY(%s) GROUP BY r.subject ORDER BY r.subject",
            [_SYNC_MODES, sorted(reference.asked_sources())],
        ).fetchall()


def _subjects(connection: psycopg.Connection) -> list[str]:
    return [subject for (subject,) in connection.execute("SELECT DISTINCT subject FROM ops.sync_runs ORDER BY 1")]


def _unmet_rules(connection: psycopg.Connection, token: int) -> list[str]:
    rows = connection.execute("SELECT suite, results FROM ops.audit_verdicts WHERE token = %s", [token]).fetchall()
    return sorted(
        f"{suite}.{finding['expectation']}"
        for suite, findings in rows
        for finding in findings
        if not finding["is_met"] and finding["severity"] == Severity.CRITICAL
    )


def _syncs(connection: psycopg.Connection, condition: LiteralString, values: Sequence[object]) -> list[Sync]:
    nightly = reference.asked_sources()
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_SYNC.format(sql.SQL(condition)), values).fetchall()
    return [Sync(outcome=_outcome(row.pop("status")), has_deadline=row["source"] in nightly, **row) for row in rows]


def _outcome(status: str) -> Outcome:
    return Outcome(status) if status in _ENDED else Outcome.OPEN


_SYNC_MODES = sorted(alerts.SYNC_MODES)
_ENDED = frozenset({Outcome.PUBLISHED, Outcome.FAILED, Outcome.REJECTED})


def _lock(connection: psycopg.Connection, subject: str) -> None:
    """Let the incidents of a subject change one transaction after the other."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('ops.incidents/' || %s, 0))", [subject])


def _now(connection: psycopg.Connection) -> datetime:
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    if row is None:
        raise Unavailable("PostgreSQL returned no time")
    return row[0]  # type: ignore[no-any-return]
