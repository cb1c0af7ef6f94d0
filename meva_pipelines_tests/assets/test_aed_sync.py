"""The nightly sync from HTTP to published table, on a small registry whose every answer is known."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, LiteralString

import dagster as dg
import psycopg
import pytest

from meva_pipelines.assets import aed, attempts
from meva_pipelines.domain.failures import Rejected
from meva_pipelines.resources import registry_rollback
from meva_pipelines.resources.egen import EgenSource
from meva_pipelines.sandbox import server
from meva_pipelines.sandbox.faults import Fault, Rule
from meva_pipelines.sandbox.mutations import Mutation
from meva_pipelines.sandbox.registry import Registry
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.fixtures.location import FIRST_DAY, REGISTRY, Location

NEXT_DAY = FIRST_DAY + timedelta(days=1)
AED_DATA = dg.AssetKey(["aed", "aed_data"])


def published_keys(location: Location) -> set[str]:
    return {key for (key,) in location.rows("SELECT source_id FROM aed.aed_data WHERE data_status = 'active'")}


def digest(location: Location) -> str:
    with location.postgres.connect(Role.BACKUP, work="digest registry") as connection:
        return registry_rollback.table_digest(connection, source=location.egen.dialect)


def metadata(result: dg.ExecuteInProcessResult, key: dg.AssetKey) -> Mapping[str, Any]:
    (event,) = [e for e in result.get_asset_materialization_events() if e.asset_key == key]
    return {name: value.value for name, value in event.step_materialization_data.materialization.metadata.items()}


def materialize(location: Location, *keys: dg.AssetKey, day: date = FIRST_DAY) -> dg.ExecuteInProcessResult:
    """Materialise assets alone, as a person does in the UI; their checks run too."""
    return job_of(location, dg.AssetSelection.assets(*keys)).execute_in_process(
        instance=location.instance, partition_key=day.isoformat(), raise_on_error=False
    )


def job_of(location: Location, selection: dg.AssetSelection) -> dg.JobDefinition:
    chosen = dg.define_asset_job("chosen", selection=selection)
    return dg.Definitions.merge(location.definitions(), dg.Definitions(jobs=[chosen])).resolve_job_def("chosen")


def break_the_day(location: Location, day: date, mutation: Mutation) -> None:
    location.sandbox.world.set(day=day)
    location.sandbox.world.set(mutation=mutation)


def change(location: Location, statement: LiteralString) -> None:
    with psycopg.connect(location.postgres.dsn()) as connection:
        connection.execute(statement)


def sent_bytes(location: Location) -> int:
    return sum(totals["bytes"] for totals in location.sandbox.requests.totals().values())


def books_balance(run: Mapping[str, Any]) -> bool:
    names = ("inserted_rows", "updated_rows", "renamed_rows", "unchanged_rows", "quarantined_rows")
    return bool(run["received_rows"] == sum(run[name] for name in names))


# ---- full and incremental


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
    assert books_balance(run)
    assert run["updated_rows"] == len(written)
    places = dict(location.rows("SELECT source_id, installation_position FROM aed.aed_data"))
    for device in REGISTRY.devices(NEXT_DAY):
        assert places.get(device.serial_seq, device.place) == device.place
    assert location.rows("SELECT count(*) FROM aed.aed_data WHERE data_status <> 'active'") == [(0,)]


def test_the_direct_feed_sends_the_changes_of_the_day_only(egen_location: Location) -> None:
    assert egen_location.sync(FIRST_DAY, mode="full").success
    ((watermark,),) = egen_location.rows("SELECT watermark FROM ops.sync_runs")
    quarantined = {key for (key,) in egen_location.rows("SELECT source_id FROM aed.quarantine")}
    devices = {d.equipment_serial: d for d in REGISTRY.devices(FIRST_DAY)}
    assert watermark == max(d.modified_at for key, d in devices.items() if key not in quarantined)
    whole = sent_bytes(egen_location)
    egen_location.sandbox.requests.clear()

    result = egen_location.sync(NEXT_DAY)
    assert result.success
    fetched = metadata(result, aed.RAW_RECORDS)
    asked_for = REGISTRY.modified_since(watermark - timedelta(minutes=60), NEXT_DAY)
    assert (fetched["mode"], fetched["fell_back_to_full"]) == ("incremental", False)
    assert fetched["dagster/partition_row_count"] == len(asked_for)
    assert 0 < len(asked_for) < 40
    assert sent_bytes(egen_location) < whole / 5
    stamps = dict(egen_location.rows("SELECT source_id, source_modified_at FROM aed.aed_data"))
    assert stamps == {
        d.equipment_serial: d.modified_at for d in REGISTRY.devices(NEXT_DAY) if d.equipment_serial not in quarantined
    }
    assert books_balance(egen_location.newest_run())


def test_a_feed_that_cannot_tell_changes_is_read_whole_and_the_run_says_so(egen_location: Location) -> None:
    assert egen_location.sync(FIRST_DAY, mode="full").success
    egen_location.sandbox.world.set(supports_incremental=False)
    result = egen_location.sync(NEXT_DAY)
    assert result.success
    fetched = metadata(result, aed.RAW_RECORDS)
    assert (fetched["mode"], fetched["fell_back_to_full"]) == ("full", True)
    assert fetched["dagster/partition_row_count"] == REGISTRY.count(NEXT_DAY)
    assert location_statuses(egen_location) == {"active"}
    assert egen_location.newest_run()["unchanged_rows"] > 500


def location_statuses(location: Location) -> set[str]:
    return {status for (status,) in location.rows("SELECT DISTINCT data_status FROM aed.aed_data")}


def test_only_a_full_sync_counts_absences(location: Location) -> None:
    """Both days bring the whole registry; only the one that was asked for in full may conclude from absence."""
    registry = Registry(size=600, epoch=FIRST_DAY, vanish_cycle=101, absent_days=3)
    with server.running(registry) as sandbox:
        sandbox.world.set(quota=None, rate_per_s=None)
        source = EgenSource(base_url=sandbox.data_go_kr_url, service_key=sandbox.service_key, page_size=200)
        here = replace(location, sandbox=sandbox, egen=source)
        assert here.sync(FIRST_DAY, mode="full").success
        absent = registry.vanished_on(NEXT_DAY).serial_seqs & published_keys(here)
        assert absent
        assert here.sync(NEXT_DAY).success
        assert location_statuses(here) == {"active"}
        assert here.sync(NEXT_DAY, mode="full").success
        missing = {key for (key,) in here.rows("SELECT source_id FROM aed.aed_data WHERE data_status = 'missing'")}
        assert missing == absent
        assert here.newest_run()["missing_rows"] == len(missing)
        assert here.sync(NEXT_DAY + timedelta(days=3)).success
        back = {key for (key,) in here.rows("SELECT source_id FROM aed.aed_history WHERE change = 'reappeared'")}
        assert back <= absent <= published_keys(here)


# ---- bad days


REFUSED = {
    Mutation.HALF_THE_ROWS: "devices_do_not_vanish",
    Mutation.ALL_COORDINATES_NULL: "coordinates_do_not_vanish",
    Mutation.SHIFTED_MAPPING: "addresses_do_not_lose_their_numbers",
    Mutation.SWAPPED_LAT_LON: "few_records_are_quarantined",
    Mutation.COORDINATES_0_0: "few_records_are_quarantined",
}


def test_a_corrupt_registry_is_refused_and_readers_keep_yesterday(location: Location) -> None:
    assert location.sync(FIRST_DAY, mode="full").success
    before = digest(location)
    for offset, (mutation, expectation) in enumerate(REFUSED.items(), start=1):
        day = FIRST_DAY + timedelta(days=offset)
        break_the_day(location, day, mutation)
        result = location.sync(day, mode="full")
        run = location.newest_run()
        assert (result.success, run["status"]) == (False, "rejected"), mutation
        assert expectation in run["error"], mutation
        assert digest(location) == before, mutation
        assert AED_DATA not in {event.asset_key for event in result.get_asset_materialization_events()}
        assert "010-0000-" not in "".join(str(event) for event in location.instance.all_logs(result.run_id))
    assert location.sync(FIRST_DAY + timedelta(days=9), mode="full").success


@pytest.mark.parametrize("mutation", [Mutation.ALL_COORDINATES_NULL, Mutation.SHIFTED_MAPPING])
def test_corrupt_changes_of_a_day_are_refused_though_they_are_few(egen_location: Location, mutation: Mutation) -> None:
    """Forty changed devices are 7 % of the country: too little for a drift, and every one of them is wrong."""
    assert egen_location.sync(FIRST_DAY, mode="full").success
    before, day = digest(egen_location), FIRST_DAY + timedelta(days=3)
    break_the_day(egen_location, day, mutation)
    assert not egen_location.sync(day).success
    assert egen_location.newest_run()["status"] == "rejected"
    assert digest(egen_location) == before


def test_a_first_load_is_no_excuse(location: Location) -> None:
    for mutation in (Mutation.ALL_COORDINATES_NULL, Mutation.SHIFTED_MAPPING):
        break_the_day(location, FIRST_DAY, mutation)
        assert not location.sync(FIRST_DAY, mode="full").success
        assert location.newest_run()["status"] == "rejected"
    assert location.rows("SELECT count(*) FROM aed.aed_data") == [(0,)]


def test_duplicate_keys_are_quarantined_and_the_rest_is_published(location: Location) -> None:
    assert location.sync(FIRST_DAY, mode="full").success
    before = dict(location.rows("SELECT source_id, row_hash FROM aed.aed_data"))
    break_the_day(location, NEXT_DAY, Mutation.DUPLICATE_SERIALS)
    assert location.sync(NEXT_DAY).success
    twins = dict(
        location.rows("SELECT source_id, count(*) FROM aed.quarantine WHERE rule = 'copies_of_a_key_agree' GROUP BY 1")
    )
    assert set(twins.values()) == {2}
    assert len(twins) == 12
    after = dict(location.rows("SELECT source_id, row_hash FROM aed.aed_data"))
    assert {key: after[key] for key in twins} == {key: before[key] for key in twins}
    assert location.newest_run()["updated_rows"] > 0
    assert books_balance(location.newest_run())


# ---- assets alone


def test_stored_pages_replay_without_the_network(location: Location) -> None:
    assert location.sync(FIRST_DAY, mode="full").success
    content = "SELECT source_id, row_hash, data_status FROM aed.aed_data ORDER BY 1"
    expected = location.rows(content)
    assert location.roll_back(location.newest_run()["token"]).success
    assert location.rows(content) == []
    offline = replace(location, egen=EgenSource(base_url="http://127.0.0.1:9", service_key="k"))
    assert materialize(offline, aed.STAGED_RECORDS).success
    assert (location.newest_run()["mode"], location.newest_run()["status"]) == ("replay", "staged")
    assert materialize(offline, AED_DATA, dg.AssetKey(["aed", "aed_history"])).success
    assert location.rows(content) == expected


def test_nothing_is_published_without_a_verdict(location: Location) -> None:
    location.sandbox.world.set(day=FIRST_DAY)
    assert materialize(location, aed.RAW_RECORDS, aed.STAGED_RECORDS).success
    change(location, "DELETE FROM ops.audit_verdicts WHERE suite = 'records_make_sense'")
    result = materialize(location, AED_DATA, dg.AssetKey(["aed", "aed_history"]))
    assert not result.success
    assert "was not judged by: records_make_sense" in location.newest_run()["error"]
    assert location.rows("SELECT count(*) FROM aed.aed_data") == [(0,)]


def test_nothing_is_staged_without_pages_and_nothing_published_without_a_batch(location: Location) -> None:
    for key, hint in (
        (aed.STAGED_RECORDS, "materialise aed/raw_records"),
        (AED_DATA, "materialise aed/staged_records"),
    ):
        chosen = (key, dg.AssetKey(["aed", "aed_history"])) if key == AED_DATA else (key,)
        result = materialize(location, *chosen)
        assert not result.success
        assert hint in "".join(str(event) for event in location.instance.all_logs(result.run_id))


def test_a_day_published_again_is_a_no_op(location: Location) -> None:
    assert location.sync(FIRST_DAY, mode="full").success
    before, run = digest(location), location.newest_run()
    again = materialize(location, AED_DATA, dg.AssetKey(["aed", "aed_history"]))
    assert again.success
    assert metadata(again, AED_DATA)["attempt"] == run["token"]
    assert location.newest_run() == run
    assert location.sync(FIRST_DAY, mode="full").success
    assert (location.newest_run()["inserted_rows"], location.newest_run()["updated_rows"]) == (0, 0)
    assert digest(location) == before


def test_a_refused_batch_is_not_hidden_by_an_earlier_publication_of_the_same_day(location: Location) -> None:
    """Failed and nothing-to-do are different: a run whose own batch was refused must not report yesterday's success."""
    assert location.sync(FIRST_DAY, mode="full").success
    location.sandbox.world.set(mutation=Mutation.ALL_COORDINATES_NULL)
    result = location.sync(FIRST_DAY, mode="full")
    assert not result.success
    assert AED_DATA not in {event.asset_key for event in result.get_asset_materialization_events()}
    with (
        location.postgres.connect(Role.WRITER, work="test") as connection,
        pytest.raises(Rejected, match="of this run was refused"),
    ):
        attempts.to_publish(
            connection, subject=aed.SUBJECT, day=FIRST_DAY, run_id=result.run_id, staged=aed.STAGED_RECORDS
        )


