"""Where a record ends: at the break, or before it. What was elongated until then is computed elsewhere."""

from dataclasses import dataclass

import numpy as np

from meva_pipelines.domain.tensile.evaluation import lines
from meva_pipelines.domain.tensile.recording import Series, Specimen

_COLLAPSED = 0.10  # of maximum force, ASTM E8 "at fracture"
_FALLING = 5.0  # times the difference before, ISO 6892-1 on automatic evaluation
_NOISE = 4.0


@dataclass(frozen=True, slots=True)
class Ending:
    """Index of the last point before the break or the end, and what proves that the specimen broke (None: nothing)."""

    last: int
    evidence: str | None


def ending(stress_mpa: Series, top: int, noise_mpa: float, specimen: Specimen, rows_after_break: int) -> Ending:
    """The last point of a record of shape (points,) that belongs to the test; `top` is the index of maximum force.

    The force has collapsed where it is below 10 % of maximum; points on the way down, each more than five times as
    far below the one before as that one was, are dropped with it.
    """
    collapsed = lines.first(stress_mpa < _COLLAPSED * stress_mpa[top], top)
    if collapsed is not None:
        return Ending(_before_the_fall(stress_mpa, top, collapsed - 1, noise_mpa), "the force collapsed in the record")
    last = stress_mpa.size - 1
    if rows_after_break:
        return Ending(last, "rows after the break were taken from the record")
    if specimen.final_area_mm2 is not None or specimen.final_gauge_length_mm is not None:
        return Ending(last, "the specimen was measured after fracture")
    return Ending(last, None)


def _before_the_fall(stress_mpa: Series, top: int, last: int, noise_mpa: float) -> int:
    """Step back over the points that the falling force left between the break and its collapse."""
    before = np.abs(np.diff(stress_mpa[max(top, last - 50) : last + 1]))
    usual = max(float(np.median(before)) if before.size else 0.0, _NOISE * noise_mpa)
    while last > top + 1 and stress_mpa[last - 1] - stress_mpa[last] > _FALLING * usual > 0.0:
        last -= 1
    return last
