"""Publication and rollback of registry batches: the statements that run inside the publishing transaction.

Whether they may run is decided in `publishing`; what is staged, in `registry_staging`. Every changed row leaves
its before-image in `aed.aed_history`, which is what a rollback restores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime

import psycopg
from psycopg import sql

from meva_pipelines.domain import guards
from meva_pipelines.domain.failures import Rejected
from meva_pipelines.domain.guards import Limit
from meva_pipelines.resources import failpoints, ledger
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.registry_staging import REGION_COLUMNS, Batch, declared_type
from meva_pipelines.schema.aed import IMAGE_COLUMNS, SOURCED_COLUMNS
from meva_pipelines.schema.roles import Role

ABSENCE_IS_SUSPICIOUS_AFTER_DAYS = 7


@dataclass(frozen=True, slots=True)
class Published:
    """What a publication changed."""

    inserted_rows: int
    updated_rows: int
    renamed_rows: int
    reappeared_rows: int
    missing_rows: int
    live_rows: int

    def figures(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)


def profile(
    connection: psycopg.Connection, batch: Batch, *, is_snapshot: bool, sido_groups: Mapping[str, str]
) -> None:
    """Measure what readers would see after publication beside what they see now, into the batch's profile table.

    One row per sido (code valid on the day, so that a rename is no change) and one for `all`. `is_snapshot` tells
    that a device that was not received is gone from the source. Shares and drifts are in percent, and 0 where ten
    rows or fewer are concerned: a district with seven devices must not stop the country.
    """
    seen_only = (
        sql.SQL("AND EXISTS (SELECT FROM {} AS s WHERE s.source_id = p.source_id)").format(batch.seen)
        if is_snapshot
        else sql.SQL("")
    )
    connection.execute("SET LOCAL jit = off")
    connection.execute(sql.SQL("ANALYZE {}, {}").format(batch.records, batch.seen))
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(batch.profile))
    connection.execute(
        sql.SQL(_PROFILE).format(
            profile=batch.profile,
            records=batch.records,
            seen=batch.seen,
            rejected=batch.rejected,
            seen_only=seen_only,
            source=sql.Literal(batch.attempt.source),
            old=sql.Literal(list(sido_groups)),
            new=sql.Literal(list(sido_groups.values())),
        )
    )
    connection.commit()


_PROFILE = """
CREATE TABLE {profile} AS
WITH p AS (
  SELECT source_id, sido_code, latitude IS NULL AS no_coordinates, installation_address !~ '[0-9]' AS no_number,
    installation_position IS NULL AS no_position, manufacturer IS NULL AS no_manufacturer
  FROM aed.aed_data WHERE source = {source} AND data_status <> 'deleted'
), n AS (
  SELECT source_id, sido_code, latitude IS NULL AS no_coordinates, installation_address !~ '[0-9]' AS no_number,
    installation_position IS NULL AS no_position, manufacturer IS NULL AS no_manufacturer
  FROM {records}
), both_sides AS (
  SELECT true AS is_published, p.* FROM p
  UNION ALL SELECT false, n.* FROM n
  UNION ALL SELECT false, p.* FROM p
    WHERE NOT EXISTS (SELECT FROM {records} AS r WHERE r.source_id = p.source_id) {seen_only}
), measured AS (
  SELECT coalesce(g.new, b.sido_code, '-') AS scope, b.* FROM both_sides AS b
  LEFT JOIN unnest({old}::text[], {new}::text[]) AS g(old, new) ON g.old = b.sido_code
), counted AS (
  SELECT CASE WHEN GROUPING(scope) = 1 THEN 'all' ELSE scope END AS scope,
    count(*) FILTER (WHERE is_published) AS published_rows,
    count(*) FILTER (WHERE NOT is_published) AS candidate_rows,
    count(*) FILTER (WHERE is_published AND no_coordinates) AS published_no_coordinates,
    count(*) FILTER (WHERE NOT is_published AND no_coordinates) AS candidate_no_coordinates,
    count(*) FILTER (WHERE is_published AND no_number) AS published_no_number,
    count(*) FILTER (WHERE NOT is_published AND no_number) AS candidate_no_number,
    count(*) FILTER (WHERE is_published AND no_position) AS published_no_position,
    count(*) FILTER (WHERE NOT is_published AND no_position) AS candidate_no_position,
    count(*) FILTER (WHERE is_published AND no_manufacturer) AS published_no_manufacturer,
    count(*) FILTER (WHERE NOT is_published AND no_manufacturer) AS candidate_no_manufacturer
  FROM measured GROUP BY GROUPING SETS ((scope), ())
), batch AS (
  SELECT (SELECT count(*) FROM {seen}) AS received_rows, (SELECT count(*) FROM {rejected}) AS quarantined_rows,
    (SELECT count(*) FROM {records} AS r WHERE r.health_center_key IS NOT NULL
      AND NOT EXISTS (SELECT FROM aed.health_centers AS c WHERE c.key = r.health_center_key)) AS unknown_centers,
    (SELECT count(health_center_key) FROM {records}) AS named_centers,
    EXISTS (SELECT FROM aed.health_centers) AS knows_centers
)
SELECT scope, published_rows, candidate_rows,
  CASE WHEN abs(candidate_rows - published_rows) > 10 THEN
    100.0 * (candidate_rows - published_rows) / nullif(published_rows, 0) ELSE 0 END::float8 AS guarded_change_pct,
  CASE WHEN candidate_no_coordinates > 10 THEN
    100.0 * candidate_no_coordinates / nullif(candidate_rows, 0) ELSE 0 END::float8 AS guarded_no_coordinates_pct,
  CASE WHEN abs(candidate_no_coordinates - published_no_coordinates) > 10 THEN
    100.0 * candidate_no_coordinates / nullif(candidate_rows, 0) - 100.0 * published_no_coordinates / nullif(published_rows, 0)
    ELSE 0 END::float8 AS no_coordinates_drift_pct,
  CASE WHEN abs(candidate_no_number - published_no_number) > 10 THEN
    100.0 * candidate_no_number / nullif(candidate_rows, 0) - 100.0 * published_no_number / nullif(published_rows, 0)
    ELSE 0 END::float8 AS no_number_drift_pct,
  CASE WHEN abs(candidate_no_position - published_no_position) > 10 THEN
    100.0 * candidate_no_position / nullif(candidate_rows, 0) - 100.0 * published_no_position / nullif(published_rows, 0)
    ELSE 0 END::float8 AS no_position_drift_pct,
  CASE WHEN abs(candidate_no_manufacturer - published_no_manufacturer) > 10 THEN
    100.0 * candidate_no_manufacturer / nullif(candidate_rows, 0) - 100.0 * published_no_manufacturer / nullif(published_rows, 0)
    ELSE 0 END::float8 AS no_manufacturer_drift_pct,
  CASE WHEN scope = 'all' THEN received_rows END AS received_rows,
  CASE WHEN scope = 'all' THEN quarantined_rows END AS quarantined_rows,
  CASE WHEN scope = 'all' AND quarantined_rows > 10 THEN
    100.0 * quarantined_rows / received_rows END::float8 AS quarantined_pct,
  CASE WHEN scope = 'all' AND knows_centers AND unknown_centers > 10 THEN
    100.0 * unknown_centers / nullif(named_centers, 0) END::float8 AS unknown_health_centers_pct
