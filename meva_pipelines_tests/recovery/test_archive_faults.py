"""What happens to old rows on their way into cold files: rows that change, files that rot, two at once, the dead.

Whatever it is, every row stays where readers find it, once; and the same job again heals the rest.
"""

import ast
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import meva_pipelines
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.sandbox import firing_files
from meva_pipelines.sandbox.firings import Season
from meva_pipelines_tests.recovery import archive_invariants, invariants, old_rows
from meva_pipelines_tests.recovery.invariants import Content
from meva_pipelines_tests.recovery.old_rows import demand_healed, demand_sound, held, woken
from meva_pipelines_tests.recovery.test_database_faults import behind_a_proxy
from meva_pipelines_tests.recovery.theatre import Base, Scene, Theatre

IMAGES, MEASURED, SIMULATED = "aed_history", "test_time_series", "simulation_time_series"
DELETED = "DELETE FROM aed.aed_history WHERE source_id = '3'"
CHANGED = "UPDATE aed.aed_history SET remarks = 'changed' WHERE source_id = '3'"
CHANGES = {
    "inserted": old_rows.IMAGES.replace("'egen'", "'late'"),
    "changed": CHANGED,
    "deleted": DELETED,
}
CLOCKS = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"), ("time", "time")}
HELD = """
INSERT INTO mgg.archive_holds (table_name, start_date, end_date, reason, held_by, until)
VALUES ('aed_history', '2024-02-01Z', '2024-02-02Z', 'a case', 'test', now() + interval '1 day')
"""
PARENT_DELETED = """
DELETE FROM mgg.pt_comparisons WHERE simulation_id = 1;
ALTER TABLE mgg.forward_simulations DISABLE TRIGGER forward_simulations_kept;
DELETE FROM mgg.forward_simulations WHERE id = 1;
ALTER TABLE mgg.forward_simulations ENABLE TRIGGER forward_simulations_kept
"""


@pytest.fixture
def scene(stage: Theatre) -> Iterator[Scene]:
    """A warehouse with old rows, all of them hot."""
    with stage.scene(old_rows.base(stage)) as lent:
        yield lent


def folder_of(scene: Scene, table: str) -> Path:
    return scene.store / "parquet_archive" / table


# ---- rows that change between plan and commit


@pytest.mark.parametrize(
    ("point", "change"),
    [
        (Point.ARCHIVE_PLANNED, "inserted"),
        (Point.ARCHIVE_MANIFEST_WRITTEN, "changed"),
        (Point.ARCHIVE_REREAD, "deleted"),
        (Point.PUBLISH_LOCKED, "inserted"),
        (Point.PUBLISH_LOCKED, "changed"),
        (Point.PUBLISH_LOCKED, "deleted"),
    ],
)
def test_rows_that_change_on_the_way_stay_and_leave_with_the_next_generation(
    scene: Scene, point: Point, change: str
) -> None:
    running = held(scene, IMAGES, point)
    scene.change(CHANGES[change])
    changed = old_rows.truth(scene)
    outcome = woken(running)
    assert not outcome.is_success
    assert "Rejected" in outcome.errors
    assert changed.differences(old_rows.truth(scene)) == []
    demand_sound(scene, changed)
    demand_healed(scene, IMAGES, changed)
    assert old_rows.batches(scene, IMAGES) == [(1, "failed"), (2, "committed")]


@pytest.mark.parametrize("point", [Point.ARCHIVE_MANIFEST_WRITTEN, Point.PUBLISH_LOCKED])
def test_a_series_that_went_with_its_parent_is_noticed(scene: Scene, point: Point) -> None:
    """Nobody may delete a parent; whoever does so by force takes half of the rows along."""
    running = held(scene, SIMULATED, point)
    before = old_rows.hot(scene, SIMULATED)
    scene.change(PARENT_DELETED)
    changed = old_rows.truth(scene)
    assert not woken(running).is_success
    assert old_rows.hot(scene, SIMULATED) == before // 2
    demand_sound(scene, changed)
    demand_healed(scene, SIMULATED, changed)


