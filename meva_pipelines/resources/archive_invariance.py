"""Published numbers recomputed from the rows of a cold part: fingerprints, points, peaks and comparisons.

The checker is fed the rows as they are read and keeps one curve at a time. What differs is returned, not raised: the
audit of the part decides. A comparison by an older method is known by its fingerprints alone; one that was taken over
has none, and nothing follows from it.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final, TypeAlias

import numpy as np
import psycopg
import pyarrow as pa
from psycopg import sql
from psycopg.rows import dict_row

from meva_pipelines.domain.archive.declared import Archived
from meva_pipelines.domain.failures import Refused
from meva_pipelines.domain.pressure import comparison
from meva_pipelines.domain.pressure.comparison import Alignment
from meva_pipelines.domain.simulation.curves import StoredCurve, Whole
from meva_pipelines.resources import archive_arrays, published_curves, simulation_comparisons
from meva_pipelines.resources.cold_files import ColdFiles
from meva_pipelines.resources.published_curves import Curves, Fingerprinted

MOST_DIFFERENCES: Final = 20
"""Most differences that are told in words; all are counted."""

_CLOSE: Final = 1e-9
"""Relative difference of floating-point results that another processor or library may make."""

_ROUNDED: Final = 1e-12
"""The same where a result was rounded: more would let a wrong last digit pass."""

_RowsOf: TypeAlias = dict[int, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Invariance:
    """How many curves and comparisons were recomputed, how many of them differ, and the first differences in words."""

    curves: int = 0
    comparisons: int = 0
    differing_curves: int = 0
    differing_comparisons: int = 0
    differences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Parent:
    """Where the published numbers of curves stand, and which column of a comparison names what they belong to."""

    facts: sql.SQL
    column: str

    @property
    def is_simulated(self) -> bool:
        """Whether the curves are simulated; otherwise they are measured."""
        return self.column == "simulation_id"


_PARENTS: Final = {
    ("simulation_id",): _Parent(
        sql.SQL(
            "SELECT id AS parent, id AS curve, 0 AS position, curve_sha256, num_data_points, peak_pressure, peak_time"
            " FROM mgg.forward_simulations WHERE id = ANY(%s)"
        ),
        "simulation_id",
    ),
    ("test_result_id", "file_id"): _Parent(
        sql.SQL(
            "SELECT test_result_id AS parent, id AS curve, position, curve_sha256, num_data_points, peak_pressure,"
            " peak_time FROM mgg.test_result_files WHERE test_result_id = ANY(%s)"
        ),
        "test_result_id",
    ),
}
"""Parents by the columns that make rows one curve."""


class Checker:
    """Recomputes what was published of the curves of one part; a table without curves has nothing to recompute."""

    def __init__(self, connection: psycopg.Connection, files: ColdFiles, table: Archived) -> None:
        """Read what was published on a connection, and the other curve of a pair wherever it lies."""
        self._connection, self._table = connection, table
        self._parent = _PARENTS[table.curve] if table.curve else None
        self._others = Curves(connection, files)
        self._assembly = _Assembly(table.curve)
        self._facts: _RowsOf = {}
        self._published: _RowsOf = {}
        self._found = Invariance()

    def add(self, batch: pa.RecordBatch) -> None:
        """Take rows that follow on those before, in the order of their keys.

        Raises:
            Rejected: the cold part in which another curve lies is damaged.
            StoreUnavailable: a store does not answer.
        """
        if self._parent is None or not batch.num_rows:
            return
        self._look_up(self._parent, np.unique(archive_arrays.whole(batch.column(self._parent.column))).tolist())
        for parent, curves in self._assembly.feed(batch):
            self._judge(self._parent, parent, curves)

    def finish(self) -> Invariance:
        """Return what was found, once all rows were taken; raises as `add`."""
        if self._parent is not None:
            for parent, curves in self._assembly.rest():
                self._judge(self._parent, parent, curves)
        return self._found

    def _look_up(self, parent: _Parent, ids: Sequence[int]) -> None:
        new = [one for one in ids if one not in self._facts]
        comparisons = sql.SQL("SELECT * FROM mgg.pt_comparisons WHERE {} = ANY(%s) ORDER BY id").format(
            sql.Identifier(parent.column)
        )
        with self._connection.cursor(row_factory=dict_row) as cursor:
            for kept, statement, key in (
                (self._facts, parent.facts, "parent"),
                (self._published, comparisons, parent.column),
            ):
                kept |= {one: [] for one in new}
                for row in cursor.execute(statement, [new]):
                    kept[row[key]].append(row)

    def _judge(self, parent: _Parent, number: int, curves: Mapping[int, StoredCurve]) -> None:
        facts = {fact["curve"]: fact for fact in self._facts.pop(number)}
        curves = self._completed(number, curves, facts)
        for curve_id, curve in curves.items():
            found = _curve_differences(curve, facts.get(curve_id))
            self._tell("curve", f"{parent.column} {number}, curve {curve_id}", found)
        published = self._published.pop(number)
        if published:
            order = sorted(curves, key=lambda one: facts[one]["position"] if one in facts else 0)
            ours = published_curves.fingerprinted(tuple(curves[one] for one in order))
            for row in published:
                self._tell("comparison", f"comparison {row['id']}", self._comparison_differences(parent, row, ours))

    def _completed(
        self, number: int, curves: Mapping[int, StoredCurve], facts: Mapping[int, Mapping[str, Any]]
    ) -> Mapping[int, StoredCurve]:
        """Return the curves of a parent; where only rows of them came back, whole from a part that has these rows."""
        if _are_published(curves, facts):
            return curves
        for held in self._others.held(self._table, number):
            if _are_published(held, facts) and all(_lies_in(curve, held.get(one)) for one, curve in curves.items()):
                return held
        return curves

    def _comparison_differences(self, parent: _Parent, row: Mapping[str, Any], ours: Fingerprinted) -> list[str]:
        mine, other = ("simulation", "test") if parent.is_simulated else ("test", "simulation")
        is_ours = row["method_version"] == comparison.METHOD_VERSION
        if row[f"{mine}_sha256"] != ours.sha256:
            return [f"{mine}_sha256"] if is_ours or row[f"{mine}_sha256"] else []
        if not is_ours:
            return []
        read = self._others.measured if parent.is_simulated else self._others.simulated
        try:
            theirs = read(row["test_result_id" if parent.is_simulated else "simulation_id"], row[f"{other}_sha256"])
        except Refused:
            return [f"no curve with its {other}_sha256, hot or cold"]
        pair = (ours, theirs) if parent.is_simulated else (theirs, ours)
        values = simulation_comparisons.measured_columns(*pair)[Alignment(row["alignment"])]
        return [name for name in simulation_comparisons.MEASURED if not _is_same(row[name], values.get(name))]

    def _tell(self, kind: str, name: str, differences: Sequence[str]) -> None:
        old = self._found
        told = old.differences
        if differences and len(told) < MOST_DIFFERENCES:
            told = (*told, f"{name}: {', '.join(differences)}")
        is_curve = kind == "curve"
        self._found = Invariance(
            curves=old.curves + is_curve,
            comparisons=old.comparisons + (not is_curve),
            differing_curves=old.differing_curves + (is_curve and bool(differences)),
            differing_comparisons=old.differing_comparisons + (not is_curve and bool(differences)),
            differences=told,
        )


class _Assembly:
    """Curves put together from rows that come in batches, one parent after the other."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        self._columns = columns
        self._key: tuple[int, ...] = ()
        self._pieces: list[tuple[Whole, Whole]] = []
        self._curves: dict[int, StoredCurve] = {}

    def feed(self, batch: pa.RecordBatch) -> Iterator[tuple[int, dict[int, StoredCurve]]]:
        """Take rows and yield the parents that they complete, each with its curves."""
        keys = np.stack([archive_arrays.whole(batch.column(name)) for name in self._columns])
        times, pressures = (archive_arrays.units(batch.column(name)) for name in ("time_point", "pressure"))
        changes = np.flatnonzero((keys[:, 1:] != keys[:, :-1]).any(axis=0)) + 1
        for start, end in pairwise([0, *changes.tolist(), batch.num_rows]):
            key = tuple(keys[:, start].tolist())
            if self._key and key != self._key:
                self._close()
                if key[0] != self._key[0]:
                    yield self._key[0], self._curves
                    self._curves = {}
            self._key = key
            self._pieces.append((times[start:end], pressures[start:end]))

    def rest(self) -> Iterator[tuple[int, dict[int, StoredCurve]]]:
        """Yield the last parent."""
        if self._key:
            self._close()
            yield self._key[0], self._curves

    def _close(self) -> None:
        time_ns, pressure_pa = (np.concatenate(column) for column in zip(*self._pieces, strict=True))
        self._curves[self._key[-1]] = StoredCurve(time_ns, pressure_pa)
        self._pieces = []


