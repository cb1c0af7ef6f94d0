"""One small test written down in a dialect, and what has to be read from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from meva_pipelines.domain.tensile.recording import DisplacementSource, Recording
from meva_pipelines.domain.tensile.sidecar import Sidecar
from meva_pipelines.resources import machine_files

TIME_S = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5)
LOAD_N = (0.0, 1250.5, 2500.25, 3100.75, 3300.125, 2900.5)
DISPLACEMENT_MM = (0.0, 0.0125, 0.025, 0.75, 1.5, 2.25)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a case says of itself; curves are those above unless given."""

    dialect: str
    source: DisplacementSource = DisplacementSource.CROSSHEAD
    encoding: str = "UTF-8"
    decimal: str = "."
    fields: Mapping[str, object] = field(default_factory=dict)
    strain: Sequence[float] | None = None
    crosshead: Sequence[float] | None = None


def rows(spelling: str, *, scale: Sequence[float] = (1.0, 1.0, 1.0), decimal: str = ".") -> list[str]:
    """The test above as lines: `spelling` holds `{t}`, `{f}` and `{d}`, in units of `scale`."""
    lines = []
    for time, load, displacement in zip(TIME_S, LOAD_N, DISPLACEMENT_MM, strict=True):
        cells = (f"{value / by:.10g}" for value, by in zip((time, load, displacement), scale, strict=True))
        t, f, d = (cell.replace(".", decimal) for cell in cells)
        lines.append(spelling.format(t=t, f=f, d=d))
    return lines


def read_one(content: bytes, *, name: str = "A1.csv", sidecar: Sidecar | None = None) -> Recording:
    """The only recording of a file."""
    reading = machine_files.read(content, name=name, sidecar=sidecar)
    assert reading.refusals == ()
    (recording,) = reading.recordings
    return recording


def same_curve(recording: Recording) -> None:
    """The curve of a recording is the one above."""
    curve = recording.curve
    np.testing.assert_allclose(curve.load_n, LOAD_N, rtol=1e-9)
    np.testing.assert_allclose(curve.displacement_mm, DISPLACEMENT_MM, rtol=1e-9, atol=1e-12)
    assert curve.elapsed_s is not None
    np.testing.assert_allclose(curve.elapsed_s, TIME_S, rtol=1e-9, atol=1e-12)


def dialect_case(content: bytes, expected: Expected, *, sidecar: Sidecar | None = None) -> Recording:
    """Read a case and compare everything that it expects."""
    recording = read_one(content, sidecar=sidecar)
    found = recording.detection
    assert (found.dialect, found.encoding, found.decimal) == (expected.dialect, expected.encoding, expected.decimal)
    same_curve(recording)
    assert recording.curve.displacement_source is expected.source
    assert {name: getattr(recording.specimen, name) for name in expected.fields} == dict(expected.fields)
    for series, values in (
        (recording.curve.strain, expected.strain),
        (recording.curve.crosshead_mm, expected.crosshead),
    ):
        if values is not None:
            assert series is not None
            np.testing.assert_allclose(series, values, rtol=1e-9, atol=1e-12)
    return recording
