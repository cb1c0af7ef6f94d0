"""What is measured on a curve before it is judged: extremes, steps, drops. Figures over numpy arrays, no opinions."""

from typing import Final

import numpy as np

from meva_pipelines.domain.tensile.recording import Recording, Series

NAMES: Final = (
    "duration_s",
    "min_time_step_s",
    "load_min_n",
    "load_max_n",
    "displacement_min_mm",
    "displacement_max_mm",
    "strain_min",
    "strain_max",
    "stress_max_mpa",
    "largest_drop_ratio",
    "missing_values",
)
"""The figures, in the order of the columns of a staged test."""


def measure(recording: Recording) -> dict[str, float | None]:
    """Return the figures of `NAMES` for a test; None where there is nothing to measure them on.

    Strains are the machine's where it gives them, and displacement over gauge length otherwise. `stress_max_mpa` is
    the largest load over the original area. `largest_drop_ratio` is the deepest fall of the load below what it had
    reached, before its maximum, in parts of that maximum: 0 for a curve that only rises. `missing_values` counts the
    points without load or displacement.
    """
    curve, specimen = recording.curve, recording.specimen
    strain = curve.strain
    if strain is None and specimen.gauge_length_mm:
        strain = curve.displacement_mm / specimen.gauge_length_mm
    steps = None if curve.elapsed_s is None else np.diff(curve.elapsed_s)
    load_max = _extreme(np.fmax, curve.load_n)
    return {
        "duration_s": None if curve.elapsed_s is None else _extreme(np.fmax, curve.elapsed_s),
        "min_time_step_s": _extreme(np.minimum, steps),  # a step that is no number must show
        "load_min_n": _extreme(np.fmin, curve.load_n),
        "load_max_n": load_max,
        "displacement_min_mm": _extreme(np.fmin, curve.displacement_mm),
        "displacement_max_mm": _extreme(np.fmax, curve.displacement_mm),
        "strain_min": _extreme(np.fmin, strain),
        "strain_max": _extreme(np.fmax, strain),
        "stress_max_mpa": load_max / specimen.area_mm2 if load_max is not None and specimen.area_mm2 else None,
        "largest_drop_ratio": _largest_drop(curve.load_n),
        "missing_values": float(np.count_nonzero(np.isnan(curve.load_n) | np.isnan(curve.displacement_mm))),
    }


def _extreme(pick: np.ufunc, series: Series | None) -> float | None:
    """Return the extreme of a series; `fmin` and `fmax` pass over NaN."""
    return None if series is None or not len(series) else float(pick.reduce(series))


def _largest_drop(load_n: Series) -> float | None:
    if not len(load_n) or not np.fmax.reduce(load_n) > 0:
        return None
    rising = load_n[: int(np.nanargmax(load_n)) + 1]
    reached = np.fmax.accumulate(rising)
    return float(np.fmax.reduce(reached - rising) / rising[-1])
