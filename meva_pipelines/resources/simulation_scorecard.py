"""Model versions against firings: observations from published comparisons, and what was found in `mgg.model_*`.

How a version is judged stands in `domain/pressure/scorecard`; that none becomes active against its judgement is seen
to by a trigger of `mgg.model_versions`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import TypeAlias

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from meva_pipelines.domain.failures import MevaError, Refused
from meva_pipelines.domain.pressure import comparison, scorecard
from meva_pipelines.domain.pressure.comparison import METHOD_VERSION, Measures, Metric
from meva_pipelines.domain.pressure.scorecard import Decision, Observation, Standing, Verdict
from meva_pipelines.domain.pressure.trace import Trace
from meva_pipelines.resources.published_curves import UNREADABLE, Curves
from meva_pipelines.resources.simulation_comparisons import COLUMN

MOST_REPEATS = 8
"""Most firings of one recipe that are compared with each other, the newest: their pairs grow with the square."""

_Line: TypeAlias = tuple[str | int | float | None, ...]
_LINE = (
    *("cell", "metric", "firings", "loss", "corridor", "is_inside"),
    *("baseline_version_id", "baseline_loss", "critical", "is_worse", "method_version"),
)

_CELLS = sql.SQL(
    "SELECT s.id AS simulation_id, s.work_order_id, s.model_version, concat_ws(' · ',"
    " concat('igniter ', coalesce(i.type_code, '?')),"
    " concat('NC ', coalesce(n.type_code, '?'), ' ', trim_scale(s.nc_amount), ' mg'),"
    " concat('GP ', coalesce(g.type_code, '?'), ' ', trim_scale(s.gp_amount), ' mg')) AS cell"
    " FROM mgg.forward_simulations AS s LEFT JOIN mgg.igniter_types AS i ON i.id = s.igniter_type_id"
    " LEFT JOIN mgg.nc_types AS n ON n.id = s.nc_type_id LEFT JOIN mgg.gp_types AS g ON g.id = s.gp_type_id"
    " WHERE s.is_current AND s.status = 'completed'"
)
"""The recipe of each simulation that counts."""


@dataclass(frozen=True, slots=True)
class Version:
    """A forward model: its number, its name, whether it answers now and when it last began to."""

    id: int
    name: str
    is_active: bool
    activated_at: datetime | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was found of all forward models at one moment; `decisions` are those of the versions that are not active."""

    evaluated_at: datetime
    versions: tuple[Version, ...]
    observations: tuple[Observation, ...]
    standings: tuple[Standing, ...]
    decisions: Mapping[str, Decision]

    def baseline(self, version: Version) -> Version | None:
        """Return the version that a version is judged by: the other one that was activated last."""
        others = [v for v in self.versions if v.id != version.id and v.activated_at is not None]
        if version.activated_at is not None:
            others = [v for v in others if v.activated_at is not None and v.activated_at >= version.activated_at]
        return max(others, key=lambda v: (v.activated_at, v.id), default=None)


def versions(connection: psycopg.Connection) -> tuple[Version, ...]:
    """Return the forward models in the order in which they were trained and entered."""
    rows = connection.execute(
        "SELECT id, version_name, is_active, activated_at FROM mgg.model_versions WHERE model_type = 'forward'"
        " ORDER BY training_date NULLS FIRST, id"
    ).fetchall()
    return tuple(Version(*row) for row in rows)


def observations(connection: psycopg.Connection) -> tuple[Observation, ...]:
    """Return the comparisons of models on record with firings that count, without alignment, by this method."""
    names = list(Metric)
    rows = connection.execute(
        sql.SQL(
            "SELECT c.model_version, c.cell, t.name, to_jsonb(p) FROM ({cells}) AS c"
            " JOIN mgg.pt_comparisons AS p USING (simulation_id) JOIN mgg.test_results AS t ON t.id = p.test_result_id"
            " JOIN mgg.model_versions AS m ON m.version_name = c.model_version AND m.model_type = 'forward'"
            " WHERE p.alignment = 'raw' AND p.is_comparable AND p.method_version = %s AND t.is_current"
            " AND t.work_order_id = c.work_order_id ORDER BY m.id, c.cell, t.name"
        ).format(cells=_CELLS),
        [METHOD_VERSION],
    ).fetchall()
    return tuple(
        Observation(version, cell, firing, {m: row[COLUMN[m]] for m in names if row[COLUMN[m]] is not None})
        for version, cell, firing, row in rows
    )


