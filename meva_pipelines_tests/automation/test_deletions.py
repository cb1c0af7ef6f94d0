"""Devices that vanish: evidence first, a tombstone only by approval, and never a row less."""

from datetime import timedelta
from typing import Any

from meva_pipelines.resources.egen import EgenSource
from meva_pipelines.sandbox import server
from meva_pipelines.sandbox.registry import Registry
from meva_pipelines_tests.fixtures.location import FIRST_DAY, Location

WEEK = timedelta(days=7)


def suspect_some(location: Location) -> set[str]:
    """Publish a registry from which some devices are then missing in two complete full syncs, a week apart."""
    assert location.sync(FIRST_DAY, mode="full").success
    gone = {key for (key,) in location.rows("SELECT source_id FROM aed.aed_data ORDER BY source_id LIMIT 3")}
    location.execute(
        "INSERT INTO aed.aed_data (source, source_id, sido_code, data_status, first_seen_date,"
        " consecutive_missing_days,"
        " row_hash, sync_batch_id, created_at, updated_at) SELECT source, source_id || '-gone', sido_code, 'active',"
        " first_seen_date, 0, row_hash, sync_batch_id, created_at, updated_at FROM aed.aed_data"
        " WHERE source_id = ANY(%s)",
        list(gone),
    )
    for weeks in (1, 2):
        assert location.sync(FIRST_DAY + weeks * WEEK, mode="full").success
    return {f"{key}-gone" for key in gone}


def statuses(location: Location) -> dict[str, int]:
    return dict(location.rows("SELECT data_status, count(*) FROM aed.aed_data GROUP BY 1"))


def approve(location: Location, **config: Any) -> bool:
    return location.job("approve_deletions", config={"tombstone_devices": {"config": config}}).success


def test_absence_is_missing_first_and_suspicious_after_a_week(location: Location) -> None:
    gone = suspect_some(location)
    suspected = location.rows("SELECT source_id FROM aed.aed_data WHERE data_status = 'deletion_suspected'")
    assert {key for (key,) in suspected} == gone


def test_an_incremental_sync_suspects_nobody(location: Location) -> None:
    assert location.sync(FIRST_DAY, mode="full").success
    location.execute(
        "UPDATE aed.aed_data SET source_id = source_id || '-x' WHERE id IN (SELECT min(id) FROM aed.aed_data)"
    )
    assert location.sync(FIRST_DAY + WEEK).success
    assert statuses(location).keys() == {"active"}


def test_without_approval_nothing_is_tombstoned(location: Location) -> None:
    suspect_some(location)
    before = statuses(location)
    assert approve(location)
    assert not approve(location, ceiling=10, dry_run=False)
    assert not approve(location, ceiling=2, approved_by="the registrar", dry_run=False)
    assert statuses(location) == before


def test_an_approved_deletion_marks_rows_and_stands_in_the_ledger(location: Location) -> None:
    gone = suspect_some(location)
    ((rows_before,),) = location.rows("SELECT count(*) FROM aed.aed_data")
    assert approve(location, ceiling=3, approved_by="the registrar", dry_run=False)
    deleted = location.rows("SELECT source_id FROM aed.aed_data WHERE data_status = 'deleted'")
    assert {key for (key,) in deleted} == gone
    assert location.rows("SELECT count(*) FROM aed.aed_data") == [(rows_before,)]
    ledger = location.rows("SELECT kind, rows, executed_rows, ceiling, approved_by FROM ops.deletion_ledger")
    assert ledger == [("tombstone", 3, 3, 3, "the registrar")]
    newest = location.rows("SELECT max(token) FROM ops.sync_runs WHERE mode = 'full'")[0][0]
    ((proof, per_sido),) = location.rows(
        "SELECT proof->'complete_full_syncs', plan->'per_sido' FROM ops.deletion_ledger"
    )
    assert proof == dict.fromkeys(per_sido, newest)


def test_a_device_that_comes_back_is_live_again(location: Location) -> None:
    assert location.sync(FIRST_DAY, mode="full").success
    location.execute("UPDATE aed.aed_data SET data_status = 'deleted' WHERE id IN (SELECT min(id) FROM aed.aed_data)")
    assert location.sync(FIRST_DAY).success
    assert statuses(location).keys() == {"active"}


def test_a_deletion_can_be_rolled_back(location: Location) -> None:
    suspect_some(location)
    before = statuses(location)
    assert approve(location, ceiling=3, approved_by="the registrar", dry_run=False)
    ((token,),) = location.rows("SELECT max(token) FROM ops.sync_runs")
    assert location.roll_back(token).success
    assert statuses(location) == before


def test_a_renamed_region_is_one_event_and_no_update(location: Location) -> None:
    """On 2026-07-01 광주 and 전남 became one sido: the day's sync updates nobody and loses nobody."""
    eve = FIRST_DAY.replace(month=6, day=30)
    registry = Registry(size=600, epoch=eve, change_cycle=100_000)
    with server.running(registry) as sandbox:
        sandbox.world.set(quota=None, rate_per_s=None)
        moved = Location(
            location.postgres,
            location.store,
            EgenSource(base_url=sandbox.egen_url, service_key=sandbox.service_key, dialect="egen", page_size=200),
            sandbox,
            location.instance,
        )
        assert moved.sync(eve, mode="full").success
        assert moved.sync(eve + timedelta(days=1), mode="full").success
    run = moved.newest_run()
    assert run["renamed_rows"] == len(registry.renamed_between(eve, eve + timedelta(days=1)))
    assert run["updated_rows"] == 0
    assert run["missing_rows"] == 0
