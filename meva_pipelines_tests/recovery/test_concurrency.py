"""Two at once, in every order, and the dead who come back: one effective writer, and readers never see a mix."""

import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta

import psycopg
import pytest

from meva_pipelines.resources.failpoints import Point
from meva_pipelines_tests.recovery import invariants
from meva_pipelines_tests.recovery.registries import FIRST_DAY
from meva_pipelines_tests.recovery.theatre import Base, Outcome, Running, Scene, Theatre

SECOND_DAY = FIRST_DAY + timedelta(days=1)
THIRD_DAY = FIRST_DAY + timedelta(days=2)
FOURTH_DAY = FIRST_DAY + timedelta(days=3)
DIALECTS = ("data_go_kr", "egen")


@pytest.fixture(scope="session")
def second_day(stage: Theatre, bases: Mapping[str, Base]) -> invariants.Content:
    """What a second day without faults leaves in `aed.aed_data`."""
    with stage.scene(bases["data_go_kr"]) as scene:
        scene.registry.set(day=SECOND_DAY)
        assert scene.sync(SECOND_DAY).is_success
        return invariants.content(scene.url)


def held(scene: Scene, point: Point) -> Running:
    """Start a sync of the second day, and freeze it where it has reached a point."""
    running = scene.start_sync(SECOND_DAY, failpoints=f"{point.value}:sleep")
    running.await_point(point.value)
    running.freeze()
    return running


def woken(running: Running) -> Outcome:
    """Let a frozen run go on to its end."""
    running.thaw()
    return running.end()


# ---- two at once


@pytest.mark.parametrize("point", [Point.FETCH_STARTED, Point.STAGE_PAGE_COPIED, Point.AUDIT_AFTER_VERDICT])
def test_the_newer_of_two_syncs_wins_when_it_overtakes(
    stage: Theatre, bases: Mapping[str, Base], second_day: invariants.Content, point: Point
) -> None:
    """The older one finds out before it writes a row, wherever it was when the newer one began."""
    with stage.scene(bases["data_go_kr"]) as scene:
        scene.registry.set(day=SECOND_DAY)
        older = held(scene, point)
        assert scene.sync(SECOND_DAY).is_success
        image = invariants.image(scene.url)
        late = woken(older)
        assert not late.is_success
        assert "Superseded" in late.errors
        assert "it changed nothing" in late.errors
        assert invariants.image(scene.url) == image
        demand_one_winner(scene, second_day, winner=3)


def test_the_older_of_two_syncs_wins_when_it_holds_the_lock_already(
    stage: Theatre, bases: Mapping[str, Base], second_day: invariants.Content
) -> None:
    """The newer one waits for the lock and then finds nothing left to change."""
    with stage.scene(bases["data_go_kr"]) as scene:
        scene.registry.set(day=SECOND_DAY)
        older = held(scene, Point.PUBLISH_LOCKED)
        newer = scene.start_sync(SECOND_DAY)
        scene.await_waiting()
        assert woken(older).is_success
        assert newer.end().is_success
        assert scene.rows("SELECT token, status FROM ops.sync_runs WHERE token > 1 ORDER BY 1") == [
            (2, "published"),
            (3, "published"),
        ]
        assert invariants.content(scene.url, ["aed.aed_data"]).differences(second_day) == []
        assert invariants.breaches(scene.url, scene.store) == []
        assert invariants.leftovers(scene.url, scene.store) == []


def demand_one_winner(scene: Scene, expected: invariants.Content, *, winner: int) -> None:
    assert scene.rows("SELECT token FROM ops.sync_runs WHERE status = 'published' AND token > 1") == [(winner,)]
    superseded = scene.rows("SELECT error_type, error FROM ops.sync_runs WHERE token > 1 AND token <> %s", winner)
    assert [kind for kind, _ in superseded] == ["Superseded"]
    assert invariants.content(scene.url).differences(expected) == []
    demand_a_quiet_next_night(scene)


