"""`python -m meva_pipelines.local.run JOB`: runs of a job in this process, recorded on the instance."""

import json

import click
import dagster as dg

from meva_pipelines import definitions


@click.command()
@click.argument("job")
@click.option("--partition", "partitions", multiple=True, help="Partition key, such as 2026-11-19; a run for each.")
@click.option("--config", "run_config", help="Run configuration as JSON.")
def main(job: str, partitions: tuple[str, ...], run_config: str | None) -> None:
    """Run JOB, once or for each partition, and end with code 1 unless all succeed."""
    with dg.DagsterInstance.get() as instance:
        chosen = definitions.defs().resolve_job_def(job)
        results = [
            chosen.execute_in_process(
                instance=instance,
                partition_key=partition,
                run_config=json.loads(run_config) if run_config else None,
                raise_on_error=False,
            )
            for partition in partitions or (None,)
        ]
    raise SystemExit(0 if all(result.success for result in results) else 1)


if __name__ == "__main__":
    main()
