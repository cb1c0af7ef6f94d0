"""What of a subject is published: its runs, how far they saw, and which were taken back."""

from datetime import datetime

import psycopg

from meva_pipelines.domain import guards


def newest(connection: psycopg.Connection, *, subject: str) -> int:
    """Return the newest published attempt of a subject, 0 before the first."""
    row = connection.execute(
        "SELECT coalesce(max(token), 0) FROM ops.sync_runs WHERE subject = %s AND status = 'published'", [subject]
    ).fetchone()
    return 0 if row is None else int(row[0])


def watermark(connection: psycopg.Connection, *, subject: str, source: str) -> datetime | None:
    """Return the greatest source timestamp that was seen and committed, or None before the first.

    A run that was rolled back no longer counts: what it saw is not published any more.
    """
    row = connection.execute(
        "SELECT max(watermark) FROM ops.sync_runs WHERE subject = %s AND source = %s AND status = 'published'"
        " AND token <> ALL(%s)",
        [subject, source, undone(connection, subject=subject, source=source)],
    ).fetchone()
    return None if row is None else row[0]


def undone(connection: psycopg.Connection, *, subject: str, source: str) -> list[int]:
    """Return the published attempts whose rows are not there any more; a rollback may itself be rolled back."""
    rollbacks = connection.execute(
        "SELECT token, target_token FROM ops.sync_runs WHERE subject = %s AND source = %s AND status = 'published'"
        " AND mode = 'rollback' ORDER BY token DESC",
        [subject, source],
    ).fetchall()
    gone: set[int] = set()
    for token, target in rollbacks:
        if token not in gone:
            gone.add(target)
    return sorted(gone)


def undoable(connection: psycopg.Connection, *, subject: str, source: str) -> frozenset[int]:
    """Return the tokens of the published runs that may be rolled back now."""
    runs = connection.execute(
        "SELECT token, target_token FROM ops.sync_runs WHERE subject = %s AND source = %s AND status = 'published'"
        " ORDER BY token",
        [subject, source],
    ).fetchall()
    return guards.undoable(dict(runs))
