"""`python -m meva_pipelines.local.burying JOB`: end the runs of a job whose process died, and free what they hold.

Dagster's daemon does it within minutes where it is up; the demo has none, and another run would wait for the pool.
"""

import click
import dagster as dg


@click.command()
@click.argument("job")
def main(job: str) -> None:
    """End the runs of JOB that are under way by name only."""
    wanted = dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.STARTED])
    with dg.DagsterInstance.get() as instance:
        for run in instance.get_runs(wanted):
            instance.report_run_failed(run, "its process died")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


if __name__ == "__main__":
    main()
