"""Documents and the files that they name are taken together; what waits in vain is refused after a day."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from meva_pipelines.resources.landing import Landing
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.simulation_desk import PATIENCE, Desk, Fate
from meva_pipelines.sandbox import firing_files
from meva_pipelines.sandbox.firings import Season

FOLDER = "simulations"
SEASON = Season(orders=1, repeats=1)
DAY_NS = int(PATIENCE.total_seconds() * 1e9)


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    return Landing(url=(tmp_path / "landing").as_uri(), settle_s=0)


def sorted_files(landing: Landing, files: Mapping[str, bytes], *, later_ns: int = 0) -> Desk:
    """Drop files with the times of an old copy, and sort the folder `later_ns` from now."""
    folder = Path(landing.place(FOLDER))
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        folder.joinpath(name).write_bytes(content)
        os.utime(folder / name, (1_600_000_000, 1_600_000_000))
    store = ObjectStore(url=folder.with_name("store").as_uri())
    desk = Desk(landing, FOLDER, store, done=lambda _: None)
    desk.sort([arrival.name for arrival in landing.arrived(FOLDER).settled], now_ns=time.time_ns() + later_ns)
    return desk


def simulation() -> dict[str, bytes]:
    """A document and the series that it names."""
    return dict(firing_files.simulation_document(SEASON.simulations(next(SEASON.work_orders()))[0], form="csv"))


def fates(desk: Desk) -> dict[str, Fate]:
    return {sighting.name: sighting.fate for sighting in desk.sightings}


def test_a_document_takes_its_files_along(landing: Landing) -> None:
    desk = sorted_files(landing, simulation())
    assert [(s.fate, len(s.arrivals)) for s in desk.sightings] == [(Fate.TAKEN, 2)]


def test_the_same_content_twice_is_taken_once(landing: Landing) -> None:
    files = simulation()
    head = next(name for name in files if name.endswith(".json"))
    assert sorted(fates(sorted_files(landing, {**files, "again.json": files[head]})).values()) == [
        Fate.TAKEN,
        Fate.TWICE,
    ]


@pytest.mark.parametrize(("later_ns", "fate"), [(0, Fate.WAITING), (DAY_NS, Fate.REFUSED)])
def test_a_document_waits_a_day_for_its_files(landing: Landing, later_ns: int, fate: Fate) -> None:
    """A day from when it came to lie there: a file that is moved brings its old time along."""
    head, _ = sorted(simulation().items(), key=lambda item: item[0].endswith(".csv"))
    assert fates(sorted_files(landing, dict([head]), later_ns=later_ns)) == {head[0]: fate}


@pytest.mark.parametrize(("later_ns", "fate"), [(0, Fate.UNNAMED), (DAY_NS, Fate.REFUSED)])
def test_a_file_waits_a_day_for_its_document(landing: Landing, later_ns: int, fate: Fate) -> None:
    """Files that nobody names would fill the folder, and start a run every hour."""
    _, series = sorted(simulation().items(), key=lambda item: item[0].endswith(".csv"))
    (sighting,) = sorted_files(landing, dict([series]), later_ns=later_ns).sightings
    assert (sighting.name, sighting.fate) == (series[0], fate)
    assert [arrival.name for arrival in sighting.arrivals] == ([series[0]] if fate is Fate.REFUSED else [])
