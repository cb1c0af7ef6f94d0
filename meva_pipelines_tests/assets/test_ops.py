"""The operator sees the newest attempts and messages, straight from the ledgers."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import pytest

from meva_pipelines.assets import ops
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines_tests.resources.registry_desk import DAY, Desk, item


@pytest.fixture
def desk(postgres: Postgres) -> Desk:
    return Desk(postgres)


def made(desk: Desk, asset: dg.AssetsDefinition) -> Mapping[str, Any]:
    (event,) = dg.materialize([asset], resources={"postgres": desk.postgres}).get_asset_materialization_events()
    return {name: value.value for name, value in event.step_materialization_data.materialization.metadata.items()}


def test_the_newest_attempts_come_first(desk: Desk) -> None:
    desk.deliver([item(20)])
    desk.stage([item(20), item(21)])
    found = made(desk, ops.sync_runs)
    assert found["dagster/row_count"] == 2
    rows = [line.split("|")[1:-1] for line in found["newest_attempts"].splitlines()]
    header, newest, oldest = ([cell.strip() for cell in row] for row in (rows[0], *rows[2:]))
    assert dict(zip(header, newest, strict=True))["status"] == "staged"
    told = dict(zip(header, oldest, strict=True))
    assert (told["status"], told["inserted_rows"], told["day"]) == ("published", "1", str(DAY))


def test_at_most_fifteen_attempts_are_shown_and_all_are_counted(desk: Desk) -> None:
    for _ in range(16):
        desk.stage([])
    found = made(desk, ops.sync_runs)
    assert found["dagster/row_count"] == 16
    assert len(found["newest_attempts"].splitlines()) == 2 + 15


def test_an_empty_warehouse_has_nothing_to_tell(desk: Desk) -> None:
    assert made(desk, ops.sync_runs)["newest_attempts"] == "Nothing yet."
    found = made(desk, ops.outbox)
    assert (found["undelivered"], found["newest_messages"]) == (0, "Nothing yet.")
