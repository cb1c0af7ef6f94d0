"""Every supplied file of a testing machine, compared with its own header and with what was published of it."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.tensile.recording import DisplacementSource, Recording
from meva_pipelines.resources import machine_files

pytestmark = pytest.mark.conformance

BESIDE_THE_PROJECT = Path(__file__).resolve().parents[3] / "shared" / "data"
FOLDER = Path(os.environ.get("MEVA_REFERENCE_DATA") or BESIDE_THE_PROJECT)
PLATFORM = FOLDER / "pmd_42crmos4"
ROWS_OF_THE_PLATFORM = 30_569
GAUGE_CORRECTION_MM = 0.000998368386


def recording(path: Path) -> Recording:
    reading = machine_files.read(path.read_bytes(), name=path.name)
    assert reading.refusals == ()
    (found,) = reading.recordings
    return found


def published() -> dict[str, dict[str, str]]:
    with (PLATFORM / "reference_values.csv").open(encoding="utf-8", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def test_the_platform_files_give_their_headers_and_their_strengths() -> None:
    reference, rows = published(), 0
    for name, row in reference.items():
        found = recording(PLATFORM / "original_data" / name)
        curve, specimen = found.curve, found.specimen
        rows += len(curve.load_n)
        assert len(curve.load_n) == found.repairs.rows_read == int(row["n_rows"]), name
        assert found.detection.dialect == "PMD key-value table"
        assert curve.displacement_source is DisplacementSource.EXTENSOMETER
        assert curve.elapsed_s is not None
        assert np.all(np.diff(curve.elapsed_s) > 0)
        assert specimen.area_mm2 == float(row["Original cross-section [mm²]"])
        assert specimen.final_area_mm2 == float(row["Cross-section after fracture [mm²]"])
        assert (specimen.diameter_mm, specimen.gauge_length_mm, specimen.parallel_length_mm) == (
            float(row["Gauge diameter [mm]"]),
            float(row["Gauge length [mm]"]),
            float(row["Parallel length [mm]"]),
        )
        strength = float(row["Ultimate tensile strength [MPa]"])
        assert curve.load_n.max() / specimen.area_mm2 == pytest.approx(strength, rel=1e-9), name
        reduction = 100 * (1 - specimen.final_area_mm2 / specimen.area_mm2)
        assert reduction == pytest.approx(float(row["Reduction of area [%]"]), rel=1e-9), name
        assert curve.strain is not None
        assert specimen.gauge_length_mm is not None
        np.testing.assert_allclose(curve.strain, curve.displacement_mm / specimen.gauge_length_mm, rtol=0, atol=1e-9)
    assert (len(reference), rows) == (45, ROWS_OF_THE_PLATFORM)


def test_the_raw_logger_file_is_the_platform_file_of_the_same_specimen() -> None:
    raw = recording(FOLDER / "instron_raw_46NTA5_csvtocsvw" / "example2.csv")
    other = recording(PLATFORM / "original_data" / "46NTA5.csv")
    assert raw.detection.dialect == "Instron/HBM logger"
    assert (raw.repairs.rows_read, raw.repairs.rows_after_break) == (712, 1)
    for one, two in (
        (raw.curve.load_n, other.curve.load_n),
        (raw.curve.elapsed_s, other.curve.elapsed_s),
        (raw.curve.crosshead_mm, other.curve.crosshead_mm),
    ):
        assert one is not None
        assert two is not None
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-9)
    shifted = raw.curve.displacement_mm + GAUGE_CORRECTION_MM
    np.testing.assert_allclose(shifted, other.curve.displacement_mm, rtol=0, atol=1e-9)
    assert raw.curve.load_n.max() / 19.674243628060164 == pytest.approx(1187.9389338590, rel=1e-9)


def test_the_film_gives_its_strength_its_strains_and_its_gauge_length() -> None:
    found = recording(FOLDER / "zwick_film_csvtocsvw" / "example.csv")
    curve, specimen = found.curve, found.specimen
    assert (found.detection.dialect, found.detection.encoding) == ("testXpert text, German", "latin-1")
    assert (len(curve.load_n), found.repairs.rows_after_break) == (18_876, 0)
    assert specimen.gauge_length_mm == 80.0
    assert specimen.area_mm2 == pytest.approx(2.28)
    assert curve.load_n.max() / 2.28 == pytest.approx(37.9483, abs=5e-5)
    assert curve.strain is not None
    assert 100 * curve.strain[int(curve.load_n.argmax())] == pytest.approx(306.402, abs=5e-4)
    assert 100 * curve.strain[-1] == pytest.approx(309.236, abs=5e-4)
    stress = curve.load_n / 2.28
    is_elastic = (curve.strain >= 0.0005) & (curve.strain <= 0.0025)
    slope = np.polyfit(curve.strain[is_elastic], stress[is_elastic], 1)[0]
    assert slope == pytest.approx(1127.12, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "rows", "greatest_n", "area_mm2", "gauge_mm"),
    [
        ("Allong 1.TRA", 2_184, 2443.02, 5.96, 25.0),
        ("mDB1pct.TRA", 3_415, 3708.59, 6.3812, 20.0),
        ("BM_T8_155c18h_L1.xlsx", 11_356, 14839.94, 28.274333886, None),
        ("charge_gaz.xls", 6_970, 3564.11, 0.9 * 5.9, 20.0),
    ],
)
def test_testxpert_files_give_their_greatest_force_and_geometry(
    name: str, rows: int, greatest_n: float, area_mm2: float, gauge_mm: float | None
) -> None:
    found = recording(FOLDER / "zwick_hilhorst_mit" / name)
    assert found.repairs.rows_read == rows
    assert round(float(found.curve.load_n.max()), 2) == greatest_n
    assert found.curve.load_n.min() >= 0
    assert found.specimen.area_mm2 == pytest.approx(area_mm2)
    assert found.specimen.gauge_length_mm == gauge_mm
    assert found.curve.elapsed_s is not None
    assert found.curve.elapsed_s[0] == 0
    assert np.all(np.diff(found.curve.elapsed_s) > 0)
    is_gauged = found.curve.displacement_source is DisplacementSource.EXTENSOMETER
    assert is_gauged == (gauge_mm is not None)


def test_rows_from_before_the_machine_was_zeroed_are_left_out() -> None:
    found = recording(FOLDER / "zwick_hilhorst_mit" / "charge_gaz.xls")
    assert found.curve.load_n[0] < 10
    assert found.repairs.rows_repeated == 5
    assert (
        found.repairs.rows_read
        == len(found.curve.load_n) + found.repairs.rows_repeated + found.repairs.rows_after_break
    )


def test_concrete_under_pressure_is_refused_as_a_compression_test() -> None:
    path = FOLDER / "mts793_concrete_csvtocsvw" / "example4.csv"
    with pytest.raises(Unusable, match="compression") as error:
        machine_files.read(path.read_bytes(), name=path.name)
    assert error.value.rule == "load_is_tensile"


def test_the_settings_of_a_logger_are_no_test() -> None:
    path = FOLDER / "instron_raw_46NTA5_csvtocsvw" / "example3.csv"
    with pytest.raises(Unusable):
        machine_files.read(path.read_bytes(), name=path.name)
