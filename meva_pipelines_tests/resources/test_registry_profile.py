"""The profile tells what readers would see: net of renames, deaf to small numbers, not fooled by a small delta."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from meva_pipelines.domain.guards import Limit
from meva_pipelines.resources.ledger import Mode
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines_tests.resources.registry_desk import DAY, USUAL, WORLD, Desk, Staged, item, items, open_item

LOOSE = Limit(pct=100.0, rows=10_000)
NEXT_DAY = DAY + timedelta(days=1)
Record = dict[str, object]


@pytest.fixture
def desk(postgres: Postgres) -> Desk:
    return Desk(postgres)


def profile(desk: Desk, staged: Staged, *, limit: Limit = USUAL) -> dict[str, dict[str, Any]]:
    desk.measure(staged, limit=limit)
    with psycopg.connect(desk.postgres.dsn(), row_factory=dict_row) as connection:
        rows = connection.execute(f"SELECT * FROM staging.{staged.batch.name('profile')}").fetchall()
    return {row["scope"]: row for row in rows}


def healthy() -> list[Record]:
    """All devices but the ship, each with a place, a maker and coordinates."""
    return [
        {
            **record,
            "installation_position": "1층",
            "latitude": record["latitude"] or 37.5,
            "longitude": record["longitude"] or 127.0,
        }
        for record in items()
        if record["equipment_serial"] != WORLD.device(17, DAY).equipment_serial
    ]


def changed(records: list[Record], **changes: object) -> list[Record]:
    return [{**record, **changes, "last_modified": "2026-11-03T09:00:00+09:00"} for record in records]


def test_a_first_load_has_counts_and_no_drift(desk: Desk) -> None:
    found = profile(desk, desk.stage(healthy()))
    assert (found["all"]["published_rows"], found["all"]["candidate_rows"]) == (0, len(healthy()))
    assert sum(row["candidate_rows"] for scope, row in found.items() if scope != "all") == len(healthy())
    assert {row["guarded_change_pct"] for row in found.values()} <= {0, None}
    assert found["all"]["received_rows"] == len(healthy())


def test_nothing_received_and_nothing_published_is_one_row_of_zeros(desk: Desk) -> None:
    found = profile(desk, desk.stage([]))
    assert found.keys() == {"all"}
    assert (found["all"]["candidate_rows"], found["all"]["received_rows"]) == (0, 0)


def test_an_identical_delivery_changes_nothing(desk: Desk) -> None:
    desk.deliver(healthy())
    found = profile(desk, desk.stage(healthy(), day=NEXT_DAY))
    assert all(row["candidate_rows"] == row["published_rows"] for row in found.values())
    assert {row[name] for row in found.values() for name in row if name.endswith(("_change_pct", "_drift_pct"))} == {0}


def test_a_snapshot_counts_who_is_gone_and_a_delta_does_not(desk: Desk) -> None:
    desk.deliver(healthy())
    staged = desk.stage(healthy()[:200], day=NEXT_DAY)
    assert profile(desk, staged, limit=LOOSE)["all"]["guarded_change_pct"] == pytest.approx(-33.1, abs=0.1)
    delta = profile(desk, desk.stage(healthy()[:200], day=NEXT_DAY, mode=Mode.INCREMENTAL), limit=LOOSE)["all"]
    assert (delta["guarded_change_pct"], delta["absent_pct"]) == (0, 0)


def test_absences_that_are_withheld_change_no_count_and_are_measured_all_the_same(desk: Desk) -> None:
    desk.deliver(healthy())
    found = profile(desk, desk.stage(healthy()[:200], day=NEXT_DAY))
    in_small = sum(row["published_rows"] - row["candidate_rows"] for scope, row in found.items() if scope != "all")
    assert found["all"]["published_rows"] - found["all"]["candidate_rows"] == in_small < 101
    assert found["all"]["absent_pct"] == pytest.approx(33.1, abs=0.1)
    assert {row["absent_pct"] for scope, row in found.items() if scope != "all"} == {0}


def test_ten_rows_are_no_drift_and_eleven_are(desk: Desk) -> None:
    desk.deliver(healthy())
    in_daegu = [record for record in healthy() if record["sido"] == "대구"]
    others = [record for record in healthy() if record["sido"] != "대구"]
    assert len(in_daegu) > 11
    ten = profile(desk, desk.stage(others + in_daegu[10:], day=NEXT_DAY), limit=LOOSE)["27"]
    eleven = profile(desk, desk.stage(others + in_daegu[11:], day=NEXT_DAY), limit=LOOSE)["27"]
    assert ten["guarded_change_pct"] == 0
    assert eleven["guarded_change_pct"] == pytest.approx(-100 * 11 / len(in_daegu))


def test_a_reform_moves_no_count_from_one_sido_to_another(desk: Desk) -> None:
    clerk = Desk(desk.postgres, "data_go_kr")
    numbers = [n for n in range(18, 301) if WORLD.device(n, DAY).site.district.sido.is_merged]
    clerk.deliver([open_item(n, is_reformed=False) for n in numbers], day=date(2026, 6, 30))
    staged = clerk.stage([open_item(n, is_reformed=True) for n in numbers], day=date(2026, 7, 1))
    found = profile(clerk, staged)
    assert found.keys() == {"12", "all"}
    assert found["12"]["published_rows"] == found["12"]["candidate_rows"] == len(numbers)


def test_devices_missing_for_long_are_no_loss_of_today(desk: Desk) -> None:
    """Rows are never deleted: after years the missing would otherwise stop every sync."""
    desk.deliver(healthy())
    gone = [str(record["equipment_serial"]) for record in healthy()[:80]]
    desk.change("UPDATE aed.aed_data SET data_status = 'missing' WHERE source_id = ANY(%s)", gone)
    found = profile(desk, desk.stage(healthy()[80:], day=NEXT_DAY))
    assert found["all"]["published_rows"] == found["all"]["candidate_rows"] == len(healthy()) - 80
    back = profile(desk, desk.stage(healthy()[60:], day=NEXT_DAY))
    assert back["all"]["candidate_rows"] == len(healthy()) - 60
    delta = profile(desk, desk.stage(healthy()[70:90], day=NEXT_DAY, mode=Mode.INCREMENTAL))
    assert delta["all"]["candidate_rows"] == len(healthy()) - 70


CORRUPTIONS: dict[str, tuple[Callable[[Record], Record], str, str]] = {
    "coordinates": (
        lambda r: {**r, "latitude": None, "longitude": None},
        "no_coordinates_drift_pct",
        "lost_coordinates_pct",
    ),
    "addresses": (
        lambda r: {**r, "installation_address": f"{r['sido']} {r['gugun']} {r['installation_institution']}"},
        "no_number_drift_pct",
        "lost_numbers_pct",
    ),
    "places": (lambda r: {**r, "installation_position": None}, "no_position_drift_pct", "lost_positions_pct"),
    "makers": (lambda r: {**r, "manufacturer": None}, "no_manufacturer_drift_pct", "lost_manufacturers_pct"),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_what_vanishes_from_every_record_is_a_drift_of_the_country(desk: Desk, name: str) -> None:
    corrupt, drift, lost = CORRUPTIONS[name]
    desk.deliver(healthy())
    found = profile(desk, desk.stage([corrupt(r) for r in changed(healthy())], day=NEXT_DAY))["all"]
    assert found[drift] > 90
    assert found[lost] > 90


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_what_vanishes_from_the_changes_of_a_day_is_seen_in_the_changes(desk: Desk, name: str) -> None:
    """Sixteen of three hundred devices are 5 % of the country and all of the day."""
    corrupt, drift, lost = CORRUPTIONS[name]
    desk.deliver(healthy())
    delta = [corrupt(r) for r in changed(healthy()[40:56])]
    found = profile(desk, desk.stage(delta, day=NEXT_DAY, mode=Mode.INCREMENTAL))["all"]
    assert found[drift] < 6
    assert found[lost] > 90


def test_an_honest_change_loses_nothing(desk: Desk) -> None:
    desk.deliver(healthy())
    found = profile(desk, desk.stage(changed(healthy(), remarks="x"), day=NEXT_DAY))["all"]
    assert {found[name] for name in found if name.startswith("lost_")} == {0}


def test_the_share_of_quarantined_records_is_that_of_the_received(desk: Desk) -> None:
    broken = [item(n, latitude=0.0, longitude=0.0) for n in range(20, 40)]
    found = profile(desk, desk.stage([*broken, *(item(n) for n in range(40, 60))]))["all"]
    assert (found["received_rows"], found["quarantined_rows"], found["quarantined_pct"]) == (40, 20, 50.0)


def test_health_centers_are_unknown_only_where_some_are_known(desk: Desk) -> None:
    records = [item(n, jurisdiction_health_center=f"{n} 보건소") for n in range(20, 40)]
    assert profile(desk, desk.stage(records))["all"]["unknown_health_centers_pct"] is None
    desk.change("INSERT INTO aed.health_centers (key, name, spellings, devices) VALUES ('20보건소', '20 보건소', 1, 1)")
    assert profile(desk, desk.stage(records))["all"]["unknown_health_centers_pct"] == 95.0
