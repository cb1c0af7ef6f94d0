"""Whether a record yields with a drop, and where: ReH, ReL and the yield-point extension. ISO 6892-1.

A drop counts where it is at least 0.5 % of the force beside what noise can make, where it comes at the end of the
elastic line, where the peak before it is not exceeded for 0.05 % extension, and where the force then stops falling:
without the last condition necking would be a yield point, and without the first every noisy curve would have one.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from meva_pipelines.domain.tensile.evaluation import lines
from meva_pipelines.domain.tensile.evaluation.record import Record
from meva_pipelines.domain.tensile.evaluation.values import Line
from meva_pipelines.domain.tensile.recording import Series

_DROP = 0.005  # of the peak
_HELD = 0.0005  # strain for which the peak is not exceeded
_PLASTIC = 0.005  # most plastic strain at which a first yield is looked for
_STRETCH = 0.01  # strain after the peak over which a falling force is told from a standing one
_TRANSIENT = 0.003  # strain within which an undershoot recovers, and over which the force stands afterwards
_STANDING = 0.002  # of the peak
_SIGMAS = 6.0  # of noise: a difference of two extremes
_QUIET = 0.0005  # of maximum stress: noise is averaged down to this
_MOST_AVERAGED = 51
_ONSET = 0.005  # strain over which the slope of beginning hardening is taken
_BAND = 0.01  # of ReL: what still belongs to the plateau


@dataclass(frozen=True, slots=True)
class Yielding:
    """A yield with a drop. Indices into the record: the upper yield point, the lower one and the end of yielding.

    `end_strain` is where uniform hardening begins, None where the record does not harden afterwards.
    """

    upper: int
    lower: int
    end: int
    end_strain: float | None
    lower_mpa: float
    averaged: int


def found(record: Record, strain: Series, line: Line) -> Yielding | None:
    """The yield with a drop of a record, or None where it yields smoothly. `strain` is that of the record."""
    stress, averaged = _averaged(record)
    threshold = _SIGMAS * record.noise_mpa / math.sqrt(averaged)
    peak = _peak(stress, strain, line, threshold)
    if peak is None:
        return None
    around = slice(max(peak - averaged, 0), peak + averaged + 1)
    upper = around.start + int(record.stress_mpa[around].argmax())
    lower, begin = _lower(stress, strain, peak, threshold)
    return _ended(record, stress, strain, upper=upper, lower=lower, begin=begin, averaged=averaged)


def _averaged(record: Record) -> tuple[Series, int]:
    """The stress averaged over as many points as its noise asks for, and how many those are (odd)."""
    stress = record.stress_mpa
    wanted = (record.noise_mpa / (_QUIET * float(stress[record.top]))) ** 2
    averaged = min(2 * (math.ceil(wanted) // 2) + 1, _MOST_AVERAGED, stress.size)
    if averaged < 3:
        return stress, 1
    half = averaged // 2
    sums = np.concatenate(([0.0], np.cumsum(np.pad(stress, half, mode="edge"))))
    return (sums[2 * half + 1 :] - sums[: -2 * half - 1]) / (2 * half + 1), 2 * half + 1


def _peak(stress: Series, strain: Series, line: Line, threshold: float) -> int | None:
    """Index of the peak before the first drop that is a yield."""
    begin = line.start
    highest = np.maximum.accumulate(stress[begin:])
    dropped = lines.first(highest - stress[begin:] >= np.maximum(_DROP * highest + 0.5 * threshold, threshold))
    if dropped is None:
        return None
    peak = begin + int(stress[begin : begin + dropped + 1].argmax())
    plastic = strain[peak] - line.zero_strain - stress[peak] / line.slope_mpa
    above = lines.first(stress[peak + 1 :] > stress[peak])
    is_held = above is None or strain[peak + 1 + above] - strain[peak] >= _HELD
    is_yield = stress[peak] > line.stress_band_mpa[1] and plastic <= _PLASTIC and is_held
    return peak if is_yield and _stands(stress, strain, peak, threshold) else None


def _stretch_end(strain: Series, peak: int) -> int:
    """Index after the last point of the stretch behind a peak."""
    end = lines.first(strain[peak:] > strain[peak] + _STRETCH)
    return strain.size if end is None else peak + end


def _stands(stress: Series, strain: Series, peak: int, threshold: float) -> bool:
    """Whether the force behind a peak stops falling: its second half stays above the lowest of the first."""
    end = _stretch_end(strain, peak)
    reach = strain[end - 1] - strain[peak]
    half = lines.first(strain[peak:end] > strain[peak] + 0.5 * reach)
    if half is None or reach < 5 * _HELD or end - peak < 6:
        return False
    first, second = stress[peak : peak + half], stress[peak + half : end]
    least = float(first.min())
    return float(second.min()) >= least - max(_DROP * least, threshold)


def _lower(stress: Series, strain: Series, peak: int, threshold: float) -> tuple[int, int]:
    """Index of the lowest stress of yielding, the first undershoot left out, and where yielding is looked at from.

    An undershoot recovers soon, and then the force stands; what rises on is hardening. On a flat plateau there is none.
    """
    low = peak + int(stress[peak : _stretch_end(strain, peak)].argmin())
    after = low + int(stress[low:].argmax())
    tolerance = max(threshold, _STANDING * float(stress[peak]))
    end = lines.first(strain[: after + 1] > strain[low] + _TRANSIENT, low)
    begin = lines.first(stress[: after + 1] > stress[low] + tolerance, low)
    if begin is not None and end is not None and begin < end:
        ahead = sliding_window_view(stress[begin : after + 1], min(end - low, after + 1 - begin)).max(axis=1)
        stands = lines.first(ahead - stress[begin : begin + ahead.size] <= tolerance)
        if stands is not None and begin + stands < end:
            begin += stands
            return begin + int(stress[begin : after + 1].argmin()), begin
    return peak + int(stress[peak : after + 1].argmin()), peak


def _ended(
    record: Record, stress: Series, strain: Series, *, upper: int, lower: int, begin: int, averaged: int
) -> Yielding:
    """The end of yielding: the level of the plateau meets the steepest line of the hardening that follows."""
    least = float(stress[lower])
    after = lower + int(record.stress_mpa[lower:].argmax())
    on_plateau = np.flatnonzero(stress[begin : after + 1] <= least + max(_BAND * least, 2 * record.noise_mpa))
    end = begin + int(on_plateau[-1]) if on_plateau.size else lower
    level = float(stress[lower : end + 1].mean())
    below = np.flatnonzero(stress[lower : after + 1] <= level)
    end = lower + int(below[-1]) if below.size else lower
    onset = slice(end, (lines.first(strain[: after + 1] > strain[end] + _ONSET, end) or after) + 1)
    rise = lines.slope(strain[onset], stress[onset])
    end_strain = None
    if rise > 0.0 and end < after:
        end_strain = float(strain[onset].mean() + (level - stress[onset].mean()) / rise)
    return Yielding(upper, lower, end, end_strain, least, averaged)
