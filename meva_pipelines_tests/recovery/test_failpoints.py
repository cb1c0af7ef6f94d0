"""Every registered failpoint × {kill, raise}: nothing half-done is ever seen, and the same job again heals it.

For each operation a fault-free play says which points it passes and what it leaves; every fault is then played on a
copy of the same beginning.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import pytest

from meva_pipelines.resources.failpoints import Point
from meva_pipelines.sandbox import exports
from meva_pipelines.sandbox.exports import Form
from meva_pipelines_tests.recovery import invariants, points, registries
from meva_pipelines_tests.recovery.invariants import Content
from meva_pipelines_tests.recovery.registries import FIRST_DAY
from meva_pipelines_tests.recovery.theatre import Base, Outcome, Scene, Theatre

SECOND_DAY = FIRST_DAY + timedelta(days=1)
EIGHTH_DAY = FIRST_DAY + timedelta(days=8)
POINTS = points.played_by("test_failpoints")


# ---- beginnings


def synced(scene: Scene) -> date:
    assert scene.sync(FIRST_DAY).is_success
    return FIRST_DAY


def synced_twice(scene: Scene) -> date:
    synced(scene)
    scene.registry.set(day=SECOND_DAY)
    assert scene.sync(SECOND_DAY).is_success
    return SECOND_DAY


def long_absent(scene: Scene) -> date:
    synced_twice(scene)
    scene.registry.set(day=EIGHTH_DAY)
    assert scene.sync(EIGHTH_DAY).is_success
    assert scene.rows("SELECT FROM aed.aed_data WHERE data_status = 'deletion_suspected'")
    return EIGHTH_DAY


def alarmed(scene: Scene) -> date:
    synced(scene)
    scene.overrides["MEVA_EGEN_SERVICE_KEY"] = "wrong"
    assert not scene.sync(SECOND_DAY).is_success
    assert scene.rows("SELECT FROM ops.outbox WHERE delivered_at IS NULL")
    return SECOND_DAY


def mended(scene: Scene) -> date:
    """A record that was quarantined for its place, which somebody has put right since."""
    synced(scene)
    scene.change('UPDATE aed.quarantine SET payload = payload || \'{"wgs84Lat": "36.5", "wgs84Lon": "127.5"}\'')
    return FIRST_DAY


def landed(scene: Scene) -> date:
    """Nothing is published; the file itself is laid down by the act, because copies share no landing zone."""
    scene.store.mkdir()
    return FIRST_DAY


# ---- acts


def full(scene: Scene, **arguments: str) -> Outcome:
    scene.registry.set(day=SECOND_DAY)
    return scene.sync(SECOND_DAY, **arguments)


def incremental(scene: Scene, **arguments: str) -> Outcome:
    scene.registry.set(day=SECOND_DAY)
    return scene.sync(SECOND_DAY, mode="incremental", **arguments)


def rollback(scene: Scene, **arguments: str) -> Outcome:
    return scene.roll_back(2, **arguments)


def tombstones(scene: Scene, **arguments: str) -> Outcome:
    config = {"source": scene.dialect, "ceiling": 100, "approved_by": "test", "dry_run": False}
    return scene.run("approve_deletions", config={"tombstone_devices": {"config": config}}, **arguments)


def alerts(scene: Scene, **arguments: str) -> Outcome:
    return scene.run("deliver_alerts", **arguments)


def export(scene: Scene, **arguments: str) -> Outcome:
    folder = scene.landing / "aed"
    if not folder.exists():
        folder.mkdir(parents=True)
        exports.write(registries.world(), FIRST_DAY, folder, {"세종": Form.CSV_UTF8})
        (scene.folder / "names").write_text("\n".join(path.name for path in folder.glob("*.csv")), encoding="utf-8")
    files = (scene.folder / "names").read_text(encoding="utf-8").split("\n")
    return scene.run(
        "aed_export_sync",
        day=FIRST_DAY,
        config={"aed__export_files": {"config": {"files": files}}},
        assets=("aed/export_files", "aed/staged_records", "aed/aed_data", "aed/aed_history"),
        **arguments,
    )


def replay(scene: Scene, **arguments: str) -> Outcome:
    assets = ("aed/replayed_records", "aed/staged_records", "aed/aed_data", "aed/aed_history")
    return scene.run("aed_replay_quarantine", day=FIRST_DAY, assets=assets, **arguments)


@dataclass(frozen=True)
class Operation:
    """What is done, from which beginning, in which dialect. A repetition of a finished act may be refused."""

    beginning: Callable[[Scene], date]
    act: Callable[..., Outcome]
    dialect: str = "data_go_kr"
    may_be_refused_when_done: bool = False


OPERATIONS: Mapping[str, Operation] = {
    "full": Operation(synced, full),
    "incremental": Operation(synced, incremental, "egen"),
    "rollback": Operation(synced_twice, rollback, may_be_refused_when_done=True),
    "tombstones": Operation(long_absent, tombstones),
    "alerts": Operation(alarmed, alerts),
    "replay": Operation(mended, replay, may_be_refused_when_done=True),
    "export": Operation(landed, export, may_be_refused_when_done=True),
}


@dataclass(frozen=True)
class Play:
    """The fault-free play of an operation: what it began with, which points it passed how often, what it left."""

    operation: Operation
    base: Base
    visits: Mapping[str, int]
    before: str
    after: Content


def base_of(stage: Theatre, name: str) -> Base:
    operation = OPERATIONS[name]
    key = f"{operation.beginning.__name__}/{operation.dialect}"
    if key not in stage.bases:
        with stage.scene(dialect=operation.dialect) as scene:
            day = operation.beginning(scene)
            assert invariants.breaches(scene.url, scene.store) == []
            stage.bases[key] = stage.keep(scene, day)
    return stage.bases[key]


@pytest.fixture(scope="session")
def plays(stage: Theatre) -> Mapping[str, Play]:
    """The fault-free play of every operation."""
    found = {}
    for name, operation in OPERATIONS.items():
        base = base_of(stage, name)
        with stage.scene(base) as scene:
            before = invariants.image(scene.url)
            outcome = operation.act(scene)
            assert outcome.is_success, f"{name}: {outcome.errors}"
            assert invariants.breaches(scene.url, scene.store) == []
            assert invariants.leftovers(scene.url, scene.store) == []
            after = invariants.content(scene.url)
        found[name] = Play(operation, base, Counter(outcome.trace), before, after)
    return found


def demand_all_or_nothing(scene: Scene, play: Play) -> None:
    """Readers see version N, byte for byte, or version N + 1 (S1)."""
    if invariants.image(scene.url) != play.before:
        seen = invariants.content(scene.url, ["aed.aed_data"])
        assert seen.differences(play.after) == []
    assert invariants.breaches(scene.url, scene.store) == []


def demand_recovery(scene: Scene, play: Play) -> None:
    """The same job again leaves what a run without a fault leaves, and nothing else (R1, R2)."""
    is_done = invariants.content(scene.url).differences(play.after) == []
    again = play.operation.act(scene)
    assert again.is_success or (is_done and play.operation.may_be_refused_when_done), again.errors
    assert invariants.content(scene.url).differences(play.after) == []
    assert invariants.breaches(scene.url, scene.store) == []
    if not again.is_success:  # there was nothing left to do: the next night collects what the dead left
        assert scene.sync(SECOND_DAY).is_success
    assert invariants.leftovers(scene.url, scene.store) == []


def demand_messages(scene: Scene) -> None:
    """What is marked delivered was received (L1): at least once, and nothing that was not written."""
    texts = Counter(
        message["blocks"][-1]["elements"][0]["text"].rpartition(" ")[2] for message in scene.registry.messages()
    )
    delivered = {str(number) for (number,) in scene.rows("SELECT id FROM ops.outbox WHERE delivered_at IS NOT NULL")}
    written = {str(number) for (number,) in scene.rows("SELECT id FROM ops.outbox")}
    assert delivered <= set(texts) <= written


def played(plays: Mapping[str, Play], point: Point) -> list[str]:
    """The operations that reach a point, the full sync first."""
    found = [name for name, play in plays.items() if play.visits.get(point)]
    assert found, f"no operation reaches {point.value}: what is not reached is not tested"
    return found


@pytest.mark.parametrize("point", POINTS)
def test_a_run_killed_anywhere_is_healed_by_the_next(stage: Theatre, plays: Mapping[str, Play], point: Point) -> None:
    """At the last visit; in every operation where rows are published, in the first elsewhere."""
    names = played(plays, point)
    for name in names if "publish" in point.value else names[:1]:
        play = plays[name]
        with stage.scene(play.base) as scene:
            outcome = play.operation.act(scene, failpoints=f"{point.value}:kill@{play.visits[point]}")
            assert outcome.was_killed, f"{name}: {outcome}"
            demand_all_or_nothing(scene, play)
            demand_recovery(scene, play)
            demand_messages(scene)


@pytest.mark.parametrize("point", POINTS)
def test_an_error_anywhere_is_told_and_healed_by_the_next(
    stage: Theatre, plays: Mapping[str, Play], point: Point
) -> None:
    """At the first visit; in each operation in turn, from one point to the next."""
    names = played(plays, point)
    play = plays[names[POINTS.index(point) % len(names)]]
    with stage.scene(play.base) as scene:
        outcome = play.operation.act(scene, failpoints=f"{point.value}:raise")
        assert not outcome.is_success
        assert f"injected at {point.value}" in outcome.errors
        demand_all_or_nothing(scene, play)
        demand_recovery(scene, play)
        demand_messages(scene)


def test_every_point_is_reached_by_some_operation(plays: Mapping[str, Play]) -> None:
    reached = {point for play in plays.values() for point in play.visits}
    assert {point.value for point in POINTS} - reached == set()


def test_a_partial_file_of_a_dead_run_is_collected_after_a_day(stage: Theatre, bases: Mapping[str, Base]) -> None:
    with stage.scene(bases["data_go_kr"]) as scene:
        scene.registry.set(day=SECOND_DAY)
        assert scene.sync(SECOND_DAY, failpoints=f"{Point.OBJECT_BEFORE_RENAME.value}:kill").was_killed
        (partial,) = scene.store.rglob(".*.partial")
        assert scene.sync(SECOND_DAY).is_success
        assert partial.exists()
        os.utime(partial, (time.time() - 90_000,) * 2)
        assert invariants.leftovers(scene.url, scene.store, patience_s=0) == [f"partial file {partial.name} is left"]
        assert scene.sync(SECOND_DAY).is_success
        assert invariants.leftovers(scene.url, scene.store) == []
