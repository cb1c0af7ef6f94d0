"""Curves as rows of a binary COPY, made column by column with numpy, and read back from their hot tables.

Series leave the hot tables for the archive; where a published curve lies is looked up in `published_curves`.

`numeric` is written as PostgreSQL's own digits to the base 10,000: a value of decimal(10,6) is three of them, one in
front of the point and two behind it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import psycopg
from psycopg import sql

from meva_pipelines.domain.failures import Rejected
from meva_pipelines.domain.simulation.curves import StoredCurve, Whole
from meva_pipelines.resources.tensile_points import COPY_HEADER, COPY_TRAILER

_NUMERIC = np.dtype(
    [
        ("bytes", ">i4"),
        ("digits", ">i2"),
        ("weight", ">i2"),
        ("sign", ">u2"),
        ("scale", ">i2"),
        ("whole", ">i2"),
        ("high", ">i2"),
        ("low", ">i2"),
    ]
)
_NEGATIVE = 0x4000
_BASE = 10_000
_MICRO = 1_000_000
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_BIG, _INT = [("bytes", ">i4"), ("value", ">i8")], [("bytes", ">i4"), ("value", ">i4")]
_SIMULATED = np.dtype(
    [
        ("fields", ">i2"),
        ("parent", _BIG),
        ("sequence", _INT),
        ("time", _NUMERIC),
        ("pressure", _NUMERIC),
        ("age", _BIG),
    ]
)
_MEASURED = np.dtype(
    [
        ("fields", ">i2"),
        ("parent", _BIG),
        ("file", _BIG),
        ("sequence", _INT),
        ("time", _NUMERIC),
        ("pressure", _NUMERIC),
        ("age", _INT),
    ]
)
COPY_SIMULATED = sql.SQL(
    "COPY mgg.simulation_time_series (simulation_id, sequence_number, time_point, pressure, created_at)"
    " FROM STDIN (FORMAT BINARY)"
)
COPY_MEASURED = sql.SQL(
    "COPY mgg.test_time_series (test_result_id, file_id, sequence_number, time_point, pressure, test_date)"
    " FROM STDIN (FORMAT BINARY)"
)


@dataclass(frozen=True, slots=True)
class Simulated:
    """The rows of a simulated curve."""

    simulation_id: int
    created_at: datetime
    curve: StoredCurve

    @property
    def encoded(self) -> bytes:
        """Return the rows as they go into the stream of `COPY_SIMULATED`."""
        rows = _rows(_SIMULATED, self.simulation_id, self.curve)
        _put(rows["age"], (self.created_at - _EPOCH) // timedelta(microseconds=1))
        return rows.tobytes()


@dataclass(frozen=True, slots=True)
class Measured:
    """The rows of a measured curve."""

    test_result_id: int
    file_id: int
    test_date: date
    curve: StoredCurve

    @property
    def encoded(self) -> bytes:
        """Return the rows as they go into the stream of `COPY_MEASURED`."""
        rows = _rows(_MEASURED, self.test_result_id, self.curve)
        _put(rows["file"], self.file_id)
        _put(rows["age"], (self.test_date - _EPOCH.date()).days)
        return rows.tobytes()


def copy(connection: psycopg.Connection, statement: sql.SQL, curves: Iterator[Simulated | Measured]) -> int:
    """Send curves in one COPY and return how many points arrived.

    Raises:
        Rejected: not all of them did.
    """
    sent = 0
    with connection.cursor() as cursor:
        with cursor.copy(statement) as stream:
            stream.write(COPY_HEADER)
            for rows in curves:
                stream.write(rows.encoded)
                sent += rows.curve.points
            stream.write(COPY_TRAILER)
        if cursor.rowcount != sent:
            raise Rejected(f"{sent:,} points were sent and {cursor.rowcount:,} arrived: nothing is published")
    return sent


def ensure_partitions(connection: psycopg.Connection, table: str, ages: Sequence[datetime | date]) -> None:
    """Make the quarters of a series table that rows of these ages need."""
    for age in sorted(set(ages)):
        moment = age if isinstance(age, datetime) else datetime(age.year, age.month, age.day, tzinfo=UTC)
        connection.execute("SELECT mgg.ensure_partition(%s, %s)", [table, moment])


def simulated(connection: psycopg.Connection, simulation_id: int) -> StoredCurve | None:
    """Return the series of a simulation as it lies in the hot table; None where there is none."""
    rows = connection.execute(
        "SELECT (time_point * 1000000)::bigint, (pressure * 1000000)::bigint FROM mgg.simulation_time_series"
        " WHERE simulation_id = %s ORDER BY sequence_number",
        [simulation_id],
    ).fetchall()
    return _curve(rows)


def measured(connection: psycopg.Connection, test_result_id: int) -> tuple[StoredCurve, ...]:
    """Return the series of a firing, file by file, as they lie in the hot table; empty where there are none."""
    rows = connection.execute(
        "SELECT s.file_id, array_agg((time_point * 1000000)::bigint ORDER BY sequence_number),"
        " array_agg((pressure * 1000000)::bigint ORDER BY sequence_number)"
        " FROM mgg.test_time_series AS s JOIN mgg.test_result_files AS f ON f.id = s.file_id"
        " WHERE s.test_result_id = %s GROUP BY s.file_id, f.position ORDER BY f.position",
        [test_result_id],
    ).fetchall()
    return tuple(StoredCurve(np.array(times), np.array(pressures)) for _, times, pressures in rows)


def _curve(rows: Sequence[tuple[int, int]]) -> StoredCurve | None:
    if not rows:
        return None
    points = np.array(rows, dtype=np.int64)
    return StoredCurve(points[:, 0].copy(), points[:, 1].copy())


def _rows(layout: np.dtype[np.void], parent: int, curve: StoredCurve) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    rows = np.zeros(curve.points, layout)
    rows["fields"] = len(layout.names or ()) - 1
    _put(rows["parent"], parent)
    _put(rows["sequence"], np.arange(curve.points))
    _put_decimal(rows["time"], curve.time_ns)
    _put_decimal(rows["pressure"], curve.pressure_pa)
    return rows


def _put(field: np.ndarray[tuple[int], np.dtype[np.void]], value: int | Whole) -> None:
    field["value"] = value
    field["bytes"] = field.dtype["value"].itemsize


def _put_decimal(field: np.ndarray[tuple[int], np.dtype[np.void]], millionths: Whole) -> None:
    whole, rest = np.divmod(np.abs(millionths), _MICRO)
    field["bytes"] = field.dtype.itemsize - 4
    field["digits"], field["scale"] = 3, 6
    field["sign"] = np.where(millionths < 0, _NEGATIVE, 0)
    field["whole"] = whole
    field["high"], low = np.divmod(rest, _BASE // 100)
    field["low"] = low * 100
