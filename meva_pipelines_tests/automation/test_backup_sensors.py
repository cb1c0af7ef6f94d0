"""What asks for backups: trouble once per incident, a changed configuration, trainings; and the clock."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest

from meva_pipelines.automation import backup_schedules, backup_sensors
from meva_pipelines.domain.alert_messages import Message, Severity
from meva_pipelines.domain.alerts import Kind
from meva_pipelines.resources import outbox
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role


def incident(postgres: Postgres, kind: str) -> None:
    with postgres.connect(Role.WRITER, work="test") as connection:
        message = Message(Severity.CRITICAL, "title", "body")
        outbox.open_alarm(connection, kind, message, subject="aed.aed_data", day=date(2026, 11, 2))


def looked(postgres: Postgres) -> dg.SensorResult | dg.SkipReason:
    with dg.build_sensor_context(resources={"postgres": postgres}) as context:
        found = backup_sensors.backup_on_trouble(context)
    assert isinstance(found, dg.SensorResult | dg.SkipReason)
    return found


def test_nothing_wrong_asks_for_nothing(postgres: Postgres) -> None:
    incident(postgres, Kind.DEADLINE_MISSED)
    assert isinstance(looked(postgres), dg.SkipReason)


@pytest.mark.parametrize("kind", sorted(backup_sensors.TROUBLE))
def test_trouble_asks_for_one_emergency_backup_with_its_reason(postgres: Postgres, kind: str) -> None:
    incident(postgres, kind)
    first, second = looked(postgres), looked(postgres)
    assert isinstance(first, dg.SensorResult)
    assert isinstance(second, dg.SensorResult)
    (request,) = first.run_requests or ()
    assert second.run_requests is not None
    assert second.run_requests[0].run_key == request.run_key
    config = request.run_config["ops"]["take_backup"]["config"]
    assert config == {
        "kinds": ["full", "wal"],
        "trigger": "data_corruption",
        "description": f"{kind} of aed.aed_data",
    }


def test_a_changed_configuration_asks_once() -> None:
    context = dg.build_sensor_context()
    assert isinstance(backup_sensors.backup_on_config_change(context), dg.SkipReason)
    assert isinstance(backup_sensors.backup_on_config_change(context), dg.SkipReason)
    context.update_cursor("0" * 32)
    request = backup_sensors.backup_on_config_change(context)
    assert isinstance(request, dg.RunRequest)
    assert request.run_config["ops"]["take_backup"]["config"]["trigger"] == "config_change"
    assert isinstance(backup_sensors.backup_on_config_change(context), dg.SkipReason)


def test_files_and_public_settings_make_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dagster.yaml").write_text("a: 1", encoding="utf-8")
    before = backup_sensors.configuration_digest(tmp_path)
    assert backup_sensors.configuration_digest(tmp_path) == before
    (tmp_path / "dagster.yaml").write_text("a: 2", encoding="utf-8")
    changed = backup_sensors.configuration_digest(tmp_path)
    monkeypatch.setenv("MEVA_EGEN_DIALECT", "egen")
    assert len({before, changed, backup_sensors.configuration_digest(tmp_path)}) == 3


@dg.op
def learn() -> None:
    """Learn nothing."""


@dg.job(tags={backup_sensors.TRAINING: "ballistics"})
def training() -> None:
    """Train."""
    learn()


@dg.job
def other() -> None:
    """Do something else."""
    learn()


@pytest.mark.parametrize(
    ("sensor", "event", "trigger"),
    [
        (backup_sensors.backup_on_training_start, dg.DagsterEventType.RUN_START, "training_start"),
        (backup_sensors.backup_on_training_complete, dg.DagsterEventType.RUN_SUCCESS, "training_complete"),
    ],
)
@pytest.mark.parametrize(("job", "is_asked"), [(training, True), (other, False)])
def test_a_training_asks_for_a_backup_when_it_starts_and_ends_and_nothing_else_does(
    instance: dg.DagsterInstance,
    sensor: dg.RunStatusSensorDefinition,
    event: dg.DagsterEventType,
    trigger: str,
    job: dg.JobDefinition,
    *,
    is_asked: bool,
) -> None:
    result = job.execute_in_process(instance=instance)
    (told,) = [one for one in result.all_events if one.event_type is event]
    context = dg.build_run_status_sensor_context(
        sensor_name=sensor.name, dagster_instance=instance, dagster_run=result.dagster_run, dagster_event=told
    )
    answer = sensor(context)
    assert isinstance(answer, dg.RunRequest) == is_asked
    if isinstance(answer, dg.RunRequest):
        assert answer.run_config["ops"]["take_backup"]["config"]["trigger"] == trigger


def test_the_interval_of_six_hours_asks_for_the_files() -> None:
    tick = datetime(2026, 11, 19, 15, 30, tzinfo=UTC)
    (request,) = asked(
        backup_schedules.backup_files_every_six_hours(dg.build_schedule_context(scheduled_execution_time=tick))
    )
    assert request.run_key == "2026-11-19T1530"
    assert backup_schedules.backup_files_every_six_hours.cron_schedule == "30 */6 * * *"


def asked(answer: object) -> list[dg.RunRequest]:
    assert isinstance(answer, Iterator)
    return list(answer)


def test_the_clock_asks_for_the_day_and_the_hour_before() -> None:
    tick = datetime(2026, 11, 19, 17, 5, tzinfo=UTC)  # 02:05 on the 20th in Korea
    context = dg.build_schedule_context(scheduled_execution_time=tick)
    (night,) = asked(backup_schedules.backup_every_night(context))
    (hour,) = asked(backup_schedules.backup_every_hour(context))
    (proof,) = asked(backup_schedules.backup_proof_every_night(context))
    assert (night.partition_key, hour.partition_key) == ("2026-11-19", "2026-11-20-01:00")
    assert (proof.run_key, proof.partition_key) == ("2026-11-20", None)
