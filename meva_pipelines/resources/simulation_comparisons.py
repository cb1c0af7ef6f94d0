"""Simulations beside firings: which pairs wait, their curves, and their rows on the way into `mgg.pt_comparisons`.

What a comparison is stands in `domain/pressure`; nothing is measured here.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import psycopg
from psycopg import sql

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.pressure import comparison
from meva_pipelines.domain.pressure.comparison import Alignment, Comparison, Measures, Metric
from meva_pipelines.domain.pressure.figures import Figures
from meva_pipelines.domain.pressure.trace import Trace
from meva_pipelines.domain.simulation import curves
from meva_pipelines.domain.simulation.curves import StoredCurve
from meva_pipelines.resources import simulation_series
from meva_pipelines.resources.ledger import Attempt
from meva_pipelines.resources.simulation_series import FIRING_IS_ARCHIVED, SIMULATION_IS_ARCHIVED
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

_UNCOMPARED: Final = sql.SQL(
    "FROM mgg.test_results AS t JOIN mgg.forward_simulations AS s USING (work_order_id)"
    " WHERE t.is_current AND s.is_current AND s.status = 'completed' AND NOT EXISTS (SELECT FROM mgg.pt_comparisons"
    " AS c WHERE (c.simulation_id, c.test_result_id) = (s.id, t.id) AND c.method_version = %s)"
)
_IS_FIRING_HOT: Final = sql.SQL(
    "EXISTS (SELECT FROM mgg.test_time_series AS p WHERE (p.test_result_id, p.test_date) = (t.id, t.test_date))"
)
_IS_SIMULATION_HOT: Final = sql.SQL(
    "EXISTS (SELECT FROM mgg.simulation_time_series AS p WHERE (p.simulation_id, p.created_at) = (s.id, s.created_at))"
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


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprinted:
    """A curve as it is compared, or why it cannot be, and the fingerprint of what is stored of it."""

    trace: Trace | str
    sha256: str


def rows_of(attempt: Attempt) -> StagedRows:
    """Return the staging table of an attempt: one row per pair and alignment."""
    return StagedRows(attempt, "mggcomparisons", _COLUMNS)


def waiting(connection: psycopg.Connection, *, limit: int) -> list[Pair]:
    """Return the pairs of one work order that were not compared by this method, the newest firings first.

    Only results that count, and whose series lie in the hot tables.
    """
    rows = connection.execute(
        sql.SQL("SELECT s.id, t.id, t.user_id {} AND {} AND {} ORDER BY t.test_date DESC, t.id, s.id LIMIT %s").format(
            _UNCOMPARED, _IS_FIRING_HOT, _IS_SIMULATION_HOT
        ),
        [comparison.METHOD_VERSION, limit],
    ).fetchall()
    return [Pair(*row) for row in rows]


def in_archive(connection: psycopg.Connection) -> int:
    """Return how many pairs of one work order were not compared by this method because a curve lies in the archive."""
    row = connection.execute(
        sql.SQL("SELECT count(*) {} AND (NOT {} AND {} OR NOT {} AND {})").format(
            _UNCOMPARED, _IS_FIRING_HOT, FIRING_IS_ARCHIVED, _IS_SIMULATION_HOT, SIMULATION_IS_ARCHIVED
        ),
        [comparison.METHOD_VERSION],
    ).fetchone()
    return 0 if row is None else int(row[0])


class Curves:
    """Curves from the hot tables; the last ones that were asked for are kept, because pairs share them.

    Reading one that is not there raises Refused, and says where it lies.
    """

    def __init__(self, connection: psycopg.Connection) -> None:
        """Read on a connection."""
        self._connection = connection
        self.simulated = lru_cache(maxsize=64)(self._simulated)
        self.measured = lru_cache(maxsize=64)(self._measured)

    def _simulated(self, simulation_id: int) -> Fingerprinted:
        curve = simulation_series.simulated(self._connection, simulation_id)
        if curve is None:
            raise simulation_series.simulation_is_away(self._connection, simulation_id)
        return fingerprinted((curve,))

    def _measured(self, test_result_id: int) -> Fingerprinted:
        several = simulation_series.measured(self._connection, test_result_id)
        if not several:
            raise simulation_series.firing_is_away(self._connection, test_result_id)
        return fingerprinted(several)


def fingerprinted(several: tuple[StoredCurve, ...]) -> Fingerprinted:
    """Return the curve of a simulation, or those of a firing in the order of its files, as it is compared."""
    return Fingerprinted(_traced(lambda: curves.mean(several)), curves.together([curve.sha256 for curve in several]))


def _traced(read: Callable[[], Trace]) -> Trace | str:
    try:
        return read()
    except Unusable as error:
        return str(error)


def compared(found: Curves, pairs: Iterable[Pair]) -> Iterator[tuple[object, ...]]:
    """Compare pairs and yield two rows for each, in the order of the staging table's columns.

    Raises:
        Refused: a series is not in the hot tables; says where it lies.
    """
    for pair in pairs:
        asked: dict[str, object] = {
            "user_id": pair.user_id,
            "simulation_id": pair.simulation_id,
            "test_result_id": pair.test_result_id,
            "notes": pair.notes,
        }
        measures = measured_columns(found.simulated(pair.simulation_id), found.measured(pair.test_result_id))
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
