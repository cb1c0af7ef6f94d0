"""Expiry executed: on backups of which only the records and small parts are there, which is all that it looks at."""

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from meva_pipelines.assets import backup_custody as assets
from meva_pipelines.domain.backup.chains import Standing
from meva_pipelines.domain.backup.records import Backup
from meva_pipelines.domain.backup.retention import Policy
from meva_pipelines.domain.backup.vocabulary import Method
from meva_pipelines.domain.failures import Refused, Unavailable
from meva_pipelines.resources import backup_catalog, backup_custody, backup_server
from meva_pipelines.resources.backup_catalog import Proof
from meva_pipelines.resources.backup_custody import Expiry
from meva_pipelines.resources.backup_server import Lock
from meva_pipelines.resources.backup_shelves import Hold, Shelf
from meva_pipelines.resources.failpoints import Injected, Point
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.domain.backup.shelf_of_records import made
from meva_pipelines_tests.fixtures.backups import Site

AT_ONCE = Policy(window=timedelta(microseconds=1), minimum_redundancy=1, daily=0, weekly=0, monthly=0)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
HOLD = Hold("audit", "auditor", LONG_AGO)


def old(sequence: int, **words: Any) -> Backup:
    return made(sequence, at=LONG_AGO + timedelta(days=sequence), **words)


def sound(sequence: int, **changes: Any) -> Standing:
    return replace(Standing(backup=old(sequence), is_verified=True), **changes)


def of_another_server(backup: Backup) -> Backup:
    assert backup.server is not None
    return replace(backup, subject="7", server=replace(backup.server, system_id="7"))


def laid(site: Site, shelf: Shelf, standings: Iterable[Standing]) -> None:
    """Lay down records with a part each, and write down what is known of the copies."""
    proofs = []
    for one in standings:
        for part in one.backup.parts:
            with shelf.target.writing(f"backups/{one.backup.id}/{part.name}") as stream:
                stream.write(b"sealed")
        shelf.finish(one.backup)
        if one.is_held:
            shelf.hold(one.backup.id, HOLD)
        proof = Proof(one.backup.id, shelf.target.name, "verification", is_passed=one.is_verified, details={})
        proofs += [proof] if one.is_verified or one.is_corrupted else []
        proofs += [replace(proof, kind="drill", is_passed=True, rto_s=1.0)] if one.is_proven else []
    backup_custody.survey(site.postgres, site.vault)
    with site.postgres.connect(Role.WRITER, work="test") as connection:
        for proof in proofs:
            backup_catalog.prove(connection, proof)


def expire(site: Site, *, policy: Policy = AT_ONCE, patience_s: float = 0, ceiling: int = 100) -> Expiry:
    vault = site.vault.model_copy(update={"patience_s": patience_s})
    return backup_custody.expire(
        site.postgres, vault, site.shelf, policy=policy, ceiling=ceiling, approved_by="auditor"
    )


def sequences(shelf: Shelf) -> list[int]:
    return sorted(backup.sequence for backup in shelf.inventory().backups.values())


def test_what_is_known_of_each_copy_on_its_target_decides(backed_up: Site) -> None:
    full = old(6)
    standings = [
        sound(1, backup=old(1, method=Method.WAL, segment=1)),
        sound(2, is_proven=True),
        sound(3, is_held=True),
        sound(4),
        sound(5, is_verified=False, is_corrupted=True),
        sound(6, backup=full),
        sound(7, backup=old(7, parent=full)),
        sound(8, backup=old(8, method=Method.WAL, segment=7)),
        sound(9),
        sound(10, is_verified=False),
        sound(11, backup=old(11, method=Method.LOGICAL)),
        sound(12, backup=of_another_server(old(12, method=Method.WAL, segment=12))),
        sound(13, backup=of_another_server(old(13))),
    ]
    laid(backed_up, backed_up.shelf, standings)
    laid(backed_up, backed_up.archive, [replace(one, is_verified=True, is_proven=True) for one in standings[3:5]])
    done = expire(backed_up)
    gone = {one.backup.sequence: one.backup.id for one in standings if one.backup.sequence in {1, 4, 5, 6, 7, 12}}
    assert done.removed == tuple(gone[sequence] for sequence in (12, 7, 6, 5, 4, 1))
    assert sequences(backed_up.shelf) == [2, 3, 8, 9, 10, 11, 13]
    assert sequences(backed_up.archive) == [4, 5]


def test_the_window_keeps_what_nobody_has_read_and_not_what_is_corrupted(backed_up: Site) -> None:
    corrupted = sound(2, is_verified=False, is_corrupted=True)
    laid(backed_up, backed_up.shelf, [sound(1, is_verified=False), corrupted, sound(3)])
    assert expire(backed_up, policy=replace(AT_ONCE, window=timedelta(days=36_500))).removed == (corrupted.backup.id,)


def test_the_window_ends_now(backed_up: Site) -> None:
    now = backed_up.now()
    taken = [made(number, at=now - timedelta(days=age)) for number, age in enumerate((3.1, 2.1, 1.9, 0.1), start=1)]
    laid(backed_up, backed_up.shelf, [sound(backup.sequence, backup=backup) for backup in taken])
    assert expire(backed_up, policy=replace(AT_ONCE, window=timedelta(days=2))).removed == (taken[0].id,)


