"""When rows age: a look every night, and a run for each period that became old enough."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import dagster as dg

from meva_pipelines.assets import archive
from meva_pipelines.automation import archive_jobs
from meva_pipelines.domain.archive.declared import Archived
from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.domain.days import SEOUL
from meva_pipelines.resources import archive_planning, ledger
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role

_OPENS_AT = 3
"""Hour in Seoul from which periods are asked for: after the night's backup."""


@dg.schedule(
    job=archive_jobs.archive_nightly,
    cron_schedule="0 3 * * *",
    execution_timezone=SEOUL.key,
    description="Every day 03:00 KST: what moves next, a share of the cold parts read again, orphans, the report.",
)
def archive_every_night(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """Ask for the look of a night."""
    yield dg.RunRequest(run_key=f"{context.scheduled_execution_time.astimezone(SEOUL):%Y-%m-%d}")


@dg.sensor(
    jobs=archive_jobs.PERIOD_JOBS,
    minimum_interval_seconds=600,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="From 03:00 KST on: one run a day for every period whose rows are old enough and still hot.",
)
def archive_periods_due(
    context: dg.SensorEvaluationContext, postgres: Postgres
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Look for periods that are due by the clock of the database; counting is left to the run."""
    with postgres.connect(Role.ARCHIVER, work="look for periods") as connection:
        now = ledger.now(connection)
        due = archive_planning.due(connection)
    yield from asked(context.instance, due, now=now)


def asked(
    instance: dg.DagsterInstance, due: Sequence[tuple[Archived, Period]], *, now: datetime
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Ask for the due periods, each once on the Korean day of `now`, or say why for none."""
    local = now.astimezone(SEOUL)
    if local.hour < _OPENS_AT:
        yield dg.SkipReason(f"{len(due)} periods are due; they are asked for from {_OPENS_AT:02}:00 KST on")
        return
    if not due:
        yield dg.SkipReason("no hot rows are older than their policy allows")
    archive.add_periods(instance, due)
    for table, period in due:
        yield dg.RunRequest(
            run_key=f"{table.name}/{period.name}/{local:%Y-%m-%d}",
            job_name=archive_jobs.name_of(table),
            partition_key=period.name,
        )


SCHEDULES = (archive_every_night,)
SENSORS = (archive_periods_due,)
