"""Whether a run of a job is under way, so that a sensor asks for no other. What it asks for is its own business."""

import dagster as dg

_STATUSES = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def run_of(instance: dg.DagsterInstance, job: str) -> str | None:
    """Return the run of a job that waits, runs or is being cancelled, as people know it; None without one."""
    runs = instance.get_runs(dg.RunsFilter(job_name=job, statuses=_STATUSES), limit=1)
    return runs[0].run_id[:8] if runs else None
