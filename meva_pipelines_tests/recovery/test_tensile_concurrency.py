"""Two intakes at once, decisions and rollbacks in between, every order: one effective writer, and the same end."""

import random
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest

from meva_pipelines.resources.failpoints import Point
from meva_pipelines.sandbox import laboratory_files
from meva_pipelines.sandbox.laboratory_dialects import Dialect
from meva_pipelines.sandbox.laboratory_files import MachineFile
from meva_pipelines_tests.recovery import laboratory, tensile_invariants
from meva_pipelines_tests.recovery.invariants import Content
from meva_pipelines_tests.recovery.laboratory import folder_of, sound
from meva_pipelines_tests.recovery.test_tensile_failpoints import base_of, disputed, measured
from meva_pipelines_tests.recovery.theatre import Outcome, Running, Scene, Theatre

FIRST = (sound(10, Dialect.UPLOAD_JSON), sound(11, Dialect.PMD))
SECOND = (sound(12, Dialect.BRACKETS), laboratory_files.revised(FIRST[0]))
AGAIN = (laboratory_files.revised(laboratory.BEFORE[1]),)
"""A correction of the test that is in dispute."""


def held(scene: Scene, point: Point) -> Running:
    """Start the intake of what lies there, and freeze it where it has reached a point."""
    running = laboratory.start_intake(scene, failpoints=f"{point.value}:sleep")
    running.await_point(point.value)
    running.freeze()
    return running


def woken(running: Running) -> Outcome:
    running.thaw()
    return running.end()


def demand_superseded(outcome: Outcome) -> None:
    assert not outcome.is_success
    assert "Superseded" in outcome.errors
    assert "it changed nothing" in outcome.errors


def demand_end(scene: Scene, expected: Content) -> None:
    """After the sensors have had their say, everything is as it ought to be, and nothing is left behind."""
    laboratory.take_everything(scene)
    assert tensile_invariants.content(scene.url).differences(expected) == []
    assert tensile_invariants.breaches(scene.url, scene.folder) == []
    laboratory.drop(scene, laboratory.AFTER, days=9)
    assert laboratory.intake(scene).is_success
    assert tensile_invariants.leftovers(scene.url, scene.folder) == []


# ---- two intakes


@pytest.fixture(scope="module")
def both(stage: Theatre) -> Content:
    """What the files of both intakes leave when one run takes them."""
    with stage.scene() as scene:
        laboratory.drop(scene, FIRST)
        laboratory.drop(scene, SECOND, days=1)
        laboratory.take_everything(scene)
        return tensile_invariants.content(scene.url)


@pytest.mark.parametrize("point", [Point.TENSILE_ENTERED, Point.TENSILE_PROFILE_COPIED, Point.AUDIT_AFTER_VERDICT])
def test_the_newer_of_two_intakes_wins_and_takes_the_files_of_both(stage: Theatre, both: Content, point: Point) -> None:
    with stage.scene() as scene:
        laboratory.drop(scene, FIRST)
        older = held(scene, point)
        laboratory.drop(scene, SECOND, days=1)
        assert laboratory.intake(scene).is_success
        image = tensile_invariants.image(scene.url)
        demand_superseded(woken(older))
        assert tensile_invariants.image(scene.url) == image
        assert scene.rows("SELECT count(*) FROM meva.tensile_test_history WHERE standing = 'superseded'") == [(1,)]
        demand_end(scene, both)


def test_the_older_of_two_intakes_wins_when_it_holds_the_lock_already(stage: Theatre, both: Content) -> None:
    """The newer one takes its files up once more, waits for the lock, finds them published, and evaluates for both."""
    with stage.scene() as scene:
        laboratory.drop(scene, FIRST)
        older = held(scene, Point.PUBLISH_LOCKED)
        laboratory.drop(scene, SECOND, days=1)
        newer = laboratory.start_intake(scene)
        newer.await_point(Point.AUDIT_AFTER_VERDICT.value)
        woken(older)
        assert newer.end().is_success
        assert len(laboratory.published(scene)) == 2
        demand_end(scene, both)


