"""When files are taken from the landing zone: as soon as everything in the folder has settled."""

import hashlib
from collections.abc import Sequence

import dagster as dg

from meva_pipelines.assets import aed, aed_exports
from meva_pipelines.automation import jobs
from meva_pipelines.domain.failures import Refused
from meva_pipelines.resources.landing import Arrival, Landing

FILES_PER_TICK = 40
"""Most files that one run takes: the portal has 17 exports, one per sido."""

_SHOWN = 5
_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dg.sensor(
    job=jobs.aed_export_sync,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Takes export files of the registry from the landing zone once all of them have settled.",
)
def aed_exports_landed(context: dg.SensorEvaluationContext, landing: Landing) -> dg.RunRequest | dg.SkipReason:
    """Ask for one run for everything that has arrived.

    The files of a download belong together, so the folder is left alone while one of them still changes. The run
    key changes with the day: files of a run that failed are tried once more on each day. That nothing is published
    twice is seen to by the ledger.
    """
    arrivals = landing.arrived(aed_exports.FOLDER)
    place = landing.place(aed_exports.FOLDER)
    left_alone = f"; left alone: {_listed(arrivals.ignored)}" if arrivals.ignored else ""
    if arrivals.changing:
        return dg.SkipReason(f"waiting until nothing in {place} changes: {_listed(arrivals.changing)}{left_alone}")
    if not arrivals.settled:
        return dg.SkipReason(f"no export file lies in {place}{left_alone}")
    if busy := context.instance.get_runs(
        dg.RunsFilter(job_name=jobs.aed_export_sync.name, statuses=_UNDER_WAY), limit=1
    ):
        return dg.SkipReason(f"run {busy[0].run_id[:8]} is taking files; {len(arrivals.settled)} lie in {place}")
    chosen = arrivals.settled[:FILES_PER_TICK]
    day = aed.DAYS.get_last_partition_key()
    if day is None:
        raise Refused("no Korean day has ended since the first partition: the clock of this machine is wrong")
    return dg.RunRequest(
        run_key=f"{day}/{_digest(chosen)}",
        partition_key=day,
        run_config={"ops": {"aed__export_files": {"config": {"files": [arrival.name for arrival in chosen]}}}},
        tags={"meva/files": str(len(chosen))},
    )


def _digest(arrivals: Sequence[Arrival]) -> str:
    return hashlib.sha256("\n".join(arrival.identity for arrival in arrivals).encode()).hexdigest()[:16]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


SENSORS = (aed_exports_landed,)
