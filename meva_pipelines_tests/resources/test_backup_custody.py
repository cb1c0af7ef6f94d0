"""Custody: copies, sampling, expiry with its ledger, and faults of targets, clocks and records."""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from meva_pipelines.assets.backup import log_gaps
from meva_pipelines.domain.backup import records
from meva_pipelines.domain.backup.retention import Policy
from meva_pipelines.domain.backup.vocabulary import Method
from meva_pipelines.domain.backup.wal import Gap
from meva_pipelines.domain.failures import Refused, Unavailable, Unusable
from meva_pipelines.quality import restored_copies
from meva_pipelines.resources import backup_catalog, backup_custody, backup_drill, backup_restoring, backup_server
from meva_pipelines.resources.backup_catalog import Proof
from meva_pipelines.resources.backup_restoring import Goal
from meva_pipelines.resources.backup_taking import Vault
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.domain.backup.shelf_of_records import START, made
from meva_pipelines_tests.fixtures.backups import KEY, OTHER_KEY, Site

AT_ONCE = Policy(window=timedelta(microseconds=1), minimum_redundancy=1, daily=0, weekly=0, monthly=0)


def copied(site: Site) -> dict[str, list[str]]:
    """Copy and enter what is missing as the catalogue does it, and return what was copied where."""
    with site.postgres.connect(Role.READER, work="test") as connection:
        since = backup_custody.first_wanted(connection)
    done, _ = backup_custody.replicate(site.vault, backup_custody.survey(site.postgres, site.vault), since=since)
    backup_custody.survey(site.postgres, site.vault)
    return done


def verified(site: Site) -> None:
    backup_custody.survey(site.postgres, site.vault)
    backup_custody.verify(site.postgres, site.shelf, list(site.shelf.inventory().backups.values()))


def expire(site: Site, *, ceiling: int = 10) -> tuple[str, ...]:
    return backup_custody.expire(
        site.postgres, site.vault, site.shelf, policy=AT_ONCE, ceiling=ceiling, approved_by="test"
    ).removed


def test_expiry_removes_whole_chains_and_writes_the_ledger(backed_up: Site) -> None:
    old = [backed_up.full(), backed_up.increment()]
    kept = [backed_up.full(), backed_up.full()]
    verified(backed_up)
    assert set(expire(backed_up)) == {old[0].id, old[1].id, kept[0].id}
    assert set(backed_up.shelf.inventory().backups) == {kept[1].id}
    assert backed_up.rows("SELECT kind, rows, executed_rows, approved_by FROM ops.deletion_ledger") == [
        ("expiry", 3, 3, "test")
    ]
    assert backed_up.rows("SELECT status, count(*) FROM backup.catalog GROUP BY 1 ORDER BY 1") == [
        ("completed", 1),
        ("expired", 3),
    ]
    assert expire(backed_up) == ()


def test_above_the_ceiling_nothing_goes(backed_up: Site) -> None:
    for _ in range(3):
        backed_up.full()
    verified(backed_up)
    with pytest.raises(Refused, match="2 backups would expire"):
        expire(backed_up, ceiling=1)
    assert len(backed_up.shelf.inventory().backups) == 3
    assert backed_up.rows("SELECT FROM ops.deletion_ledger") == []


def test_what_was_never_verified_lets_nothing_go(backed_up: Site) -> None:
    for _ in range(3):
        backed_up.full()
    assert expire(backed_up) == ()


def test_a_hold_lies_on_the_target_and_holds(backed_up: Site) -> None:
    first, _ = backed_up.full(), backed_up.full()
    backup_custody.hold(backed_up.postgres, backed_up.vault, backed_up.shelf, first.id, reason="audit", by="auditor")
    verified(backed_up)
    assert expire(backed_up) == ()
    (backed_up.stored(first, "hold.json")).write_text("{", encoding="utf-8")
    assert expire(backed_up) == (), "a hold that cannot be read holds all the same"
    backed_up.shelf.lift(first.id)
    assert expire(backed_up) == (first.id,)


