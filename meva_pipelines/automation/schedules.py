"""When the syncs run: every Korean day is covered exactly once (decision D4)."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from meva_pipelines.automation import jobs, tensile_jobs
from meva_pipelines.domain.days import SEOUL


def _day_before(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Ask for the partition of the Korean day before the tick; its key makes a repeated tick a no-op."""
    local = context.scheduled_execution_time.astimezone(SEOUL)
    day = (local - timedelta(days=1)).date().isoformat()
    return dg.RunRequest(run_key=day, partition_key=day)


@dg.schedule(
    job=jobs.aed_incremental_sync,
    cron_schedule="0 4 * * 1-6",
    execution_timezone=SEOUL.key,
    description="Monday to Saturday 04:00 KST: the day before, incrementally.",
)
def aed_daily_incremental(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """Sync the day before."""
    yield _day_before(context)


@dg.schedule(
    job=jobs.aed_full_sync,
    cron_schedule="0 2 * * 0",
    execution_timezone=SEOUL.key,
    description="Sunday 02:00 KST: Saturday, in full.",
)
def aed_weekly_full(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """Sync Saturday in full."""
    yield _day_before(context)


tensile_registers_daily = dg.ScheduleDefinition(
    name="tensile_registers_daily",
    job=tensile_jobs.tensile_registers,
    cron_schedule="30 3 * * *",
    execution_timezone=SEOUL.key,
    description="Daily 03:30 KST: standard values and calibrations, and every comparison that follows from them.",
)

SCHEDULES = (aed_daily_incremental, aed_weekly_full, tensile_registers_daily)
