"""Why a registry batch was refused, in figures: which regions, fields, pages and makers carry the change.

Runs only after an audit failed, on the staging tables that are kept for that purpose. Samples are keys: no names, no
telephone numbers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from meva_pipelines.domain.suspicion import ChangeFigures, suspect
from meva_pipelines.resources.registry_staging import Batch, declared_type
from meva_pipelines.schema.aed import SOURCED_COLUMNS

_SHOWN = 6
_COMPARED = tuple(name for name in SOURCED_COLUMNS if name != "source_modified_at")


def explain(connection: psycopg.Connection, batch: Batch) -> dict[str, Any]:
    """Return the explanation of a staged batch as JSON: `cause`, and tables `regions`, `fields`, `pages`, `makers`."""
    absent = _absent(connection, batch)
    fields, compared = _fields(connection, batch)
    total = _all(connection, batch)
    figures = ChangeFigures(
        published_rows=total["published_rows"],
        received_rows=total["received_rows"],
        absent_rows=sum(row["rows"] for row in absent),
        compared_rows=compared,
        changed={row["field"]: row["changed"] for row in fields},
        emptied={row["field"]: row["emptied"] for row in fields},
    )
    return {
        "cause": suspect(figures),
        "absent_rows": figures.absent_rows,
        "compared_rows": compared,
        "regions": _regions(connection, batch),
        "fields": sorted(fields, key=lambda row: -row["changed"])[:_SHOWN],
        "pages": _pages(connection, batch),
        "makers": absent[:_SHOWN] or _makers(connection, batch),
        "sample_keys": _sample(connection, batch),
    }


def _rows(connection: psycopg.Connection, query: sql.Composed, values: Sequence[object] = ()) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, values).fetchall()


def _all(connection: psycopg.Connection, batch: Batch) -> Mapping[str, int]:
    query = sql.SQL("SELECT published_rows, received_rows FROM {} WHERE scope = 'all'").format(batch.profile)
    found = _rows(connection, query)
    return found[0] if found else {"published_rows": 0, "received_rows": 0}


def _regions(connection: psycopg.Connection, batch: Batch) -> list[dict[str, Any]]:
    """The sido whose figures move most, by name."""
    query = sql.SQL(
        "SELECT coalesce(g.name, p.scope) AS sido, p.published_rows AS now, p.candidate_rows AS then,"
        " round(100.0 * (p.candidate_rows - p.published_rows) / nullif(p.published_rows, 0), 1)::float8 AS change_pct,"
        " round(p.no_coordinates_drift_pct::numeric, 1)::float8 AS coordinates_lost_pct,"
        " round(p.no_number_drift_pct::numeric, 1)::float8 AS addresses_odd_pct"
        " FROM {} AS p LEFT JOIN aed.regions AS g ON g.code = p.scope AND g.level = 'sido' AND g.valid_to IS NULL"
        " WHERE p.scope <> 'all' ORDER BY greatest(abs(p.guarded_change_pct), p.no_coordinates_drift_pct,"
        " p.no_number_drift_pct) DESC NULLS LAST, p.candidate_rows DESC LIMIT {}"
    ).format(batch.profile, sql.Literal(_SHOWN))
    return _rows(connection, query)


def _fields(connection: psycopg.Connection, batch: Batch) -> tuple[list[dict[str, Any]], int]:
    """For each field, how many staged rows differ from the published one, and how many became empty."""
    counts = sql.SQL(", ").join(
        sql.SQL(
            "count(*) FILTER (WHERE {staged} IS DISTINCT FROM d.{name}),"
            " count(*) FILTER (WHERE r.{name} IS NULL AND d.{name} IS NOT NULL)"
        ).format(
            name=sql.Identifier(name),
            staged=sql.SQL("r.{}::{}").format(sql.Identifier(name), sql.SQL(declared_type(name))),
        )
        for name in _COMPARED
    )
    row = connection.execute(
        sql.SQL(
            "SELECT count(*), {} FROM {} AS r JOIN aed.aed_data AS d ON d.source = %s AND d.source_id = r.source_id"
        ).format(counts, batch.records),
        [batch.attempt.source],
    ).fetchone()
    values = list(row or [0] * (1 + 2 * len(_COMPARED)))
    pairs = zip(_COMPARED, values[1::2], values[2::2], strict=True)
    found = [{"field": name, "changed": changed, "emptied": emptied} for name, changed, emptied in pairs if changed]
    return found, values[0]


def _pages(connection: psycopg.Connection, batch: Batch) -> list[dict[str, Any]]:
    """The pages that brought the most changed or rejected records."""
    query = sql.SQL(
        "SELECT s.page, count(*) AS received, count(*) FILTER (WHERE s.is_changed) AS changed,"
        " count(j.line) AS rejected FROM {} AS s LEFT JOIN {} AS j ON (j.page, j.line) = (s.page, s.line)"
        " GROUP BY 1 ORDER BY 4 DESC, 3 DESC, 1 LIMIT {}"
    ).format(batch.seen, batch.rejected, sql.Literal(_SHOWN))
    return _rows(connection, query)


def _absent(connection: psycopg.Connection, batch: Batch) -> list[dict[str, Any]]:
    """Live devices that what came completely does not hold, by maker and sido."""
    query = sql.SQL(
        "SELECT d.manufacturer AS maker, d.sido, count(*) AS rows FROM {} AS a JOIN aed.aed_data AS d"
        " ON d.source = %s AND d.source_id = a.source_id WHERE a.is_active GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"
    ).format(batch.absent)
    return _rows(connection, query, [batch.attempt.source])


def _makers(connection: psycopg.Connection, batch: Batch) -> list[dict[str, Any]]:
    """Makers of the staged devices without coordinates or with the most changes."""
    query = sql.SQL(
        "SELECT r.manufacturer AS maker, count(*) AS rows, count(*) FILTER (WHERE r.latitude IS NULL)"
        " AS without_coordinates FROM {} AS r GROUP BY 1 ORDER BY 3 DESC, 2 DESC, 1 LIMIT {}"
    ).format(batch.records, sql.Literal(_SHOWN))
    return _rows(connection, query)


def _sample(connection: psycopg.Connection, batch: Batch) -> list[str]:
    query = sql.SQL("SELECT source_id FROM {} ORDER BY row_hash LIMIT {}").format(batch.records, sql.Literal(_SHOWN))
    return [row["source_id"] for row in _rows(connection, query)]