FROM counted CROSS JOIN batch
"""


def publish(  # noqa: PLR0913 - each argument is a decision of the caller
    connection: psycopg.Connection,
    batch: Batch,
    *,
    now: datetime,
    counts_absences: bool,
    last_full_day: date | None,
    sido_groups: Mapping[str, str],
    limit: Limit,
) -> Published:
    """Make a staged batch visible. Runs inside `publishing.publication`, which commits it.

    `counts_absences` only for a proven-complete full sync. The ±10 % rule is evaluated on the rows as they then
    are, per sido and in all, net of renames.

    Raises:
        Rejected: the live counts changed by more than `limit`; the transaction must be rolled back.
    """
    before = live_counts(connection, batch.attempt.source, sido_groups)
    updated, renamed = _write_history(connection, batch, now)
    failpoints.reach(Point.PUBLISH_AFTER_HISTORY)
    written = _upsert(connection, batch, now)
    reappeared = _mark_reappeared(connection, batch, now)
    missing = _mark_missing(connection, batch, now, last_full_day) if counts_absences else 0
    failpoints.reach(Point.PUBLISH_AFTER_UPSERT)
    connection.execute(
        sql.SQL(
            "UPDATE aed.quarantine AS q SET released_at = %s FROM {} AS r"
            " WHERE q.source = %s AND q.source_id = r.source_id AND q.released_at IS NULL AND q.last_token < %s"
        ).format(batch.records),
        [now, batch.attempt.source, batch.attempt.token],
    )
    after = live_counts(connection, batch.attempt.source, sido_groups)
    _demand_moderate_change(before, after, limit)
    return Published(
        inserted_rows=written - updated - renamed,
        updated_rows=updated,
        renamed_rows=renamed,
        reappeared_rows=reappeared,
        missing_rows=missing,
        live_rows=after["all"],
    )


def record(connection: psycopg.Connection, batch: Batch, published: Published) -> None:
    """Write the figures of a publication, per sido and per column, to its attempt in the same transaction."""
    token = batch.attempt.token
    per_sido = connection.execute(
        "SELECT coalesce(d.sido_code, '-'), count(*) FILTER (WHERE h.token IS NULL),"
        " count(h.token) FROM aed.aed_data AS d"
        " LEFT JOIN aed.aed_history AS h ON h.token = d.sync_batch_id AND h.source = d.source"
        " AND h.source_id = d.source_id WHERE d.sync_batch_id = %s GROUP BY 1 ORDER BY 1",
        [token],
    ).fetchall()
    counts = connection.execute(
        sql.SQL(
            "SELECT {} FROM aed.aed_history AS h JOIN aed.aed_data AS d"
            " ON d.source = h.source AND d.source_id = h.source_id WHERE h.token = %s"
        ).format(
            sql.SQL(", ").join(
                sql.SQL("count(*) FILTER (WHERE h.{0} IS DISTINCT FROM d.{0})").format(sql.Identifier(name))
                for name in SOURCED_COLUMNS
            )
        ),
        [token],
    ).fetchone()
    changed = dict(zip(SOURCED_COLUMNS, counts or (), strict=False))
    ledger.record(
        connection,
        token,
        inserted_rows=published.inserted_rows,
        updated_rows=published.updated_rows + published.renamed_rows + published.reappeared_rows,
        missing_rows=published.missing_rows,
        live_rows=published.live_rows,
        details={
            **published.figures(),
            "per_sido": {sido: {"inserted": inserted, "updated": updated} for sido, inserted, updated in per_sido},
            "changed_columns": {name: count for name, count in changed.items() if count},
        },
    )
    connection.execute(
        "UPDATE ops.ingest_ledger SET outcome = 'published', token = %s WHERE subject = %s AND fetch_id = %s",
        [token, batch.attempt.subject, batch.attempt.fetch_id],
    )


def figures(connection: psycopg.Connection, token: int) -> dict[str, int]:
    """Return the row counts of an attempt, as its ledger row tells them."""
    names = ("received_rows", "inserted_rows", "updated_rows", "unchanged_rows", "quarantined_rows", "missing_rows", "live_rows")
    row = connection.execute(
        sql.SQL("SELECT {} FROM ops.sync_runs WHERE token = %s").format(_listed(names)), [token]
    ).fetchone()
    return {name: int(count or 0) for name, count in zip(names, row or (0,) * len(names), strict=True)}


def live_counts(
    connection: psycopg.Connection, source: str, sido_groups: Mapping[str, str]
) -> dict[str, int]:
    """Count the active devices of a source per sido (net of renames) and in `all`."""
    counts = {"all": 0}
    for sido, count in connection.execute(
        "SELECT sido_code, count(*) FROM aed.aed_data WHERE source = %s AND data_status = 'active' GROUP BY 1", [source]
    ):
        group = sido_groups.get(sido, sido or "-")
        counts[group] = counts.get(group, 0) + count
        counts["all"] += count
    return counts


def _demand_moderate_change(before: Mapping[str, int], after: Mapping[str, int], limit: Limit) -> None:
    if found := guards.excesses(before, after, limit):
        shown = "; ".join(str(excess) for excess in found[:5])
        raise Rejected(
            f"the number of devices would change by more than ±{limit.pct:g} %: {shown}. Nothing was published, "
            "yesterday's registry stays. If the change is real, raise `max_change_pct` for one run."
        )


_NEWER = sql.SQL(
    "d.row_hash IS DISTINCT FROM {r}.row_hash AND ({r}.source_modified_at IS NULL OR d.source_modified_at IS NULL"
    " OR {r}.source_modified_at >= d.source_modified_at)"
)
_PLACE_COLUMNS = frozenset({"sido", "gugun", "installation_address"})
_WITHOUT_REGION = "regexp_replace({}.installation_address, '^\\S+ +\\S+ +', '')"


def _listed(columns: Sequence[str], prefix: str = "") -> sql.Composed:
    return sql.SQL(", ").join(
        sql.SQL("{}.{}").format(sql.SQL(prefix), sql.Identifier(name)) if prefix else sql.Identifier(name)
        for name in columns
    )


def _cast(name: str) -> sql.Composed:
    column = sql.SQL("r.{}").format(sql.Identifier(name))
    declared = declared_type(name)
    return sql.SQL("{}::{}").format(column, sql.SQL(declared)) if declared.startswith("numeric") else column


def _write_history(connection: psycopg.Connection, batch: Batch, now: datetime) -> tuple[int, int]:
    same = [name for name in SOURCED_COLUMNS if name not in _PLACE_COLUMNS]
    is_rename = sql.SQL(
        "(r.sido, r.gugun) IS DISTINCT FROM (d.sido, d.gugun) AND ({}) IS NOT DISTINCT FROM ({})"
        " AND {} IS NOT DISTINCT FROM {}"
    ).format(
        sql.SQL(", ").join(_cast(name) for name in same),
        _listed(same, "d"),
        sql.SQL(_WITHOUT_REGION.format("r")),
        sql.SQL(_WITHOUT_REGION.format("d")),
    )
    row = connection.execute(
        sql.SQL(
            "WITH images AS (INSERT INTO aed.aed_history (token, change, valid_from, valid_to, {image})"
            " SELECT %s, CASE WHEN {is_rename} THEN 'renamed' ELSE 'updated' END, d.updated_at, %s, {current}"
            " FROM aed.aed_data AS d JOIN {records} AS r ON d.source_id = r.source_id"
            " WHERE d.source = %s AND {newer} RETURNING change)"
            " SELECT count(*) FILTER (WHERE change = 'updated'), count(*) FILTER (WHERE change = 'renamed') FROM images"
        ).format(
            image=_listed(IMAGE_COLUMNS),
            current=_listed(IMAGE_COLUMNS, "d"),
            is_rename=is_rename,
            records=batch.records,
            newer=_NEWER.format(r=sql.SQL("r")),
        ),
        [batch.attempt.token, now, batch.attempt.source],
    ).fetchone()
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def _upsert(connection: psycopg.Connection, batch: Batch, now: datetime) -> int:
    carried = (*SOURCED_COLUMNS, *REGION_COLUMNS, "row_hash")
    fresh = {
        "data_status": sql.Literal("active"),
        "last_seen_date": sql.SQL("NULL"),
        "consecutive_missing_days": sql.Literal(0),
        "deletion_suspected_date": sql.SQL("NULL"),
        "sync_batch_id": sql.Literal(batch.attempt.token),
        "updated_at": sql.Literal(now),
    }
    new_only = {
        "source": sql.Literal(batch.attempt.source),
        "source_id": sql.SQL("r.source_id"),
        "first_seen_date": sql.Literal(batch.attempt.day),
        "created_at": sql.Literal(now),
    }
    cursor = connection.execute(
        sql.SQL(
            "INSERT INTO aed.aed_data AS d ({names}) SELECT {values} FROM {records} AS r"
            " ON CONFLICT (source, source_id) DO UPDATE SET {changes} WHERE {newer}"
        ).format(
            names=_listed((*carried, *fresh, *new_only)),
            values=sql.SQL(", ").join([*(_cast(name) for name in carried), *fresh.values(), *new_only.values()]),
            records=batch.records,
            changes=sql.SQL(", ").join(
                sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(name)) for name in (*carried, *fresh)
            ),
            newer=_NEWER.format(r=sql.SQL("EXCLUDED")),
        )
    )
    return cursor.rowcount


def _mark_reappeared(connection: psycopg.Connection, batch: Batch, now: datetime) -> int:
    return _change_status(
        connection,
        batch,
        now,
        change="reappeared",
        condition=sql.SQL(
            "d.data_status <> 'active'"
            " AND EXISTS (SELECT FROM {} AS s WHERE s.source_id = d.source_id)"
        ).format(batch.seen),
        changes=sql.SQL(
            "data_status = 'active', last_seen_date = NULL, consecutive_missing_days = 0, deletion_suspected_date = NULL"
        ),
    )


def _mark_missing(connection: psycopg.Connection, batch: Batch, now: datetime, last_full_day: date | None) -> int:
    day = sql.Literal(batch.attempt.day)
    last_seen = sql.SQL("coalesce(d.last_seen_date, greatest({}, d.first_seen_date))").format(
        sql.Literal(last_full_day)
    )
    absent_days = sql.SQL("greatest(1, {} - {})").format(day, last_seen)
    is_suspicious = sql.SQL("{} >= {}").format(absent_days, sql.Literal(ABSENCE_IS_SUSPICIOUS_AFTER_DAYS))
    return _change_status(
        connection,
        batch,
        now,
        change="missing",
        condition=sql.SQL(
            "d.data_status <> 'deleted' AND NOT EXISTS (SELECT FROM {} AS s WHERE s.source_id = d.source_id)"
        ).format(batch.seen),
        changes=sql.SQL(
            "last_seen_date = {last_seen}, consecutive_missing_days = {absent_days},"
            " data_status = CASE WHEN {is_suspicious} THEN 'deletion_suspected' ELSE 'missing' END,"
            " deletion_suspected_date = CASE WHEN {is_suspicious} THEN coalesce(d.deletion_suspected_date, {day}) END"
        ).format(last_seen=last_seen, absent_days=absent_days, is_suspicious=is_suspicious, day=day),
    )


def _change_status(  # noqa: PLR0913 - one statement in two halves
    connection: psycopg.Connection,
    batch: Batch,
    now: datetime,
    *,
    change: str,
    condition: sql.Composed,
    changes: sql.Composable,
) -> int:
    """Change the life cycle of the rows that meet a condition, leaving their before-images in the history."""
    cursor = connection.execute(
        sql.SQL(
            "WITH images AS (INSERT INTO aed.aed_history (token, change, valid_from, valid_to, {image})"
            " SELECT {token}, {change}, d.updated_at, {now}, {current} FROM aed.aed_data AS d"
            " WHERE d.source = {source} AND {condition} RETURNING source_id)"
            " UPDATE aed.aed_data AS d SET {changes}, sync_batch_id = {token}, updated_at = {now}"
            " FROM images WHERE d.source = {source} AND d.source_id = images.source_id"
        ).format(
            image=_listed(IMAGE_COLUMNS),
            current=_listed(IMAGE_COLUMNS, "d"),
            token=sql.Literal(batch.attempt.token),
            change=sql.Literal(change),
            now=sql.Literal(now),
            source=sql.Literal(batch.attempt.source),
            condition=condition,
            changes=changes,
        )
    )
    return cursor.rowcount


@dataclass(frozen=True, slots=True)
class Undone:
    """What a rollback changed: rows put back to their before-image, rows taken out, rows put in again."""

    restored_rows: int
    removed_rows: int
    reinserted_rows: int


def roll_back(connection: psycopg.Connection, *, source: str, target: int, token: int, now: datetime) -> Undone:
    """Undo a published run byte for byte, leaving the images by which the rollback itself can be undone.

    Runs inside `publishing.locked`. `target` must be one of `guards.undoable`.
    """
    values = {"image": _listed(IMAGE_COLUMNS), "current": _listed(IMAGE_COLUMNS, "d"), "before": _listed(IMAGE_COLUMNS, "h")}
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


def undoable_runs(connection: psycopg.Connection, *, subject: str, source: str) -> frozenset[int]:
    """Return the tokens of the published runs that may be rolled back now."""
    runs = connection.execute(
        "SELECT token, target_token FROM ops.sync_runs WHERE subject = %s AND source = %s AND status = 'published'"
        " ORDER BY token",
        [subject, source],
    ).fetchall()
    return guards.undoable(dict(runs))


def table_digest(connection: psycopg.Connection, *, source: str) -> str:
    """Return an order-independent digest of every stored byte of a source's published rows."""
    row = connection.execute(
        sql.SQL(
            "SELECT count(*) || ':' || coalesce(sum(hash_record_extended(ROW({}), 0)), 0)"
            " FROM aed.aed_data AS d WHERE source = %s"
        ).format(_listed(IMAGE_COLUMNS, "d")),
        [source],
    ).fetchone()
    return "" if row is None else str(row[0])
