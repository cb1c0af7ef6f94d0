"""Machine files from the landing zone to published tests, on real parts, through the jobs that people start."""

import json
import shutil
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from meva_pipelines.resources.landing import Landing
from meva_pipelines.sandbox.laboratory import Laboratory
from meva_pipelines_tests.fixtures.location import Location

DAY = date(2026, 11, 3)
LABORATORY = Laboratory(first_day=DAY)


@pytest.fixture
def folder(location: Location) -> Path:
    path = Path(location.landing.place("tensile"))
    path.mkdir(parents=True)
    return path


def intake(location: Location, *names: str, **config: object) -> dg.ExecuteInProcessResult:
    ops = {"tensile__uploads": {"config": {"files": list(names), **config}}}
    return location.job("tensile_intake", day=DAY, config=ops)


def test_sound_files_of_many_dialects_are_published_with_all_their_points(location: Location, folder: Path) -> None:
    trials = 0
    for file in LABORATORY.files(12, points=300):
        file.write(folder)
        trials += len(file.trials)
    assert intake(location).success
    ((tests, points, stored),) = location.rows(
        "SELECT count(*), sum(points), (SELECT count(*) FROM meva.tensile_data) FROM meva.tensile_test"
    )
    assert tests == trials
    assert points == stored
    assert not [path for path in folder.iterdir() if path.is_file()]
    (books,) = location.rows(
        "SELECT received_rows = inserted_rows + updated_rows + unchanged_rows + quarantined_rows FROM ops.sync_runs"
        " WHERE subject = 'meva.tensile_test'"
    )
    assert books == (True,)
    assert location.rows("SELECT count(*) FROM meva.simulation_result") == [(trials,)]


def test_the_same_files_again_change_nothing(location: Location, folder: Path) -> None:
    (file,) = LABORATORY.files(1, points=200)
    for _ in range(2):
        file.write(folder)
        assert intake(location).success
    assert location.rows("SELECT version FROM meva.tensile_test") == [(1,)]
    assert location.rows("SELECT count(*) FROM meva.tensile_test_history") == [(0,)]


def test_a_day_with_flaws_publishes_the_sound_ones_and_keeps_the_rest(location: Location, folder: Path) -> None:
    written = LABORATORY.write_day(1, folder, count=6, points=200)
    result = intake(location)
    assert result.success
    rules = {rule for (rule,) in location.rows("SELECT rule FROM meva.quarantine")}
    assert {"file_is_readable", "time_increases", "load_is_tensile", "column_is_unambiguous", "unit_is_known"} <= rules
    assert location.rows("SELECT count(*) FROM meva.data_conflict_log WHERE status = 'open'") == [(1,)]
    assert location.rows("SELECT count(*) FROM meva.tensile_test WHERE version = 2") == [(1,)]
    refused = sorted(path.name for path in (folder / "refused").iterdir() if path.suffix == ".txt")
    assert len(refused) >= 4
    assert written


def test_a_sidecar_that_comes_alone_heals_its_quarantined_file(location: Location, folder: Path) -> None:
    text = "time (s),force,displacement (mm)\n" + "\n".join(f"{n / 10},{n * 2.0},{n / 100}" for n in range(50))
    (folder / "no unit.csv").write_text(text, encoding="utf-8")
    assert not intake(location).success
    assert location.rows("SELECT rule, released_at FROM meva.quarantine") == [("unit_is_known", None)]
    (folder / "no unit.csv.meta.yaml").write_text(
        json.dumps({"columns": {"force": {"name": "force", "unit": "kN"}}}), encoding="utf-8"
    )
    assert intake(location).success
    assert location.rows("SELECT max(load_n) FROM meva.tensile_data") == [(98_000.0,)]
    assert location.rows("SELECT released_at IS NOT NULL FROM meva.quarantine") == [(True,)]


def test_a_run_without_a_file_says_where_it_looked(location: Location, folder: Path) -> None:
    result = intake(location)
    assert not result.success
    assert str(folder) in str(result.all_events)


def test_a_large_file_is_refused_with_its_reason_and_the_others_go_on(location: Location, folder: Path) -> None:
    (good,) = LABORATORY.files(1, points=200)
    good.write(folder)
    with (folder / "huge.csv").open("wb") as file:
        file.truncate(201_000_000)
    assert isinstance(location.landing, Landing)
    assert intake(location).success
    reasons = [path.read_text(encoding="utf-8") for path in (folder / "refused").glob("*huge*.reason.txt")]
    assert reasons == ["the file has 201 MB, at most 200 MB are read\n"]
    shutil.rmtree(folder)
