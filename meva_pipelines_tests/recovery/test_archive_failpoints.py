"""Failpoints of the archive × {kill, raise}: no row is ever in neither place, and the same job again heals the rest.

A fault-free play of every operation says which points it passes; every fault is played on a copy of the beginning.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import pytest

from meva_pipelines.resources.failpoints import Point
from meva_pipelines_tests.recovery import invariants, old_rows, points
from meva_pipelines_tests.recovery.invariants import Content
from meva_pipelines_tests.recovery.old_rows import PERIODS
from meva_pipelines_tests.recovery.theatre import Base, Outcome, Scene, Theatre

POINTS = points.played_by("test_archive_failpoints")
SHARED = [Point.PUBLISH_BEFORE_COMMIT, Point.PUBLISH_AFTER_COMMIT]
"""Points of all publications, which a release and a restore pass too."""

MEASURED, IMAGES = "test_time_series", "aed_history"
WEEK_AND_DAY_S = 8 * 86_400.0


# ---- beginnings


def archived(stage: Theatre) -> Base:
    """A quarter of measured curves is cold."""
    if "archived" not in stage.bases:
        with stage.scene(old_rows.base(stage)) as scene:
            assert old_rows.archive(scene, MEASURED).is_success
            stage.bases["archived"] = stage.keep(scene, old_rows.today())
    return stage.bases["archived"]


def orphaned(stage: Theatre) -> Base:
    """The file of rows that changed before they left lies beside the one that counts, for longer than its grace."""
    if "orphaned" not in stage.bases:
        with stage.scene(old_rows.base(stage)) as scene:
            failpoints = f"{Point.ARCHIVE_MANIFEST_WRITTEN.value}:kill"
            assert old_rows.archive(scene, IMAGES, failpoints=failpoints).was_killed
            scene.change("UPDATE aed.aed_history SET remarks = 'changed' WHERE source_id = '3'")
            assert old_rows.archive(scene, IMAGES).is_success
            long_ago = time.time() - WEEK_AND_DAY_S
            for path in scene.store.joinpath("parquet_archive", IMAGES).iterdir():
                os.utime(path, (long_ago, long_ago))
            stage.bases["orphaned"] = stage.keep(scene, old_rows.today())
    return stage.bases["orphaned"]


# ---- what is done


def demand_hot(scene: Scene, expected: Content) -> None:
    """The rows are back, once, and held."""
    old_rows.demand_sound(scene, expected)
    assert old_rows.hot(scene, MEASURED) == old_rows.POINTS
    assert scene.rows("SELECT table_name, restored_rows FROM mgg.archive_holds") == [(MEASURED, old_rows.POINTS)]


def demand_collected(scene: Scene, expected: Content) -> None:
    old_rows.demand_cold(scene, IMAGES, expected)
    left = {path.name for path in scene.store.joinpath("parquet_archive", IMAGES).iterdir()}
    assert left == {"2024-Q1.g2.parquet", "2024-Q1.g2.json"}


@dataclass(frozen=True)
class Operation:
    """What is done, from which beginning, and what is demanded of its end."""

    beginning: Callable[[Theatre], Base]
    act: Callable[..., Outcome]
    demand: Callable[..., None]


OPERATIONS: Mapping[str, Operation] = {
    **{
        table: Operation(
            old_rows.base,
            partial(old_rows.archive, table=table),
            partial(old_rows.demand_cold, table=table),
        )
        for table in PERIODS
    },
    "restore": Operation(archived, partial(old_rows.restore, table=MEASURED), demand_hot),
    "collection": Operation(orphaned, old_rows.collect, demand_collected),
}


@dataclass(frozen=True)
class Play:
    """The fault-free play of an operation: its beginning, points by number of visits, and every row there is."""

    operation: Operation
    base: Base
    visits: Mapping[str, int]
    truth: Content


@pytest.fixture(scope="session")
def plays(stage: Theatre) -> Mapping[str, Play]:
    """The fault-free play of every operation."""
    found = {}
    for name, operation in OPERATIONS.items():
        base = operation.beginning(stage)
        with stage.scene(base) as scene:
            truth = old_rows.truth(scene)
            outcome = operation.act(scene)
            assert outcome.is_success, outcome.errors
            operation.demand(scene, expected=truth)
            assert invariants.leftovers(scene.url, scene.store) == []
            found[name] = Play(operation, base, Counter(outcome.trace), truth)
    return found


def demand_recovery(scene: Scene, play: Play) -> None:
    """The same act again leaves what one without a fault leaves (R1); the next run collects the rest (R2)."""
    again = play.operation.act(scene)
    assert again.is_success, again.errors
    play.operation.demand(scene, expected=play.truth)
    if invariants.leftovers(scene.url, scene.store, patience_s=0):
        old_rows.tomorrow(scene)


def played(plays: Mapping[str, Play], point: Point, *, turn: int = 0) -> Play:
    """An operation that passes a point; each in turn."""
    found = [play for play in plays.values() if play.visits.get(point.value)]
    assert found, f"no operation reaches {point.value}: what is not reached is not tested"
    return found[((POINTS + SHARED).index(point) + turn) % len(found)]


@pytest.mark.parametrize("point", POINTS + SHARED)
def test_a_run_killed_anywhere_is_healed_by_the_next(stage: Theatre, plays: Mapping[str, Play], point: Point) -> None:
    play = played(plays, point)
    with stage.scene(play.base) as scene:
        outcome = play.operation.act(scene, failpoints=f"{point.value}:kill@{play.visits[point]}")
        assert outcome.was_killed, outcome
        old_rows.demand_sound(scene, play.truth)
        demand_recovery(scene, play)


@pytest.mark.parametrize("point", POINTS + SHARED)
def test_an_error_anywhere_is_told_and_healed_by_the_next(
    stage: Theatre, plays: Mapping[str, Play], point: Point
) -> None:
    play = played(plays, point, turn=1)
    with stage.scene(play.base) as scene:
        outcome = play.operation.act(scene, failpoints=f"{point.value}:raise")
        assert not outcome.is_success
        assert f"injected at {point.value}" in outcome.errors
        old_rows.demand_sound(scene, play.truth)
        demand_recovery(scene, play)


def test_a_partial_file_of_a_dead_archiver_is_collected_after_a_day(stage: Theatre) -> None:
    with stage.scene(old_rows.base(stage)) as scene:
        failpoints = f"{Point.ARCHIVE_PARTIAL_WRITTEN.value}:kill"
        assert old_rows.archive(scene, MEASURED, failpoints=failpoints).was_killed
        (partial_file,) = scene.store.rglob(".*.partial")
        assert old_rows.collect(scene).is_success
        assert partial_file.exists(), "its writer might still live"
        long_ago = time.time() - invariants.PARTIAL_TTL_S - 60
        os.utime(partial_file, (long_ago, long_ago))
        assert old_rows.collect(scene).is_success
        assert not partial_file.exists()