def compare_repeats(connection: psycopg.Connection, found: Curves, left_out: list[MevaError]) -> int:
    """Compare firings of one recipe with each other, as far as that is missing; returns how many pairs.

    Only curves of missing pairs are read. A pair of which one cannot be read is left out; why is added to `left_out`.
    """
    rows = []
    for firings in _repeats(connection):
        newest = firings[-MOST_REPEATS:]
        done = _done(connection, newest)
        for first, second in (pair for pair in combinations(newest, 2) if pair not in done):
            try:
                measures = _between_two(found.measured(first).trace, found.measured(second).trace)
            except UNREADABLE as error:
                left_out.append(error.with_traceback(None))  # which would keep its curves
            else:
                rows.append((first, second, METHOD_VERSION, Jsonb(measures)))
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO mgg.repeat_comparisons (test_result_id, repeat_id, method_version, measures)"
            " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            rows,
        )
    return len(rows)


def _between_two(first: Trace | str, second: Trace | str) -> dict[str, float]:
    """Return the measures of two firings of one recipe; none where they cannot be compared."""
    if isinstance(first, str) or isinstance(second, str):
        return {}
    raw = comparison.compare(first, second).raw
    return {metric.value: value for metric, value in raw.values.items()} if isinstance(raw, Measures) else {}


def evaluate(connection: psycopg.Connection, *, now: datetime) -> Evaluation:
    """Judge every forward model on record by its comparisons."""
    all_versions, observed = versions(connection), observations(connection)
    draft = Evaluation(now, all_versions, observed, scorecard.standings(observed, _between(connection)), {})
    decisions = {}
    for version in all_versions:
        if not version.is_active:
            baseline = draft.baseline(version)
            active = None if baseline is None else baseline.name
            decisions[version.name] = scorecard.decide(observed, candidate=version.name, active=active)
    return Evaluation(now, all_versions, observed, draft.standings, decisions)


def write(connection: psycopg.Connection, evaluation: Evaluation) -> int:
    """Append an evaluation to the scorecard and the decisions; returns how many rows the scorecard got.

    A version of which the last evaluation said the same gets no row: the history grows with what changes.
    """
    written = 0
    for version in evaluation.versions:
        lines = _lines(evaluation, version)
        if not lines or set(lines) == _last(connection, version):
            continue
        with connection.cursor() as cursor:
            cursor.executemany(
                sql.SQL("INSERT INTO mgg.model_scorecard (evaluated_at, model_version_id, {}) VALUES ({})").format(
                    sql.SQL(", ").join(map(sql.Identifier, _LINE)),
                    sql.SQL(", ").join(sql.Placeholder() * (len(_LINE) + 2)),
                ),
                [(evaluation.evaluated_at, version.id, *line) for line in lines],
            )
        written += len(lines)
    write_decisions(connection, evaluation)
    return written


def _lines(evaluation: Evaluation, version: Version) -> list[_Line]:
    """Return what an evaluation says of a version, in the order of `_LINE`."""
    decision = evaluation.decisions.get(version.name)
    judged = {} if decision is None else {(item.cell, item.metric): item for item in decision.differences}
    baseline = evaluation.baseline(version)
    lines: list[_Line] = []
    for standing in evaluation.standings:
        if standing.version != version.name:
            continue
        found: _Line = (standing.cell, standing.metric.value, standing.firings)
        found += (standing.loss, standing.corridor, standing.is_inside)
        if (difference := judged.get((standing.cell, standing.metric))) is None:
            beside: _Line = (None,) * 4
        else:
            beside = (baseline.id if baseline else None, difference.active, difference.critical, difference.is_worse)
        lines.append((*found, *beside, METHOD_VERSION))
    return lines


def _last(connection: psycopg.Connection, version: Version) -> set[_Line]:
    """Return what the last evaluation that was written says of a version."""
    rows = connection.execute(
        sql.SQL(
            "SELECT {} FROM mgg.model_scorecard WHERE model_version_id = %s AND evaluated_at ="
            " (SELECT max(evaluated_at) FROM mgg.model_scorecard WHERE model_version_id = %s)"
        ).format(sql.SQL(", ").join(map(sql.Identifier, _LINE))),
        [version.id, version.id],
    ).fetchall()
    return set(rows)


