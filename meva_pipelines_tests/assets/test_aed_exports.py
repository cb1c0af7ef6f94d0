"""From files in the landing zone to published rows: three sido in three forms, refused files, repeated runs."""

import hashlib
import os
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from meva_pipelines.assets import aed, tables
from meva_pipelines.automation.landing_sensors import aed_exports_landed
from meva_pipelines.domain.regions import KOREA_BOX
from meva_pipelines.sandbox import exports
from meva_pipelines.sandbox.device import Device
from meva_pipelines.sandbox.exports import Form
from meva_pipelines.schema import aed as schema
from meva_pipelines_tests.fixtures.location import FIRST_DAY, REGISTRY, Location

THREE = {"서울": Form.HTML_XLS, "부산": Form.CSV_CP949, "제주": Form.XLSX}
FILES = "aed__export_files"
PUBLISHED = [aed.STAGED_RECORDS, tables.key(schema.AED_DATA), tables.key(schema.AED_HISTORY)]


@pytest.fixture
def folder(location: Location) -> Path:
    """The folder into which people drop export files."""
    path = Path(location.landing.place("aed"))
    path.mkdir(parents=True)
    return path


def devices(*sido: str, day: date = FIRST_DAY) -> dict[str, Device]:
    found = {device.equipment_serial: device for device in REGISTRY.devices(day)}
    return {serial: device for serial, device in found.items() if device.site.district.sido.short in sido}


def publishable(known: Mapping[str, Device]) -> set[str]:
    """The devices that lie in Korea, or nowhere."""
    return {
        serial
        for serial, device in known.items()
        if device.site.latitude is None
        or KOREA_BOX.contains(latitude=float(device.site.latitude), longitude=float(device.site.longitude or 0))
    }


def published(location: Location) -> set[str]:
    return {key for (key,) in location.rows("SELECT source_id FROM aed.aed_data WHERE source = 'nemc_export'")}


def tick(location: Location) -> object:
    with dg.build_sensor_context(instance=location.instance) as context:
        return aed_exports_landed(context, landing=location.landing)


def take(
    location: Location, *, day: date = FIRST_DAY, files: list[str] | None = None, **flags: bool
) -> dg.ExecuteInProcessResult:
    config = {FILES: {"config": {"files": files or [], **flags}}}
    return location.job("aed_export_sync", day=day, config=config, assets=[aed.EXPORT_FILES, *PUBLISHED])


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


def test_files_of_three_sido_in_three_forms_are_published_once(location: Location, folder: Path) -> None:
    paths = exports.write(REGISTRY, FIRST_DAY, folder, THREE)
    originals = {hashlib.sha256(path.read_bytes()).hexdigest(): path.read_bytes() for path in paths}

    request = tick(location)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key is not None
    config = request.run_config["ops"]
    assert location.job("aed_export_sync", day=date.fromisoformat(request.partition_key), config=config).success

    known = devices(*THREE)
    assert published(location) == publishable(known)
    rows = location.rows(
        "SELECT equipment_serial, management_number, battery_expiry_date, category_3, installation_address,"
        " last_inspection_date, remarks FROM aed.aed_data WHERE source = 'nemc_export'"
    )
    for serial, management, battery, category, address, inspected, remarks in rows:
        device = known[serial]
        assert (management, battery) == (device.papers.management_number, device.kit.battery_expires_on)
        assert (category, inspected) == (device.papers.categories[2], device.papers.inspected_on)
        assert remarks == device.papers.remarks
        assert address.endswith(device.site.street)

    assert not names(folder)
    assert len(names(folder / "taken")) == len(paths)
    for digest, content in originals.items():
        assert location.store.get(f"raw/aed/nemc_export/originals/{digest}") == content
    skipped = tick(location)
    assert isinstance(skipped, dg.SkipReason)
    assert "no export file lies" in str(skipped.skip_message)


def test_the_page_shows_which_column_feeds_what(location: Location, folder: Path) -> None:
    table = exports.rows(REGISTRY, FIRST_DAY)["세종"]
    headers = ["제조일" if name == "제조일자" else "비고란" if name == "비고" else name for name in exports.HEADERS]
    (folder / "세종.csv").write_bytes(exports.render(table, Form.CSV_CP949, headers=headers))
    run = take(location)
    assert run.success
    (event,) = run.asset_materializations_for_node(FILES)
    told = {name: str(value.value) for name, value in event.metadata.items()}
    assert "CP949" in told["files"]
    assert "비고란" in told["files"]
    assert "| 6 | 제조일 | 제조일자 | manufacturing_date |" in told["header_mapping"]


