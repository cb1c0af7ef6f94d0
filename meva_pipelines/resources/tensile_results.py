"""Evaluated tests: what waits for an evaluation, the staged results of an attempt, and their publication.

What a curve says is computed in `domain`; where the evaluations run is `tensile_evaluations`' business.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import numpy as np
import psycopg
from psycopg import sql
from psycopg.rows import class_row, dict_row
from sqlalchemy import BigInteger, Boolean, Column, Double, Integer, Text
from sqlalchemy.dialects.postgresql import JSONB

from meva_pipelines.domain.tensile.evaluation import documents, rounding
from meva_pipelines.domain.tensile.evaluation.rounding import Rounding
from meva_pipelines.domain.tensile.evaluation.values import Evaluation, Symbol, Value, Withheld
from meva_pipelines.domain.tensile.population import Sample
from meva_pipelines.domain.tensile.recording import Curve, DisplacementSource, Series, Shape, Specimen
from meva_pipelines.resources import failpoints
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.ledger import Attempt
from meva_pipelines.resources.staged_rows import StagedRows

SUBJECT: Final = "meva.simulation_result"
IMPLAUSIBLE: Final = "result_is_plausible"
"""The rule under which results that contradict themselves wait in quarantine."""

_DIMENSIONS: Final = (
    "diameter_mm",
    "thickness_mm",
    "width_mm",
    "area_mm2",
    "gauge_length_mm",
    "parallel_length_mm",
    "final_gauge_length_mm",
    "final_area_mm2",
    "temperature_c",
)
_COLUMNS: Final = {
    "young_modulus_gpa": ((Symbol.MODULUS,), 1e-3),
    "yield_strength_mpa": ((Symbol.REH, Symbol.RP02), 1.0),
    "tensile_strength_mpa": ((Symbol.RM,), 1.0),
    "elongation_pct": ((Symbol.A,), 1.0),
}
_STAGED: Final[tuple[Column[Any], ...]] = (
    Column("test_id", BigInteger),
    Column("name", Text),
    Column("version", Integer),
    Column("content_sha256", Text),
    Column("evaluator", Text),
    Column("recipe", Text),
    *(Column(name, Double) for name in _COLUMNS),
    Column("quality_is_good", Boolean),
    Column("is_discontinuous", Boolean),
    Column("withheld", Integer),
    Column("broken_rules", Text),
    Column("results", JSONB),
)


@dataclass(frozen=True, slots=True)
class Test:
    """A published test that is to be evaluated."""

    test_id: int
    version: int
    content_sha256: str
    rows_after_break: int
    displacement_source: DisplacementSource
    has_time: bool
    specimen: Specimen


@dataclass(frozen=True, slots=True)
class Row:
    """One evaluated test as it is staged; `broken_rules` are those of `domain.tensile.plausibility`."""

    test: Test
    evaluation: dict[str, Any]
    headline: dict[str, float | None]
    quality_is_good: bool | None
    is_discontinuous: bool | None
    withheld: int
    broken_rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A published number that a new evaluation would change."""

    name: str
    column: str
    published: float | None
    evaluated: float | None


@dataclass(frozen=True, slots=True)
class Unevaluated:
    """Published tests of one day, as content they are, without any result; `digest` changes with their contents."""

    day: date
    tests: int
    digest: str


@dataclass(frozen=True, slots=True)
class Published:
    """What a publication of results did."""

    inserted: int
    replaced: int