def test_a_curve_whose_published_numbers_do_not_follow_from_it_stays_hot(scene: Scene) -> None:
    before = old_rows.hot(scene, SIMULATED)
    scene.change("UPDATE mgg.simulation_time_series SET pressure = pressure + 1 WHERE simulation_id = 1")
    changed = old_rows.truth(scene)
    for _ in range(2):
        outcome = old_rows.archive(scene, SIMULATED)
        assert not outcome.is_success
        assert "curves_are_those_published" in outcome.errors
        assert old_rows.hot(scene, SIMULATED) == before
        demand_sound(scene, changed)


def test_late_data_leave_in_a_further_part(scene: Scene) -> None:
    assert old_rows.archive(scene, SIMULATED).is_success
    late = Season(orders=1, repeats=1, first_day=old_rows.SEASON.first_day.replace(month=3), simulated_points=7)
    firing_files.write(firing_files.simulation_files(late), scene.landing / "simulations")
    assert scene.run("simulation_intake", day=old_rows.today()).is_success
    assert old_rows.hot(scene, SIMULATED) == 2 * 7
    truth = old_rows.truth(scene)
    demand_sound(scene, truth)
    assert old_rows.archive(scene, SIMULATED).is_success
    assert old_rows.hot(scene, SIMULATED) == 0
    assert old_rows.batches(scene, SIMULATED) == [(1, "committed"), (2, "committed")]
    demand_sound(scene, truth)


# ---- what is decided between plan and commit


DECISIONS: dict[str, tuple[str, str]] = {
    "no policy": ("DELETE FROM mgg.retention_policies WHERE table_name = 'aed_history'", "no retention policy"),
    "a longer policy": ("UPDATE mgg.retention_policies SET retention_days = 10000", "hot until"),
    "no deletion": ("UPDATE mgg.retention_policies SET delete_after_archive = false", "keeps rows"),
    "a hold": (HELD, "held until"),
}


@pytest.mark.parametrize("name", DECISIONS)
def test_a_decision_that_comes_in_between_keeps_the_rows(scene: Scene, name: str) -> None:
    statement, says = DECISIONS[name]
    truth = old_rows.truth(scene)
    running = held(scene, IMAGES, Point.PUBLISH_LOCKED)
    scene.change(statement)
    outcome = woken(running)
    assert not outcome.is_success
    assert says in outcome.errors
    assert old_rows.hot(scene, IMAGES) == 40
    demand_sound(scene, truth)


def test_the_clock_of_the_database_decides_to_the_day(scene: Scene) -> None:
    """A period is due a day after its rows are old enough; half a day of error on either side would show."""
    ((days,),) = scene.rows("SELECT extract(day FROM clock_timestamp() - timestamptz '2024-04-01Z')::int - 1")
    policy = "UPDATE mgg.retention_policies SET retention_days = %s WHERE table_name = 'aed_history'"
    scene.change(policy, days + 1)
    outcome = old_rows.archive(scene, IMAGES)
    assert "hot until" in outcome.errors
    assert old_rows.hot(scene, IMAGES) == 40
    scene.change(policy, days)
    assert old_rows.archive(scene, IMAGES).is_success
    assert old_rows.hot(scene, IMAGES) == 0


def test_no_step_of_the_archive_asks_the_clock_of_its_process() -> None:
    root = Path(meva_pipelines.__file__).parent
    modules = [path for name in ("archive*", "cold_*", "hot_and_cold") for path in root.rglob(f"{name}.py")]
    modules += root.joinpath("domain", "archive").glob("*.py")
    assert len(modules) > 20
    asked = [
        f"{path.name}: {ast.unparse(node)}"
        for path in modules
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and (node.value.id, node.attr) in CLOCKS
    ]
    assert asked == []


# ---- two at once, and the dead who come back


@pytest.mark.parametrize(
    ("table", "point"),
    [
        (SIMULATED, Point.ARCHIVE_PLANNED),
        (MEASURED, Point.ARCHIVE_OBJECT_WRITTEN),
        (IMAGES, Point.ARCHIVE_REREAD),
        (IMAGES, Point.PUBLISH_AFTER_COMMIT),
    ],
)
def test_an_archiver_that_was_overtaken_changes_nothing(scene: Scene, table: str, point: Point) -> None:
    truth = old_rows.truth(scene)
    older = held(scene, table, point)
    assert old_rows.archive(scene, table).is_success
    old_rows.demand_cold(scene, table, truth)
    late = woken(older)
    assert late.is_success is (point is Point.PUBLISH_AFTER_COMMIT)
    assert late.is_success or "Superseded" in late.errors
    old_rows.demand_cold(scene, table, truth)
    old_rows.tomorrow(scene)
    old_rows.demand_cold(scene, table, truth)