# ---- people in between


def decide(scene: Scene) -> Outcome:
    return laboratory.resolve(scene, "replace")


def undo(scene: Scene) -> Outcome:
    return laboratory.roll_back(scene, laboratory.published(scene)[-1])


@pytest.mark.parametrize("act", [decide, undo])
@pytest.mark.parametrize("point", [Point.TENSILE_PROFILE_COPIED, Point.AUDIT_AFTER_VERDICT])
def test_an_intake_that_a_person_overtakes_is_done_again_on_what_they_left(
    stage: Theatre, act: Callable[[Scene], Outcome], point: Point
) -> None:
    """The end is that of the act and then the intake."""
    base = base_of(stage, disputed)
    with stage.scene(base) as scene:
        assert act(scene).is_success
        laboratory.drop(scene, AGAIN, days=3)
        laboratory.take_everything(scene)
        expected = tensile_invariants.content(scene.url)
    with stage.scene(base) as scene:
        laboratory.drop(scene, AGAIN, days=3)
        intake = held(scene, point)
        assert act(scene).is_success
        image = tensile_invariants.image(scene.url)
        demand_superseded(woken(intake))
        assert tensile_invariants.image(scene.url) == image
        demand_end(scene, expected)


def test_a_rollback_of_the_rollback_restores_every_byte(stage: Theatre) -> None:
    with stage.scene(base_of(stage, measured)) as scene:
        images = [tensile_invariants.image(scene.url)]
        laboratory.drop(scene, laboratory.DELIVERY, days=1)
        assert laboratory.intake(scene).is_success
        images.append(tensile_invariants.image(scene.url))
        for expected in (images[0], images[1], images[0], images[1]):
            assert undo(scene).is_success
            assert tensile_invariants.image(scene.url) == expected
            assert tensile_invariants.breaches(scene.url, scene.folder) == []


# ---- any order


VERSIONS = (
    sound(0, Dialect.UPLOAD_JSON),
    laboratory_files.revised(sound(0, Dialect.UPLOAD_JSON)),
    laboratory_files.conflicting(sound(0, Dialect.UPLOAD_JSON)),
    sound(1, Dialect.BRACKETS),
)
"""Three contents of one test, two of which agree, and another test."""


@pytest.fixture(scope="module")
def at_once(stage: Theatre) -> Content:
    """What all contents leave when they come at once."""
    with stage.scene() as scene:
        deliver(scene, VERSIONS)
        laboratory.take_everything(scene)
        return ends(scene)


def deliver(scene: Scene, files: Sequence[MachineFile]) -> None:
    """Drop files that were written at the same moments in whatever order they come."""
    for file in files:
        laboratory.drop(scene, [file], days=VERSIONS.index(file))


def ends(scene: Scene) -> Content:
    """What stands in the end; a conflict that others settled on the way is no part of it."""
    found = tensile_invariants.content(scene.url, ["tests", "history", "conflicts", "results"])
    found.tables["conflicts"] -= {row: 1 for row in found.tables["conflicts"] if '"overtaken"' in row}
    return found


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_whatever_the_order_and_the_batches_the_same_stands_in_the_end(
    stage: Theatre, at_once: Content, seed: int
) -> None:
    """Some come twice; each batch is a run."""
    draw = random.Random(seed)
    files = [*draw.sample(VERSIONS, len(VERSIONS)), draw.choice(VERSIONS)]
    cuts = [0, *sorted(draw.sample(range(1, len(files)), draw.randint(1, 2))), len(files)]
    with stage.scene() as scene:
        for start, end in pairwise(cuts):
            deliver(scene, files[start:end])
            laboratory.take_everything(scene)
            assert tensile_invariants.breaches(scene.url, scene.folder) == []
        assert ends(scene).differences(at_once) == []
        assert not [path for path in folder_of(scene).iterdir() if path.is_file()]
        assert tensile_invariants.leftovers(scene.url, scene.folder) == []
