"""Every failpoint of the laboratory × {kill, raise}: no test is ever half there, and the sensors alone heal the rest.

For each operation a fault-free play says which points it passes and what it leaves; every fault is then played on a
copy of the same beginning.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pytest

from meva_pipelines.resources.failpoints import Point
from meva_pipelines.sandbox.laboratory_dialects import Dialect
from meva_pipelines_tests.recovery import laboratory, points, tensile_invariants
from meva_pipelines_tests.recovery.invariants import Content
from meva_pipelines_tests.recovery.laboratory import AFTER, BEFORE, DELIVERY, FIRST_DAY
from meva_pipelines_tests.recovery.theatre import Base, Outcome, Scene, Theatre

POINTS = points.played_by("test_tensile_failpoints")
SHARED = [
    Point.OBJECT_BEFORE_RENAME,
    Point.AUDIT_BEFORE_VERDICT,
    Point.AUDIT_AFTER_VERDICT,
    Point.PUBLISH_LOCKED,
    Point.PUBLISH_BEFORE_COMMIT,
    Point.PUBLISH_AFTER_COMMIT,
]
"""Points of the registry's suite that an intake passes too, some of them twice: with its tests and with its results."""


# ---- beginnings


def measured(scene: Scene) -> date:
    """Registers, three published and evaluated tests, and their comparison."""
    laboratory.write_registers(scene)
    assert laboratory.registers(scene).is_success
    laboratory.drop(scene, BEFORE)
    assert laboratory.intake(scene).is_success
    assert scene.run("tensile_comparison").is_success
    return FIRST_DAY


def disputed(scene: Scene) -> date:
    """Besides, the next delivery with its conflict."""
    measured(scene)
    laboratory.drop(scene, DELIVERY, days=1)
    assert laboratory.intake(scene).is_success
    return FIRST_DAY


def decided(scene: Scene) -> date:
    """Besides, the conflict is resolved: both contents are kept."""
    disputed(scene)
    assert laboratory.resolve(scene, "keep_both").is_success
    return FIRST_DAY


# ---- acts


def deliver(scene: Scene, **arguments: str) -> Outcome:
    if not (scene.folder / "dropped").exists():
        laboratory.drop(scene, DELIVERY, days=1)
    return laboratory.intake(scene, **arguments)


def registers(scene: Scene, **arguments: str) -> Outcome:
    laboratory.write_registers(scene, changed=True)
    return laboratory.registers(scene, **arguments)


def keep_both(scene: Scene, **arguments: str) -> Outcome:
    return laboratory.resolve(scene, "keep_both", **arguments)


def replace(scene: Scene, **arguments: str) -> Outcome:
    return laboratory.resolve(scene, "replace", **arguments)


def undo(scene: Scene, **arguments: str) -> Outcome:
    """Take the delivery back, or the decision: whatever was published last at the beginning."""
    number = scene.folder / "undone"
    if not number.exists():
        number.write_text(str(laboratory.published(scene)[-1]), encoding="utf-8")
    return laboratory.roll_back(scene, int(number.read_text(encoding="utf-8")), **arguments)


@dataclass(frozen=True)
class Operation:
    """What is done, from which beginning. What people start they start again, and are refused when it is done."""

    beginning: Callable[[Scene], date]
    act: Callable[..., Outcome]
    is_started_by_people: bool = False


OPERATIONS: Mapping[str, Operation] = {
    "intake": Operation(measured, deliver),
    "registers": Operation(measured, registers),
    "keep both": Operation(disputed, keep_both, is_started_by_people=True),
    "replace": Operation(disputed, replace, is_started_by_people=True),
    "rollback of an intake": Operation(disputed, undo, is_started_by_people=True),
    "rollback of a decision": Operation(decided, undo, is_started_by_people=True),
}


@dataclass(frozen=True)
class Play:
    """The fault-free play of an operation: what it began with, which points it passed how often, what it left."""

    operation: Operation
    base: Base
    visits: Mapping[str, int]
    before: Content
    after: Content


def base_of(stage: Theatre, beginning: Callable[[Scene], date]) -> Base:
    """A beginning, played once."""
    key = f"laboratory/{beginning.__name__}"
    if key not in stage.bases:
        with stage.scene() as scene:
            day = beginning(scene)
            assert tensile_invariants.breaches(scene.url, scene.folder) == []
            stage.bases[key] = stage.keep(scene, day)
    return stage.bases[key]