@pytest.mark.parametrize("point", [Point.ARCHIVE_RELEASE_LOCKED, Point.PUBLISH_BEFORE_COMMIT])
def test_an_archiver_that_holds_the_lock_already_is_not_overtaken(scene: Scene, point: Point) -> None:
    """The newer one waits for it, and says that nothing was left, or that it came too late."""
    truth = old_rows.truth(scene)
    older = held(scene, IMAGES, point)
    newer = old_rows.start(scene, IMAGES)
    scene.await_waiting()
    assert woken(older).is_success
    newer.end()
    old_rows.demand_cold(scene, IMAGES, truth)
    demand_healed(scene, IMAGES, truth)


def test_rows_that_are_just_coming_back_are_not_taken_away_again(scene: Scene) -> None:
    truth = old_rows.truth(scene)
    assert old_rows.archive(scene, IMAGES).is_success
    coming = old_rows.start_restore(scene, IMAGES, failpoints=f"{Point.ARCHIVE_ROWS_RETURNED.value}:sleep")
    coming.await_point(Point.ARCHIVE_ROWS_RETURNED.value)
    coming.freeze()
    archiving = old_rows.start(scene, IMAGES)
    scene.await_waiting()
    assert woken(coming).is_success
    outcome = archiving.end()
    assert outcome.is_success or "held until" in outcome.errors, outcome.errors
    assert old_rows.hot(scene, IMAGES) == 40
    demand_sound(scene, truth)


def test_two_periods_of_a_table_leave_at_once(scene: Scene) -> None:
    truth = old_rows.truth(scene)
    first = held(scene, SIMULATED, Point.ARCHIVE_RELEASE_LOCKED)
    second = old_rows.start(scene, SIMULATED, period="2024-Q2")
    scene.await_waiting()
    assert woken(first).is_success
    outcome = second.end()
    assert outcome.is_success, outcome.errors
    assert scene.rows("SELECT count(*) FROM mgg.simulation_time_series") == [(0,)]
    demand_sound(scene, truth)
    assert invariants.leftovers(scene.url, scene.store) == []


# ---- readers


@contextmanager
def watching(scene: Scene, table: str, seen: list[Content]) -> Iterator[None]:
    """Read hot and cold rows again and again, as a reader does."""
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            seen.append(old_rows.as_readers_see(scene, [table]))

    reader = threading.Thread(target=look)
    reader.start()
    try:
        yield
    finally:
        is_over.set()
        reader.join(60)


def test_readers_see_every_row_once_while_rows_leave_and_come_back(scene: Scene) -> None:
    truth, seen = old_rows.truth(scene), list[Content]()
    with watching(scene, "mgg.test_time_series", seen):
        leaving = held(scene, MEASURED, Point.ARCHIVE_ROWS_GONE)
        time.sleep(0.3)
        assert woken(leaving).is_success
        assert old_rows.restore(scene, MEASURED).is_success
    assert len(seen) > 3
    assert [told for each in seen for told in each.differences(truth)] == []


# ---- files that are not what was written


def flip(path: Path, place: float) -> None:
    content = bytearray(path.read_bytes())
    content[int((len(content) - 1) * place)] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a bit of the first page": lambda path: flip(path, 0.01),
    "a bit of the footer": lambda path: flip(path, 0.98),
    "the last bytes": truncate,
    "the file": Path.unlink,
    "a bit of the manifest": lambda path: flip(path.with_suffix(".json"), 0.5),
    "the manifest": lambda path: path.with_suffix(".json").unlink(),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_file_that_was_damaged_before_it_was_proved_is_never_relied_upon(scene: Scene, name: str) -> None:
    truth = old_rows.truth(scene)
    assert old_rows.archive(scene, MEASURED, failpoints=f"{Point.ARCHIVE_REREAD.value}:kill").was_killed
    DAMAGES[name](folder_of(scene, MEASURED) / "2024-Q1.parquet")
    outcome = old_rows.archive(scene, MEASURED)
    assert not outcome.is_success
    assert old_rows.hot(scene, MEASURED) == old_rows.POINTS
    assert old_rows.as_readers_see(scene).differences(truth) == []
    demand_healed(scene, MEASURED, truth)
    assert old_rows.batches(scene, MEASURED) == [(1, "failed"), (2, "committed")]


