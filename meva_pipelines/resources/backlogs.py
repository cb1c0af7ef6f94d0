"""What waits for people, as the daily digest tells it: counts from the tables in which it waits. Reads only.

What is worth telling is decided in `domain/digests`; what a single publication left behind is in the ledgers.
"""

import psycopg

from meva_pipelines.domain.digests import NOTHING_WAITS, Backlog, Window


def laboratory(connection: psycopg.Connection, window: Window) -> Backlog:
    """Return what waits at the laboratory now; tests count as new whose newest attempt ended within the window."""
    row = connection.execute(
        "SELECT (SELECT count(*) FROM meva.data_conflict_log WHERE status = 'open'),"
        " count(DISTINCT (q.content_id, q.specimen)) FILTER (WHERE r.finished_at >= %s AND r.finished_at < %s),"
        " count(DISTINCT (q.content_id, q.specimen))"
        " FROM meva.quarantine AS q JOIN ops.sync_runs AS r ON r.token = q.last_token WHERE q.released_at IS NULL",
        [window.since, window.until],
    ).fetchone()
    return NOTHING_WAITS if row is None else Backlog(*row)