def waiting(connection: psycopg.Connection, *, evaluator: str, first: str, last: str, again: bool) -> list[Test]:
    """Return the tests that the first to the last of some Korean days brought and that wait for this evaluator.

    Those that it has evaluated as they stand are among them only with `again`.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            sql.SQL(
                "SELECT t.test_id, t.name, t.version, t.content_sha256, t.rows_after_break, t.displacement_source,"
                " t.has_time, t.shape, t.condition, t.started_at, m.name AS material, tm.name AS machine, {}"
                " FROM meva.tensile_test AS t LEFT JOIN meva.material AS m USING (material_id)"
                " LEFT JOIN meva.testing_machine AS tm USING (machine_id)"
                " JOIN ops.sync_runs AS run USING (token) WHERE run.day BETWEEN %(first)s AND %(last)s"
                " AND (%(again)s OR NOT EXISTS (SELECT FROM meva.simulation_result AS r WHERE r.test_id = t.test_id"
                " AND r.content_sha256 = t.content_sha256 AND r.evaluator = %(evaluator)s))"
                " ORDER BY t.test_id"
            ).format(sql.SQL(", ").join(sql.Identifier("t", name) for name in _DIMENSIONS)),
            {"first": first, "last": last, "evaluator": evaluator, "again": again},
        ).fetchall()
    return [_test(row) for row in rows]


def unevaluated(connection: psycopg.Connection) -> Unevaluated | None:
    """Return the tests of the oldest day that have no result of any evaluator, or None where every test has one.

    Those whose results wait in quarantine, because they contradict themselves, are none.
    """
    with connection.cursor(row_factory=class_row(Unevaluated)) as cursor:
        return cursor.execute(
            "SELECT run.day, count(*) AS tests, md5(string_agg(t.content_sha256, '' ORDER BY t.test_id)) AS digest"
            " FROM meva.tensile_test AS t JOIN ops.sync_runs AS run USING (token)"
            " WHERE NOT EXISTS (SELECT FROM meva.simulation_result AS r WHERE r.test_id = t.test_id"
            " AND r.content_sha256 = t.content_sha256)"
            " AND NOT EXISTS (SELECT FROM meva.quarantine AS q WHERE q.content_id = t.content_sha256"
            " AND q.rule = 'result_is_plausible' AND q.released_at IS NULL)"
            " GROUP BY 1 ORDER BY 1 LIMIT 1"
        ).fetchone()


def _test(row: dict[str, Any]) -> Test:
    specimen = Specimen(
        name=row["name"],
        material=row["material"],
        condition=row["condition"],
        machine=row["machine"],
        shape=None if row["shape"] is None else Shape(row["shape"]),
        started_at=row["started_at"],
        **{name: row[name] for name in _DIMENSIONS},
    )
    return Test(
        row["test_id"],
        row["version"],
        row["content_sha256"],
        row["rows_after_break"],
        DisplacementSource(row["displacement_source"]),
        row["has_time"],
        specimen,
    )


def curve(connection: psycopg.Connection, test: Test) -> Curve:
    """Read the points of a published test: one row of packed doubles, whatever the number of points."""
    names = ("load_n", "displacement_mm", "elapsed_s", "crosshead_mm", "strain")
    packed = sql.SQL(", ").join(
        sql.SQL(
            "CASE WHEN count({column}) > 0 THEN"
            " string_agg(float8send(coalesce({column}, 'NaN')), ''::bytea ORDER BY point) END"
        ).format(column=sql.Identifier(name))
        for name in names
    )
    with connection.cursor(binary=True) as cursor:
        found = cursor.execute(
            sql.SQL("SELECT {} FROM meva.tensile_data WHERE test_id = %s").format(packed), [test.test_id]
        ).fetchone()
    load, displacement, elapsed, crosshead, strain = (_series(column) for column in found or (None,) * len(names))
    nothing = np.empty(0)
    return Curve(
        load_n=nothing if load is None else load,
        displacement_mm=nothing if displacement is None else displacement,
        displacement_source=test.displacement_source,
        elapsed_s=elapsed,
        crosshead_mm=crosshead,
        strain=strain,
    )


def _series(packed: bytes | None) -> Series | None:
    return None if packed is None else np.frombuffer(packed, dtype=">f8").astype(np.float64)


def row(test: Test, evaluation: Evaluation, broken_rules: Sequence[str]) -> Row:
    """Return an evaluation as it is staged: the headline numbers beside the whole document."""
    quality = evaluation.quality
    return Row(
        test,
        documents.document(evaluation),
        {name: _headline(evaluation, symbols, factor) for name, (symbols, factor) in _COLUMNS.items()},
        None if quality is None else quality.is_data_good and quality.is_fit_good,
        evaluation.is_discontinuous,
        len(evaluation.withheld),
        tuple(broken_rules),
    )


def _headline(evaluation: Evaluation, symbols: Sequence[Symbol], factor: float) -> float | None:
    values = (evaluation.results[symbol] for symbol in symbols)
    return next((value.value * factor for value in values if isinstance(value, Value)), None)


def staged(attempt: Attempt) -> StagedRows:
    """Return the staging of an attempt."""
    return StagedRows(attempt, "results", _STAGED)


def values(each: Row) -> list[object]:
    """Return a result as a staged row."""
    test = each.test
    return [
        test.test_id,
        test.specimen.name,
        test.version,
        test.content_sha256,
        each.evaluation["evaluator"],
        each.evaluation["recipe"],
        *each.headline.values(),
        each.quality_is_good,
        each.is_discontinuous,
        each.withheld,
        ", ".join(each.broken_rules),
        each.evaluation,
    ]


def set_aside(connection: psycopg.Connection, rows: StagedRows) -> int:
    """Move results that contradict themselves to `meva.quarantine`. Returns how many; commits."""
    moved = connection.execute(
        sql.SQL(
            "WITH gone AS (DELETE FROM {} AS s WHERE s.broken_rules <> '' RETURNING s.test_id, s.broken_rules)"
            " INSERT INTO meva.quarantine AS q (content_id, file_name, specimen, rule, reason, original, first_token,"
            " last_token) SELECT t.content_sha256, t.file_name, t.name, %(rule)s,"
            " 'the evaluation contradicts itself: ' || gone.broken_rules, t.original, %(token)s, %(token)s"
            " FROM gone JOIN meva.tensile_test AS t USING (test_id)"
            " ON CONFLICT (content_id, specimen, rule) DO UPDATE SET last_token = EXCLUDED.last_token,"
            " reason = EXCLUDED.reason, times_seen = q.times_seen + 1, released_at = NULL"
        ).format(rows.table),
        {"token": rows.attempt.token, "rule": IMPLAUSIBLE},
    )
    connection.commit()
    return moved.rowcount


def changes(connection: psycopg.Connection, rows: StagedRows) -> list[Change]:
    """Return every published headline number that the staged results would change, the largest change first.

    Published is what another evaluator, or this one before, made of the same content of the test.
    """
    with connection.cursor(row_factory=class_row(Change)) as cursor:
        return cursor.execute(
            sql.SQL(
                'SELECT name, "column", published, evaluated FROM ({}) AS c'
                " ORDER BY abs(evaluated / nullif(published, 0) - 1) DESC NULLS FIRST, name"
            ).format(_changes(rows))
        ).fetchall()


def _changes(rows: StagedRows) -> sql.Composed:
    pairs = sql.SQL(", ").join(
        sql.SQL("({}, p.{}, s.{})").format(sql.Literal(column), *(sql.Identifier(column),) * 2) for column in _COLUMNS
    )
    return sql.SQL(
        'SELECT s.name, v."column", v.published, v.evaluated FROM {} AS s JOIN LATERAL (SELECT * FROM'
        " meva.simulation_result AS r WHERE r.test_id = s.test_id AND r.content_sha256 = s.content_sha256"
        " ORDER BY r.created_at DESC, r.sim_id DESC LIMIT 1) AS p ON true"
        ' CROSS JOIN LATERAL (VALUES {}) AS v ("column", published, evaluated)'
        " WHERE v.published IS DISTINCT FROM v.evaluated"
    ).format(rows.table, pairs)


def publish(connection: psycopg.Connection, rows: StagedRows, now: datetime, *, is_replacing: bool) -> Published:
    """Publish the staged results of tests that still stand as they were evaluated.

    Unless the run is replacing, a test whose published numbers would change keeps them. A result of the same test,
    content and evaluator is written only where it differs. What waits in quarantine for a result that is plausible now
    is released.
    """
    connection.execute(
        sql.SQL(
            "UPDATE meva.quarantine AS q SET released_at = %s FROM {} AS s WHERE q.released_at IS NULL"
            " AND q.rule = %s AND (q.content_id, q.specimen) = (s.content_sha256, s.name)"
        ).format(rows.table),
        [now, IMPLAUSIBLE],
    )
    names = sql.SQL(", ").join(map(sql.Identifier, (*_COLUMNS, "results")))
    excluded = sql.SQL(", ").join(sql.SQL("EXCLUDED.{}").format(sql.Identifier(n)) for n in (*_COLUMNS, "results"))
    found = connection.execute(
        sql.SQL(
            "WITH written AS (INSERT INTO meva.simulation_result AS r (test_id, version, content_sha256, evaluator,"
            " created_at, {names}) SELECT s.test_id, s.version, s.content_sha256, s.evaluator, %(now)s, {given}"
            " FROM {table} AS s JOIN meva.tensile_test AS t USING (test_id, content_sha256) WHERE %(is_replacing)s"
            " OR NOT EXISTS (SELECT FROM ({changed}) AS c WHERE c.name = s.name)"
            " ON CONFLICT (test_id, content_sha256, evaluator) DO UPDATE SET ({names}) = ROW({excluded}),"
            " created_at = %(now)s WHERE ({current}) IS DISTINCT FROM ({excluded})"
            " RETURNING r.xmax = 0 AS is_new) SELECT count(*) FILTER (WHERE is_new),"
            " count(*) FILTER (WHERE NOT is_new) FROM written"
        ).format(
            names=names,
            given=sql.SQL(", ").join(sql.Identifier("s", n) for n in (*_COLUMNS, "results")),
            table=rows.table,
            changed=_changes(rows),
            excluded=excluded,
            current=sql.SQL(", ").join(sql.Identifier("r", n) for n in (*_COLUMNS, "results")),
        ),
        {"now": now, "is_replacing": is_replacing},
    ).fetchone()
    failpoints.reach(Point.RESULTS_WRITTEN)
    return Published(*found) if found else Published(0, 0)


def shown(connection: psycopg.Connection, test_ids: Sequence[int], *, limit: int) -> list[dict[str, Any]]:
    """Return the newest published results of some tests as people read them, rounded as ISO 6892-1 rounds."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            "SELECT t.name, r.results FROM meva.tensile_test AS t JOIN LATERAL (SELECT results FROM"
            " meva.simulation_result AS r WHERE r.test_id = t.test_id AND r.content_sha256 = t.content_sha256"
            " ORDER BY r.created_at DESC, r.sim_id DESC LIMIT 1) AS r ON true WHERE t.test_id = ANY(%s)"
            " ORDER BY t.name LIMIT %s",
            [list(test_ids), limit],
        ).fetchall()
    return [{"test": row["name"], **_shown(documents.results(row["results"]))} for row in rows]