def demand_a_quiet_next_night(scene: Scene) -> None:
    """The next night collects what a loser left in staging."""
    assert invariants.breaches(scene.url, scene.store) == []
    scene.registry.set(day=FOURTH_DAY)
    assert scene.sync(FOURTH_DAY).is_success
    assert invariants.breaches(scene.url, scene.store) == []
    assert invariants.leftovers(scene.url, scene.store) == []


# ---- readers


@contextmanager
def watching(url: str, images: set[str]) -> Iterator[None]:
    """Read the whole registry again and again in a session of its own, as a reader does."""
    is_over = threading.Event()

    def look() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not is_over.is_set():
                images.add(invariants.published_image(connection))
                time.sleep(0.01)

    reader = threading.Thread(target=look)
    reader.start()
    try:
        yield
    finally:
        is_over.set()
        reader.join(10)


@pytest.mark.parametrize("point", [Point.PUBLISH_AFTER_HISTORY, Point.PUBLISH_AFTER_UPSERT])
def test_readers_see_the_version_before_or_the_version_after(
    stage: Theatre, bases: Mapping[str, Base], point: Point
) -> None:
    with stage.scene(bases["data_go_kr"]) as scene:
        scene.registry.set(day=SECOND_DAY)
        before, seen = invariants.image(scene.url), set[str]()
        with watching(scene.url, seen):
            publishing = held(scene, point)
            time.sleep(0.3)
            assert woken(publishing).is_success
        assert seen == {before, invariants.image(scene.url)}


# ---- zombies


@pytest.mark.parametrize(
    "point", [Point.FETCH_PAGE_STORED, Point.STAGE_PAGE_COPIED, Point.STAGE_AFTER_TRIAGE, Point.AUDIT_AFTER_VERDICT]
)
def test_a_zombie_commits_nothing(stage: Theatre, bases: Mapping[str, Base], point: Point) -> None:
    """Its worker is taken for dead, another run publishes the next day, and then it wakes up and goes on."""
    with stage.scene(bases["data_go_kr"]) as scene:
        scene.registry.set(day=SECOND_DAY)
        zombie = held(scene, point)
        scene.registry.set(day=THIRD_DAY)
        assert scene.sync(THIRD_DAY).is_success
        image, history = invariants.image(scene.url), scene.rows("SELECT count(*) FROM aed.aed_history")
        outcome = woken(zombie)
        assert not outcome.is_success
        assert "Superseded" in outcome.errors
        assert "it changed nothing" in outcome.errors
        assert invariants.image(scene.url) == image
        assert scene.rows("SELECT count(*) FROM aed.aed_history") == history
        demand_a_quiet_next_night(scene)


def test_a_killed_writer_lets_go_of_the_lock_at_once(stage: Theatre, bases: Mapping[str, Base]) -> None:
    with stage.scene(bases["data_go_kr"]) as scene:
        scene.registry.set(day=SECOND_DAY)
        before = invariants.image(scene.url)
        assert held(scene, Point.PUBLISH_BEFORE_COMMIT).kill().was_killed
        assert invariants.image(scene.url) == before
        assert scene.sync(SECOND_DAY).is_success
        assert invariants.breaches(scene.url, scene.store) == []
        assert invariants.leftovers(scene.url, scene.store) == []


# ---- any order