def test_a_file_that_was_damaged_before_anybody_knew_of_it_is_left_aside(scene: Scene) -> None:
    truth = old_rows.truth(scene)
    assert old_rows.archive(scene, MEASURED, failpoints=f"{Point.ARCHIVE_OBJECT_WRITTEN.value}:kill").was_killed
    flip(folder_of(scene, MEASURED) / "2024-Q1.parquet", 0.5)
    demand_healed(scene, MEASURED, truth)
    assert old_rows.batches(scene, MEASURED) == [(1, "failed"), (2, "committed")]


def test_two_files_that_were_swapped_are_both_refused(scene: Scene) -> None:
    truth = old_rows.truth(scene)
    for period in ("2024-Q1", "2024-Q2"):
        failpoints = f"{Point.ARCHIVE_REREAD.value}:kill"
        assert old_rows.archive(scene, SIMULATED, period=period, failpoints=failpoints).was_killed
    folder = folder_of(scene, SIMULATED)
    for suffix in ("parquet", "json"):
        one, other = (folder / f"{period}.{suffix}" for period in ("2024-Q1", "2024-Q2"))
        first, second = one.read_bytes(), other.read_bytes()
        one.write_bytes(second)
        other.write_bytes(first)
    for period in ("2024-Q1", "2024-Q2"):
        assert not old_rows.archive(scene, SIMULATED, period=period).is_success
    assert old_rows.hot(scene, SIMULATED) == 80
    demand_healed(scene, SIMULATED, truth)
    old_rows.tomorrow(scene)
    demand_sound(scene, truth)


def test_a_full_disk_is_named_and_leaves_no_partial_file(scene: Scene) -> None:
    truth = old_rows.truth(scene)
    outcome = old_rows.archive(scene, MEASURED, file_limit=4_000)
    assert not outcome.is_success
    assert "cannot write object parquet_archive/test_time_series/2024-Q1.parquet" in outcome.errors
    assert "File too large" in outcome.errors
    assert [path for path in folder_of(scene, MEASURED).iterdir() if path.is_file()] == []
    demand_sound(scene, truth)
    demand_healed(scene, MEASURED, truth)


# ---- the database goes away


@pytest.mark.parametrize("passes_commit", [True, False])
def test_a_commit_whose_answer_was_lost_is_found_out_from_the_ledger(scene: Scene, *, passes_commit: bool) -> None:
    truth = old_rows.truth(scene)
    with behind_a_proxy(scene, passes_commit=passes_commit) as proxy:
        outcome = old_rows.archive(scene, SIMULATED)
    assert proxy.cuts >= 1
    assert outcome.is_success is passes_commit, outcome.errors
    assert old_rows.hot(scene, SIMULATED) == (0 if passes_commit else 80)
    demand_sound(scene, truth)
    demand_healed(scene, SIMULATED, truth)


@pytest.mark.parametrize("point", [Point.ARCHIVE_REREAD, Point.ARCHIVE_ROWS_GONE])
def test_a_session_that_is_ended_costs_the_run_and_nothing_else(scene: Scene, point: Point) -> None:
    truth = old_rows.truth(scene)
    running = held(scene, SIMULATED, point)
    scene.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name ^@ 'meva '"
    )
    outcome = woken(running)
    assert not outcome.is_success
    assert "Unavailable" in outcome.errors
    demand_sound(scene, truth)
    demand_healed(scene, SIMULATED, truth)


# ---- rows that came back


