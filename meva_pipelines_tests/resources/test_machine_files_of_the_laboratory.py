"""What the laboratory's machines wrote is what is read: every dialect and variant, and every flaw by its rule.

The files are made from closed forms by code that shares nothing with the readers.
"""

import io
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import numpy as np
import openpyxl
import pytest
import xlwt

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.tensile.recording import DisplacementSource, Reading, Recording, Series, Specimen
from meva_pipelines.resources import machine_files
from meva_pipelines.sandbox.laboratory import Laboratory
from meva_pipelines.sandbox.laboratory_dialects import Dialect
from meva_pipelines.sandbox.laboratory_files import Flaw, MachineFile
from meva_pipelines.sandbox.laboratory_measuring import Trial
from meva_pipelines.sandbox.laboratory_tables import UNITS, Channel, Heading, values_of

LABORATORY = Laboratory()
DIALECTS = tuple(Dialect)
VARIANTS = 8
POINTS = 400


def read(file: MachineFile, folder: Path) -> Reading:
    path = file.write(folder)
    beside = path.with_name(path.name + ".meta.yaml")
    stated = machine_files.read_sidecar(beside.read_bytes()) if beside.exists() else None
    return machine_files.read(path.read_bytes(), name=file.name, sidecar=stated)


def flawed(flaw: Flaw) -> MachineFile:
    (found,) = (each for each in LABORATORY.day(0, points=POINTS) if each.flaw is flaw)
    return found


def as_binary(workbook: bytes) -> bytes:
    """Return a workbook in the form that programs wrote before 2007."""
    old = xlwt.Workbook()
    for sheet in openpyxl.load_workbook(io.BytesIO(workbook)):
        page = old.add_sheet(sheet.title)
        for row in sheet.iter_rows():
            for cell in row:
                if cell.value is not None:
                    page.write(cell.row - 1, cell.column - 1, cell.value)
    stream = io.BytesIO()
    old.save(stream)
    return stream.getvalue()


def demand_near(found: Series, channel: Channel, trial: Trial, heading: Heading, *, shift: float = 0.0) -> None:
    """Demand the values of a channel, to half a unit of the last digit that its largest value was written with."""
    true = values_of(channel, trial)[trial.repeated : len(trial.measured.time_s) - trial.tail]
    assert len(found) == len(true)
    usual = float(np.abs(values_of(heading.channel, trial)).max())
    allowed = usual * 0.51 * 10.0 ** (1 - min(heading.digits, 15)) + 0.51e-5 * UNITS[heading.unit]
    assert np.nanmax(np.abs(found + shift - true)) <= allowed
    assert np.count_nonzero(np.isnan(found)) <= 3


def demand_specimen(found: Specimen, true: Specimen) -> None:
    for field in fields(Specimen):
        wanted, value = getattr(true, field.name), getattr(found, field.name)
        if isinstance(wanted, float):
            assert value == pytest.approx(wanted, rel=2e-5), field.name
        elif field.name == "started_at":
            assert abs(value - wanted) < timedelta(seconds=1)
        else:
            assert value == wanted, field.name


def demand_curve(recording: Recording, trial: Trial, headings: dict[Channel, Heading]) -> None:
    curve, repairs = recording.curve, recording.repairs
    assert repairs.rows_read == len(trial.measured.time_s)
    assert (repairs.rows_repeated, repairs.rows_after_break, repairs.rows_blank) == (trial.repeated, trial.tail, 0)
    demand_near(curve.load_n, Channel.FORCE, trial, headings[Channel.FORCE])
    if Channel.TIME in headings:
        assert curve.elapsed_s is not None
        true = trial.measured.time_s[trial.repeated : len(trial.measured.time_s) - trial.tail]
        assert np.abs(curve.elapsed_s + repairs.time_offset_s - true).max() <= 0.0051 * np.median(np.diff(true))
    else:
        assert curve.elapsed_s is None
    if Channel.EXTENSION in headings:
        assert curve.displacement_source is DisplacementSource.EXTENSOMETER
        extension = headings[Channel.EXTENSION]
        demand_near(curve.displacement_mm, Channel.EXTENSION, trial, extension, shift=repairs.zero_mm)
    elif Channel.CROSSHEAD in headings:
        assert curve.displacement_source is DisplacementSource.CROSSHEAD
        crosshead = headings[Channel.CROSSHEAD]
        demand_near(curve.displacement_mm, Channel.CROSSHEAD, trial, crosshead, shift=repairs.zero_mm)
    else:
        assert curve.displacement_source is DisplacementSource.EXTENSOMETER
        assert curve.strain is not None
        assert curve.displacement_mm == pytest.approx(curve.strain * (trial.specimen.gauge_length_mm or 0.0))
    if Channel.STRAIN in headings:
        assert curve.strain is not None
        demand_near(curve.strain, Channel.STRAIN, trial, headings[Channel.STRAIN])
    if Channel.EXTENSION in headings and Channel.CROSSHEAD in headings:
        assert curve.crosshead_mm is not None
        demand_near(curve.crosshead_mm, Channel.CROSSHEAD, trial, headings[Channel.CROSSHEAD])


