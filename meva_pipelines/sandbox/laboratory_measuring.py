"""What a testing machine records of a test: sampling in time, the frame, the load cell, and all that disturbs them.

A material's curve goes in (`laboratory_laws`), the channels of a machine come out; how a file spells them is in the
dialects. Forces in N, lengths in mm, times in s, strains as ratios.
"""

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from meva_pipelines.domain.tensile.recording import Series, Specimen
from meva_pipelines.sandbox.laboratory_laws import Law, Truth

ELASTIC_RATE_PER_S: Final = 0.00025
PLASTIC_RATE_PER_S: Final = 0.0067
"""Strain rates of method A of ISO 6892-1, until and after the proof strength."""

_SLOW_SHARE: Final = 0.3
_SLACK_SHARE: Final = 0.01


@dataclass(frozen=True, slots=True)
class Conditions:
    """How a machine records. The defaults disturb nothing.

    `preload_n` is reached before the recording starts, where the extensometer is set to zero. `slack_mm` is taken up
    by the crosshead alone before the force rises. A toe shows the extension too large by `toe_mm` · (1 - exp(-ΔF /
    toe_n)), ΔF above the preload. `compliance_mm_per_n` is that of frame and grips, in the crosshead. `noise_*` are
    standard deviations; `quantum_*` the steps of the converters (0 for none). `tare_n`, `zero_mm`, `drift_n_per_s` and
    `start_s` are added to what is recorded. `repeated` rows show the first moment again, `missing` are lost
    on the way, `tail` are written after the break with `tail_n`, the extensometer jumped back.
    """

    preload_n: float = 0.0
    slack_mm: float = 0.0
    toe_mm: float = 0.0
    toe_n: float = 1.0
    compliance_mm_per_n: float = 0.0
    noise_n: float = 0.0
    noise_mm: float = 0.0
    quantum_n: float = 0.0
    quantum_mm: float = 0.0
    tare_n: float = 0.0
    zero_mm: float = 0.0
    drift_n_per_s: float = 0.0
    start_s: float = 0.0
    repeated: int = 0
    missing: int = 0
    tail: int = 0
    tail_n: float = 0.0

    def scaled(self, factor: float) -> "Conditions":
        """Return the conditions with another load cell: everything in N multiplied, the compliance kept."""
        forces = ("preload_n", "toe_n", "noise_n", "quantum_n", "tare_n", "drift_n_per_s", "tail_n")
        return replace(self, **{name: factor * getattr(self, name) for name in forces})


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """The channels of one test, all of shape (rows,), in the order in which they were written."""

    time_s: Series
    force_n: Series
    extension_mm: Series
    crosshead_mm: Series


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One test as it was performed: what people know of it, what the machine recorded, and the truth.

    `repeated` rows at the beginning and `tail` rows at the end are no measurements of the test.
    """

    specimen: Specimen
    measured: Measured
    truth: Truth = field(default_factory=dict)
    repeated: int = 0
    tail: int = 0


def measure(law: Law, specimen: Specimen, conditions: Conditions, *, points: int, seed: int = 0) -> Trial:
    """Test a specimen until it breaks.

    Args:
        law: of the material.
        specimen: with `area_mm2`, `gauge_length_mm` and `parallel_length_mm`.
        conditions: of the machine.
        points: rows of the recording, repeated ones and the tail included; at least 50 more than those.
        seed: of the noise.

    Raises:
        ValueError: a dimension is missing, or there are too few points.
    """
    area, gauge, parallel = specimen.area_mm2, specimen.gauge_length_mm, specimen.parallel_length_mm
    if area is None or gauge is None or parallel is None:
        raise ValueError(f"{specimen.name} has no area, gauge length or parallel length to compute a curve from")
    sampled = points - conditions.repeated - conditions.tail + conditions.missing
    if sampled < 50 + conditions.missing:
        raise ValueError(f"{points} points are too few: 50 are needed beside the repeated ones and the tail")
    start = conditions.preload_n / area / law.modulus_mpa
    time, extension, slack = _path(law, start, conditions.slack_mm, sampled)
    force = area * law.stress_mpa(extension)
    risen = force - conditions.preload_n
    toe = conditions.toe_mm * -np.expm1(-np.maximum(risen, 0.0) / conditions.toe_n)
    ideal = Measured(
        time,
        force,
        (extension - start) * gauge + toe,
        (extension - start) * parallel + toe + slack + risen * conditions.compliance_mm_per_n,
    )
    random = np.random.default_rng(seed)
    kept = _framed(_thinned(ideal, conditions.missing, random), conditions, gauge)
    return Trial(specimen, _disturbed(kept, conditions, random), law.truth(), conditions.repeated, conditions.tail)


def _path(law: Law, start: float, slack_mm: float, points: int) -> tuple[Series, Series, Series]:
    """Times, extensions and slack taken up: first slack, then slowly past the yield point, then fast to fracture."""
    loose = max(2, round(points * _SLACK_SHARE)) if slack_mm else 0
    end = law.break_extension
    switch = min(0.5 * end, max(0.012, 4.0 * start))
    slow = (switch - start) / ELASTIC_RATE_PER_S
    fast = max(PLASTIC_RATE_PER_S, (end - switch) / (slow * (1 / _SLOW_SHARE - 1)))
    duration = slow + (end - switch) / fast
    loaded = np.linspace(0.0, duration, points - loose)
    extension = np.interp(loaded, [0.0, slow, duration], [start, switch, end])
    step = loaded[1]
    time = np.arange(points) * step
    slack = np.full(points, slack_mm)
    slack[:loose] = slack_mm * np.arange(loose) / max(loose, 1)
    return time, np.concatenate([np.full(loose, start), extension]), slack


def _thinned(ideal: Measured, missing: int, random: np.random.Generator) -> Measured:
    if not missing:
        return ideal
    inner = random.choice(np.arange(1, len(ideal.time_s) - 1), size=missing, replace=False)
    return Measured(*(np.delete(channel, inner) for channel in _channels(ideal)))


def _framed(ideal: Measured, conditions: Conditions, gauge_mm: float) -> Measured:
    """Write the first row several times, and rows after the break."""
    step = ideal.time_s[1]
    after = np.arange(1, conditions.tail + 1)
    tails = (
        ideal.time_s[-1] + step * after,
        np.full(conditions.tail, conditions.tail_n),
        np.full(conditions.tail, 0.9 * ideal.extension_mm[-1] - 0.01 * gauge_mm),
        ideal.crosshead_mm[-1] + (ideal.crosshead_mm[-1] - ideal.crosshead_mm[-2]) * after,
    )
    channels = zip(_channels(ideal), tails, strict=True)
    return Measured(*(np.concatenate([np.full(conditions.repeated, c[0]), c, tail]) for c, tail in channels))


def _disturbed(clean: Measured, conditions: Conditions, random: np.random.Generator) -> Measured:
    shape = clean.time_s.shape
    force = clean.force_n + conditions.tare_n + conditions.drift_n_per_s * clean.time_s
    extension = clean.extension_mm + conditions.zero_mm
    crosshead = clean.crosshead_mm
    if conditions.noise_n:
        force = force + random.normal(0.0, conditions.noise_n, shape)
    if conditions.noise_mm:
        extension = extension + random.normal(0.0, conditions.noise_mm, shape)
        crosshead = crosshead + random.normal(0.0, conditions.noise_mm, shape)
    return Measured(
        clean.time_s + conditions.start_s,
        _quantised(force, conditions.quantum_n),
        _quantised(extension, conditions.quantum_mm),
        _quantised(crosshead, conditions.quantum_mm),
    )


def _quantised(values: Series, quantum: float) -> Series:
    return np.round(values / quantum) * quantum if quantum else values


def _channels(measured: Measured) -> tuple[Series, Series, Series, Series]:
    return measured.time_s, measured.force_n, measured.extension_mm, measured.crosshead_mm
