"""Rollback of registry publications: before-images put back, byte for byte, in a way that can itself be undone."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql

from meva_pipelines.domain.failures import Refused
from meva_pipelines.resources import failpoints
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.registry_publishing import listed
from meva_pipelines.schema.aed import AED_HISTORY, IMAGE_COLUMNS
from meva_pipelines.schema.roles import Role


@dataclass(frozen=True, slots=True)
class Undone:
    """What a rollback changed: rows put back to their before-image, rows taken out, rows put in again."""

    restored_rows: int
    removed_rows: int
    reinserted_rows: int


def roll_back(connection: psycopg.Connection, *, source: str, target: int, token: int, now: datetime) -> Undone:
    """Undo a published run byte for byte, leaving the images by which the rollback itself can be undone.

    Runs inside `publishing.locked`. `target` must be one of `guards.undoable`.

    Raises:
        Refused: before-images of the run are in the archive.
    """
    _demand_images(connection, target)
    values = {
        "image": listed(IMAGE_COLUMNS),
        "current": listed(IMAGE_COLUMNS, "d"),
        "before": listed(IMAGE_COLUMNS, "h"),
    }
    arguments = {"source": source, "target": target, "token": token, "now": now}
    connection.execute(sql.SQL(_KEEP_CURRENT).format(**values), arguments)
    removed = _remove(connection, arguments)
    updated = sql.SQL(", ").join(
        sql.SQL("{0} = h.{0}").format(sql.Identifier(name)) for name in IMAGE_COLUMNS if name != "id"
    )
    restored = connection.execute(sql.SQL(_RESTORE).format(changes=updated), arguments).rowcount
    reinserted = connection.execute(sql.SQL(_REINSERT).format(**values), arguments).rowcount
    failpoints.reach(Point.ROLLBACK_AFTER_RESTORE)
    return Undone(restored, removed, reinserted)


def _demand_images(connection: psycopg.Connection, target: int) -> None:
    row = connection.execute(
        "SELECT b.period FROM mgg.archive_batches AS b JOIN ops.sync_runs AS run ON run.token = %s"
        " WHERE b.table_name = %s AND b.status = 'committed'"
        " AND b.start_date <= run.finished_at AND b.end_date > run.started_at LIMIT 1",
        [target, AED_HISTORY.name],
    ).fetchone()
    if row is not None:
        raise Refused(
            f"attempt {target} cannot be rolled back: what it replaced is in the archive since {row[0]} was released. "
            "Publish what the registry says today instead."
        )


def _remove(connection: psycopg.Connection, arguments: Mapping[str, object]) -> int:
    """Take out the rows that the target put in: the one delete on a hot table, and so under the archiver's role."""
    connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(Role.ARCHIVER)))
    removed = connection.execute(_REMOVE, arguments).rowcount
    connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(Role.WRITER)))
    return removed


_KEEP_CURRENT = """
INSERT INTO aed.aed_history (token, change, valid_from, valid_to, {image})
SELECT %(token)s, CASE WHEN h.token IS NULL OR h.change = 'reinserted' THEN 'removed' ELSE 'rolled_back' END,
  d.updated_at, %(now)s, {current}
FROM aed.aed_data AS d
LEFT JOIN aed.aed_history AS h ON h.token = %(target)s AND h.source = d.source AND h.source_id = d.source_id
WHERE d.source = %(source)s AND (h.token IS NOT NULL OR d.sync_batch_id = %(target)s)
"""

_REMOVE = """
DELETE FROM aed.aed_data AS d USING aed.aed_history AS mine
WHERE mine.token = %(token)s AND mine.change = 'removed' AND d.source = mine.source AND d.source_id = mine.source_id
"""

_RESTORE = """
UPDATE aed.aed_data AS d SET {changes} FROM aed.aed_history AS h
WHERE h.token = %(target)s AND h.change <> 'reinserted' AND d.source = h.source AND d.source_id = h.source_id
"""

_REINSERT = """
WITH gone AS (
  SELECT h.* FROM aed.aed_history AS h WHERE h.token = %(target)s AND h.change = 'removed'
), mark AS (
  INSERT INTO aed.aed_history (token, change, valid_from, valid_to, {image})
  SELECT %(token)s, 'reinserted', %(now)s, %(now)s, {before} FROM gone AS h
)
INSERT INTO aed.aed_data ({image}) OVERRIDING SYSTEM VALUE SELECT {before} FROM gone AS h
"""


def touched(connection: psycopg.Connection, *, source: str, target: int) -> int:
    """Count the rows that rolling a run back would change."""
    row = connection.execute(
        "SELECT count(*) FROM (SELECT source_id FROM aed.aed_data WHERE source = %s AND sync_batch_id = %s"
        " UNION SELECT source_id FROM aed.aed_history WHERE source = %s AND token = %s) AS keys",
        [source, target, source, target],
    ).fetchone()
    return int(row[0]) if row else 0


def table_digest(connection: psycopg.Connection, *, source: str) -> str:
    """Return an order-independent digest of every stored byte of a source's published rows."""
    row = connection.execute(
        sql.SQL(
            "SELECT count(*) || ':' || coalesce(sum(hash_record_extended(ROW({}), 0)), 0)"
            " FROM aed.aed_data AS d WHERE source = %s"
        ).format(listed(IMAGE_COLUMNS, "d")),
        [source],
    ).fetchone()
    return "" if row is None else str(row[0])