def test_a_file_that_was_published_is_not_published_again_and_not_lost(location: Location, folder: Path) -> None:
    (path,) = exports.write(REGISTRY, FIRST_DAY, folder, {"세종": Form.CSV_UTF8})
    content = path.read_bytes()
    assert take(location).success
    before = location.rows("SELECT * FROM aed.aed_data ORDER BY id")

    (folder / "again.csv").write_bytes(content)
    run = take(location)
    assert run.success
    (event,) = run.asset_materializations_for_node(FILES)
    assert (event.metadata["published_before_files"].value, event.metadata["taken_files"].value) == (1, 0)
    assert location.rows("SELECT * FROM aed.aed_data ORDER BY id") == before
    assert not names(folder)


def test_an_older_file_that_was_published_before_does_not_turn_the_clock_back(location: Location, folder: Path) -> None:
    later = date.fromordinal(FIRST_DAY.toordinal() + 10)
    (path,) = exports.write(REGISTRY, FIRST_DAY, folder, {"제주": Form.CSV_UTF8})
    old = path.read_bytes()
    assert take(location).success
    exports.write(REGISTRY, later, folder, {"제주": Form.XLSX})
    assert take(location, day=later).success
    newer = location.rows("SELECT source_id, row_hash FROM aed.aed_data ORDER BY 1")

    (folder / "old.csv").write_bytes(old)
    assert take(location, day=later).success
    assert location.rows("SELECT source_id, row_hash FROM aed.aed_data ORDER BY 1") == newer


def test_a_bad_file_is_refused_whole_and_the_others_go_on(location: Location, folder: Path) -> None:
    exports.write(REGISTRY, FIRST_DAY, folder, {"세종": Form.HTML_XLS})
    (folder / "전화번호부.csv").write_text("이름,전화\n홍길동,010-0000-1234\n", encoding="utf-8")
    run = take(location)
    assert run.success
    assert published(location) == publishable(devices("세종"))
    (kept,) = [name for name in names(folder / "refused") if not name.endswith(".reason.txt")]
    reason = (folder / "refused" / f"{kept}.reason.txt").read_text(encoding="utf-8")
    assert "장비연번" in reason
    assert "홍길동" not in reason
    assert "010-0000-1234" not in reason
    assert (folder / "refused" / kept).read_text(encoding="utf-8").startswith("이름")
    assert location.rows("SELECT source, rows FROM ops.ingest_ledger WHERE outcome = 'rejected'") == [
        ("nemc_export", 0)
    ]
    (check,) = [c for c in run.get_asset_check_evaluations() if c.check_name == "every_file_was_usable"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)


def test_a_run_without_a_usable_file_fails_and_says_why(location: Location, folder: Path) -> None:
    (folder / "empty.xls").write_bytes(b"")
    assert not take(location).success
    run = location.newest_run()
    assert (run["status"], run["error_type"]) == ("rejected", "Rejected")
    assert "the file is empty" in run["error"]
    assert not take(location, files=["gone.xls"]).success
    assert "no file to take" in location.newest_run()["error"]


def test_a_name_that_leaves_the_folder_is_refused(location: Location, folder: Path) -> None:
    (folder.parent / "secret.csv").write_text("장비연번\n1\n", encoding="utf-8")
    assert not take(location, files=["../secret.csv"]).success
    assert location.newest_run()["error_type"] == "Refused"
    assert (folder.parent / "secret.csv").exists()


def test_a_run_that_did_not_publish_can_be_repeated_after_its_files_were_moved(
    location: Location, folder: Path
) -> None:
    exports.write(REGISTRY, FIRST_DAY, folder, {"세종": Form.CSV_UTF8})
    (name,) = names(folder)
    assert location.job("aed_export_sync", day=FIRST_DAY, assets=[aed.EXPORT_FILES]).success
    assert not names(folder)
    assert not published(location)

    assert take(location, files=[name]).success
    assert published(location) == publishable(devices("세종"))


def test_only_a_complete_export_tells_that_a_device_is_gone(location: Location, folder: Path) -> None:
    table = exports.rows(REGISTRY, FIRST_DAY)["경기"]
    (folder / "all.csv").write_bytes(exports.render(table, Form.CSV_UTF8))
    assert take(location).success
    (folder / "fewer.csv").write_bytes(exports.render(table[1:], Form.CSV_UTF8))
    assert take(location).success
    assert location.rows("SELECT count(*) FROM aed.aed_data WHERE data_status = 'missing'") == [(0,)]
    (folder / "complete.csv").write_bytes(exports.render(table[2:], Form.CSV_UTF8))
    assert take(location, is_complete=True).success
    assert {key for (key,) in location.rows("SELECT source_id FROM aed.aed_data WHERE data_status = 'missing'")} == {
        row[0] for row in table[:2]
    }


def test_an_export_stands_beside_the_rows_of_the_api(location: Location, folder: Path) -> None:
    assert location.sync(FIRST_DAY, mode="full").success
    api = location.rows("SELECT * FROM aed.aed_data WHERE source = 'data_go_kr' ORDER BY id")
    exports.write(REGISTRY, FIRST_DAY, folder, {"세종": Form.XLSX})
    assert take(location).success
    assert location.rows("SELECT * FROM aed.aed_data WHERE source = 'data_go_kr' ORDER BY id") == api
    assert published(location) == publishable(devices("세종"))