ACTS = ("full", "incremental", "bad day", "replay", "rollback", "refused")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_comes_in_whatever_order_the_newest_delivery_is_live(
    stage: Theatre, bases: Mapping[str, Base], dialect: str, seed: int
) -> None:
    """A seeded sequence of days against a model that knows only: who was delivered last, and is not taken back."""
    draw = random.Random(f"{seed}/{dialect}")
    acts = [*draw.sample(ACTS, len(ACTS)), *draw.choices(ACTS, k=2)]
    with stage.scene(bases[dialect]) as scene:
        day = FIRST_DAY
        for act in acts:
            image = invariants.image(scene.url)
            day = play(scene, act, day, image)
            assert invariants.breaches(scene.url, scene.store) == [], f"after {act} of {acts}"
        scene.registry.calm(day + timedelta(days=1))
        day += timedelta(days=1)
        assert scene.sync(day).is_success
        assert invariants.breaches(scene.url, scene.store) == [], f"after {acts}"
        assert invariants.leftovers(scene.url, scene.store) == []
        delivered = newest_delivery(scene)
        live = {key for (key,) in scene.rows("SELECT source_id FROM aed.aed_data WHERE data_status = 'active'")}
        waiting = {key for (key,) in scene.rows("SELECT source_id FROM aed.quarantine WHERE released_at IS NULL")}
        assert live - waiting == delivered - waiting


def newest_delivery(scene: Scene) -> set[str]:
    name = {"data_go_kr": "serialSeq", "egen": "equipment_serial"}[scene.dialect]
    return {str(record[name]) for *_, record in invariants.deliveries(scene.store, scene.newest()["fetch_id"])}


def play(scene: Scene, act: str, day: date, image: str) -> date:
    """Play one act on the next day; what must not change the registry is held against its image before."""
    following = day + timedelta(days=1)
    scene.registry.calm(following)
    match act:
        case "full" | "incremental":
            assert scene.sync(following, mode=act).is_success
            return following
        case "bad day":
            scene.registry.set(mutation="half_the_rows")
            assert not scene.sync(following).is_success
        case "refused":
            scene.registry.break_by({"fault": "html", "times": None})
            assert not scene.sync(following).is_success
        case "replay":
            return replayed(scene, day, image)
        case "rollback":
            return rolled_back(scene, day, image)
        case _:
            raise ValueError(act)
    assert invariants.image(scene.url) == image
    return following


def replayed(scene: Scene, day: date, image: str) -> date:
    """The newest published page set again changes nothing (S5)."""
    published = scene.rows(
        "SELECT i.day FROM ops.sync_runs AS r JOIN ops.ingest_ledger AS i USING (subject, fetch_id)"
        " WHERE r.status = 'published' ORDER BY r.token DESC LIMIT 1"
    )
    newest = scene.rows(
        "SELECT outcome FROM ops.ingest_ledger WHERE day = %s ORDER BY id DESC LIMIT 1", published[0][0]
    )
    if newest == [("published",)] and not is_rolled_back(scene):
        outcome = scene.replay(published[0][0])
        assert outcome.is_success, outcome.errors
        run = scene.newest()
        assert (run["mode"], run["inserted_rows"], run["updated_rows"], run["renamed_rows"]) == ("replay", 0, 0, 0)
        assert invariants.image(scene.url) == image
    return day


def is_rolled_back(scene: Scene) -> bool:
    newest = scene.rows("SELECT mode FROM ops.sync_runs WHERE status = 'published' ORDER BY token DESC LIMIT 1")
    return newest == [("rollback",)]


def rolled_back(scene: Scene, day: date, image: str) -> date:
    """The newest sync taken back, and that taken back: byte-equal (S6)."""
    newest = scene.rows(
        "SELECT token FROM ops.sync_runs WHERE status = 'published' AND mode <> 'rollback' AND token > 1"
        " AND token NOT IN (SELECT target_token FROM ops.sync_runs WHERE mode = 'rollback' AND status = 'published')"
        " ORDER BY token DESC LIMIT 1"
    )
    if newest:
        assert scene.roll_back(newest[0][0]).is_success
        taken_back = invariants.image(scene.url)
        assert scene.roll_back(scene.newest()["token"]).is_success
        assert invariants.image(scene.url) == image
        assert scene.roll_back(scene.newest()["token"]).is_success
        assert invariants.image(scene.url) == taken_back
    return day
