"""When backups are taken and proved by the clock: everything at night, what changed every hour, files every six."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from meva_pipelines.automation import backup_jobs
from meva_pipelines.domain.days import SEOUL


@dg.schedule(
    job=backup_jobs.backup_nightly,
    cron_schedule="0 2 * * *",
    execution_timezone=SEOUL.key,
    description="Every day 02:00 KST: everything in full, for the day before.",
)
def backup_every_night(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """Ask for the partition of the Korean day before the tick."""
    local = context.scheduled_execution_time.astimezone(SEOUL)
    day = (local - timedelta(days=1)).date().isoformat()
    yield dg.RunRequest(run_key=day, partition_key=day)


@dg.schedule(
    job=backup_jobs.backup_proof,
    cron_schedule="45 2 * * *",
    execution_timezone=SEOUL.key,
    description="Every day 02:45 KST: backups copied, read, restored for proof, expired; also when one was not taken.",
)
def backup_proof_every_night(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """Ask for the proof of what lies there, whatever became of the night's backups."""
    yield dg.RunRequest(run_key=f"{context.scheduled_execution_time.astimezone(SEOUL):%Y-%m-%d}")


@dg.schedule(
    job=backup_jobs.backup_hourly,
    cron_schedule="5 * * * *",
    execution_timezone=SEOUL.key,
    description="Every hour at five past, KST: the blocks that changed and the log of the hour before.",
)
def backup_every_hour(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """Ask for the partition of the hour before the tick."""
    local = context.scheduled_execution_time.astimezone(SEOUL)
    hour = f"{local - timedelta(hours=1):%Y-%m-%d-%H:00}"
    yield dg.RunRequest(run_key=hour, partition_key=hour)


@dg.schedule(
    job=backup_jobs.backup_files_round,
    cron_schedule="30 */6 * * *",
    execution_timezone=SEOUL.key,
    description="Every six hours at half past, KST: the files that changed (the interval of 360 minutes of seed 002).",
)
def backup_files_every_six_hours(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """Ask for a round of files."""
    yield dg.RunRequest(run_key=f"{context.scheduled_execution_time:%Y-%m-%dT%H%M}")


SCHEDULES = (backup_every_night, backup_proof_every_night, backup_every_hour, backup_files_every_six_hours)
