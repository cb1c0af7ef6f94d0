"""Evaluated tests beside the approved standard values, staged and published. The verdict itself is `domain`'s."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from meva_pipelines.domain.tensile import comparison
from meva_pipelines.domain.tensile.comparison import Comparison, Outcome, Property, Standard, Subject
from meva_pipelines.domain.tensile.evaluation import documents
from meva_pipelines.resources import failpoints
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.ledger import Attempt
from meva_pipelines.resources.staged_rows import StagedRows
from meva_pipelines.schema.meva_results import STANDARD_COMPARISON

SUBJECT: Final = STANDARD_COMPARISON.fullname
_COLUMNS: Final = tuple(c for c in STANDARD_COMPARISON.columns if c.name not in {"compared_at", "token"})
_DISPUTED: Final = "two contents of the test are in conflict: resolve it first"


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The newest result of a published test, as it is compared."""

    sim_id: int
    name: str
    is_disputed: bool
    subject: Subject


def newest(connection: psycopg.Connection) -> Iterator[Evaluated]:
    """Yield the newest result of every test that is published as it was evaluated."""
    with connection.cursor(name="newest_results", row_factory=dict_row) as cursor:
        cursor.itersize = 200
        cursor.execute(
            "SELECT DISTINCT ON (t.test_id) r.sim_id, t.name, t.is_disputed, m.name AS material, t.condition,"
            " t.temperature_c, r.results FROM meva.tensile_test AS t"
            " JOIN meva.simulation_result AS r USING (test_id, content_sha256)"
            " LEFT JOIN meva.material AS m USING (material_id) ORDER BY t.test_id, r.created_at DESC, r.sim_id DESC"
        )
        for row in cursor:
            subject = Subject(
                row["material"], row["condition"], row["temperature_c"], documents.results(row["results"])
            )
            yield Evaluated(row["sim_id"], row["name"], row["is_disputed"], subject)


def compared(evaluated: Evaluated, approved: Sequence[Standard]) -> tuple[Comparison, ...]:
    """Compare one test; what is disputed is compared with nothing."""
    if evaluated.is_disputed:
        return tuple(Comparison(item, Outcome.NOT_COMPARABLE, _DISPUTED) for item in Property)
    return comparison.compare(evaluated.subject, approved)


def staged(attempt: Attempt) -> StagedRows:
    """Return the staging of an attempt."""
    return StagedRows(attempt, "comparisons", _COLUMNS)


def values(sim_id: int, found: Comparison) -> list[object]:
    """Return a comparison as a staged row."""
    return [
        sim_id,
        found.property,
        found.outcome,
        found.symbol,
        found.measured,
        found.standard,
        found.difference_pct,
        found.uncertainty_pct,
        found.is_certain,
        found.reason,
        found.source,
    ]


def publish(connection: psycopg.Connection, rows: StagedRows, now: datetime) -> int:
    """Put the staged comparisons in the place of the published ones; returns how many differ from before.

    Comparisons of results that are no longer the newest go. The largest difference of a test is also entered in its
    result, as `compare_to_std_pct`.
    """
    names = [column.name for column in _COLUMNS]
    listed = sql.SQL(", ").join(map(sql.Identifier, names))
    connection.execute(
        sql.SQL(
            "DELETE FROM meva.standard_comparison AS c WHERE NOT EXISTS"
            " (SELECT FROM {} AS s WHERE (s.sim_id, s.property) = (c.sim_id, c.property))"
        ).format(rows.table)
    )
    written = connection.execute(
        sql.SQL(
            "INSERT INTO meva.standard_comparison AS c ({listed}, compared_at, token)"
            " SELECT {listed}, %(now)s, %(token)s FROM {table} AS s"
            " WHERE EXISTS (SELECT FROM meva.simulation_result AS r WHERE r.sim_id = s.sim_id)"
            " ON CONFLICT (sim_id, property) DO UPDATE SET ({listed}, compared_at, token) ="
            " ROW({excluded}, EXCLUDED.compared_at, EXCLUDED.token) WHERE ({current}) IS DISTINCT FROM ({excluded})"
        ).format(
            listed=listed,
            table=rows.table,
            excluded=sql.SQL(", ").join(sql.Identifier("excluded", name) for name in names),
            current=sql.SQL(", ").join(sql.Identifier("c", name) for name in names),
        ),
        {"now": now, "token": rows.attempt.token},
    ).rowcount
    connection.execute(
        "UPDATE meva.simulation_result AS r SET compare_to_std_pct = c.largest FROM (SELECT sim_id,"
        " (array_agg(difference_pct ORDER BY abs(difference_pct) DESC NULLS LAST))[1] AS largest"
        " FROM meva.standard_comparison GROUP BY 1) AS c"
        " WHERE r.sim_id = c.sim_id AND r.compare_to_std_pct IS DISTINCT FROM c.largest"
    )
    failpoints.reach(Point.COMPARISONS_WRITTEN)
    return written


def outcomes(connection: psycopg.Connection) -> dict[Outcome, int]:
    """Return how many published comparisons ended in which way."""
    found = connection.execute("SELECT outcome, count(*) FROM meva.standard_comparison GROUP BY 1").fetchall()
    return {Outcome(outcome): count for outcome, count in found}


def worst(connection: psycopg.Connection, *, limit: int) -> list[dict[str, Any]]:
    """Return the published comparisons for people: failed ones first, the largest difference before the others."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT t.name AS test, c.property, c.outcome, c.standard,"
            " round(c.measured::numeric, 3)::float8 AS measured,"
            " round(c.difference_pct::numeric, 2)::float8 AS difference_pct, c.reason"
            " FROM meva.standard_comparison AS c JOIN meva.simulation_result USING (sim_id)"
            " JOIN meva.tensile_test AS t USING (test_id)"
            " ORDER BY c.outcome <> 'failed', c.outcome, abs(c.difference_pct) DESC NULLS LAST, t.name LIMIT %s",
            [limit],
        ).fetchall()
