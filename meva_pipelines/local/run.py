"""`python -m meva_pipelines.local.run JOB`: one run of a job in this process, recorded on the instance."""

import json

import click
import dagster as dg

from meva_pipelines import definitions


@click.command()
@click.argument("job")
@click.option("--partition", help="Partition key, such as 2026-11-19.")
@click.option("--config", "run_config", help="Run configuration as JSON.")
def main(job: str, partition: str | None, run_config: str | None) -> None:
    """Run JOB and end with code 1 unless it succeeds."""
    with dg.DagsterInstance.get() as instance:
        result = (
            definitions.defs()
            .resolve_job_def(job)
            .execute_in_process(
                instance=instance,
                partition_key=partition,
                run_config=json.loads(run_config) if run_config else None,
                raise_on_error=False,
            )
        )
    raise SystemExit(0 if result.success else 1)


if __name__ == "__main__":
    main()
