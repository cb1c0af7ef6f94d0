"""The made-up laboratory is a pure function of its seed and day, and has everything that a demo needs to show."""

import csv
import hashlib
import io
import re
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from meva_pipelines.domain.tensile import sidecar
from meva_pipelines.domain.tensile.recording import Shape
from meva_pipelines.sandbox.__main__ import main
from meva_pipelines.sandbox.laboratory import Laboratory
from meva_pipelines.sandbox.laboratory_dialects import FORMS, Dialect
from meva_pipelines.sandbox.laboratory_files import Flaw, MachineFile
from meva_pipelines.sandbox.laboratory_machines import UNCALIBRATED
from meva_pipelines.sandbox.laboratory_materials import MATERIALS

POINTS = 200
LABORATORY = Laboratory()


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def flawed(flaw: Flaw) -> MachineFile:
    (found,) = (each for each in LABORATORY.day(0, points=POINTS) if each.flaw is flaw)
    return found


def test_equal_laboratories_write_equal_bytes_and_another_seed_writes_others(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two", "other")]
    for folder, laboratory in zip(folders, (Laboratory(7), Laboratory(7), Laboratory(8)), strict=True):
        folder.mkdir()
        laboratory.write_day(3, folder, points=POINTS)
    one, two, other = map(digests, folders)
    assert one == two
    assert set(one) == set(other)
    assert not {one[name] for name in one if not name.endswith(".yaml")} & set(other.values())


def test_a_file_does_not_depend_on_the_files_before_it() -> None:
    alone = LABORATORY.file(11, points=POINTS)
    *_, last = LABORATORY.files(12, points=POINTS)
    assert alone.content() == last.content()
    assert alone.sidecar() == last.sidecar()


def test_days_have_tests_of_their_own() -> None:
    names = [each.name for day in (0, 1) for each in LABORATORY.files(30, points=POINTS, day=day)]
    assert len(set(names)) == len(names)
    first, second = (next(LABORATORY.files(1, points=POINTS, day=day)) for day in (0, 1))
    moments = [each.trials[0].specimen.started_at for each in (first, second)]
    assert moments[0] is not None
    assert moments[1] == moments[0] + timedelta(days=1)
    assert moments[0].date() == LABORATORY.first_day


def test_every_dialect_and_every_material_is_tested() -> None:
    files = list(LABORATORY.files(2 * len(Dialect), points=POINTS))
    assert Counter(id(each.form) for each in files) == dict.fromkeys(map(id, FORMS.values()), 2)
    assert {each.trials[0].specimen.material for each in files} == set(MATERIALS)


def test_specimens_scatter_as_measured_ones_do() -> None:
    pieces = [each.trials[0].specimen for each in LABORATORY.files(40, points=POINTS)]
    rounds = [piece.diameter_mm for piece in pieces if piece.shape is Shape.ROUND]
    assert len(set(rounds)) > 10
    assert all(abs((diameter or 0) - round(diameter or 0)) < 0.03 for diameter in rounds)
    assert {piece.shape for piece in pieces} == {Shape.ROUND, Shape.RECTANGULAR}


@pytest.mark.parametrize("number", range(2 * len(Dialect)))
def test_file_and_sidecar_together_state_the_whole_specimen(number: int, tmp_path: Path) -> None:
    file = LABORATORY.file(number, points=POINTS)
    path = file.write(tmp_path)
    beside = path.with_name(path.name + ".meta.yaml")
    stated = (
        sidecar.parsed(yaml.safe_load(beside.read_text(encoding="utf-8"))) if beside.exists() else sidecar.Sidecar()
    )
    specimen = file.trials[0].specimen
    for field in ("material", "condition", "diameter_mm", "area_mm2", "gauge_length_mm", "machine", "started_at"):
        in_file = field in file.form.states(file.variant)
        assert getattr(stated, field) == (None if in_file else getattr(specimen, field)), field


def test_a_day_ends_with_one_file_of_every_flaw() -> None:
    files = list(LABORATORY.day(0, count=10, points=POINTS))
    assert [each.flaw for each in files[:10]] == [None] * 10
    assert sorted(each.flaw or "" for each in files[10:]) == sorted(Flaw)
    assert len({each.name for each in files}) == len(files)


def test_a_truncated_file_is_the_first_half_of_a_whole_one() -> None:
    file = flawed(Flaw.TRUNCATED)
    arrived, whole = b"".join(file.parts()), file.content()
    assert whole.startswith(arrived)
    assert len(arrived) == pytest.approx(len(whole) / 2, abs=1)


def test_a_clock_that_was_set_back_goes_back_once() -> None:
    time = flawed(Flaw.TIME_BACKWARDS).trials[0].measured.time_s
    assert np.count_nonzero(np.diff(time) < 0) == 1


def test_a_conflict_is_the_same_curve_with_another_area() -> None:
    file = flawed(Flaw.CONFLICTING)
    first = next(each for each in LABORATORY.files(10, points=POINTS) if each.stem == file.trials[0].specimen.name)
    assert file.name != first.name
    assert (file.trials[0].measured.force_n == first.trials[0].measured.force_n).all()
    assert file.trials[0].specimen.area_mm2 == pytest.approx(1.06 * (first.trials[0].specimen.area_mm2 or 0), abs=1e-4)
    assert file.trials[0].specimen.revised_at is None


def test_a_revision_names_its_test_and_its_time() -> None:
    file = flawed(Flaw.REVISED)
    first = next(each for each in LABORATORY.files(10, points=POINTS) if each.stem == file.trials[0].specimen.name)
    revised, started = file.trials[0].specimen.revised_at, first.trials[0].specimen.started_at
    assert revised is not None
    assert started is not None
    assert revised > started
    assert file.sidecar()["test"] == first.stem
    assert file.trials[0].measured.force_n == pytest.approx(1.002 * first.trials[0].measured.force_n)


def test_a_compression_test_presses_all_the_way() -> None:
    assert flawed(Flaw.COMPRESSION).trials[0].measured.force_n.mean() < 0


def test_an_ambiguous_file_has_two_forces_and_another_none_of_the_units() -> None:
    names = flawed(Flaw.AMBIGUOUS).content().decode().splitlines()[0]
    assert len(re.findall(r"Force \d \(kN\)", names)) == 2
    assert not re.search(r"[(\[]", flawed(Flaw.UNITLESS).content().decode().splitlines()[0])


def test_every_machine_that_is_used_is_in_the_register_and_one_has_run_out() -> None:
    rows = {row["machine"]: row for row in csv.DictReader(io.StringIO(LABORATORY.registers()["testing_machines.csv"]))}
    used = {each.trials[0].specimen.machine for each in LABORATORY.day(0, points=POINTS)}
    assert used == set(rows)
    day = LABORATORY.first_day
    run_out = {name for name, row in rows.items() if date.fromisoformat(row["valid_until"]) < day}
    assert run_out == {UNCALIBRATED}
    assert all(date.fromisoformat(row["calibrated_on"]) < day for row in rows.values())
    assert flawed(Flaw.UNCALIBRATED).trials[0].specimen.machine == UNCALIBRATED


def test_standard_values_come_from_two_sources_that_agree() -> None:
    rows = list(csv.DictReader(io.StringIO(LABORATORY.registers()["standard_properties.csv"])))
    by_material: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        by_material.setdefault(row["material"], []).append(row)
    assert set(by_material) == {name for name, material in MATERIALS.items() if material.handbook}
    for first, second in by_material.values():
        assert first["source"] != second["source"]
        assert first["yield_strength_mpa"] == second["yield_strength_mpa"]
        assert first["condition"] == MATERIALS[first["material"]].condition


def test_a_day_without_enough_sound_files_has_none_to_upload_again() -> None:
    with pytest.raises(ValueError, match="at least four"):
        list(LABORATORY.day(0, count=3, points=POINTS))


def test_the_command_writes_a_day_and_the_registers(tmp_path: Path) -> None:
    landing, registers = tmp_path / "landing", tmp_path / "registers"
    arguments = [
        "laboratory",
        "--folder",
        str(landing),
        "--registers",
        str(registers),
        "--files",
        "6",
        "--points",
        "150",
    ]
    result = CliRunner().invoke(main, [*arguments, "--first-day", "2026-03-02", "--seed", "5"])
    assert result.exit_code == 0, result.output
    assert "14 machine files" in result.output
    assert sorted(path.name for path in registers.iterdir()) == ["standard_properties.csv", "testing_machines.csv"]
    expected = tmp_path / "expected"
    expected.mkdir()
    Laboratory(5, date(2026, 3, 2)).write_day(0, expected, count=6, points=150)
    assert digests(landing) == digests(expected)