# ---- ranges and districts


def test_a_range_of_days_is_filled_by_one_run(location: Location) -> None:
    last = FIRST_DAY + timedelta(days=4)
    location.sandbox.world.set(day=last)
    result = (
        location.definitions()
        .resolve_job_def("aed_full_sync")
        .execute_in_process(
            instance=location.instance,
            raise_on_error=False,
            tags={
                "dagster/asset_partition_range_start": FIRST_DAY.isoformat(),
                "dagster/asset_partition_range_end": last.isoformat(),
            },
        )
    )
    assert result.success
    assert location.rows("SELECT day, status FROM ops.sync_runs") == [(last, "published")]
    filled = location.instance.get_materialized_partitions(AED_DATA)
    assert filled == {(FIRST_DAY + timedelta(days=n)).isoformat() for n in range(5)}


def test_single_districts_are_synced_and_nobody_elsewhere_is_touched(location: Location) -> None:
    assert location.sync(FIRST_DAY, mode="full").success
    first = location.newest_run()["token"]
    day = FIRST_DAY + timedelta(days=15)
    location.sandbox.world.set(day=day)
    config = {"aed__raw_records": {"config": {"mode": "full", "districts": ["서울특별시/강남구", "부산광역시/중구"]}}}
    assert location.job("aed_full_sync", day=day, config=config).success
    changed = location.rows("SELECT DISTINCT sido, gugun FROM aed.aed_data WHERE sync_batch_id > %s", first)
    assert set(changed) == {("서울특별시", "강남구"), ("부산광역시", "중구")}
    assert location_statuses(location) == {"active"}
    places = dict(location.rows("SELECT source_id, installation_position FROM aed.aed_data WHERE gugun = '강남구'"))
    newest = {d.serial_seq: d.place for d in REGISTRY.devices(day) if d.serial_seq in places}
    assert newest
    assert {key: places[key] for key in newest} == newest


