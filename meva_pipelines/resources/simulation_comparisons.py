"""Simulations beside firings: which pairs wait, and their rows on the way into `mgg.pt_comparisons`.

What a comparison is stands in `domain/pressure`, how its curves are found in `published_curves`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import sql

from meva_pipelines.domain.failures import MevaError, Refused
from meva_pipelines.domain.pressure import comparison
from meva_pipelines.domain.pressure.comparison import Alignment, Comparison, Measures, Metric
from meva_pipelines.domain.pressure.figures import Figures
from meva_pipelines.resources.ledger import Attempt
from meva_pipelines.resources.published_curves import UNREADABLE, Curves, Fingerprinted
from meva_pipelines.resources.staged_rows import StagedRows
from meva_pipelines.schema.mgg_records import PT_COMPARISONS

COLUMN: Mapping[Metric, str] = {
    metric: {
        Metric.PEAK_PRESSURE_DIFF: "peak_pressure_diff",
        Metric.PEAK_TIME_DIFF: "peak_time_diff",
        Metric.RMSE: "rmse",
    }.get(metric, metric.value)
    for metric in Metric
}
"""The column of each measure: those of seed 004 have no unit in their name."""

_WAITING: Final = (
    "SELECT simulation_id, test_result_id, user_id FROM (SELECT s.id AS simulation_id, t.id AS test_result_id,"
    " t.user_id, work_order_id FROM mgg.test_results AS t JOIN mgg.forward_simulations AS s USING (work_order_id)"
    " WHERE t.is_current AND s.is_current AND s.status = 'completed' AND s.curve_sha256 IS NOT NULL"
    " AND EXISTS (SELECT FROM mgg.test_result_files AS f WHERE f.test_result_id = t.id AND f.curve_sha256 IS NOT NULL)"
    " AND NOT EXISTS (SELECT FROM mgg.pt_comparisons AS c WHERE (c.simulation_id, c.test_result_id) = (s.id, t.id)"
    " AND c.method_version = %s) ORDER BY t.test_date DESC, t.id DESC, s.id LIMIT %s) AS newest"
    " ORDER BY work_order_id, test_result_id, simulation_id"
)

_GIVEN_BY_SERVER = ("id", "created_at")
_COLUMNS = tuple(column for column in PT_COMPARISONS.columns if column.name not in _GIVEN_BY_SERVER)
_NAMES = tuple(column.name for column in _COLUMNS)
_ASKED = frozenset({"user_id", "simulation_id", "test_result_id", "notes"})
MEASURED = tuple(name for name in _NAMES if name not in _ASKED)
"""The columns of `mgg.pt_comparisons` that follow from the two curves."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A simulation and a firing that are to be compared, and who asked."""

    simulation_id: int
    test_result_id: int
    user_id: int
    notes: str | None = None


def rows_of(attempt: Attempt) -> StagedRows:
    """Return the staging table of an attempt: one row per pair and alignment."""
    return StagedRows(attempt, "mggcomparisons", _COLUMNS)


def waiting(connection: psycopg.Connection, *, limit: int) -> list[Pair]:
    """Return the pairs of one work order that were not compared by this method, of the newest firings, at most `limit`.

    Only results that count and have a curve, wherever it lies. Pairs of one work order follow on each other, because
    they share curves.
    """
    return [Pair(*row) for row in connection.execute(_WAITING, [comparison.METHOD_VERSION, limit])]


def demand_room_for_notes(connection: psycopg.Connection, pair: Pair) -> None:
    """See to it that the notes of a pair will be kept: what is published is never changed.

    Raises:
        Refused: the pair is compared by this method already, without these notes.
    """
    if pair.notes is None:
        return
    row = connection.execute(
        "SELECT created_at FROM mgg.pt_comparisons WHERE (simulation_id, test_result_id, method_version) = (%s, %s, %s)"
        " AND notes IS DISTINCT FROM %s LIMIT 1",
        [pair.simulation_id, pair.test_result_id, comparison.METHOD_VERSION, pair.notes],
    ).fetchone()
    if row is not None:
        raise Refused(
            f"simulation {pair.simulation_id} and firing {pair.test_result_id} were compared on {row[0]:%Y-%m-%d}; a"
            " published comparison keeps the notes that it came with, or none. Nothing was changed"
        )


