"""Publication of registry batches: the statements that run inside the publishing transaction.

Whether they may run is decided in `publishing`; what is staged, in `registry_staging`. Every changed row leaves
its before-image in `aed.aed_history`, which is what a rollback restores.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime

import psycopg
from psycopg import sql

from meva_pipelines.domain import guards
from meva_pipelines.domain.failures import Rejected
from meva_pipelines.domain.guards import Limit
from meva_pipelines.resources import failpoints, fetches, journal, ledger, registry_absences
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.fetches import Fetch
from meva_pipelines.resources.journal import Event
from meva_pipelines.resources.ledger import Mode
from meva_pipelines.resources.registry_staging import REGION_COLUMNS, Batch, declared_type
from meva_pipelines.schema.aed import IMAGE_COLUMNS, SOURCED_COLUMNS

ABSENCE_IS_SUSPICIOUS_AFTER_DAYS = 7


@dataclass(frozen=True, slots=True)
class Published:
    """What a publication changed."""

    inserted_rows: int
    updated_rows: int
    renamed_rows: int
    reappeared_rows: int
    missing_rows: int
    outdated_rows: int
    live_rows: int

    def figures(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)


def publish(
    connection: psycopg.Connection,
    batch: Batch,
    *,
    now: datetime,
    sido_groups: Mapping[str, str],
    limit: Limit,
) -> Published:
    """Make a staged batch visible. Runs inside `publishing.publication`, which commits it.

    Absences count in the sido that a full sync proves complete, unless one of them loses too much; a replay of pages
    older than what is published says nothing about who is there. Staged rows older than the published ones are not
    written; nor, where not everything was delivered, are those that only spell the same values otherwise, as the
    answer for a single district or another form of file does. The ±10 % rule is evaluated on the rows as they then
    are, per sido and in all, net of renames.

    Raises:
        Rejected: the live counts changed by more than `limit`; the transaction must be rolled back.
    """
    before = live_counts(connection, batch.attempt.source, sido_groups)
    fetch = fetches.named(connection, subject=batch.attempt.subject, fetch_id=batch.attempt.fetch_id or "")
    newer = _NEWER if fetch.is_complete_snapshot else sql.SQL("{} AND {}").format(_NEWER, _values_differ())
    updated, renamed = _write_history(connection, batch, now, newer)
    failpoints.reach(Point.PUBLISH_AFTER_HISTORY)
    written = _merge(connection, batch, now, newer)
    is_newest = fetches.is_newest(connection, fetch)
    reappeared = _mark_reappeared(connection, batch, now) if is_newest else 0
    counts_absences = is_newest and fetch.mode == Mode.FULL
    missing = _count_absences(connection, batch, fetch, now, sido_groups, limit) if counts_absences else 0
    failpoints.reach(Point.PUBLISH_AFTER_UPSERT)
    _release(connection, batch, now)
    after = live_counts(connection, batch.attempt.source, sido_groups)
    _demand_moderate_change(before, after, limit)
    return Published(
        inserted_rows=written - updated - renamed,
        updated_rows=updated,
        renamed_rows=renamed,
        reappeared_rows=reappeared,
        missing_rows=missing,
        outdated_rows=_staged_rows(connection, batch) - written,
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
        updated_rows=published.updated_rows + published.reappeared_rows,
        renamed_rows=published.renamed_rows,
        missing_rows=published.missing_rows,
        live_rows=published.live_rows,
        details={
            **published.figures(),
            "per_sido": {sido: {"inserted": inserted, "updated": updated} for sido, inserted, updated in per_sido},
            "changed_columns": {name: count for name, count in changed.items() if count},
        },
    )
    connection.execute(
        "UPDATE ops.sync_runs SET unchanged_rows = unchanged_rows + %s WHERE token = %s",
        [published.outdated_rows, token],
    )
    connection.execute(
        "UPDATE ops.ingest_ledger SET outcome = 'published', token = %s WHERE subject = %s AND fetch_id = %s",
        [token, batch.attempt.subject, batch.attempt.fetch_id],
    )


def figures(connection: psycopg.Connection, token: int) -> dict[str, int]:
    """Return the row counts of an attempt, as its ledger row tells them."""
    names = (
        "received_rows",
        "inserted_rows",
        "updated_rows",
        "renamed_rows",
        "unchanged_rows",
        "quarantined_rows",
        "missing_rows",
        "live_rows",
    )
    row = connection.execute(
        sql.SQL("SELECT {} FROM ops.sync_runs WHERE token = %s").format(listed(names)), [token]
    ).fetchone()
    return {name: int(count or 0) for name, count in zip(names, row or (0,) * len(names), strict=True)}


def live_counts(connection: psycopg.Connection, source: str, sido_groups: Mapping[str, str]) -> dict[str, int]:
    """Count the active devices of a source per sido (net of renames) and in `all`."""
    counts = {"all": 0}
    for sido, count in connection.execute(
        "SELECT sido_code, count(*) FROM aed.aed_data WHERE source = %s AND data_status = 'active' GROUP BY 1",
        [source],
    ):
        group = sido_groups.get(sido, sido or "-")
        counts[group] = counts.get(group, 0) + count
        counts["all"] += count
    return counts


def _demand_moderate_change(before: Mapping[str, int], after: Mapping[str, int], limit: Limit) -> None:
    known = sum(after.get(scope, 0) for scope in before if scope != "all")  # a sido that comes anew has no percentage
    _demand_within(before, {**after, "all": known}, limit)


def _demand_within(before: Mapping[str, int], after: Mapping[str, int], limit: Limit) -> None:
    if found := guards.excesses(before, after, limit):
        shown = "; ".join(str(excess) for excess in found[:5])
        raise Rejected(
            f"the number of devices would change by more than ±{limit.pct:g} %: {shown}. Nothing was published, "
            "yesterday's registry stays. If the change is real, raise `max_change_pct` of aed/staged_records and"
            " aed/aed_data for one run."
        )


_NEWER = sql.SQL(
    "d.row_hash IS DISTINCT FROM r.row_hash AND (r.source_modified_at IS NULL OR d.source_modified_at IS NULL"
    " OR r.source_modified_at >= d.source_modified_at)"
)
_ADDRESSES = ("installation_address", "installation_location_address")
_PLACE_COLUMNS = frozenset({"sido", "gugun", *_ADDRESSES})
_WITHOUT_REGION = "regexp_replace({}.{}, '^\\S+ +\\S+ +', '')"


def listed(columns: Sequence[str], prefix: str = "") -> sql.Composed:
    """Return column names as a list, each with a table alias in front when one is given."""
    return sql.SQL(", ").join(
        sql.SQL("{}.{}").format(sql.SQL(prefix), sql.Identifier(name)) if prefix else sql.Identifier(name)
        for name in columns
    )


def _cast(name: str) -> sql.Composed:
    column = sql.SQL("r.{}").format(sql.Identifier(name))
    declared = declared_type(name)
    return sql.SQL("{}::{}").format(column, sql.SQL(declared)) if declared.startswith("numeric") else column


def _values_differ() -> sql.Composed:
    compared = (*SOURCED_COLUMNS, *REGION_COLUMNS)
    given = sql.SQL(", ").join(map(_cast, compared))
    return sql.SQL("({}) IS DISTINCT FROM ({})").format(given, listed(compared, "d"))


def _write_history(
    connection: psycopg.Connection, batch: Batch, now: datetime, newer: sql.Composable
) -> tuple[int, int]:
    same = [name for name in SOURCED_COLUMNS if name not in _PLACE_COLUMNS]
    is_rename = sql.SQL(
        "(r.sido, r.gugun) IS DISTINCT FROM (d.sido, d.gugun) AND ({}) IS NOT DISTINCT FROM ({})"
        " AND ({}) IS NOT DISTINCT FROM ({})"
    ).format(
        sql.SQL(", ").join(_cast(name) for name in same),
        listed(same, "d"),
        *(
            sql.SQL(", ").join(sql.SQL(_WITHOUT_REGION.format(table, name)) for name in _ADDRESSES)
            for table in ("r", "d")
        ),
    )
    row = connection.execute(
        sql.SQL(
            "WITH images AS (INSERT INTO aed.aed_history (token, change, valid_from, valid_to, {image})"
            " SELECT %s, CASE WHEN {is_rename} THEN 'renamed' ELSE 'updated' END, d.updated_at, %s, {current}"
            " FROM aed.aed_data AS d JOIN {records} AS r ON d.source_id = r.source_id"
            " WHERE d.source = %s AND {newer} RETURNING change)"
            " SELECT count(*) FILTER (WHERE change = 'updated'), count(*) FILTER (WHERE change = 'renamed') FROM images"
        ).format(
            image=listed(IMAGE_COLUMNS),
            current=listed(IMAGE_COLUMNS, "d"),
            is_rename=is_rename,
            records=batch.records,
            newer=newer,
        ),
        [batch.attempt.token, now, batch.attempt.source],
    ).fetchone()
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def _merge(connection: psycopg.Connection, batch: Batch, now: datetime, newer: sql.Composable) -> int:
    """Insert what is new and update what is newer and differs. The lock of the subject makes this the only writer."""
    carried = (*SOURCED_COLUMNS, *REGION_COLUMNS, "row_hash")
    fresh = {
        "data_status": sql.Literal("active"),
        "last_seen_date": sql.SQL("NULL"),
        "consecutive_missing_days": sql.Literal(0),
        "deletion_suspected_date": sql.SQL("NULL"),
        "sync_batch_id": sql.Literal(batch.attempt.token),
        "updated_at": sql.Literal(now),
    }
    written = {**{name: _cast(name) for name in carried}, **fresh}
    new_only = {
        "source": sql.Literal(batch.attempt.source),
        "source_id": sql.SQL("r.source_id"),
        "first_seen_date": sql.Literal(batch.attempt.day),
        "created_at": sql.Literal(now),
    }
    cursor = connection.execute(
        sql.SQL(
            "MERGE INTO aed.aed_data AS d USING {records} AS r ON d.source = {source} AND d.source_id = r.source_id"
            " WHEN MATCHED AND {newer} THEN UPDATE SET {changes}"
            " WHEN NOT MATCHED THEN INSERT ({names}) VALUES ({values})"
        ).format(
            source=new_only["source"],
            names=listed((*written, *new_only)),
            values=sql.SQL(", ").join([*written.values(), *new_only.values()]),
            records=batch.records,
            changes=sql.SQL(", ").join(
                sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in written.items()
            ),
            newer=newer,
        )
    )
    journal.note(Event.ROWS_WRITTEN, token=batch.attempt.token, statement="merge", rows=cursor.rowcount)
    return cursor.rowcount


def _staged_rows(connection: psycopg.Connection, batch: Batch) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(batch.records)).fetchone()
    return 0 if row is None else int(row[0])


def _release(connection: psycopg.Connection, batch: Batch, now: datetime) -> None:
    """Release what waits in quarantine for a device of which this batch brought an acceptable record."""
    connection.execute(
        sql.SQL(
            "UPDATE aed.quarantine AS q SET released_at = %s FROM {seen} AS s"
            " WHERE q.source = %s AND q.source_id = s.source_id AND q.released_at IS NULL AND q.last_token < %s"
            " AND NOT EXISTS (SELECT FROM {rejected} AS j WHERE (j.page, j.line) = (s.page, s.line))"
        ).format(seen=batch.seen, rejected=batch.rejected),
        [now, batch.attempt.source, batch.attempt.token],
    )


def _mark_reappeared(connection: psycopg.Connection, batch: Batch, now: datetime) -> int:
    return _change_status(
        connection,
        batch,
        now,
        change="reappeared",
        condition=sql.SQL(
            "d.data_status <> 'active' AND EXISTS (SELECT FROM {} AS s WHERE s.source_id = d.source_id)"
        ).format(batch.seen),
        changes=sql.SQL(
            "data_status = 'active', last_seen_date = NULL, consecutive_missing_days = 0,"
            " deletion_suspected_date = NULL"
        ),
    )


def _count_absences(
    connection: psycopg.Connection,
    batch: Batch,
    fetch: Fetch,
    now: datetime,
    sido_groups: Mapping[str, str],
    limit: Limit,
) -> int:
    """Mark who is absent where that counts, and write down what each sido was worth."""
    found = registry_absences.survey(connection, batch, fetch, sido_groups=sido_groups, limit=limit)
    _demand_within({"all": found.loss.before}, {"all": found.loss.after}, limit)  # whatever is withheld
    known = registry_absences.proofs(
        connection, subject=batch.attempt.subject, source=batch.attempt.source, sido_groups=sido_groups
    )
    missing = _mark_missing(connection, batch, now, {sido: proof.day for sido, proof in known.items()})
    registry_absences.record(connection, batch.attempt.token, found)
    return missing


def _mark_missing(connection: psycopg.Connection, batch: Batch, now: datetime, last_days: Mapping[str, date]) -> int:
    """Count another absence. The first makes a device missing, a week of them suspicious; twice a day counts once.

    `last_days` says on which day each sido was last proved to be there.
    """
    day = sql.Literal(batch.attempt.day)
    last_seen = sql.SQL(
        "coalesce(d.last_seen_date, greatest(({}::jsonb ->> d.sido_code)::date, d.first_seen_date))"
    ).format(sql.Literal(json.dumps(last_days, default=str)))
    absent_days = sql.SQL("greatest(1, {} - {})").format(day, last_seen)
    is_suspicious = sql.SQL("(d.data_status <> 'active' AND {} >= {})").format(
        absent_days, sql.Literal(ABSENCE_IS_SUSPICIOUS_AFTER_DAYS)
    )
    values = {
        "last_seen_date": last_seen,
        "consecutive_missing_days": absent_days,
        "data_status": sql.SQL("CASE WHEN {} THEN 'deletion_suspected' ELSE 'missing' END").format(is_suspicious),
        "deletion_suspected_date": sql.SQL("CASE WHEN {} THEN coalesce(d.deletion_suspected_date, {}) END").format(
            is_suspicious, day
        ),
    }
    return _change_status(
        connection,
        batch,
        now,
        change="missing",
        condition=sql.SQL(
            "d.source_id = ANY (ARRAY(SELECT a.source_id FROM {} AS a WHERE a.is_counted))"
            " AND ({}) IS DISTINCT FROM ({})"
        ).format(
            batch.absent,
            listed(tuple(values), "d"),
            sql.SQL(", ").join(values.values()),
        ),
        changes=sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in values.items()
        ),
    )


def tombstone(connection: psycopg.Connection, batch: Batch, now: datetime) -> int:
    """Mark every suspected device of the attempt's source as deleted. Returns how many; rows stay where they are."""
    return _change_status(
        connection,
        batch,
        now,
        change="deleted",
        condition=sql.SQL("d.data_status = {}").format(sql.Literal("deletion_suspected")),
        changes=sql.SQL("data_status = 'deleted'"),
    )


def _change_status(
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
            image=listed(IMAGE_COLUMNS),
            current=listed(IMAGE_COLUMNS, "d"),
            token=sql.Literal(batch.attempt.token),
            change=sql.Literal(change),
            now=sql.Literal(now),
            source=sql.Literal(batch.attempt.source),
            condition=condition,
            changes=changes,
        )
    )
    journal.note(Event.ROWS_WRITTEN, token=batch.attempt.token, statement=change, rows=cursor.rowcount)
    return cursor.rowcount