def _shown(results: Mapping[Symbol, Value | Withheld]) -> dict[str, str]:
    cells = {}
    for symbol in (Symbol.MODULUS, Symbol.RP02, Symbol.REH, Symbol.RM, Symbol.AG, Symbol.A, Symbol.Z):
        result = results[symbol]
        if isinstance(result, Withheld):
            cells[str(symbol)] = "–"
            continue
        rounded = rounding.shown(result, Rounding.ISO_6892)
        cells[str(symbol)] = f"{rounded.text} {rounded.unit}"
    reasons = {result.reason for result in results.values() if isinstance(result, Withheld)}
    return {**cells, "withheld because": "; ".join(sorted(reasons))}


@dataclass(frozen=True, slots=True)
class Material:
    """The tests of one material in one condition: samples by headline column, and tests whose curves may be shown."""

    name: str
    samples: Mapping[str, tuple[Sample, ...]]
    tests: tuple[Test, ...]


def materials(connection: psycopg.Connection, *, curves: int) -> list[Material]:
    """Return what is published of every material and condition, the most tested first.

    `curves` is the number of tests, the newest ones with an extensometer, whose curves may be shown.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            sql.SQL(
                "SELECT DISTINCT ON (t.test_id) t.test_id, t.name, t.version, t.content_sha256, t.rows_after_break,"
                " t.displacement_source, t.has_time, t.shape, t.condition, t.started_at, m.name AS material,"
                " tm.name AS machine, {}, {} FROM meva.tensile_test AS t"
                " JOIN meva.simulation_result AS r USING (test_id, content_sha256)"
                " JOIN meva.material AS m USING (material_id) LEFT JOIN meva.testing_machine AS tm USING (machine_id)"
                " ORDER BY t.test_id DESC, r.created_at DESC, r.sim_id DESC"
            ).format(
                sql.SQL(", ").join(sql.Identifier("t", name) for name in _DIMENSIONS),
                sql.SQL(", ").join(sql.Identifier("r", name) for name in _COLUMNS),
            )
        ).fetchall()
    alike: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        alike.setdefault(", ".join(filter(None, (row["material"], row["condition"]))), []).append(row)
    ranked = sorted(alike.items(), key=lambda item: (-len(item[1]), item[0]))
    return [_material(name, group, curves) for name, group in ranked]


def _material(name: str, rows: Sequence[dict[str, Any]], curves: int) -> Material:
    samples = {
        column: tuple(
            Sample(row["name"], row[column], row["machine"], row["started_at"].date())
            for row in rows
            if row[column] is not None
        )
        for column in _COLUMNS
    }
    drawable = [
        _test(row)
        for row in rows
        if row["displacement_source"] == DisplacementSource.EXTENSOMETER and row["gauge_length_mm"] and row["area_mm2"]
    ]
    return Material(name, samples, tuple(drawable[:curves]))


def newest(connection: psycopg.Connection, *, limit: int) -> dict[str, dict[str, Any]]:
    """Return the newest results by test, the last evaluated first: headline numbers, comparison and version."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            sql.SQL(
                "SELECT t.name, m.name AS material, t.version, r.evaluator, r.created_at::text AS evaluated_at,"
                " r.compare_to_std_pct, {} FROM meva.simulation_result AS r"
                " JOIN meva.tensile_test AS t USING (test_id, content_sha256)"
                " LEFT JOIN meva.material AS m USING (material_id) ORDER BY r.created_at DESC, r.sim_id DESC LIMIT %s"
            ).format(sql.SQL(", ").join(sql.Identifier("r", name) for name in _COLUMNS)),
            [limit],
        ).fetchall()
    return {row["name"]: row for row in reversed(rows)}