@pytest.mark.parametrize("variant", range(VARIANTS))
@pytest.mark.parametrize("dialect", Dialect, ids=lambda each: each.name)
def test_a_file_reads_back_to_its_curve_and_its_specimen(dialect: Dialect, variant: int, tmp_path: Path) -> None:
    file = LABORATORY.file(DIALECTS.index(dialect) + variant * len(DIALECTS), points=POINTS)
    assert file.variant == variant
    reading = read(file, tmp_path)
    assert reading.refusals == ()
    assert len(reading.recordings) == len(file.trials)
    headings = {heading.channel: heading for heading in file.form.headings(variant)}
    for recording, trial in zip(reading.recordings, file.trials, strict=True):
        demand_curve(recording, trial, headings)
        demand_specimen(recording.specimen, trial.specimen)


@pytest.mark.parametrize("variant", range(VARIANTS))
def test_a_workbook_of_the_old_binary_form_reads_like_its_successor(variant: int, tmp_path: Path) -> None:
    file = LABORATORY.file(variant * len(DIALECTS), points=POINTS, dialect=Dialect.WORKBOOK_FRENCH)
    (new,) = read(file, tmp_path).recordings
    stated = machine_files.read_sidecar(tmp_path.joinpath(f"{file.name}.meta.yaml").read_bytes())
    (old,) = machine_files.read(as_binary(file.content()), name=file.name, sidecar=stated).recordings
    assert (old.curve.load_n == new.curve.load_n).all()
    assert (old.curve.displacement_mm == new.curve.displacement_mm).all()
    assert old.specimen == new.specimen


@pytest.mark.parametrize(
    ("flaw", "rule"),
    [
        (Flaw.TRUNCATED, "file_is_readable"),
        (Flaw.TIME_BACKWARDS, "time_increases"),
        (Flaw.COMPRESSION, "load_is_tensile"),
        (Flaw.AMBIGUOUS, "column_is_unambiguous"),
        (Flaw.UNITLESS, "unit_is_known"),
    ],
)
def test_a_flawed_file_is_refused_by_its_rule(flaw: Flaw, rule: str, tmp_path: Path) -> None:
    with pytest.raises(Unusable) as refused:
        read(flawed(flaw), tmp_path)
    assert refused.value.rule == rule


def test_an_ambiguity_is_an_error_that_names_the_candidates(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match=r"Force 1.*Force 2"):
        read(flawed(Flaw.AMBIGUOUS), tmp_path)


@pytest.mark.parametrize("flaw", [Flaw.CONFLICTING, Flaw.REVISED, Flaw.UNCALIBRATED])
def test_what_only_the_records_can_tell_is_read_like_any_other(flaw: Flaw, tmp_path: Path) -> None:
    file = flawed(flaw)
    (recording,) = read(file, tmp_path).recordings
    demand_specimen(recording.specimen, file.trials[0].specimen)


def test_a_file_of_many_rows_reads_back(tmp_path: Path) -> None:
    file = LABORATORY.file(0, points=60_000, dialect=Dialect.CATMAN)
    (recording,) = read(file, tmp_path).recordings
    demand_curve(recording, file.trials[0], {each.channel: each for each in file.form.headings(0)})
