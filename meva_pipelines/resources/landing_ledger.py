"""Files of the landing zone in `ops.ingest_ledger`: which content was taken, refused, and published already.

A file has a row of its own under the subject of its kind: `aed.export_files` beside that of the page set made from it,
`tensile.uploads` for what the laboratory drops. Whether a content is done with is told by what was published, not by
the file's name and not by Dagster's run keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from meva_pipelines.resources import fetches, published_runs
from meva_pipelines.resources.fetches import Fetch
from meva_pipelines.resources.ledger import Attempt

EXPORT_FILES = "aed.export_files"


@dataclass(frozen=True, slots=True)
class Entry:
    """One content that arrived: `fetch_id` is where it lies in the object store."""

    fetch_id: str
    content_hash: str
    outcome: str
    token: int
    received_at: datetime


def remember(
    connection: psycopg.Connection,
    attempt: Attempt,
    *,
    sha256: str,
    rows: int,
    size: int,
    is_refused: bool,
    files: str = EXPORT_FILES,
    fetch_id: str | None = None,
) -> None:
    """Enter one file that an attempt took or refused; one that is there already belongs to this attempt from now on."""
    connection.execute(
        "INSERT INTO ops.ingest_ledger (subject, source, day, fetch_id, content_hash, mode, is_complete_snapshot,"
        " rows, bytes, outcome, token) VALUES (%s, %s, %s, %s, %s, %s, false, %s, %s, %s, %s)"
        " ON CONFLICT (subject, fetch_id) DO UPDATE SET outcome = excluded.outcome, token = excluded.token",
        [
            files,
            attempt.source,
            attempt.day,
            fetch_id or f"{attempt.source}/{attempt.day}/{attempt.token}/{sha256}",
            sha256,
            attempt.mode,
            rows,
            size,
            "rejected" if is_refused else "taken",
            attempt.token,
        ],
    )


def publications(connection: psycopg.Connection, *, subject: str, source: str) -> dict[str, int]:
    """Return the attempt that published each content, by SHA-256; what was rolled back since does not count."""
    rows = connection.execute(
        "SELECT f.content_hash, max(run.token) FROM ops.ingest_ledger AS f"
        " JOIN ops.sync_runs AS taken ON taken.token = f.token"
        " JOIN ops.sync_runs AS run ON run.fetch_id = taken.fetch_id AND run.status = 'published'"
        " WHERE f.subject = %s AND f.source = %s AND f.outcome = 'taken' AND run.subject = %s"
        " AND run.token <> ALL(%s) GROUP BY 1",
        [EXPORT_FILES, source, subject, published_runs.undone(connection, subject=subject, source=source)],
    ).fetchall()
    return dict(rows)


def waiting(connection: psycopg.Connection, *, subject: str, source: str) -> Fetch | None:
    """Return the newest page set of a source when it was taken and not published."""
    newest = fetches.latest(connection, subject=subject, source=source, day=None)
    return newest if newest is not None and newest.outcome == "taken" else None


def unfinished(connection: psycopg.Connection, *, files: str, source: str, limit: int) -> list[Entry]:
    """Return the contents that were taken and neither published nor refused since, the longest waiting first."""
    return _entries(
        connection,
        "subject = %s AND source = %s AND outcome = 'taken' ORDER BY id LIMIT %s",
        [files, source, limit],
    )


def finished(
    connection: psycopg.Connection, contents: Sequence[str], *, files: str, subject: str, source: str
) -> dict[str, Entry]:
    """Return, of some contents, those that are published or refused, by SHA-256.

    What was rolled back since does not count. A content that was both is published.
    """
    found = _entries(
        connection,
        "subject = %s AND source = %s AND content_hash = ANY(%s) AND outcome <> 'taken' AND token <> ALL(%s)"
        " ORDER BY outcome DESC, id DESC",
        [files, source, list(contents), published_runs.undone(connection, subject=subject, source=source)],
    )
    return {entry.content_hash: entry for entry in found}


def finish(connection: psycopg.Connection, fetch_ids: Sequence[str], *, files: str, outcome: str, token: int) -> None:
    """Write down how contents ended: `published` or `rejected`."""
    connection.execute(
        "UPDATE ops.ingest_ledger SET outcome = %s, token = %s WHERE subject = %s AND fetch_id = ANY(%s)",
        [outcome, token, files, list(fetch_ids)],
    )


def _entries(connection: psycopg.Connection, condition: LiteralString, values: Sequence[object]) -> list[Entry]:
    with connection.cursor(row_factory=class_row(Entry)) as cursor:
        return cursor.execute(
            sql.SQL(
                "SELECT fetch_id, content_hash, outcome, token, received_at FROM ops.ingest_ledger WHERE {}"
            ).format(sql.SQL(condition)),
            values,
        ).fetchall()
