"""When simulations and firings are taken: once everything has settled, once, and never while a run takes them."""

import os
import time
from pathlib import Path

import dagster as dg
import pytest

from meva_pipelines.assets.simulation import DAYS, FIRINGS, SIMULATIONS, Flow
from meva_pipelines.automation.landing_sensors import firings_landed, simulations_landed
from meva_pipelines.resources.landing import Landing
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.sandbox import firing_files
from meva_pipelines.sandbox.firings import Season

SENSORS = [(simulations_landed, SIMULATIONS), (firings_landed, FIRINGS)]
FILES = {
    SIMULATIONS.word: dict(firing_files.simulation_files(Season(orders=1, repeats=1))),
    FIRINGS.word: dict(firing_files.firing_files(Season(orders=1, repeats=1))),
}


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    return Landing(url=(tmp_path / "landing").as_uri(), settle_s=30)


def drop(landing: Landing, flow: Flow, *, age_s: float) -> int:
    folder = Path(landing.place(flow.folder))
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in FILES[flow.word].items():
        path = folder / name
        path.write_bytes(content)
        os.utime(path, (time.time() - age_s,) * 2)
    return len(FILES[flow.word])


def tick(sensor: dg.SensorDefinition, landing: Landing, postgres: Postgres) -> dg.RunRequest | str:
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance, resources={"landing": landing, "postgres": postgres})
        answer = sensor(context)
    if isinstance(answer, dg.SkipReason):
        return str(answer.skip_message)
    assert isinstance(answer, dg.RunRequest)
    return answer


@pytest.mark.parametrize(("sensor", "flow"), SENSORS, ids=["simulations", "firings"])
def test_an_empty_folder_asks_for_nothing(
    sensor: dg.SensorDefinition, flow: Flow, landing: Landing, postgres: Postgres
) -> None:
    assert f"no file lies in {landing.place(flow.folder)}" in str(tick(sensor, landing, postgres))


@pytest.mark.parametrize(("sensor", "flow"), SENSORS, ids=["simulations", "firings"])
def test_files_that_still_change_are_waited_for(
    sensor: dg.SensorDefinition, flow: Flow, landing: Landing, postgres: Postgres
) -> None:
    drop(landing, flow, age_s=1)
    assert "waiting until nothing" in str(tick(sensor, landing, postgres))


@pytest.mark.parametrize(("sensor", "flow"), SENSORS, ids=["simulations", "firings"])
def test_settled_files_are_taken_in_one_run(
    sensor: dg.SensorDefinition, flow: Flow, landing: Landing, postgres: Postgres
) -> None:
    count = drop(landing, flow, age_s=120)
    first, again = tick(sensor, landing, postgres), tick(sensor, landing, postgres)
    assert isinstance(first, dg.RunRequest)
    assert isinstance(again, dg.RunRequest)
    assert first.run_key == again.run_key
    assert first.tags["meva/files"] == str(count)
    assert first.partition_key in DAYS.get_partition_keys()
    assert len(first.run_config["ops"][f"mgg__{flow.word}_uploads"]["config"]["files"]) == count