def test_a_hold_is_not_missed_by_an_expiry_that_has_decided(backed_up: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hold that was set between the decision and the removal was removed with its backup."""
    first, _ = backed_up.full(), backed_up.full()
    verified(backed_up)
    vault = backed_up.vault.model_copy(update={"patience_s": 30.0})
    monkeypatch.setenv("MEVA_FAILPOINTS", f"{Point.BACKUP_EXPIRY_PLANNED.value}:sleep")
    with ThreadPoolExecutor(1) as pool:
        expiring = pool.submit(expire, backed_up)
        while not backed_up.rows("SELECT FROM ops.deletion_ledger"):
            time.sleep(0.01)
        with pytest.raises(Refused, match="holds no backup"):
            backup_custody.hold(backed_up.postgres, vault, backed_up.shelf, first.id, reason="audit", by="auditor")
        assert expiring.result() == (first.id,)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"digest": 1, "record": []}'])
def test_a_garbage_record_lets_nothing_go(backed_up: Site, content: bytes) -> None:
    backups = [backed_up.full() for _ in range(3)]
    verified(backed_up)
    backed_up.stored(backups[1], "backup.json").write_bytes(content)
    assert expire(backed_up) == ()
    with pytest.raises(Unusable):
        backed_up.shelf.record(backups[1].id)


def test_a_stranger_on_the_target_lets_nothing_go(backed_up: Site) -> None:
    for _ in range(3):
        backed_up.full()
    verified(backed_up)
    (backed_up.folder / "local" / "backups" / "somebody's folder").mkdir()
    assert expire(backed_up) == ()


def test_a_swapped_record_is_refused(backed_up: Site) -> None:
    one, two = backed_up.full(), backed_up.full()
    backed_up.stored(one, "backup.json").write_bytes(records.written(two))
    assert backed_up.shelf.inventory().unreadable == (one.id,)


def test_two_sound_bases_that_were_exchanged_are_refused(backed_up: Site) -> None:
    one, two = backed_up.full(), backed_up.full()
    first, second = backed_up.stored(one), backed_up.stored(two)
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    for backup in (one, two):
        with pytest.raises(Unusable):
            backed_up.shelf.verify(backup)
    with pytest.raises(Unusable), backup_restoring.restored(backed_up.vault, backed_up.shelf, Goal()):
        pytest.fail("a copy was opened from an exchanged base")


def test_a_missing_segment_is_a_gap_and_ends_the_reach(backed_up: Site) -> None:
    full = backed_up.full()
    first = backed_up.log()
    lost = backed_up.log()
    backed_up.log()
    backed_up.shelf.remove(lost.id)
    route = backup_restoring.plan(backed_up.shelf, Goal())
    assert (route.bases, route.covers_until) == ((full,), first.covers_until)


def test_the_difference_is_copied_when_a_target_comes_back(backed_up: Site) -> None:
    taken = [backed_up.full(), backed_up.log()]
    seen = backup_custody.survey(backed_up.postgres, backed_up.vault)
    copied, failed = backup_custody.replicate(backed_up.vault, seen, since={})
    assert (copied, failed) == ({"archive": [backup.id for backup in taken]}, {})
    again = backup_custody.survey(backed_up.postgres, backed_up.vault)
    assert backup_custody.replicate(backed_up.vault, again, since={}) == ({}, {})
    for backup in taken:
        backed_up.archive.verify(backup)


def test_what_expired_on_a_target_is_not_copied_back(backed_up: Site) -> None:
    for _ in range(2):
        backed_up.full()
    seen = backup_custody.survey(backed_up.postgres, backed_up.vault)
    backup_custody.replicate(backed_up.vault, seen, since={})
    verified(backed_up)
    (gone,) = expire(backed_up)
    with backed_up.postgres.connect(Role.READER, work="test") as connection:
        since = backup_custody.first_wanted(connection)
    seen = backup_custody.survey(backed_up.postgres, backed_up.vault)
    assert backup_custody.replicate(backed_up.vault, seen, since=since) == ({}, {})
    assert gone not in backed_up.shelf.inventory().backups


def test_the_first_target_is_full_so_the_second_takes_it(backed_up: Site) -> None:
    vault = backed_up.vault.model_copy(update={"url": f"local=file:///proc,archive={backed_up.archive.target.place}"})
    site = Site(backed_up.postgres, vault, backed_up.folder)
    taken = site.full()
    assert set(backed_up.archive.inventory().backups) == {taken.id}


def test_no_target_at_all_is_said(backed_up: Site) -> None:
    vault = backed_up.vault.model_copy(update={"url": "file:///proc/nowhere"})
    with pytest.raises(Unavailable, match="cannot"):
        Site(backed_up.postgres, vault, backed_up.folder).full()


def test_a_share_is_read_every_day_and_everything_in_a_week(backed_up: Site) -> None:
    for _ in range(8):
        backed_up.log() if backed_up.rows("SELECT FROM backup.catalog") else backed_up.full()
    backup_custody.survey(backed_up.postgres, backed_up.vault)
    found = backed_up.shelf.inventory()
    with backed_up.postgres.connect(Role.READER, work="test") as connection:
        now = backup_server.clock(connection)
        assert len(backup_custody.due(connection, backed_up.shelf, found, now=now)) == 8
    verified(backed_up)
    with backed_up.postgres.connect(Role.READER, work="test") as connection:
        assert len(backup_custody.due(connection, backed_up.shelf, found, now=now)) == 2
        later = now + timedelta(days=8)
        assert len(backup_custody.due(connection, backed_up.shelf, found, now=later)) == 8


def test_a_catalogue_that_forgot_is_read_from_the_targets_again(backed_up: Site) -> None:
    """As after a restore of the database to an earlier moment; and no number is given out twice."""
    backups = [backed_up.full(), backed_up.log()]
    backed_up.execute("TRUNCATE backup.proofs, backup.copies, backup.catalog")
    third = backed_up.full()
    assert third.sequence == 3
    backup_custody.survey(backed_up.postgres, backed_up.vault)
    assert backed_up.rows("SELECT backup_id, status FROM backup.catalog ORDER BY sequence") == [
        (backup.id, "completed") for backup in (*backups, third)
    ]


def test_a_wrong_key_is_corruption_until_it_is_there_again(backed_up: Site) -> None:
    full = backed_up.full()
    stranger = backed_up.keyed(OTHER_KEY)
    found = backup_custody.verify(backed_up.postgres, stranger.shelf("local"), [full])
    assert "not at hand" in found.corrupted[full.id]
    rotated = backed_up.keyed(f"{OTHER_KEY},{KEY}")
    assert backup_custody.verify(backed_up.postgres, rotated.shelf("local"), [full]).sound == (full.id,)
    assert backed_up.rows("SELECT status FROM backup.copies") == [("completed",)]


@pytest.mark.parametrize(
    "url", ["", "ftp://x/y", "local=file:///a,local=file:///b", "two words=file:///a", "local=/no/scheme"]
)
def test_a_setting_that_names_no_targets_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(Refused):
        Vault(url=url, home=str(tmp_path)).shelves()


def test_a_copy_that_was_lost_is_made_up_for_although_it_never_expired(backed_up: Site) -> None:
    """Whoever removes a bad copy by hand gets it back from another target, and older ones as well."""
    taken = [backed_up.full(), backed_up.log()]
    copied(backed_up)
    for backup in taken:
        shutil.rmtree(backed_up.folder / "archive" / "backups" / backup.id)
    assert copied(backed_up) == {"archive": [backup.id for backup in taken]}


def test_a_record_that_cannot_be_read_is_a_corrupted_copy_and_is_copied_anew(backed_up: Site) -> None:
    full = backed_up.full()
    copied(backed_up)
    backed_up.stored(full, "backup.json", "archive").write_bytes(b"{}")
    backup_custody.survey(backed_up.postgres, backed_up.vault)
    statuses = "SELECT target, status FROM backup.copies ORDER BY target"
    assert backed_up.rows(statuses) == [("archive", "corrupted"), ("local", "completed")]
    assert copied(backed_up) == {"archive": [full.id]}
    backup_custody.verify(backed_up.postgres, backed_up.archive, [full])
    assert backed_up.rows(statuses) == [("archive", "completed"), ("local", "completed")]


def test_a_bad_copy_is_not_spread_and_takes_no_child_along(backed_up: Site) -> None:
    full, child = backed_up.full(), backed_up.increment()
    path = backed_up.stored(full)
    sound = path.read_bytes()
    path.write_bytes(sound[:-1])
    assert copied(backed_up) == {}
    assert not list((backed_up.folder / "archive").rglob("*.tar")), "nothing half-copied stays"
    path.write_bytes(sound)
    assert copied(backed_up) == {"archive": [full.id, child.id]}


def test_the_second_source_is_asked_where_the_first_is_bad(backed_up: Site) -> None:
    full = backed_up.full()
    copied(backed_up)
    path = backed_up.stored(full)
    path.write_bytes(path.read_bytes()[:-1])
    third = (backed_up.folder / "emergency").as_uri()
    wider = Site(
        backed_up.postgres,
        backed_up.vault.model_copy(update={"url": f"{backed_up.vault.url},emergency={third}"}),
        backed_up.folder,
    )
    assert copied(wider) == {"emergency": [full.id]}
    wider.vault.shelf("emergency").verify(full)


def test_a_backup_that_came_after_the_look_is_not_taken_for_expired(backed_up: Site) -> None:
    backed_up.full()
    looked_at, found = backed_up.now(), backed_up.shelf.inventory()
    late = backed_up.full()
    with backed_up.postgres.connect(Role.WRITER, work="test") as connection:
        backup_catalog.mirror(connection, "local", "file:///", found, looked_at=looked_at)
    assert backed_up.rows("SELECT status FROM backup.copies WHERE backup_id = %s", late.id) == [("completed",)]


def test_a_part_that_cannot_be_read_stops_no_other_and_is_not_called_corrupted(backed_up: Site) -> None:
    """A bad sector: reading fails, which says nothing of what was written."""
    bad, good = backed_up.full(), backed_up.full()
    path = backed_up.stored(bad)
    path.unlink()
    path.symlink_to("/proc/self/mem")  # reading its beginning is an input/output error
    found = backup_custody.verify(backed_up.postgres, backed_up.shelf, [bad, good])
    assert (found.sound, found.corrupted, len(found.unread)) == ((good.id,), {}, 1)
    assert "Input/output error" in found.unread[0]


def test_only_reading_makes_a_corrupted_copy_sound_again(backed_up: Site) -> None:
    """A drill reads the base and the fingerprints: the manifest, which increments need, may be bad all the same."""
    full = backed_up.full()
    path = backed_up.stored(full, "manifest")
    path.write_bytes(path.read_bytes()[:-1])
    verified(backed_up)
    drill = backup_drill.run(backed_up.postgres, backed_up.vault, backed_up.shelf, full, judge=restored_copies.breaches)
    assert drill.is_passed
    assert backed_up.rows("SELECT status, verified_at, proven_at FROM backup.copies") == [("corrupted", None, None)]


def test_a_restore_that_came_back_other_takes_its_proof_back(backed_up: Site) -> None:
    full = backed_up.full()
    proof = Proof(full.id, "local", "drill", is_passed=True, details={}, rto_s=1.0)
    is_proven = "SELECT proven_at IS NOT NULL FROM backup.copies"
    for given, expected in (
        (proof, True),
        (replace(proof, is_passed=False, rto_s=None), True),
        (replace(proof, is_passed=False), False),
    ):
        with backed_up.postgres.connect(Role.WRITER, work="test") as connection:
            backup_catalog.prove(connection, given)
        assert backed_up.rows(is_proven) == [(expected,)]


def test_an_increment_is_made_on_the_newest_sound_backup(backed_up: Site) -> None:
    first, second = backed_up.full(), backed_up.full()
    path = backed_up.stored(second)
    path.write_bytes(path.read_bytes()[:-1])
    verified(backed_up)
    assert backed_up.increment().parent_id == first.id


def test_a_target_from_which_nothing_can_be_restored_says_why(backed_up: Site) -> None:
    with pytest.raises(Refused, match=r"target local at file:///.* no usable full backup .* is its disk mounted"):
        backup_restoring.plan(backed_up.shelf, Goal())
    backed_up.shelf.finish(made(1))
    backed_up.stored(made(1), "backup.json").write_bytes(b"{}")
    with pytest.raises(Refused, match=f"1 records there cannot be read: {made(1).id}"):
        backup_restoring.plan(backed_up.shelf, Goal())


def test_old_bases_whose_log_has_expired_are_no_gap(backed_up: Site) -> None:
    """Fathers and grandfathers are kept for their own moment; the chain of the window is what must be whole."""
    old, window, newest = made(1, segment=1), made(30, segment=30), made(49, at=START + timedelta(days=45), segment=38)
    log = [made(39 + number, method=Method.WAL, segment=30 + number) for number in range(10)]
    for backup in (old, window, newest, *log):
        backed_up.shelf.finish(backup)
    assert log_gaps(backed_up.vault) == ()
    backed_up.shelf.remove(log[4].id)
    assert log_gaps(backed_up.vault) == (Gap(1, 34, 34),)
