"""Pressure curves as they are stored: whole nanoseconds and pascals, which is what six decimals of ms and MPa are.

Rounding happens once, here, before anything is hashed, written or compared; the hot table, a cold file and the
fingerprint therefore always tell of the same numbers. What a curve means is decided in `domain/pressure`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.pressure import trace
from meva_pipelines.domain.pressure.trace import Series, Trace

Whole = npt.NDArray[np.int64]
"""Whole units, shape (points,)."""

LATEST_START_MS: Final = 1.0
"""A record begins at its trigger; the validator of the original system allows one millisecond."""

LEAST_PEAK_MPA, GREATEST_MPA = 0.1, 2_000.0
"""Peaks outside are a wrong unit, not a firing."""

LOWEST_PCT: Final = -10.0
"""How far below zero a reading may lie, in percent of the peak: sensors drift by a few percent and not by more."""

LONGEST_MS: Final = 9_999.0
"""Longest record: decimal(10,6) holds no more."""

MOST_POINTS: Final = 200_000

_PER_UNIT: Final = 1e6
_RECORD = np.dtype([("time_ns", "<i8"), ("pressure_pa", "<i8")])


@dataclass(frozen=True, eq=False)
class StoredCurve:
    """A curve of at least two points: times in ns that never decrease, pressures in Pa."""

    time_ns: Whole
    pressure_pa: Whole

    @cached_property
    def sha256(self) -> str:
        """The fingerprint: SHA-256 over the points, each as two little-endian 64-bit numbers."""
        return hashlib.sha256(self.encoded()).hexdigest()

    @property
    def points(self) -> int:
        """How many points it has."""
        return int(self.time_ns.size)

    @cached_property
    def peak(self) -> tuple[float, float]:
        """Time in ms and pressure in MPa of the greatest reading, the first on ties."""
        at = int(self.pressure_pa.argmax())
        return int(self.time_ns[at]) / _PER_UNIT, int(self.pressure_pa[at]) / _PER_UNIT

    @property
    def lowest_pct(self) -> float:
        """The lowest reading in percent of the peak, which is above zero."""
        return 100.0 * float(self.pressure_mpa.min()) / self.peak[1]

    @property
    def time_ms(self) -> Series:
        """Times in ms."""
        return self.time_ns / _PER_UNIT

    @property
    def pressure_mpa(self) -> Series:
        """Pressures in MPa."""
        return self.pressure_pa / _PER_UNIT

    def trace(self) -> Trace:
        """Return the curve as it is compared: rows of one time become their mean.

        Raises:
            Unusable: it has fewer than two different times.
        """
        return trace.recorded(self.time_ms, self.pressure_mpa).trace

    def encoded(self) -> bytes:
        """Return the points as bytes, 16 each."""
        records = np.empty(self.points, _RECORD)
        records["time_ns"], records["pressure_pa"] = self.time_ns, self.pressure_pa
        return records.tobytes()


def decoded(content: bytes) -> StoredCurve:
    """Return the curve of `StoredCurve.encoded`."""
    records = np.frombuffer(content, _RECORD)
    return StoredCurve(records["time_ns"].astype(np.int64), records["pressure_pa"].astype(np.int64))


def stored(time_ms: Series, pressure_mpa: Series) -> StoredCurve:
    """Return a curve as it is stored, both columns of shape (points,) in ms and MPa.

    Raises:
        Unusable: `curve_shape`, `curve_length`, `curve_finite` or `curve_time` as in `domain/pressure/trace`, with
            the row; `curve_start`, `curve_duration`, `curve_magnitude` or `curve_zero` for what no firing shows.
    """
    if time_ms.size > MOST_POINTS:
        raise Unusable(f"the curve has more than {MOST_POINTS:,} points", rule="curve_length")
    trace.recorded(time_ms, pressure_mpa)
    if not -LATEST_START_MS <= time_ms[0] <= LATEST_START_MS:
        raise Unusable(f"the record begins at {time_ms[0]:g} ms and not at its trigger", rule="curve_start")
    if time_ms[-1] > LONGEST_MS:
        raise Unusable(f"the record lasts longer than {LONGEST_MS:g} ms", rule="curve_duration", field="time_ms")
    peak = float(pressure_mpa.max())
    if not LEAST_PEAK_MPA <= peak <= GREATEST_MPA:
        raise Unusable(
            f"the peak is {peak:g} MPa; {LEAST_PEAK_MPA:g} to {GREATEST_MPA:g} MPa are possible: is the unit right?",
            rule="curve_magnitude",
            field="pressure_mpa",
        )
    curve = StoredCurve(_whole(time_ms), _whole(pressure_mpa))
    if curve.lowest_pct < LOWEST_PCT:
        raise Unusable(
            f"readings fall to {curve.lowest_pct:.3g} % of the peak, {LOWEST_PCT:g} % are possible: is the zero right?",
            rule="curve_zero",
            field="pressure_mpa",
        )
    return curve


def _whole(values: Series) -> Whole:
    return np.rint(values * _PER_UNIT).astype(np.int64)


def mean(several: tuple[StoredCurve, ...]) -> Trace:
    """Return the curve of a firing that several sensors recorded: the mean on their overlap, interpolated linearly.

    One curve is returned as it is. The base is that of the curve with the finest step within the overlap.

    Raises:
        Unusable: `curves_overlap`: they have no two points in common.
    """
    traces = [curve.trace() for curve in several]
    if len(traces) == 1:
        return traces[0]
    start = max(float(one.time_ms[0]) for one in traces)
    end = min(float(one.time_ms[-1]) for one in traces)
    finest = min(traces, key=lambda one: one.step_ms)
    base = finest.time_ms[(finest.time_ms >= start) & (finest.time_ms <= end)]
    if base.size < 2:
        raise Unusable("the files of the firing have no time in common", rule="curves_overlap")
    return Trace(base, np.mean([np.interp(base, one.time_ms, one.pressure_mpa) for one in traces], axis=0))


def together(fingerprints: Sequence[str]) -> str:
    """Return the fingerprint of all curves of a firing by their own: that of the curve, or SHA-256 over several."""
    if len(fingerprints) == 1:
        return fingerprints[0]
    return hashlib.sha256("\n".join(fingerprints).encode()).hexdigest()
