"""What was taken in: the ingest ledger as verbs."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from meva_pipelines.domain.failures import Rejected, Unavailable
from meva_pipelines.resources import published_runs
from meva_pipelines.resources.ledger import Attempt


@dataclass(frozen=True, slots=True)
class Fetch:
    """A page set or file that was taken in."""

    id: int
    subject: str
    source: str
    day: date
    fetch_id: str
    content_hash: str
    mode: str
    is_complete_snapshot: bool
    complete_parts: Sequence[str]
    rows: int
    bytes: int
    received_at: datetime
    as_of: datetime | None
    outcome: str


_FETCH = sql.SQL(
    "id, subject, source, day, fetch_id, content_hash, mode, is_complete_snapshot, complete_parts, rows, bytes,"
    " received_at, as_of, outcome"
)


def take(
    connection: psycopg.Connection,
    attempt: Attempt,
    *,
    fetch_id: str,
    page_hashes: list[str],
    is_complete_snapshot: bool,
    rows: int,
    size: int,
    as_of: datetime | None,
) -> None:
    """Enter a page set in the ingest ledger. Entering it again is a no-op."""
    content_hash = hashlib.sha256("\n".join(page_hashes).encode()).hexdigest()
    connection.execute(
        "INSERT INTO ops.ingest_ledger (subject, source, day, fetch_id, content_hash, mode, is_complete_snapshot,"
        " rows, bytes, as_of) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (subject, fetch_id) DO NOTHING",
        [
            attempt.subject,
            attempt.source,
            attempt.day,
            fetch_id,
            content_hash,
            attempt.mode,
            is_complete_snapshot,
            rows,
            size,
            as_of,
        ],
    )


def prove_parts(connection: psycopg.Connection, *, subject: str, fetch_id: str, parts: Collection[str]) -> None:
    """Write down which parts of the subject a page set holds completely that does not hold all of it."""
    connection.execute(
        "UPDATE ops.ingest_ledger SET complete_parts = %s WHERE subject = %s AND fetch_id = %s",
        [sorted(parts), subject, fetch_id],
    )


def latest(connection: psycopg.Connection, *, subject: str, source: str, day: date | None) -> Fetch | None:
    """Return the newest fetch of a day, or the newest of all days; replays of quarantined records are none."""
    with connection.cursor(row_factory=class_row(Fetch)) as cursor:
        return cursor.execute(
            sql.SQL(
                "SELECT {} FROM ops.ingest_ledger WHERE subject = %s AND source = %s AND mode <> 'replay'"
                " AND (%s::date IS NULL OR day = %s) ORDER BY id DESC LIMIT 1"
            ).format(_FETCH),
            [subject, source, day, day],
        ).fetchone()


def named(connection: psycopg.Connection, *, subject: str, fetch_id: str) -> Fetch:
    """Return one fetch by its name.

    Raises:
        Unavailable: the ledger does not know it.
    """
    with connection.cursor(row_factory=class_row(Fetch)) as cursor:
        found = cursor.execute(
            sql.SQL("SELECT {} FROM ops.ingest_ledger WHERE subject = %s AND fetch_id = %s").format(_FETCH),
            [subject, fetch_id],
        ).fetchone()
    if found is None:
        raise Unavailable(f"the ingest ledger knows no fetch {fetch_id!r} for {subject}")
    return found


def demand_newest(connection: psycopg.Connection, fetch: Fetch) -> None:
    """Refuse a fetch from a source without timestamps when a later one is already published.

    Raises:
        Rejected: publishing it would turn the clock back.
    """
    if not is_newest(connection, fetch):
        raise Rejected(
            f"the pages of {fetch.day} ({fetch.fetch_id}) are older than what is published, and {fetch.source} gives"
            " no timestamps to tell which row is newer. Roll the later sync back first, or fetch again."
        )


def is_newest(connection: psycopg.Connection, fetch: Fetch) -> bool:
    """Tell whether no later fetch of the same source is published; what was rolled back does not count."""
    gone = published_runs.undone(connection, subject=fetch.subject, source=fetch.source)
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM ops.ingest_ledger AS i JOIN ops.sync_runs AS run USING (subject, fetch_id)"
        " WHERE i.subject = %s AND i.source = %s AND i.id > %s AND i.mode <> 'replay' AND run.status = 'published'"
        " AND run.token <> ALL(%s))",
        [fetch.subject, fetch.source, fetch.id, gone],
    ).fetchone()
    return row is not None and not row[0]


def newest_as_of(connection: psycopg.Connection, *, subject: str, source: str) -> datetime | None:
    """Return for when the newest published content of a source speaks, by its own account; None before the first."""
    row = connection.execute(
        "SELECT max(i.as_of) FROM ops.ingest_ledger AS i JOIN ops.sync_runs AS run USING (subject, fetch_id)"
        " WHERE i.subject = %s AND i.source = %s AND run.status = 'published' AND run.token <> ALL(%s)",
        [subject, source, published_runs.undone(connection, subject=subject, source=source)],
    ).fetchone()
    return None if row is None else row[0]
