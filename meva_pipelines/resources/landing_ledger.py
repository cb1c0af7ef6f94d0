"""Files of the landing zone in `ops.ingest_ledger`: which content was taken, refused, and published already.

A file has a row of its own beside that of the page set made from it, under the subject `aed.export_files`. Whether
a content is done with is told by the publication of its set, not by the file's name and not by Dagster's run keys.
"""

import psycopg

from meva_pipelines.resources import ledger
from meva_pipelines.resources.ledger import Attempt, Fetch

SUBJECT = "aed.export_files"


def remember(
    connection: psycopg.Connection, attempt: Attempt, *, sha256: str, rows: int, size: int, is_refused: bool
) -> None:
    """Enter one file that an attempt took or refused."""
    connection.execute(
        "INSERT INTO ops.ingest_ledger (subject, source, day, fetch_id, content_hash, mode, is_complete_snapshot,"
        " rows, bytes, outcome, token) VALUES (%s, %s, %s, %s, %s, %s, false, %s, %s, %s, %s)"
        " ON CONFLICT (subject, fetch_id) DO NOTHING",
        [
            SUBJECT,
            attempt.source,
            attempt.day,
            f"{attempt.source}/{attempt.day}/{attempt.token}/{sha256}",
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
        [SUBJECT, source, subject, ledger.undone(connection, subject=subject, source=source)],
    ).fetchall()
    return dict(rows)


def waiting(connection: psycopg.Connection, *, subject: str, source: str) -> Fetch | None:
    """Return the newest page set of a source when it was taken and not published."""
    newest = ledger.latest_fetch(connection, subject=subject, source=source, day=None)
    return newest if newest is not None and newest.outcome == "taken" else None