def _are_published(curves: Mapping[int, StoredCurve], facts: Mapping[int, Mapping[str, Any]]) -> bool:
    """Whether these are all curves of a parent that have points, each with the fingerprint that was published."""
    expected = {one for one, fact in facts.items() if fact["num_data_points"]}
    return expected <= curves.keys() <= facts.keys() and all(
        facts[one]["curve_sha256"] in {None, curve.sha256} for one, curve in curves.items()
    )


def _lies_in(piece: StoredCurve, whole: StoredCurve | None) -> bool:
    """Whether every point of a piece is one of a whole curve, as often."""
    if whole is None:
        return False
    ours, theirs = (
        Counter(zip(curve.time_ns.tolist(), curve.pressure_pa.tolist(), strict=True)) for curve in (piece, whole)
    )
    return ours <= theirs


def _curve_differences(curve: StoredCurve, fact: Mapping[str, Any] | None) -> list[str]:
    """Return the names of the published numbers of a curve that are not those of its rows; NULL was not published."""
    if fact is None:
        return ["its parent is not there"]
    peak_time, peak_pressure = curve.peak
    found = {
        "curve_sha256": curve.sha256,
        "num_data_points": curve.points,
        "peak_pressure": peak_pressure,
        "peak_time": peak_time,
    }
    return [name for name, value in found.items() if fact[name] is not None and not _is_same(fact[name], value)]


def _is_same(published: object, found: object) -> bool:
    """Whether a published value is the one that was found, rounded as its column rounds."""
    if isinstance(published, Decimal) and isinstance(found, float):
        half = 0.5 * 10.0 ** int(published.as_tuple().exponent)
        return abs(float(published) - found) <= half + abs(found) * _ROUNDED
    if isinstance(published, float) and isinstance(found, int | float):
        return math.isclose(published, found, rel_tol=_CLOSE, abs_tol=_CLOSE)
    if isinstance(published, dict) and isinstance(found, Mapping):
        return published.keys() == found.keys() and all(_is_same(value, found[key]) for key, value in published.items())
    return published == found
