"""What happens to files of the laboratory on their way to publication: killed runs, full disks, swapped bytes.

Nothing is lost and nothing is half there; what waits is taken up by the sensors.
"""

import os
import time
from collections.abc import Sequence
from contextlib import suppress

import pytest

from meva_pipelines.resources.failpoints import Point
from meva_pipelines.sandbox import laboratory_files
from meva_pipelines.sandbox.laboratory_dialects import Dialect
from meva_pipelines.sandbox.laboratory_files import MachineFile
from meva_pipelines_tests.recovery import laboratory, tensile_invariants
from meva_pipelines_tests.recovery.forks import RUN_TIMEOUT_S
from meva_pipelines_tests.recovery.invariants import Content
from meva_pipelines_tests.recovery.laboratory import folder_of, sound
from meva_pipelines_tests.recovery.test_database_faults import behind_a_proxy
from meva_pipelines_tests.recovery.theatre import Running, Scene, Theatre

THREE = (sound(0, Dialect.UPLOAD_JSON), sound(1, Dialect.PARENTHESES), sound(2, Dialect.BRACKETS))


@pytest.fixture(scope="module")
def three(stage: Theatre) -> Content:
    """What three files leave when nothing goes wrong."""
    with stage.scene() as scene:
        laboratory.drop(scene, THREE)
        assert laboratory.intake(scene).is_success
        demand_sound(scene)
        return tensile_invariants.content(scene.url)


def held(scene: Scene, point: Point, files: Sequence[MachineFile] = THREE) -> Running:
    """Drop files and freeze their intake where it has reached a point."""
    laboratory.drop(scene, files)
    running = laboratory.start_intake(scene, failpoints=f"{point.value}:sleep")
    running.await_point(point.value)
    running.freeze()
    return running


def demand_sound(scene: Scene) -> None:
    assert tensile_invariants.breaches(scene.url, scene.folder) == []


def demand_nothing_then_healed(scene: Scene, expected: Content) -> None:
    """Readers see nothing yet; the sensors alone bring about what a run without a fault leaves."""
    assert scene.rows("SELECT count(*) FROM meva.tensile_test") == [(0,)]
    demand_sound(scene)
    laboratory.take_everything(scene)
    assert tensile_invariants.content(scene.url).differences(expected) == []
    demand_sound(scene)
    laboratory.drop(scene, laboratory.AFTER, days=2)
    assert laboratory.intake(scene).is_success
    assert tensile_invariants.leftovers(scene.url, scene.folder) == []


@pytest.mark.parametrize("point", [Point.TENSILE_STORED, Point.TENSILE_OBJECT_WRITTEN, Point.TENSILE_CLEARED])
def test_three_files_of_an_intake_that_was_killed_are_taken_up_again(
    stage: Theatre, three: Content, point: Point
) -> None:
    """SIGKILL from outside; once the landing zone is empty, the ledger alone knows of them."""
    with stage.scene() as scene:
        assert held(scene, point).kill().was_killed
        if point is Point.TENSILE_CLEARED:
            assert [path for path in folder_of(scene).iterdir() if path.is_file()] == []
        demand_nothing_then_healed(scene, three)


@pytest.mark.parametrize(("limit", "key"), [(2_000, "raw/tensile/"), (8_000, "tensile/staged/")])
def test_a_full_disk_is_named_and_leaves_no_partial_file(stage: Theatre, three: Content, limit: int, key: str) -> None:
    """The kernel refuses to let any file of the run grow: the originals, or the points that are staged from them."""
    with stage.scene() as scene:
        laboratory.drop(scene, THREE)
        outcome = laboratory.intake(scene, file_limit=limit)
        assert not outcome.is_success
        assert f"cannot write object {key}" in outcome.errors
        assert "File too large" in outcome.errors
        assert list(scene.store.rglob(".*.partial")) == []
        demand_nothing_then_healed(scene, three)