def test_the_plan_stands_in_the_ledger_and_the_catalogue_forgets_what_it_knew(backed_up: Site) -> None:
    gone, kept = sound(1), sound(2, is_proven=True)
    laid(backed_up, backed_up.shelf, [gone, kept])
    expire(backed_up)
    plan = {
        "target": "local",
        "backups": [
            {
                "id": gone.backup.id,
                "digest": gone.backup.digest,
                "bytes": gone.backup.compressed_size,
                "why": "outside the recovery window",
            }
        ],
    }
    ledger = "SELECT plan, proof, rows, executed_rows, approved_by FROM ops.deletion_ledger"
    assert backed_up.rows(ledger) == [(plan, {"kept": [kept.backup.id]}, 1, 1, "auditor")]
    known = "SELECT status, verified_at IS NOT NULL FROM backup.copies ORDER BY backup_id"
    assert backed_up.rows(known) == [("expired", False), ("completed", True)]


def test_as_many_as_are_approved_go_and_no_more(backed_up: Site) -> None:
    laid(backed_up, backed_up.shelf, [sound(1), sound(2), sound(3)])
    with pytest.raises(Refused, match="2 backups would expire on local and 1 are approved"):
        expire(backed_up, ceiling=1)
    assert len(expire(backed_up, ceiling=2).removed) == 2


def test_one_record_that_cannot_be_read_lets_nothing_go(backed_up: Site) -> None:
    laid(backed_up, backed_up.shelf, [sound(1), sound(2), sound(3)])
    backed_up.stored(old(2), "backup.json").write_bytes(b"{}")
    done = expire(backed_up)
    assert (done.removed, done.blocked) == ((), ("1 records cannot be read",))


def test_an_expiry_that_dies_leaves_no_half_backup_and_no_orphan_and_is_made_up_for(
    backed_up: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = old(1)
    laid(backed_up, backed_up.shelf, [sound(1, backup=full), sound(2, backup=old(2, parent=full)), sound(3)])
    monkeypatch.setenv("MEVA_FAILPOINTS", f"{Point.BACKUP_REMOVING.value}:raise")
    with pytest.raises(Injected):
        expire(backed_up)
    found = backed_up.shelf.inventory()
    assert (sequences(backed_up.shelf), len(found.unfinished)) == ([1, 3], 1), "the child went first, its record first"
    assert backed_up.rows("SELECT rows, executed_rows FROM ops.deletion_ledger") == [(2, None)]
    monkeypatch.delenv("MEVA_FAILPOINTS")
    seen = backup_custody.survey(backed_up.postgres, backed_up.vault)
    assert backup_custody.collect(backed_up.postgres, backed_up.vault, seen) == list(found.unfinished)
    assert expire(backed_up).removed == (full.id,)


@pytest.mark.parametrize("lock", list(Lock))
def test_nothing_expires_while_somebody_else_holds_a_lock(backed_up: Site, lock: Lock) -> None:
    laid(backed_up, backed_up.shelf, [sound(1), sound(2)])
    with (
        backup_server.session(backed_up.postgres.dsn(), work="test") as other,
        backup_server.exclusively(other, lock, patience_s=0),
        pytest.raises(Unavailable, match="under way"),
    ):
        expire(backed_up)
    assert sequences(backed_up.shelf) == [1, 2]


def test_a_hold_waits_for_an_expiry_and_for_no_backup(backed_up: Site) -> None:
    laid(backed_up, backed_up.shelf, [sound(1), sound(2)])

    def hold() -> None:
        backup_custody.hold(backed_up.postgres, backed_up.vault, backed_up.shelf, old(1).id, reason="audit", by="a")

    with backup_server.session(backed_up.postgres.dsn(), work="test") as other:
        with backup_server.exclusively(other, Lock.EXPIRY, patience_s=0), pytest.raises(Unavailable):
            hold()
        with backup_server.exclusively(other, Lock.BACKUPS, patience_s=0):
            hold()
    assert expire(backed_up).removed == ()


def test_what_changes_while_an_expiry_waits_is_seen(backed_up: Site) -> None:
    laid(backed_up, backed_up.shelf, [sound(1), sound(2), sound(3)])
    waits = "SELECT FROM pg_stat_activity WHERE application_name = 'meva expire backups' AND query LIKE %s"
    with ThreadPoolExecutor(1) as pool, backup_server.session(backed_up.postgres.dsn(), work="test") as other:
        with backup_server.exclusively(other, patience_s=0):
            expiring = pool.submit(expire, backed_up, patience_s=60)
            while not (expiring.done() or backed_up.rows(waits, "%try_advisory_lock%")):
                time.sleep(0.01)
            backed_up.shelf.hold(old(1).id, HOLD)
        assert expiring.result().removed == (old(2).id,)


@pytest.mark.parametrize(("is_dry", "left"), [(True, [1, 2, 3]), (False, [2, 3])])
def test_the_asset_removes_only_when_told_to(
    backed_up: Site, instance: dg.DagsterInstance, *, is_dry: bool, left: list[int]
) -> None:
    laid(backed_up, backed_up.shelf, [sound(1), sound(2), sound(3)])
    config = {"window_days": 1, "minimum_redundancy": 2, "daily": 0, "weekly": 0, "monthly": 0, "dry_run": is_dry}
    result = dg.materialize(
        [assets.expiry],
        instance=instance,
        resources={"postgres": backed_up.postgres, "vault": backed_up.vault},
        run_config={"ops": {"backup__expiry": {"config": config}}},
    )
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["expired"].value == 1
    assert sequences(backed_up.shelf) == left
