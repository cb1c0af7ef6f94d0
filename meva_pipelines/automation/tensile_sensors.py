"""When published tests are evaluated that no run evaluated: after a run that died, a decision or a rollback."""

import dagster as dg

from meva_pipelines.automation import tensile_jobs, under_way
from meva_pipelines.domain.days import SEOUL
from meva_pipelines.resources import ledger, tensile_results
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role


@dg.sensor(
    job=tensile_jobs.tensile_evaluation,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for an evaluation of published tests that have none, as long as no run is at it.",
)
def tensile_tests_unevaluated(context: dg.SensorEvaluationContext, postgres: Postgres) -> dg.RunRequest | dg.SkipReason:
    """Ask for one run for the oldest day with such tests.

    The run key changes with the hour: what could not be evaluated is tried again then.
    """
    for job in (tensile_jobs.tensile_intake, tensile_jobs.tensile_evaluation):
        if busy := under_way.run_of(context.instance, job.name):
            return dg.SkipReason(f"run {busy} is evaluating")
    with postgres.connect(Role.READER, work="look for tests") as connection:
        found = tensile_results.unevaluated(connection)
        now = ledger.now(connection).astimezone(SEOUL)
    if found is None:
        return dg.SkipReason("every published test is evaluated, or waits in meva.quarantine")
    return dg.RunRequest(
        run_key=f"{now:%Y-%m-%dT%H}/{found.day}/{found.digest}",
        partition_key=found.day.isoformat(),
        run_config={"ops": {"simulation_result": {"config": {"again": False}}}},
        tags={"meva/tests": str(found.tests)},
    )


SENSORS = (tensile_tests_unevaluated,)
