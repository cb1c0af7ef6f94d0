"""When rows age: once a day for every period that is due, and never before the night's backup."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import pytest

from meva_pipelines.assets import archive
from meva_pipelines.automation import archive_clocks
from meva_pipelines.domain.archive.declared import TABLES
from meva_pipelines.domain.archive.periods import Period, Span
from meva_pipelines.resources.postgres import Postgres

SERIES, LOGS = TABLES["simulation_time_series"], TABLES["operation_logs"]
DUE = ((SERIES, Period.named("2024-Q1")), (LOGS, Period.named("2024-02")))
MORNING = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)
"""Half past three in Seoul, on the 21st."""


@pytest.fixture
def instance() -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral()


def test_every_due_period_is_asked_for_once_a_day_and_can_be_chosen(instance: dg.DagsterInstance) -> None:
    found = list(archive_clocks.asked(instance, DUE, now=MORNING))
    assert [(one.job_name, one.partition_key, one.run_key) for one in found if isinstance(one, dg.RunRequest)] == [
        ("archive_simulation_time_series", "2024-Q1", "simulation_time_series/2024-Q1/2026-11-21"),
        ("archive_operation_logs", "2024-02", "operation_logs/2024-02/2026-11-21"),
    ]
    chosen = {span: instance.get_dynamic_partitions(str(archive.PERIODS[span].name)) for span in Span}
    assert chosen == {Span.QUARTER: ["2024-Q1"], Span.MONTH: ["2024-02"]}


def test_before_the_backup_nothing_is_asked_for(instance: dg.DagsterInstance) -> None:
    (found,) = archive_clocks.asked(instance, DUE, now=datetime(2026, 11, 20, 17, 59, tzinfo=UTC))
    assert isinstance(found, dg.SkipReason)
    assert "2 periods are due" in str(found.skip_message)


def test_nothing_due_is_said(instance: dg.DagsterInstance, postgres: Postgres) -> None:
    (found,) = archive_clocks.asked(instance, (), now=MORNING)
    assert isinstance(found, dg.SkipReason)
    with dg.build_sensor_context(instance=instance, resources={"postgres": postgres}) as context:
        answers = archive_clocks.archive_periods_due(context)
        assert isinstance(answers, Iterator)
        (looked,) = answers
    assert isinstance(looked, dg.SkipReason)


def test_the_night_asks_for_one_look() -> None:
    context = dg.build_schedule_context(scheduled_execution_time=MORNING)
    requests = archive_clocks.archive_every_night(context)
    assert isinstance(requests, Iterator)
    assert [one.run_key for one in requests if isinstance(one, dg.RunRequest)] == ["2026-11-21"]
