"""Files of the made-up laboratory, in every dialect and variant, give the trials that were written into them."""

import numpy as np
import pytest

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.tensile import sidecar
from meva_pipelines.domain.tensile.recording import DisplacementSource, Reading
from meva_pipelines.resources import machine_files
from meva_pipelines.sandbox.laboratory import Laboratory
from meva_pipelines.sandbox.laboratory_dialects import Dialect
from meva_pipelines.sandbox.laboratory_files import Flaw, MachineFile

LABORATORY = Laboratory()
POINTS = 400
VARIANTS = 4
REFUSED = {
    Flaw.TIME_BACKWARDS: "time_increases",
    Flaw.COMPRESSION: "load_is_tensile",
    Flaw.AMBIGUOUS: "column_is_unambiguous",
    Flaw.UNITLESS: "unit_is_known",
}


def read(file: MachineFile) -> Reading:
    stated = sidecar.parsed(dict(file.sidecar()))
    return machine_files.read(b"".join(file.parts()), name=file.name, sidecar=stated)


@pytest.mark.parametrize("variant", range(VARIANTS))
@pytest.mark.parametrize("dialect", Dialect)
def test_a_file_gives_the_trials_in_it(dialect: Dialect, variant: int) -> None:
    file = LABORATORY.file(variant * len(Dialect), points=POINTS, dialect=dialect)
    reading = read(file)
    assert reading.refusals == ()
    assert [each.specimen.name for each in reading.recordings] == [trial.specimen.name for trial in file.trials]
    for recording, trial in zip(reading.recordings, file.trials, strict=True):
        curve, repairs, measured = recording.curve, recording.repairs, trial.measured
        greatest = float(measured.force_n.max())
        assert curve.load_n.max() == pytest.approx(greatest, rel=1e-5, abs=1e-3)
        is_gauged = curve.displacement_source is DisplacementSource.EXTENSOMETER
        truth = measured.extension_mm if is_gauged else measured.crosshead_mm
        span = float(np.ptp(truth[: repairs.rows_read - repairs.rows_after_break]))
        assert np.ptp(curve.displacement_mm) == pytest.approx(span, rel=1e-2)
        assert min(curve.load_n.min(), 0.0) == repairs.tare_n
        assert repairs.rows_read == len(curve.load_n) + (
            repairs.rows_blank + repairs.rows_repeated + repairs.rows_after_break
        )
        assert recording.specimen.area_mm2 == pytest.approx(trial.specimen.area_mm2, rel=2e-3)


def test_flawed_files_are_refused_by_the_rule_they_break() -> None:
    for file in LABORATORY.day(0, count=4, points=POINTS):
        if file.flaw in REFUSED:
            with pytest.raises(Unusable) as error:
                read(file)
            assert error.value.rule == REFUSED[file.flaw]