@pytest.fixture(scope="session")
def plays(stage: Theatre) -> Mapping[str, Play]:
    """The fault-free play of every operation."""
    found = {}
    for name, operation in OPERATIONS.items():
        base = base_of(stage, operation.beginning)
        with stage.scene(base) as scene:
            before = tensile_invariants.content(scene.url)
            outcome = operation.act(scene)
            assert outcome.is_success, f"{name}: {outcome.errors}"
            laboratory.take_everything(scene)
            demand_sound(scene)
            assert tensile_invariants.leftovers(scene.url, scene.folder) == []
            if operation.act is deliver:
                demand_truth(scene)
            found[name] = Play(operation, base, Counter(outcome.trace), before, tensile_invariants.content(scene.url))
    return found


def demand_truth(scene: Scene) -> None:
    """What is published is what the machines measured: every force of every test, as far as a file spells it."""
    truth = laboratory.expected_tests((*BEFORE, *DELIVERY[:3], laboratory.sound(5, Dialect.UPLOAD_JSON)))
    found = scene.rows(
        "SELECT t.name, t.version, array_agg(d.load_n ORDER BY d.point) FROM meva.tensile_test AS t"
        " JOIN meva.tensile_data AS d USING (test_id) GROUP BY 1, 2"
    )
    assert {name for name, _, _ in found} == set(truth)
    for name, version, loads in found:
        trial = truth[name]
        assert version == (2 if trial.specimen.revised_at else 1)
        forces = trial.measured.force_n[trial.repeated : len(trial.measured.force_n) - trial.tail]
        assert np.allclose(loads, forces, rtol=0, atol=5e-4 * forces.max()), name


def demand_sound(scene: Scene) -> None:
    assert tensile_invariants.breaches(scene.url, scene.folder) == []


def demand_all_or_nothing(scene: Scene, play: Play) -> None:
    """Readers see version N or version N + 1 of what changes together (S1)."""
    assert tensile_invariants.mixed(tensile_invariants.content(scene.url), play.before, play.after) == []
    demand_sound(scene)


def demand_recovery(scene: Scene, play: Play) -> None:
    """The sensors, and the people who started something, leave what a run without a fault leaves (R1)."""
    if play.operation.is_started_by_people:
        is_done = bool(tensile_invariants.content(scene.url, ["tests"]).differences(play.before) != [])
        again = play.operation.act(scene)
        assert again.is_success or is_done, again.errors
    elif play.operation.act is not deliver:
        assert play.operation.act(scene).is_success
    laboratory.take_everything(scene)
    assert tensile_invariants.content(scene.url).differences(play.after) == []
    demand_sound(scene)


def demand_tidiness(scene: Scene) -> None:
    """The next delivery collects what the dead left (R2)."""
    laboratory.drop(scene, AFTER, days=2)
    assert laboratory.intake(scene).is_success
    demand_sound(scene)
    assert tensile_invariants.leftovers(scene.url, scene.folder) == []


def played(plays: Mapping[str, Play], point: Point) -> list[str]:
    """The operations that reach a point."""
    found = [name for name, play in plays.items() if play.visits.get(point)]
    assert found, f"no operation reaches {point.value}: what is not reached is not measured"
    return found


@pytest.mark.parametrize("point", [*POINTS, *SHARED])
def test_a_run_killed_anywhere_is_healed_by_the_sensors(
    stage: Theatre, plays: Mapping[str, Play], point: Point
) -> None:
    """At the first visit and at the last, in the first operation that reaches the point."""
    play = plays[played(plays, point)[0]]
    for visit in {1, play.visits[point]}:
        with stage.scene(play.base) as scene:
            outcome = play.operation.act(scene, failpoints=f"{point.value}:kill@{visit}")
            assert outcome.was_killed, outcome
            demand_all_or_nothing(scene, play)
            demand_recovery(scene, play)
            demand_tidiness(scene)


@pytest.mark.parametrize("point", [*POINTS, *SHARED])
def test_an_error_anywhere_is_told_and_healed_by_the_sensors(
    stage: Theatre, plays: Mapping[str, Play], point: Point
) -> None:
    """In each operation in turn, from one point to the next."""
    names = played(plays, point)
    play = plays[names[[*POINTS, *SHARED].index(point) % len(names)]]
    with stage.scene(play.base) as scene:
        outcome = play.operation.act(scene, failpoints=f"{point.value}:raise")
        assert not outcome.is_success
        assert f"injected at {point.value}" in outcome.errors
        demand_all_or_nothing(scene, play)
        demand_recovery(scene, play)


def test_every_point_of_the_laboratory_is_reached(plays: Mapping[str, Play]) -> None:
    reached = {point for play in plays.values() for point in play.visits}
    assert {point.value for point in POINTS} - reached == set()