def test_a_batch_that_the_audit_rejects_changes_nothing_and_may_come_again(location: Location, folder: Path) -> None:
    table = exports.rows(REGISTRY, FIRST_DAY)["경기"]
    latitude, longitude = (list(exports.HEADERS).index(name) for name in ("위도", "경도"))
    without = [["" if at in {latitude, longitude} else cell for at, cell in enumerate(row)] for row in table]
    (folder / "경기.csv").write_bytes(exports.render(without, Form.CSV_UTF8))
    content = (folder / "경기.csv").read_bytes()
    assert not take(location).success
    assert location.newest_run()["status"] == "rejected"
    assert not published(location)

    (folder / "경기.csv").write_bytes(content)
    assert not take(location).success
    assert location.newest_run()["status"] == "rejected", "content that was never published is looked at again"
    (folder / "경기.csv").write_bytes(exports.render(table, Form.CSV_UTF8))
    assert take(location).success
    assert published(location) == publishable(devices("경기"))


def test_the_pages_of_an_export_can_be_replayed(location: Location, folder: Path) -> None:
    exports.write(REGISTRY, FIRST_DAY, folder, {"세종": Form.CSV_UTF8})
    assert take(location).success
    before = location.rows("SELECT source_id, row_hash, updated_at FROM aed.aed_data ORDER BY 1")
    replay = location.job(
        "aed_export_sync",
        day=FIRST_DAY,
        config={"aed__staged_records": {"config": {"source": "nemc_export"}}},
        assets=PUBLISHED,
    )
    assert replay.success
    assert location.newest_run()["mode"] == "replay"
    assert location.rows("SELECT source_id, row_hash, updated_at FROM aed.aed_data ORDER BY 1") == before


def placed(folder: Path, name: str, day: date, *, written: datetime | None = None) -> Path:
    """An export of 세종 with the rows of a day, under a name and with a time of our choice."""
    path = folder / name
    path.write_bytes(exports.render(exports.rows(REGISTRY, day)["세종"], Form.CSV_UTF8))
    if written is not None:
        os.utime(path, (written.timestamp(),) * 2)
    return path


LATER = FIRST_DAY + timedelta(days=15)


@pytest.mark.parametrize(
    ("older", "newer"),
    [("AED_20261001.csv", "AED 2026-10-31.csv"), ("AED (1).csv", "AED (2).csv")],
    ids=["date in the name", "time of the file"],
)
def test_an_older_export_that_was_never_seen_does_not_overwrite_a_newer_one(
    location: Location, folder: Path, older: str, newer: str
) -> None:
    now = datetime.now(UTC)
    placed(folder, newer, LATER, written=now - timedelta(days=1))
    assert take(location, day=LATER).success
    rows = location.rows("SELECT row_hash FROM aed.aed_data ORDER BY source_id")
    path = placed(folder, older, FIRST_DAY, written=now - timedelta(days=40))

    refused = take(location, day=LATER)
    assert not refused.success
    assert "what is published is of" in location.newest_run()["error"]
    assert location.rows("SELECT row_hash FROM aed.aed_data ORDER BY source_id") == rows
    (lying,) = [name for name in names(folder / "refused") if name.endswith(older)]

    (folder / "refused" / lying).rename(path)
    assert take(location, day=LATER, is_older_allowed=True).success
    assert location.rows("SELECT row_hash FROM aed.aed_data ORDER BY source_id") != rows


def test_files_of_one_day_are_peers_whatever_their_order(location: Location, folder: Path) -> None:
    """A download of 17 files takes a while, and they may be dropped in two batches."""
    noon = datetime.now(UTC) - timedelta(days=3)
    noon = noon.replace(hour=3, minute=0)
    placed(folder, "a.csv", LATER, written=noon)
    assert take(location, day=LATER).success
    placed(folder, "b.csv", FIRST_DAY, written=noon - timedelta(hours=2))
    assert take(location, day=LATER).success


def test_another_form_of_the_same_export_rewrites_no_row(location: Location, folder: Path) -> None:
    exports.write(REGISTRY, FIRST_DAY, folder, {"세종": Form.CSV_UTF8})
    assert take(location).success
    table = exports.rows(REGISTRY, FIRST_DAY)["세종"]
    respelled = [[f" {cell} " if cell else cell for cell in row] for row in table]
    (folder / "again.csv").write_bytes(exports.render(respelled, Form.CSV_UTF8))
    assert take(location).success
    run = location.newest_run()
    assert (run["inserted_rows"], run["updated_rows"], run["renamed_rows"]) == (0, 0, 0)
    assert run["received_rows"] == run["unchanged_rows"] + run["quarantined_rows"]
