"""What is taken away from a curve, and what is shifted, before it is stored; and what makes it no tensile test.

Every row that is not stored is counted by its reason, every shift is recorded. Nothing is smoothed or filled in.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.tensile.columns import Selection
from meva_pipelines.domain.tensile.recording import Curve, Repairs, Series

SENTINELS = (-1_000_000.0, 1_000_000.0, 9.9e37, -9.9e37, 9.91e37)
"""What amplifiers write for an overflow or a missing sensor: catman ±1,000,000, SCPI instruments 9.9e37 and 9.91e37."""

ZERO_BAND = 0.02
"""Share of the greatest force within which a force below zero is the zero of the cell: preload, slack, drift."""

BROKEN = 0.02
"""Share of the greatest force below which a specimen carries nothing any more (ISO 6892-1, automatic break)."""

_SUDDEN = 5.0  # a break falls by more than this many times the step before it (ISO 6892-1)
_LARGE = 0.25  # ... and a fall by this share of the maximum in one step is sudden anyhow
_STEPS = 20
_FAR = 0.5  # a displacement that starts further from zero than this share of its span is a position
_POINTS = 2

_Mask = npt.NDArray[np.bool_]
_Index = npt.NDArray[np.int64]


@dataclass(slots=True, eq=False)
class _Rows:
    """The rows that are left, by their number in the table."""

    left: _Index
    load: Series
    time: Series | None
    is_whole: bool = True

    def of(self, series: Series) -> Series:
        """The rows of another channel that are left."""
        return series if self.is_whole else series[self.left]

    def keep(self, mask: _Mask) -> int:
        """Keep some rows, return how many went."""
        gone = int(len(mask) - np.count_nonzero(mask))
        if gone:
            self.is_whole = False
            self.left, self.load = self.left[mask], self.load[mask]
            self.time = None if self.time is None else self.time[mask]
        return gone


def without_sentinels(values: Series) -> int:
    """Blank, in place, the values that say "no measurement"; return how many there were."""
    least = min(map(abs, SENTINELS))
    if not len(values) or not (np.fmax.reduce(values) >= least or np.fmin.reduce(values) <= -least):
        return 0
    found = np.isin(values, SENTINELS)
    count = int(np.count_nonzero(found))
    if count:
        values[found] = np.nan
    return count


def repaired(
    selection: Selection, *, first_row: int, zero_band_n: float | None = None, notes: tuple[str, ...] = ()
) -> tuple[Curve, Repairs]:
    """Clean the channels of a test.

    Args:
        selection: the channels as read.
        first_row: line of the file (of the sheet) on which the table begins, from 1.
        zero_band_n: how far below zero the force may be before loading; by default `ZERO_BAND` of its maximum.
        notes: what happened to the values before.

    Raises:
        Unusable: `at_least_two_points`, `load_is_tensile` (names "compression"), `load_is_not_negative` or
            `time_increases`, with the row.
    """
    remarks = list(notes)
    count = len(selection.force)
    rows = _Rows(np.arange(count), selection.force, selection.time)
    is_whole = np.isfinite(selection.force) & np.isfinite(selection.displacement)
    if selection.time is not None:
        is_whole &= np.isfinite(selection.time)
    blank = rows.keep(is_whole)
    _demand_points(rows)
    _demand_tension(rows)
    broken = rows.keep(_before_break(rows.load))
    repeated = _without_repeated(rows, selection, remarks)
    broken += _without_unloaded_end(rows, remarks)
    _demand_points(rows)
    _demand_increasing(rows, first_row)
    tare = _tare(rows, zero_band_n, first_row)
    if tare:
        remarks.append(f"the force goes down to {tare:.6g} N, within the zero band: kept as measured")
    start = 0.0 if rows.time is None else float(rows.time[0])
    displacement = rows.of(selection.displacement)
    zero = _zero(displacement, is_position=selection.is_position)
    curve = Curve(
        load_n=rows.load,
        displacement_mm=displacement - zero if zero else displacement,
        displacement_source=selection.source,
        elapsed_s=None if rows.time is None else rows.time - start,
        crosshead_mm=_travel(selection, rows, zero),
        strain=None if selection.strain is None else rows.of(selection.strain),
    )
    repairs = Repairs(count, blank, repeated, broken, tare, zero, start, tuple(remarks))
    return curve, repairs


def _demand_points(rows: _Rows) -> None:
    if len(rows.left) < _POINTS:
        raise Unusable(
            f"{len(rows.left)} of the rows hold force and displacement, a test needs {_POINTS} points or more",
            rule="at_least_two_points",
        )


def _demand_tension(rows: _Rows) -> None:
    """Refuse a force that is negative most of the time, or further below zero than it ever is above."""
    least, most = float(rows.load.min()), float(rows.load.max())
    if most <= 0 or -least > most:
        raise Unusable(
            f"the force goes from {least:.6g} to {most:.6g} N and is mostly negative: a compression test, "
            "not a tensile test",
            rule="load_is_tensile",
            field="force",
        )


def _before_break(load: Series) -> _Mask:
    """Rows up to the break: a sudden fall of force after the maximum that ends below `BROKEN` of it."""
    keep = np.ones(len(load), dtype=np.bool_)
    top = int(load.argmax())
    below = np.flatnonzero(load[top:] < BROKEN * load[top])
    if not len(below):
        return keep
    end = top + int(below[0])
    steps = np.diff(load[: end + 1])
    before = np.abs(steps[max(top - _STEPS, 0) : end])
    typical = float(np.median(before)) if len(before) > 1 else 0.0
    sudden = min(max(_SUDDEN * typical, BROKEN * load[top]), _LARGE * load[top])
    falls = -steps[top:end] > sudden
    if falls.any():
        keep[_start_of_last_run(falls) + top + 1 :] = False
    return keep


def _start_of_last_run(flags: _Mask) -> int:
    """First position of the last unbroken run of true flags."""
    last = int(np.flatnonzero(flags)[-1])
    gaps = np.flatnonzero(~flags[:last])
    return int(gaps[-1]) + 1 if len(gaps) else 0


def _without_repeated(rows: _Rows, selection: Selection, remarks: list[str]) -> int:
    """Drop repeated rows, and all but one of the rows of one time.

    At the start the last row of a time is the valid one, because the machine was zeroed meanwhile; later on it is the
    one with the greatest force, so that the maximum stays.
    """
    load, displacement = rows.load, rows.of(selection.displacement)
    if rows.time is None:
        repeated = (np.diff(load) == 0) & (np.diff(displacement) == 0)
        is_tail = np.zeros(len(load), dtype=np.bool_)
        is_tail[1:] = repeated
        still = np.flatnonzero(~is_tail)
        is_tail[: still[-1]] = False  # a plateau is real; the same row to the very end is a machine at rest
        return rows.keep(~is_tail)
    same = np.diff(rows.time) == 0
    if not same.any():
        return 0
    run = np.concatenate([[0], np.cumsum(~same)])
    order = np.lexsort((np.arange(len(load)), np.where(run == 0, 0.0, load), run))
    is_last = np.append(np.diff(run[order]) != 0, [True])
    keep = np.zeros(len(load), dtype=np.bool_)
    keep[order[is_last]] = True
    gone = rows.keep(keep)
    remarks.append(f"{gone:,} rows had the time of another row")
    return gone


def _without_unloaded_end(rows: _Rows, remarks: list[str]) -> int:
    """Drop the rows after the force fell below zero past its maximum: the test is over, broken or not."""
    top = int(rows.load.argmax())
    below = np.flatnonzero(rows.load[top:] < 0)
    if not len(below):
        return 0
    keep = np.ones(len(rows.load), dtype=np.bool_)
    keep[top + int(below[0]) :] = False
    gone = rows.keep(keep)
    remarks.append(f"{gone:,} rows followed after the force had fallen below zero")
    return gone


def _demand_increasing(rows: _Rows, first_row: int) -> None:
    if rows.time is None:
        return
    back = np.flatnonzero(np.diff(rows.time) <= 0)
    if len(back):
        row = first_row + int(rows.left[back[0] + 1])
        earlier, later = rows.time[back[0]], rows.time[back[0] + 1]
        raise Unusable(
            f"the time goes back from {earlier:.6g} to {later:.6g} s in row {row:,}",
            rule="time_increases",
            field="time",
            row=row,
        )


def _tare(rows: _Rows, zero_band_n: float | None, first_row: int) -> float:
    """Force of an unloaded specimen in N: the lowest one below zero, if it lies within the zero band."""
    least = float(rows.load.min())
    if least >= 0:
        return 0.0
    band = ZERO_BAND * float(rows.load.max()) if zero_band_n is None else zero_band_n
    if -least > band:
        row = first_row + int(rows.left[int(rows.load.argmin())])
        raise Unusable(
            f"the force is {least:.6g} N in row {row:,}, below the zero band of {band:.6g} N; "
            "state `tare_zero_band_n` in the sidecar if that is the zero of the cell",
            rule="load_is_not_negative",
            field="force",
            row=row,
        )
    return least


def _zero(displacement: Series, *, is_position: bool) -> float:
    first, span = float(displacement[0]), float(np.ptp(displacement))
    return first if is_position or abs(first) > _FAR * span else 0.0


def _travel(selection: Selection, rows: _Rows, zero: float) -> Series | None:
    if selection.crosshead is None:
        return None
    travel = rows.of(selection.crosshead)
    own = zero if selection.crosshead is selection.displacement else _zero(travel, is_position=False)
    return travel - own if own else travel
