"""Every failpoint of backups × {kill, raise}: what is listed can be restored, and the same act again heals the rest.

Acts run in processes of their own. Invariants are those of the protocol: B1 to B5, R1 and R2.
"""

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from meva_pipelines.domain.backup.retention import Policy
from meva_pipelines.domain.backup.vocabulary import Extent
from meva_pipelines.quality import restored_copies
from meva_pipelines.resources import (
    backup_custody,
    backup_drill,
    backup_files,
    backup_files_restoring,
    backup_logical,
    backup_programs,
    backup_return,
    backup_scratch,
    backup_server,
)
from meva_pipelines.resources.failpoints import Point
from meva_pipelines_tests.fixtures import backups
from meva_pipelines_tests.fixtures.backups import REQUEST, Site
from meva_pipelines_tests.fixtures.warehouse import holders_of_locks

PATIENCE_S = 60
Act = Callable[[Site], None]
POINTS = [point for point in Point if point.value.startswith("backup.")]
AT_ONCE = Policy(window=timedelta(microseconds=1), minimum_redundancy=1, daily=0, weekly=0, monthly=0)


# ---- beginnings


def nothing(_: Site) -> None:
    return


def one_full(site: Site) -> None:
    site.full()


def three_fulls(site: Site) -> None:
    for _ in range(3):
        site.full()
    verify(site)


def some_files(site: Site) -> None:
    for number in range(5):
        (site.files / f"{number}.csv").write_text(f"{number}\n" * 100, encoding="utf-8")
    backup_files.take(site.postgres, site.vault, REQUEST, extent=Extent.FULL)
    into = site.folder / "back"
    into.mkdir()
    (into / "old").write_text("old", encoding="utf-8")


# ---- acts


def full(site: Site) -> None:
    site.full()


def log(site: Site) -> None:
    site.log()


def copy(site: Site) -> None:
    seen = backup_custody.survey(site.postgres, site.vault)
    _, failed = backup_custody.replicate(site.vault, seen, since={})
    assert not failed


def verify(site: Site) -> None:
    backup_custody.survey(site.postgres, site.vault)
    found = site.shelf.inventory()
    verified = backup_custody.verify(site.postgres, site.shelf, list(found.backups.values()))
    assert not verified.corrupted


def expire(site: Site) -> None:
    backup_custody.expire(site.postgres, site.vault, site.shelf, policy=AT_ONCE, ceiling=10, approved_by="test")


def drill(site: Site) -> None:
    (backup,) = site.shelf.inventory().backups.values()
    found = backup_drill.run(site.postgres, site.vault, site.shelf, backup, judge=restored_copies.breaches)
    assert found.is_passed


def restore_files(site: Site) -> None:
    (backup,) = site.shelf.inventory().backups.values()
    plan = backup_files_restoring.plan(site.shelf, backup.id)
    backup_files_restoring.restore(site.shelf, plan, site.folder / "back", at=site.now(), replaces=True)


OPERATIONS: Mapping[Point, tuple[Act, Act]] = {
    Point.BACKUP_PART_STORED: (nothing, full),
    Point.BACKUP_BEFORE_RECORD: (nothing, full),
    Point.BACKUP_AFTER_RECORD: (one_full, log),
    Point.BACKUP_WAL_RECEIVED: (one_full, log),
    Point.BACKUP_COPYING: (one_full, copy),
    Point.BACKUP_VERIFYING: (one_full, verify),
    Point.BACKUP_REMOVING: (three_fulls, expire),
    Point.BACKUP_EXPIRY_PLANNED: (three_fulls, expire),
    Point.BACKUP_RESTORE_EXTRACTED: (one_full, drill),
    Point.BACKUP_RESTORE_BEFORE_SWAP: (some_files, restore_files),
    Point.BACKUP_RESTORE_SWAPPED: (some_files, restore_files),
}


SPAWNED = multiprocessing.get_context("forkserver")
"""Processes come from a server without threads: what compresses and lists here has some, and must not fork."""

SPAWNED.set_forkserver_preload([__name__])


def forked(act: Act, site: Site, failpoints: str) -> int:
    """Run an act in a process of its own and return its exit code; negative: the signal that ended it."""
    process = SPAWNED.Process(target=_perform, args=(act, site.postgres.url, site.folder, failpoints))
    process.start()
    process.join(PATIENCE_S)
    if process.exitcode is None:
        process.kill()
        pytest.fail(f"{act.__name__} did not end within {PATIENCE_S} s")
    return process.exitcode


def _perform(act: Act, url: str, folder: Path, failpoints: str) -> None:
    os.environ["MEVA_FAILPOINTS"] = failpoints
    try:
        act(backups.located(url, folder))
    except BaseException:
        (folder / "fork.log").write_text(traceback.format_exc(), encoding="utf-8")
        raise


