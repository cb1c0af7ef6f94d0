"""The slot of a pool that a killed run held: Dagster's own daemon gives it back, as dagster.yaml asks it to.

The settings are those of the project; only their waits are shortened, that for a run which nobody heard of again too.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

import meva_pipelines
from meva_pipelines.resources.failpoints import Point
from meva_pipelines_tests.recovery import invariants
from meva_pipelines_tests.recovery.registries import FIRST_DAY
from meva_pipelines_tests.recovery.theatre import Base, Scene, Theatre

SECOND_DAY = FIRST_DAY + timedelta(days=1)
_WAITS = re.compile(r"(poll_interval_seconds|free_slots_after_run_end_seconds|max_runtime_seconds): \d+")


@pytest.fixture
def home(tmp_path: Path) -> str:
    settings = (Path(meva_pipelines.__file__).parents[1] / "dagster.yaml").read_text(encoding="utf-8")
    hasty, count = _WAITS.subn(r"\1: 1", settings)
    assert count == 3
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "dagster.yaml").write_text(hasty, encoding="utf-8")
    return str(folder)


@contextmanager
def daemon(home: str, settings: dict[str, str], log: Path) -> Iterator[None]:
    """Dagster's daemon with nothing to schedule: it only watches runs and slots."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MEVA_", "DAGSTER_"))}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "dagster._daemon", "run", "--empty-workspace"],
            env=environment | settings | {"DAGSTER_HOME": home},
            stdout=output,
            stderr=output,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(120)


def held_slots(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM concurrency_slots WHERE run_id IS NOT NULL").fetchone()
    return int(row[0]) if row else 0


def test_the_slot_of_a_killed_run_is_given_back(
    stage: Theatre, bases: dict[str, Base], home: str, empty_database_url: str, tmp_path: Path
) -> None:
    with stage.scene(bases["data_go_kr"]) as scene:
        scene.registry.set(day=SECOND_DAY)
        storage = make_url(empty_database_url).set(drivername="postgresql+psycopg2")
        settings = {
            "MEVA_DAGSTER_DATABASE_URL": storage.render_as_string(hide_password=False),
            "MEVA_DAGSTER_ARTIFACTS": str(tmp_path / "artifacts"),
        }
        scene.overrides.update(settings)
        assert scene.sync(SECOND_DAY, failpoints=f"{Point.STAGE_CREATED.value}:kill", dagster_home=home).was_killed
        assert held_slots(empty_database_url) == 1
        with daemon(home, settings, tmp_path / "daemon.log"):
            deadline = time.monotonic() + 300
            while held_slots(empty_database_url):
                assert time.monotonic() < deadline, (tmp_path / "daemon.log").read_text(encoding="utf-8")[-3_000:]
                time.sleep(0.2)
        demand_a_next_run(scene, home)
        assert held_slots(empty_database_url) == 0


def demand_a_next_run(scene: Scene, home: str) -> None:
    """It gets the slot at once and publishes."""
    outcome = scene.sync(SECOND_DAY, dagster_home=home)
    assert outcome.is_success, outcome.errors
    assert invariants.breaches(scene.url, scene.store) == []
    assert invariants.leftovers(scene.url, scene.store) == []