def compared(found: Curves, pairs: Iterable[Pair], left_out: list[MevaError]) -> Iterator[tuple[object, ...]]:
    """Compare pairs and yield two rows for each, in the order of the staging table's columns.

    A pair of which a curve cannot be read yields none; why is added to `left_out`.
    """
    for pair in pairs:
        asked: dict[str, object] = {
            "user_id": pair.user_id,
            "simulation_id": pair.simulation_id,
            "test_result_id": pair.test_result_id,
            "notes": pair.notes,
        }
        try:
            measures = measured_columns(found.simulated(pair.simulation_id), found.measured(pair.test_result_id))
        except UNREADABLE as error:
            left_out.append(error.with_traceback(None))  # which would keep its curves
            continue
        for values in measures.values():
            yield tuple((asked | values).get(name) for name in _NAMES)


def measured_columns(simulated: Fingerprinted, measured: Fingerprinted) -> Mapping[Alignment, dict[str, object]]:
    """Compare two curves and return the columns `MEASURED` by alignment; what is not there is NULL."""
    result = _compared(simulated, measured)
    fingerprints: dict[str, object] = {"simulation_sha256": simulated.sha256, "test_sha256": measured.sha256}
    return {
        alignment: fingerprints
        | (_values(result, alignment) if isinstance(result, Comparison) else _unfit(result, alignment))
        for alignment in Alignment
    }


def _compared(simulated: Fingerprinted, measured: Fingerprinted) -> Comparison | str:
    """Compare two curves, or say which of them can be compared with none."""
    if isinstance(simulated.trace, str):
        return f"simulation: {simulated.trace}"
    if isinstance(measured.trace, str):
        return f"test: {measured.trace}"
    return comparison.compare(simulated.trace, measured.trace)


def _unfit(reason: str, alignment: Alignment) -> dict[str, object]:
    return {
        "alignment": alignment.value,
        "method_version": comparison.METHOD_VERSION,
        "is_comparable": False,
        "reason": reason,
        "withheld": {},
        "figures": {},
    }


def _values(result: Comparison, alignment: Alignment) -> dict[str, object]:
    measures = result.under(alignment)
    common: dict[str, object] = {
        "alignment": alignment.value,
        "method_version": result.method_version,
        "is_comparable": isinstance(measures, Measures),
        "figures": {"simulation": _figures(result.simulation), "test": _figures(result.test)},
    }
    if not isinstance(measures, Measures):
        return {**common, "reason": measures, "withheld": {}}
    return {
        **common,
        "shift_ms": measures.overlap.shift_ms,
        "late_ms": measures.late_ms,
        "overlap_ratio": measures.overlap.ratio,
        "start_ms": measures.overlap.start_ms,
        "end_ms": measures.overlap.end_ms,
        "points": measures.points,
        "warping_points": measures.warping_points,
        "iso18571_grade": None if measures.grade is None else measures.grade.value,
        "withheld": {metric.value: reason for metric, reason in measures.withheld.items()},
        **{COLUMN[metric]: value for metric, value in measures.values.items()},
    }


def _figures(figures: Figures) -> dict[str, float]:
    return {figure.value: value for figure, value in figures.values.items()}


def publish(connection: psycopg.Connection, rows: StagedRows) -> int:
    """Insert the staged comparisons that are not there yet, in the publishing transaction; returns how many."""
    names = sql.SQL(", ").join(map(sql.Identifier, _NAMES))
    return connection.execute(
        sql.SQL(
            "INSERT INTO mgg.pt_comparisons ({names}) SELECT {names} FROM {staged}"
            " ORDER BY test_result_id, simulation_id, alignment DESC"
            " ON CONFLICT (simulation_id, test_result_id, alignment, method_version) DO NOTHING"
        ).format(names=names, staged=rows.table)
    ).rowcount
