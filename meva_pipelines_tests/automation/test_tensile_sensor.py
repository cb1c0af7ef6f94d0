"""The sensor of the laboratory asks for the oldest files first, never for too many, and explains what it leaves."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from meva_pipelines.automation import landing_sensors
from meva_pipelines.automation.tensile_jobs import tensile_intake
from meva_pipelines.domain.days import SEOUL
from meva_pipelines.domain.failures import Unavailable
from meva_pipelines.resources import landing_ledger, ledger
from meva_pipelines.resources.landing import Landing
from meva_pipelines.resources.ledger import Mode
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.tensile_desk import FILES_PER_RUN
from meva_pipelines.resources.tensile_intake import FILES
from meva_pipelines.schema.roles import Role

LONG_AGO = 1_700_000_000
FILES_WAITING = 10_000


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    return Landing(url=(tmp_path / "landing").as_uri())


@pytest.fixture
def folder(landing: Landing) -> Path:
    path = Path(landing.place("tensile"))
    path.mkdir(parents=True)
    return path


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def sensor(landing: Landing, postgres: Postgres, instance: dg.DagsterInstance) -> "Sensor":
    return Sensor(landing, postgres, instance)


class Sensor:
    """The sensor with its resources; every tick is one look."""

    def __init__(self, landing: Landing, postgres: Postgres, instance: dg.DagsterInstance) -> None:
        """Keep what a tick needs."""
        self.landing, self.postgres, self.instance = landing, postgres, instance

    def tick(self) -> dg.RunRequest | dg.SkipReason:
        """Look once."""
        with dg.build_sensor_context(instance=self.instance) as context:
            answer = landing_sensors.tensile_files_landed(context, landing=self.landing, postgres=self.postgres)
        assert isinstance(answer, dg.RunRequest | dg.SkipReason)
        return answer

    def asks(self) -> dg.RunRequest:
        """Look once and demand a request."""
        answer = self.tick()
        assert isinstance(answer, dg.RunRequest)
        return answer

    def files(self) -> list[str]:
        """The files that it asks for."""
        chosen: list[str] = self.asks().run_config["ops"]["tensile__uploads"]["config"]["files"]
        return chosen

    def skips(self) -> str:
        """Look once and demand a reason for doing nothing."""
        answer = self.tick()
        assert isinstance(answer, dg.SkipReason)
        return str(answer.skip_message)

    def leave_unfinished(self, fetch_id: str) -> None:
        """Enter an upload as a run does that then dies."""
        with self.postgres.connect(Role.WRITER, work="test") as connection:
            attempt = ledger.open_attempt(
                connection,
                subject="meva.tensile_test",
                source="landing",
                mode=Mode.INCREMENTAL,
                day=date(2026, 11, 3),
                dagster_run_id="dead",
            )
            landing_ledger.remember(
                connection, attempt, sha256="c", rows=0, size=1, is_refused=False, files=FILES, fetch_id=fetch_id
            )
            ledger.record(connection, attempt.token, status=ledger.Status.FAILED, finished_at=ledger.now(connection))


def drop(folder: Path, name: str, *, at: float = LONG_AGO) -> None:
    (folder / name).write_bytes(b"x")
    os.utime(folder / name, (at, at))


def test_an_empty_zone_is_skipped_with_its_place(sensor: Sensor) -> None:
    assert sensor.skips() == f"no file of a testing machine lies in {sensor.landing.place('tensile')}"


def test_the_oldest_files_come_first_and_one_run_takes_a_bounded_number(sensor: Sensor, folder: Path) -> None:
    for number in range(FILES_PER_RUN + 5):
        drop(folder, f"{number:03d}.csv", at=LONG_AGO - number)
    assert sensor.files() == [f"{number:03d}.csv" for number in range(FILES_PER_RUN + 4, 4, -1)]


def test_a_tick_looks_once_at_each_of_ten_thousand_files_and_asks_for_one_run(
    sensor: Sensor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(FILES_WAITING):
        (folder / f"{number:05d}.csv").touch()
        os.utime(folder / f"{number:05d}.csv", (LONG_AGO + number, LONG_AGO + number))
    looks: Counter[str] = Counter()
    look = os.stat

    def counted(path: str, **how: Any) -> os.stat_result:
        looks[str(path)] += 1
        return look(path, **how)

    monkeypatch.setattr(os, "stat", counted)
    chosen = sensor.files()
    assert [looks[f"{number:05d}.csv"] for number in range(FILES_WAITING)] == [1] * FILES_WAITING
    assert chosen == [f"{number:05d}.csv" for number in range(FILES_PER_RUN)]


def test_a_file_that_still_changes_holds_nobody_else_up_and_is_named(sensor: Sensor, folder: Path) -> None:
    drop(folder, "growing.csv", at=time.time())
    assert sensor.skips().endswith("; still changing: growing.csv")
    drop(folder, "settled.csv")
    assert sensor.files() == ["settled.csv"]


@pytest.mark.parametrize("changing", ["a.csv", "a.csv.meta.yaml"])
def test_a_file_and_its_sidecar_wait_for_each_other(sensor: Sensor, folder: Path, changing: str) -> None:
    """A sidecar that was still being written was read half."""
    for name in ("a.csv", "a.csv.meta.yaml"):
        drop(folder, name, at=time.time() if name == changing else LONG_AGO)
    drop(folder, "b.csv")
    assert sensor.files() == ["b.csv"]
    os.utime(folder / changing, (LONG_AGO, LONG_AGO))
    assert sorted(sensor.files()) == ["a.csv", "a.csv.meta.yaml", "b.csv"]


def test_what_is_left_alone_is_named(sensor: Sensor, folder: Path) -> None:
    (folder / "link.csv").symlink_to("/etc/passwd")
    assert sensor.skips().endswith("; left alone: link.csv (symbolic link)")


def test_a_run_under_way_is_not_joined_by_a_second(sensor: Sensor, folder: Path) -> None:
    drop(folder, "a.csv")
    run = dg.DagsterRun(job_name=tensile_intake.name, run_id="0123456789", status=dg.DagsterRunStatus.STARTED)
    sensor.instance.add_run(run)
    assert sensor.skips().startswith("run 01234567 is taking files; 1 lie in")
    sensor.instance.delete_run(run.run_id)
    assert sensor.files() == ["a.csv"]


def test_an_upload_of_a_run_that_died_is_asked_for_although_nothing_lies_there(sensor: Sensor) -> None:
    sensor.leave_unfinished("raw/tensile/c/m.json")
    asked = sensor.asks()
    assert asked.run_config["ops"]["tensile__uploads"]["config"]["files"] == []
    assert asked.tags["meva/unfinished"] == "1"


def hour(sensor: Sensor) -> str:
    with sensor.postgres.connect(Role.READER, work="test") as connection:
        return f"{ledger.now(connection).astimezone(SEOUL):%Y-%m-%dT%H}"


def test_the_run_key_is_that_of_the_files_and_the_hour(sensor: Sensor, folder: Path) -> None:
    drop(folder, "a.csv")
    before, first, again, after = hour(sensor), sensor.asks(), sensor.asks(), hour(sensor)
    (asked_at, identity), (_, same) = (str(each.run_key).split("/") for each in (first, again))
    assert asked_at in {before, after}
    assert first.partition_key == asked_at[:10]
    assert identity == same
    assert len(identity) == 16
    drop(folder, "b.csv")
    assert str(sensor.asks().run_key).split("/")[1] != identity


def test_a_zone_that_cannot_be_read_turns_the_tick_red(
    postgres: Postgres, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable):
        Sensor(Landing(url=(tmp_path / "file").as_uri()), postgres, instance).tick()
