"""References tell what people read beside the registry; none of them needs a sync to have succeeded."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import dagster as dg
import pytest

from meva_pipelines.assets import aed_reference
from meva_pipelines.resources import reference
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines_tests.resources.registry_desk import DAY, WORLD, Desk, item


@pytest.fixture
def desk(postgres: Postgres) -> Desk:
    return Desk(postgres)


def made(desk: Desk, asset: dg.AssetsDefinition, day: date | None = None) -> Mapping[str, Any]:
    result = dg.materialize(
        [asset],
        resources={"postgres": desk.postgres},
        partition_key=day.isoformat() if day else None,
        selection=[asset],
    )
    (event,) = result.get_asset_materialization_events()
    return {name: value.value for name, value in event.step_materialization_data.materialization.metadata.items()}


def test_regions_are_those_of_the_package_however_often_they_are_published(desk: Desk) -> None:
    made(desk, aed_reference.regions)
    found = made(desk, aed_reference.regions)
    assert found["dagster/row_count"] == len(reference.regions().periods)
    assert desk.rows("SELECT code, name FROM aed.regions WHERE level = 'sido' AND valid_from >= '2026-07-01'") == [
        ("12", "전남광주통합특별시")
    ]
    ((successors,),) = desk.rows("SELECT successors FROM aed.regions WHERE code = '28110'")
    assert sorted(successors) == ["28125", "28155"]


def test_spellings_of_a_health_centre_are_counted_together(desk: Desk) -> None:
    spellings = ["종로구 보건소", "종로구 보건소", "종로구보건소", "중구보건소", None]
    desk.deliver([item(n, jurisdiction_health_center=name) for n, name in enumerate(spellings, start=20)])
    made(desk, aed_reference.health_centers)
    found = made(desk, aed_reference.health_centers)
    assert (found["dagster/row_count"], found["spellings"]) == (2, 3)
    assert desk.rows("SELECT key, name, spellings, devices FROM aed.health_centers ORDER BY devices DESC") == [
        ("종로구보건소", "종로구 보건소", 2, 3),
        ("중구보건소", "중구보건소", 1, 1),
    ]


def test_the_report_tells_what_the_sync_of_its_day_did(desk: Desk) -> None:
    desk.deliver([item(n) for n in range(20, 60)])
    changed = [item(n, category_3="x", last_modified="2026-11-03T09:00:00+09:00") for n in range(20, 25)]
    day = DAY + timedelta(days=1)
    desk.deliver([*changed, *(item(n) for n in range(25, 62))], day=day)
    found = made(desk, aed_reference.sync_report, day)
    assert {name: found[name] for name in ("received_rows", "inserted_rows", "updated_rows", "live_rows")} == {
        "received_rows": 42,
        "inserted_rows": 2,
        "updated_rows": 5,
        "live_rows": 42,
    }
    assert f"**{day}**" in found["summary"]
    assert "**2 new**" in found["summary"]
    assert "| category_3 | 5 |" in found["changed_fields"]
    names = {WORLD.device(n, DAY).site.district.sido_name(is_reformed=True) for n in range(20, 25)}
    assert all(name in found["changes_by_sido"] for name in names)
    assert found["coverage"].startswith("![coverage](data:image/png;base64,iVBOR")
    assert len(found["coverage"]) < 100_000


def test_the_report_of_an_older_day_is_about_that_day(desk: Desk) -> None:
    desk.deliver([item(n) for n in range(20, 60)])
    desk.deliver([item(n) for n in range(20, 62)], day=DAY + timedelta(days=1))
    assert made(desk, aed_reference.sync_report, DAY)["inserted_rows"] == 40


def test_a_day_without_a_sync_is_said_to_have_none(desk: Desk) -> None:
    desk.stage([item(20)])
    found = made(desk, aed_reference.sync_report, DAY)
    assert found["summary"] == f"No published sync for {DAY}."


def test_no_personal_data_are_in_a_report(desk: Desk) -> None:
    secrets = {"manager": "김철수", "institution_contact": "010-9876-5432", "remarks": "연락 010-9876-5432"}
    desk.deliver([item(n) | secrets for n in range(20, 60)])
    said = str(made(desk, aed_reference.sync_report, DAY)) + str(made(desk, aed_reference.health_centers))
    assert "김철수" not in said
    assert "9876" not in said