def test_a_sido_whose_districts_all_came_loses_its_absent_devices_and_no_other_does(location: Location) -> None:
    """경기도 is asked for district by district, and so is 서울, of which one district is never answered."""
    registry = Registry(size=600, epoch=FIRST_DAY, vanish_cycle=31, absent_days=3)
    with server.running(registry) as sandbox:
        sandbox.world.set(quota=None, rate_per_s=None)
        source = EgenSource(base_url=sandbox.data_go_kr_url, service_key=sandbox.service_key, page_size=200)
        here = replace(location, sandbox=sandbox, egen=source)
        assert here.sync(FIRST_DAY, mode="full").success
        sandbox.world.set(day=NEXT_DAY)
        absent = registry.vanished_on(NEXT_DAY).serial_seqs & published_keys(here)
        sandbox.faults.replace([Rule(Fault.PROVIDER_CODE, parameters={"code": "99"})])
        config = {"aed__raw_records": {"config": {"mode": "full", "districts": ["서울특별시", "경기도"]}}}
        result = here.job("aed_full_sync", day=NEXT_DAY, config=config)
        assert result.success
        missing = dict(here.rows("SELECT source_id, sido FROM aed.aed_data WHERE data_status = 'missing'"))
        in_gyeonggi = here.rows("SELECT source_id FROM aed.aed_data WHERE sido = '경기도'")
        assert missing.keys() == {key for (key,) in in_gyeonggi} & absent
        assert missing
        assert metadata(result, aed.RAW_RECORDS)["incomplete_districts"] == 1
        assert "경기도" in metadata(result, dg.AssetKey(["aed", "sync_report"]))["absences_by_sido"]


def test_a_district_asked_for_by_itself_rewrites_no_row_for_its_spelling(location: Location) -> None:
    """The answer for a district spells addresses with the names of the region and leaves those fields out."""
    assert location.sync(FIRST_DAY, mode="full").success
    config = {"aed__raw_records": {"config": {"mode": "full", "districts": ["경기도"]}}}
    for _ in range(2):
        assert location.job("aed_full_sync", day=FIRST_DAY, config=config).success
        run = location.newest_run()
        assert run["received_rows"] > 20
        assert (run["inserted_rows"], run["updated_rows"], run["renamed_rows"]) == (0, 0, 0)
        assert run["received_rows"] == run["unchanged_rows"] + run["quarantined_rows"]


def test_a_district_is_written_with_a_slash(location: Location) -> None:
    config = {"aed__raw_records": {"config": {"mode": "full", "districts": ["서울특별시 중구"]}}}
    assert not location.job("aed_full_sync", day=FIRST_DAY, config=config).success
    assert "districts are written 'sido/gugun', 'sido' or 'all'" in location.newest_run()["error"]