def demand_sound(site: Site) -> None:
    """What is listed can be read to its end, has its parent, and counts; the log has no gap (B1 to B4)."""
    backup_custody.survey(site.postgres, site.vault)
    for shelf in site.vault.shelves():
        found = shelf.inventory()
        assert found.unreadable == ()
        for backup in found.backups.values():
            shelf.verify(backup)
            assert backup.parent_id is None or backup.parent_id in found.backups


def demand_target_untouched_or_whole(site: Site) -> None:
    """An interrupted restore of files leaves the folder as it was, or complete (B5)."""
    into = site.folder / "back"
    if into.exists() and not (into / "old").exists():
        assert len(list(site.folder.glob("back.pre-restore-*/old"))) == 1, "the former folder is kept"
        assert sorted(path.name for path in (into / "files").iterdir()) == [f"{number}.csv" for number in range(5)]


def demand_nothing_left(site: Site) -> None:
    """No half-written file, no dead row, no lock, no scratch server (R2)."""
    backup_custody.collect(site.postgres, site.vault, backup_custody.survey(site.postgres, site.vault))
    for target in ("local", "archive"):
        root = site.folder / target
        assert not list(root.rglob("*.partial"))
        assert all((folder / "backup.json").exists() for folder in _folders(root / "backups"))
    assert site.rows("SELECT FROM backup.catalog WHERE status IN ('pending', 'in_progress')") == []
    assert holders_of_locks(site.postgres.dsn()) == []
    assert not list(scratch_folders(site))
    assert not list(site.folder.glob(".back.restoring-*"))


def _folders(root: Path) -> Iterator[Path]:
    return root.iterdir() if root.exists() else iter(())


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_anywhere_is_healed_by_the_same_act(backed_up: Site, point: Point) -> None:
    beginning, act = OPERATIONS[point]
    beginning(backed_up)
    usable = len(backed_up.shelf.inventory().backups)
    assert forked(act, backed_up, f"{point.value}:kill") == -signal.SIGKILL
    demand_sound(backed_up)
    demand_target_untouched_or_whole(backed_up)
    assert len(backed_up.shelf.inventory().backups) >= min(usable, 1)
    act(backed_up)
    demand_sound(backed_up)
    demand_nothing_left(backed_up)


@pytest.mark.parametrize("point", POINTS)
def test_an_error_anywhere_is_healed_by_the_same_act(backed_up: Site, point: Point) -> None:
    beginning, act = OPERATIONS[point]
    beginning(backed_up)
    assert forked(act, backed_up, f"{point.value}:raise") == 1
    assert f"injected at {point.value}" in (backed_up.folder / "fork.log").read_text(encoding="utf-8")
    demand_sound(backed_up)
    demand_target_untouched_or_whole(backed_up)
    act(backed_up)
    demand_sound(backed_up)
    demand_nothing_left(backed_up)


def one_dump(site: Site) -> None:
    backup_logical.take(site.postgres, site.vault, REQUEST)


def put_dump_in_place(site: Site) -> None:
    (backup,) = site.shelf.inventory().backups.values()
    live = site.postgres.dsn()
    with backup_server.session(live, work="test") as connection:
        programs = backup_programs.of_server(connection.info.server_version)
    with backup_logical.restored(live, site.shelf, backup) as copy:
        backup_return.instead(copy, live, programs=programs)


@pytest.mark.parametrize(("action", "code"), [("kill", -signal.SIGKILL), ("raise", 1)])
def test_a_database_is_exchanged_or_as_it_was(backed_up: Site, action: str, code: int) -> None:
    one_dump(backed_up)
    backed_up.execute("UPDATE public.specimen SET mark = 'live'")
    assert forked(put_dump_in_place, backed_up, f"{Point.BACKUP_RESTORE_BEFORE_SWAP.value}:{action}") == code
    assert backed_up.rows("SELECT DISTINCT mark FROM public.specimen") == [("live",)]
    put_dump_in_place(backed_up)
    assert backed_up.rows("SELECT count(*) FROM public.specimen WHERE mark = 'live'") == [(0,)]
    ((kept,),) = backed_up.rows("SELECT datname FROM pg_database WHERE datname LIKE 'meva\\_%%'")
    assert kept.startswith("meva_before_restore_")
    backed_up.execute(f'DROP DATABASE "{kept}"')


def test_every_point_of_backups_is_played() -> None:
    assert set(OPERATIONS) == set(POINTS)


def test_a_restore_interrupted_twice_leaves_no_server_behind(backed_up: Site) -> None:
    backed_up.full()
    for _ in range(2):
        code = forked(drill, backed_up, f"{Point.BACKUP_RESTORE_EXTRACTED.value}:kill")
        assert code == -signal.SIGKILL
    assert len(list(scratch_folders(backed_up))) == 1, "the second swept what the first left"
    drill(backed_up)
    assert not list(scratch_folders(backed_up))


def scratch_folders(site: Site) -> Iterator[Path]:
    """Scratch folders of a site, wherever root had to put them."""
    base, _ = backup_scratch.root(site.vault)
    yield from base.glob(f"{backup_scratch.PREFIX}*")