def test_what_came_back_is_left_alone_until_its_hold_is_over_and_leaves_without_a_new_file(scene: Scene) -> None:
    truth = old_rows.truth(scene)
    assert old_rows.archive(scene, MEASURED).is_success
    files = {path.name: path.stat().st_mtime_ns for path in folder_of(scene, MEASURED).iterdir()}
    assert old_rows.restore(scene, MEASURED).is_success
    demand_sound(scene, truth)
    outcome = old_rows.archive(scene, MEASURED)
    assert "held until" in outcome.errors
    assert old_rows.hot(scene, MEASURED) == old_rows.POINTS
    end_holds(scene)
    demand_healed(scene, MEASURED, truth)
    assert old_rows.batches(scene, MEASURED) == [(1, "committed")]
    assert {path.name: path.stat().st_mtime_ns for path in folder_of(scene, MEASURED).iterdir()} == files
    assert scene.rows("SELECT count(*) FROM ops.deletion_ledger WHERE kind = 'archive'") == [(2,)]


def test_what_came_back_and_was_changed_leaves_in_a_further_part_that_counts(scene: Scene) -> None:
    assert old_rows.archive(scene, IMAGES).is_success
    assert old_rows.restore(scene, IMAGES).is_success
    scene.change(CHANGED)
    truth = old_rows.truth(scene)
    demand_sound(scene, truth)
    end_holds(scene)
    assert old_rows.archive(scene, IMAGES).is_success
    assert old_rows.hot(scene, IMAGES) == 0
    assert old_rows.batches(scene, IMAGES) == [(1, "committed"), (2, "committed")]
    demand_sound(scene, truth)


def test_a_damaged_part_is_not_brought_back(scene: Scene) -> None:
    assert old_rows.archive(scene, MEASURED).is_success
    flip(folder_of(scene, MEASURED) / "2024-Q1.parquet", 0.3)
    outcome = old_rows.restore(scene, MEASURED)
    assert not outcome.is_success
    assert "Rejected" in outcome.errors
    assert old_rows.hot(scene, MEASURED) == 0
    assert scene.rows("SELECT FROM mgg.archive_holds") == []


def end_holds(scene: Scene) -> None:
    """Let the time of every hold be over."""
    scene.change(
        "UPDATE mgg.archive_holds SET created_at = created_at - interval '1 year', until = until - interval '1 year'"
    )


# ---- who looks


WRONGS: dict[str, tuple[str, str]] = {
    "a hot row gone": (DELETED, "aed.aed_history: 0 rows too many, 1 missing"),
    "a row changed": (
        "UPDATE mgg.test_time_series SET pressure = 0 WHERE sequence_number = 1400",
        "mgg.test_time_series: ",
    ),
    "another digest": ("UPDATE mgg.archive_batches SET digest = '1'", "the books say something else"),
    "another number": ("UPDATE ops.deletion_ledger SET executed_rows = 1", "is not what was proved"),
    "no verdict": ("DELETE FROM ops.audit_verdicts", "was not judged"),
    "no ledger": ("DELETE FROM ops.deletion_ledger", "nothing says what left"),
    "no hold": ("DELETE FROM mgg.archive_holds", "are hot and cold, and 0 were restored"),
    "a zombie": ("UPDATE ops.sync_runs SET status = 'staged' WHERE mode = 'archive'", "deleted and is not published"),
    "a log gone": (
        "DELETE FROM mgg.operation_logs WHERE chain_position = 2",
        "place 2 of the chain of logs is missing",
    ),
    "the last log gone": (
        "DELETE FROM mgg.operation_logs WHERE chain_position = (SELECT position FROM mgg.operation_log_head)",
        "the head of the chain",
    ),
}


@pytest.mark.parametrize("name", WRONGS)
def test_the_invariants_notice_what_nobody_may_do(stage: Theatre, name: str) -> None:
    act, says = WRONGS[name]
    with stage.scene(came_back(stage)) as scene:
        truth = old_rows.truth(scene)
        demand_sound(scene, truth)
        scene.change(f"SET session_replication_role = replica; {act}")
        found = archive_invariants.breaches(scene.url, old_rows.store_url(scene), truth)
        assert [told for told in found if says in told], found


def came_back(stage: Theatre) -> Base:
    """A quarter of simulated curves was archived and came back."""
    if "came back" not in stage.bases:
        with stage.scene(old_rows.base(stage)) as scene:
            assert old_rows.archive(scene, SIMULATED).is_success
            assert old_rows.restore(scene, SIMULATED).is_success
            stage.bases["came back"] = stage.keep(scene, old_rows.today())
    return stage.bases["came back"]