def write_decisions(connection: psycopg.Connection, evaluation: Evaluation) -> None:
    """Append what an evaluation decided of the versions that are not active, where it is not the last decision."""
    for version in evaluation.versions:
        if (decision := evaluation.decisions.get(version.name)) is None:
            continue
        baseline = evaluation.baseline(version)
        said = (None if baseline is None else baseline.id, decision.verdict.value, list(decision.reasons))
        last = connection.execute(
            "SELECT baseline_version_id, verdict, reasons FROM mgg.model_decisions WHERE model_version_id = %s"
            " ORDER BY id DESC LIMIT 1",
            [version.id],
        ).fetchone()
        if last != said:
            connection.execute(
                "INSERT INTO mgg.model_decisions (evaluated_at, model_version_id, baseline_version_id, verdict,"
                " reasons) VALUES (%s, %s, %s, %s, %s)",
                [evaluation.evaluated_at, version.id, *said[:2], Jsonb(said[2])],
            )


def approve(connection: psycopg.Connection, version: Version, *, approved_by: str) -> None:
    """Let a person approve what the last decision left undecided.

    Raises:
        Refused: the last decision on the version is another.
    """
    cursor = connection.execute(
        "INSERT INTO mgg.model_decisions (evaluated_at, model_version_id, baseline_version_id, verdict, reasons,"
        " approved_by) SELECT evaluated_at, model_version_id, baseline_version_id, 'approved', reasons, %s"
        " FROM (SELECT * FROM mgg.model_decisions WHERE model_version_id = %s ORDER BY id DESC LIMIT 1) AS last"
        " WHERE verdict = %s",
        [approved_by, version.id, Verdict.UNDECIDED.value],
    )
    if not cursor.rowcount:
        raise Refused(
            f"only what the scorecard left undecided can be approved, and it did not leave {version.name} so;"
            " mgg/model_scorecard says why. Nothing was changed"
        )


def activate(connection: psycopg.Connection, version: Version) -> None:
    """Let a version answer in place of the active one, in the caller's transaction.

    Raises:
        Refused: the trigger knows no decision that allows it.
    """
    connection.execute("UPDATE mgg.model_versions SET is_active = false WHERE model_type = 'forward' AND is_active")
    try:
        connection.execute("UPDATE mgg.model_versions SET is_active = true WHERE id = %s", [version.id])
    except psycopg.errors.CheckViolation as error:
        raise Refused(f"{error.diag.message_primary}. mgg/model_scorecard says why; nothing was changed") from None


def _repeats(connection: psycopg.Connection) -> list[list[int]]:
    """Return the firings of each recipe that count and have a curve, wherever it lies, by their numbers."""
    rows = connection.execute(
        sql.SQL(
            "SELECT array_agg(DISTINCT t.id ORDER BY t.id) FROM ({cells}) AS c"
            " JOIN mgg.test_results AS t USING (work_order_id) WHERE t.is_current AND EXISTS (SELECT FROM"
            " mgg.test_result_files AS f WHERE f.test_result_id = t.id AND f.curve_sha256 IS NOT NULL) GROUP BY c.cell"
            " ORDER BY c.cell"
        ).format(cells=_CELLS)
    ).fetchall()
    return [firings for (firings,) in rows]


def _done(connection: psycopg.Connection, firings: Sequence[int]) -> set[tuple[int, int]]:
    rows = connection.execute(
        "SELECT test_result_id, repeat_id FROM mgg.repeat_comparisons WHERE test_result_id = ANY(%s)"
        " AND method_version = %s",
        [list(firings), METHOD_VERSION],
    ).fetchall()
    return set(rows)


def _between(connection: psycopg.Connection) -> list[Observation]:
    """Return the comparisons of firings of one recipe with each other."""
    rows = connection.execute(
        sql.SQL(
            "SELECT DISTINCT ON (c.cell, a.id, b.id) c.cell, a.name, b.name, r.measures FROM ({cells}) AS c"
            " JOIN mgg.test_results AS a USING (work_order_id)"
            " JOIN mgg.repeat_comparisons AS r ON r.test_result_id = a.id"
            " JOIN mgg.test_results AS b ON b.id = r.repeat_id"
            " WHERE r.method_version = %s AND a.is_current AND b.is_current ORDER BY c.cell, a.id, b.id"
        ).format(cells=_CELLS),
        [METHOD_VERSION],
    ).fetchall()
    return [
        Observation(first, cell, second, {Metric(name): value for name, value in measures.items()})
        for cell, first, second, measures in rows
    ]
