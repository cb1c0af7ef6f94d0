"""The nightly sync from HTTP to published table, on a small registry whose every answer is known."""

from datetime import timedelta

from meva_pipelines_tests.fixtures.location import FIRST_DAY, REGISTRY, Location

NEXT_DAY = FIRST_DAY + timedelta(days=1)


def published_keys(location: Location) -> set[str]:
    return {key for (key,) in location.rows("SELECT source_id FROM aed.aed_data WHERE data_status = 'active'")}


def test_a_full_sync_publishes_the_registry(location: Location) -> None:
    assert location.sync(FIRST_DAY, mode="full").success
    present = {device.serial_seq for device in REGISTRY.devices(FIRST_DAY)}
    quarantined = {key for (key,) in location.rows("SELECT source_id FROM aed.quarantine")}
    assert published_keys(location) == present - quarantined
    assert len(quarantined) <= len(present) // 100


def test_the_next_day_writes_only_what_changed(location: Location) -> None:
    assert location.sync(FIRST_DAY, mode="full").success
    assert location.sync(NEXT_DAY).success
    changed = REGISTRY.changed_between(FIRST_DAY, NEXT_DAY)
    written = {key for (key,) in location.rows("SELECT source_id FROM aed.aed_history WHERE change = 'updated'")}
    assert written <= changed.serial_seqs
    run = location.newest_run()
    assert (
        run["received_rows"]
        == run["inserted_rows"] + run["updated_rows"] + run["unchanged_rows"] + run["quarantined_rows"]
    )
    assert run["updated_rows"] == len(written)