def test_points_that_changed_after_the_audit_are_not_published(stage: Theatre, three: Content) -> None:
    """One bit, in the middle of the object: length and time stay what they were."""
    with stage.scene() as scene:
        running = held(scene, Point.AUDIT_AFTER_VERDICT)
        (staged,) = scene.store.joinpath("tensile", "staged").rglob("*.points")
        content, modified = bytearray(staged.read_bytes()), staged.stat().st_mtime
        content[len(content) // 2] ^= 1
        staged.write_bytes(content)
        os.utime(staged, (modified, modified))
        running.thaw()
        outcome = running.end()
        assert not outcome.is_success
        assert "not those that were judged" in outcome.errors
        demand_nothing_then_healed(scene, three)


def test_a_row_that_changed_after_the_audit_is_not_published(stage: Theatre, three: Content) -> None:
    with stage.scene() as scene:
        running = held(scene, Point.AUDIT_AFTER_VERDICT)
        scene.change("UPDATE staging.tensile_1_tests SET area_mm2 = area_mm2 * 1.01 WHERE n = 1")
        running.thaw()
        outcome = running.end()
        assert not outcome.is_success
        assert "changed since it was judged" in outcome.errors
        demand_nothing_then_healed(scene, three)


def test_a_file_that_is_replaced_after_it_was_read_is_taken_as_well(stage: Theatre) -> None:
    """Its first content is what was read; the second stays where it lies and is the next version."""
    first, second = sound(0, Dialect.UPLOAD_JSON), laboratory_files.revised(sound(0, Dialect.UPLOAD_JSON))
    with stage.scene() as scene:
        running = held(scene, Point.TENSILE_ENTERED, [first])
        (folder_of(scene) / first.name).write_bytes(second.content())
        running.thaw()
        assert running.end().is_success
        assert (folder_of(scene) / first.name).read_bytes() == second.content()
        demand_sound(scene)
        laboratory.take_everything(scene)
        assert scene.rows("SELECT version FROM meva.tensile_test") == [(2,)]
        assert scene.rows("SELECT version FROM meva.tensile_test_history") == [(1,)]
        demand_sound(scene)


def test_a_file_that_grows_while_it_is_read_is_never_taken_in_part(stage: Theatre) -> None:
    """A machine writes on and on: whatever is taken is a state in which the file lay there whole."""
    file = sound(0, Dialect.UPLOAD_JSON)
    with stage.scene() as scene:
        laboratory.drop(scene, [file])
        path, whole = folder_of(scene) / file.name, file.content()
        running = laboratory.start_intake(scene)
        deadline = time.monotonic() + RUN_TIMEOUT_S
        while scene.nursery.is_alive(running.pid):
            assert time.monotonic() < deadline
            with suppress(FileNotFoundError), path.open("r+b") as growing:
                growing.seek(0, os.SEEK_END)
                growing.write(b" ")
            time.sleep(0.002)
        running.end()
        laboratory.take_everything(scene)
        kept = [stored.read_bytes() for stored in scene.store.joinpath("raw", "tensile").glob("*/file")]
        assert {content.rstrip() for content in kept} == {whole}
        assert scene.rows("SELECT count(*), max(version) FROM meva.tensile_test") == [(1, 1)]


@pytest.mark.parametrize("passes_commit", [True, False])
def test_a_commit_whose_answer_was_lost_is_found_out_from_the_ledger(
    stage: Theatre, three: Content, *, passes_commit: bool
) -> None:
    """Either it happened, and the run goes on; or it did not, and the files wait. Nothing is published twice."""
    with stage.scene() as scene:
        laboratory.drop(scene, THREE)
        with behind_a_proxy(scene, passes_commit=passes_commit) as proxy:
            outcome = laboratory.intake(scene)
        assert proxy.cuts >= 1
        assert outcome.is_success is passes_commit, outcome.errors
        if passes_commit:
            assert tensile_invariants.content(scene.url).differences(three) == []
            assert tensile_invariants.leftovers(scene.url, scene.folder) == []
        else:
            assert "was not published and changed nothing" in outcome.errors
            demand_nothing_then_healed(scene, three)
