"""What asks for a backup besides the clock: trouble, a changed configuration, a training that starts or ends.

A shutdown asks through the command that a service manager calls; a person asks through the job `backup_now`.
"""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import dagster as dg

from meva_pipelines.automation import backup_jobs
from meva_pipelines.domain.alarms import Alarm
from meva_pipelines.domain.alerts import Kind
from meva_pipelines.domain.backup.vocabulary import Trigger
from meva_pipelines.resources import outbox
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema import migrate
from meva_pipelines.schema.roles import Role

TRAINING = "meva/training"
"""Tag of jobs that train a model: a backup is taken when their runs start and when they have succeeded."""

TROUBLE = frozenset(
    {Kind.CORRUPTION_DETECTED, Kind.SYNC_FAILED_REPEATEDLY, Alarm.BACKUP_CORRUPTED, Alarm.ARCHIVE_CORRUPTED}
)
"""Incidents after which everything should be safe at once: something is corrupted, or a run fails again and again."""

_PROJECT = Path(__file__).parents[2]
_FILES = ("dagster.yaml", "workspace.yaml", "meva_pipelines/resources/reference/contracts")
_SETTINGS = ("MEVA_STORE_URL", "MEVA_LANDING_URL", "MEVA_EGEN_BASE_URL", "MEVA_EGEN_DIALECT")


@dg.sensor(
    job=backup_jobs.backup_now,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every minute: an incident of corruption or of repeated failure asks for one emergency backup.",
)
def backup_on_trouble(postgres: Postgres) -> dg.SensorResult | dg.SkipReason:
    """Ask once for each incident, with its kind and subject as the reason."""
    with postgres.connect(Role.READER, work="look for trouble") as connection:
        found = outbox.open_among(connection, TROUBLE)
    if not found:
        return dg.SkipReason("no incident of corruption or repeated failure is open")
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=f"incident-{number}",
                run_config=_config(Trigger.DATA_CORRUPTION, f"{kind} of {subject}"),
            )
            for number, kind, subject in found
        ]
    )


@dg.sensor(
    job=backup_jobs.backup_now,
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every five minutes: changed settings, contracts or schema revision ask for a backup.",
)
def backup_on_config_change(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Compare the digest of the configuration with the last one; the first look only remembers it."""
    digest = configuration_digest(_PROJECT)
    before = context.cursor
    context.update_cursor(digest)
    if before is None:
        return dg.SkipReason("the configuration is known from now on")
    if before == digest:
        return dg.SkipReason("the configuration has not changed")
    return dg.RunRequest(
        run_key=f"configuration-{digest}",
        run_config=_config(Trigger.CONFIG_CHANGE, f"configuration {before[:8]} became {digest[:8]}"),
    )


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.STARTED,
    request_job=backup_jobs.backup_now,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=f"A run tagged {TRAINING} has started: what it may change is backed up.",
)
def backup_on_training_start(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
    """Ask for a backup when a training starts."""
    return _on_training(context, Trigger.TRAINING_START)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    request_job=backup_jobs.backup_now,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=f"A run tagged {TRAINING} has succeeded: what it made is backed up.",
)
def backup_on_training_complete(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
    """Ask for a backup when a training is complete."""
    return _on_training(context, Trigger.TRAINING_COMPLETE)


def configuration_digest(project: Path) -> str:
    """Return a digest of the settings files, the contracts, the public settings and the schema revision."""
    digest = hashlib.sha256(migrate.head().encode())
    for path in sorted(_files(project)):
        digest.update(str(path.relative_to(project)).encode() + b"\0" + path.read_bytes() + b"\0")
    for name in _SETTINGS:
        digest.update(f"{name}={os.environ.get(name, '')}\0".encode())
    return digest.hexdigest()[:32]


def _files(project: Path) -> Iterable[Path]:
    for name in _FILES:
        path = project / name
        yield from (path.glob("*.yaml") if path.is_dir() else [path] if path.is_file() else [])


def _on_training(context: dg.RunStatusSensorContext, trigger: Trigger) -> dg.RunRequest | dg.SkipReason:
    run = context.dagster_run
    if TRAINING not in run.tags:
        return dg.SkipReason(f"run {run.run_id[:8]} of {run.job_name} is no training")
    return dg.RunRequest(
        run_key=f"{trigger}-{run.run_id}",
        run_config=_config(trigger, f"{run.job_name}, run {run.run_id[:8]}"),
    )


def _config(trigger: Trigger, description: str) -> dict[str, Any]:
    config = {"kinds": ["full", "wal"], "trigger": trigger.value, "description": description}
    return {"ops": {"take_backup": {"config": config}}}


SENSORS = (backup_on_trouble, backup_on_config_change, backup_on_training_start, backup_on_training_complete)
