"""The schedules cover every Korean day exactly once, daily at 04:00 and on Sundays in full at 02:00."""

from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from meva_pipelines import definitions

SEOUL = ZoneInfo("Asia/Seoul")
INCREMENTAL, FULL = "aed_daily_incremental", "aed_weekly_full"


Schedules = Mapping[str, dg.ScheduleDefinition]


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    return definitions.defs()


@pytest.fixture(scope="module")
def schedules(defs: dg.Definitions) -> Schedules:
    return {name: defs.resolve_schedule_def(name) for name in (INCREMENTAL, FULL)}


def requests(defs: dg.Definitions, name: str, at: datetime) -> list[dg.RunRequest]:
    context = dg.build_schedule_context(scheduled_execution_time=at, repository_def=defs.get_repository_def())
    return list(defs.resolve_schedule_def(name).evaluate_tick(context).run_requests or [])


def partitions(defs: dg.Definitions, name: str, at: datetime) -> list[str | None]:
    return [request.partition_key for request in requests(defs, name, at)]


def ticks(schedule: dg.ScheduleDefinition, first: datetime, days: int) -> list[datetime]:
    """The ticks of a schedule within so many days: the starts of the windows that its cron divides time into."""
    windows = dg.TimeWindowPartitionsDefinition(
        start=first, fmt="%Y-%m-%d %H:%M", cron_schedule=str(schedule.cron_schedule), timezone=SEOUL.key
    )
    keys = windows.get_partition_keys(current_time=first + timedelta(days=days + 14))
    starts = [datetime.strptime(key, "%Y-%m-%d %H:%M").replace(tzinfo=SEOUL) for key in keys]
    return [start for start in starts if start < first + timedelta(days=days)]


@pytest.mark.parametrize("day", [date(2026, 11, 16) + timedelta(days=n) for n in range(6)], ids=str)
def test_monday_to_saturday_at_four_the_day_before_is_due(defs: dg.Definitions, day: date) -> None:
    at = datetime(day.year, day.month, day.day, 4, tzinfo=SEOUL)
    assert partitions(defs, INCREMENTAL, at) == [(day - timedelta(days=1)).isoformat()]


def test_sunday_at_two_saturday_is_due_in_full(defs: dg.Definitions, schedules: Schedules) -> None:
    assert partitions(defs, FULL, datetime(2026, 11, 22, 2, tzinfo=SEOUL)) == ["2026-11-21"]
    assert schedules[FULL].job_name == "aed_full_sync"
    assert schedules[INCREMENTAL].job_name == "aed_incremental_sync"


def test_the_clock_is_korean_wherever_the_tick_is_written(defs: dg.Definitions) -> None:
    """04:00 in Seoul is 19:00 UTC of the day before."""
    at = datetime(2026, 11, 17, 19, tzinfo=ZoneInfo("UTC"))
    assert partitions(defs, INCREMENTAL, at) == ["2026-11-17"]


@pytest.mark.parametrize("first", [date(2026, 11, 16), date(2026, 12, 21), date(2028, 2, 21)], ids=str)
def test_every_day_of_a_fortnight_is_due_exactly_once(defs: dg.Definitions, schedules: Schedules, first: date) -> None:
    begin = datetime(first.year, first.month, first.day, tzinfo=SEOUL)
    due = Counter(
        partition
        for name, schedule in schedules.items()
        for tick in ticks(schedule, begin, 14)
        for partition in partitions(defs, name, tick)
    )
    assert due == {(first + timedelta(days=n - 1)).isoformat(): 1 for n in range(14)}


def test_a_repeated_tick_asks_for_the_same_run(defs: dg.Definitions) -> None:
    at = datetime(2026, 11, 17, 4, tzinfo=SEOUL)
    keys = {request.run_key for _ in range(2) for request in requests(defs, INCREMENTAL, at)}
    assert keys == {"2026-11-16"}


def test_what_is_due_is_a_partition_that_exists(defs: dg.Definitions) -> None:
    at = datetime(2026, 11, 17, 4, tzinfo=SEOUL)
    (partition,) = partitions(defs, INCREMENTAL, at)
    job = defs.resolve_job_def("aed_incremental_sync")
    assert job.partitions_def is not None
    assert str(partition) in job.partitions_def.get_partition_keys(current_time=at)
