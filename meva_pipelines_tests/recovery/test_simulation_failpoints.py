"""Failpoints of firings and of the takeover × {kill, raise}: nothing half-done is seen, the same job again heals it.

A fault-free play says which points are passed and what is left; every fault is played on a copy of the beginning.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest

from meva_pipelines.assets.simulation import DAYS, FIRINGS, SIMULATIONS
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.sandbox import firing_files
from meva_pipelines.sandbox.firings import Season
from meva_pipelines_tests.fixtures import old_databases
from meva_pipelines_tests.recovery import invariants
from meva_pipelines_tests.recovery.theatre import Base, Outcome, Scene, Theatre

SEASON = Season(orders=1, repeats=2)
POINTS = [point for point in Point if point.value.startswith("mgg.")]
State = dict[str, list[tuple[Any, ...]]]

RESULTS = (
    "SELECT name, version, is_current, content_sha256 FROM mgg.test_results ORDER BY 1, 2",
    """SELECT t.name, f.position, count(*), md5(string_agg(s.time_point || ' ' || s.pressure, ';'
       ORDER BY s.sequence_number)) FROM mgg.test_time_series AS s JOIN mgg.test_result_files AS f ON f.id = s.file_id
       JOIN mgg.test_results AS t ON t.id = f.test_result_id GROUP BY 1, 2 ORDER BY 1, 2""",
)
COMPARISONS = (
    """SELECT s.name, t.name, c.alignment, c.rmse, c.iso18571_overall FROM mgg.pt_comparisons AS c
       JOIN mgg.forward_simulations AS s ON s.id = c.simulation_id
       JOIN mgg.test_results AS t ON t.id = c.test_result_id ORDER BY 1, 2, 3""",
)
REPEATS = ("SELECT count(*) FROM mgg.repeat_comparisons",)
SCORES = ("SELECT count(*) > 0 FROM mgg.model_scorecard",)
TAKEN = (
    """SELECT table_name, last_id, rows, quarantined_rows, target_digest, proved_at IS NOT NULL
       FROM mgg.takeovers ORDER BY 1""",
    "SELECT count(*), count(DISTINCT origin) FROM mgg.operation_logs WHERE origin IS NOT NULL",
    "SELECT simulation_id, count(*) FROM mgg.simulation_time_series GROUP BY 1 ORDER BY 1",
    "SELECT name, rule FROM mgg.quarantine ORDER BY 1, 2",
)


def simulated(scene: Scene) -> None:
    """Simulations are published; firings are laid down by the act, because copies share no landing zone."""
    firing_files.write(firing_files.simulation_files(SEASON), scene.landing / SIMULATIONS.folder)
    outcome = scene.run("simulation_intake", day=today())
    assert outcome.is_success, outcome.errors


def nothing(scene: Scene) -> None:
    """A warehouse without rows."""
    scene.store.mkdir()


def fire(scene: Scene, **arguments: str) -> Outcome:
    if not (scene.landing / FIRINGS.folder).exists():
        firing_files.write(firing_files.firing_files(SEASON), scene.landing / FIRINGS.folder)
    return scene.run("firing_intake", day=today(), **arguments)


def take_over(scene: Scene, **arguments: str) -> Outcome:
    path = scene.folder / "old.db"
    if not path.exists():
        old_databases.write(path, Season(orders=2, repeats=1))
    return scene.run(
        "migrate_from_sqlite", config={"take_over": {"config": {"path": str(path), "dry_run": False}}}, **arguments
    )


def today() -> date:
    day = DAYS.get_last_partition_key()
    assert day is not None
    return date.fromisoformat(day)


@dataclass(frozen=True)
class Operation:
    """What is done from which beginning, and groups of queries of which each is answered as before or as after."""

    beginning: Callable[[Scene], None]
    act: Callable[..., Outcome]
    groups: tuple[tuple[str, ...], ...]
    is_one_transaction_each: bool = True


OPERATIONS: Mapping[str, Operation] = {
    "firings": Operation(simulated, fire, (RESULTS, COMPARISONS, REPEATS, SCORES)),
    "takeover": Operation(nothing, take_over, (TAKEN,), is_one_transaction_each=False),
}


@dataclass(frozen=True)
class Play:
    """The fault-free play of an operation: its beginning, points by number of visits, and what it left."""

    operation: Operation
    base: Base
    visits: Mapping[str, int]
    before: State
    after: State


def state(scene: Scene, operation: Operation) -> State:
    return {query: scene.rows(query) for group in operation.groups for query in group}


@pytest.fixture(scope="session")
def plays(stage: Theatre) -> Mapping[str, Play]:
    """The fault-free play of every operation."""
    found = {}
    for name, operation in OPERATIONS.items():
        with stage.scene() as scene:
            operation.beginning(scene)
            base = stage.bases[f"mgg {name}"] = stage.keep(scene, today())
        with stage.scene(base) as scene:
            before = state(scene, operation)
            outcome = operation.act(scene)
            assert outcome.is_success, outcome.errors
            assert invariants.leftovers(scene.url, scene.store) == []
            found[name] = Play(operation, base, Counter(outcome.trace), before, state(scene, operation))
    return found


def demand_whole(scene: Scene, play: Play) -> None:
    """Each group is as it was or as it should become, never in between."""
    now = state(scene, play.operation)
    for group in play.operation.groups if play.operation.is_one_transaction_each else ():
        part = {query: now[query] for query in group}
        assert part in ({q: play.before[q] for q in group}, {q: play.after[q] for q in group})


def demand_recovery(scene: Scene, play: Play) -> None:
    """The same job again leaves what a run without a fault leaves, whether or not there was anything left to do."""
    again = play.operation.act(scene)
    assert again.is_success or "no file to take" in again.errors, again.errors
    if not again.is_success:
        names = ("mgg/pt_comparisons", "mgg/model_scorecard")
        assert scene.run("firing_intake", day=today(), assets=names).is_success
    assert state(scene, play.operation) == play.after
    assert invariants.leftovers(scene.url, scene.store) == []


def reached_in(plays: Mapping[str, Play], point: Point) -> Play:
    found = [play for play in plays.values() if play.visits.get(point)]
    assert found, f"no operation reaches {point.value}: what is not reached is not tested"
    return found[0]


@pytest.mark.parametrize("point", POINTS)
def test_a_run_killed_anywhere_is_healed_by_the_next(stage: Theatre, plays: Mapping[str, Play], point: Point) -> None:
    play = reached_in(plays, point)
    with stage.scene(play.base) as scene:
        outcome = play.operation.act(scene, failpoints=f"{point.value}:kill@{play.visits[point]}")
        assert outcome.was_killed, outcome
        demand_whole(scene, play)
        demand_recovery(scene, play)


@pytest.mark.parametrize("point", POINTS)
def test_an_error_anywhere_is_told_and_healed_by_the_next(
    stage: Theatre, plays: Mapping[str, Play], point: Point
) -> None:
    play = reached_in(plays, point)
    with stage.scene(play.base) as scene:
        outcome = play.operation.act(scene, failpoints=f"{point.value}:raise")
        assert not outcome.is_success
        assert f"injected at {point.value}" in outcome.errors
        demand_whole(scene, play)
        demand_recovery(scene, play)
