"""When files are taken from the landing zone: once they have settled, as many at a time as a run can hold."""

import hashlib
from collections.abc import Sequence

import dagster as dg

from meva_pipelines.assets import aed, aed_exports, simulation, tensile
from meva_pipelines.assets.simulation import FIRINGS, SIMULATIONS, Flow
from meva_pipelines.automation import jobs, simulation_jobs, tensile_jobs, under_way
from meva_pipelines.domain.days import SEOUL
from meva_pipelines.domain.failures import Refused
from meva_pipelines.resources import landing_ledger, ledger, tensile_desk, tensile_intake
from meva_pipelines.resources.landing import Landing
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role

FILES_PER_TICK = 40
"""Most files that one run takes: the portal has 17 exports, one per sido."""

DOCUMENTS_PER_TICK = 1_000
"""Most files of simulations or firings that one run takes."""

_SHOWN = 5


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
    if busy := under_way.run_of(context.instance, jobs.aed_export_sync.name):
        return dg.SkipReason(f"run {busy} is taking files; {len(arrivals.settled)} lie in {place}")
    chosen = arrivals.settled[:FILES_PER_TICK]
    day = aed.DAYS.get_last_partition_key()
    if day is None:
        raise Refused("no Korean day has ended since the first partition: the clock of this machine is wrong")
    return dg.RunRequest(
        run_key=f"{day}/{_digest([arrival.identity for arrival in chosen])}",
        partition_key=day,
        run_config={"ops": {"aed__export_files": {"config": {"files": [arrival.name for arrival in chosen]}}}},
        tags={"meva/files": str(len(chosen))},
    )


@dg.sensor(
    job=tensile_jobs.tensile_intake,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Takes files of testing machines from the landing zone, oldest first, and uploads of runs that died.",
)
def tensile_files_landed(
    context: dg.SensorEvaluationContext, landing: Landing, postgres: Postgres
) -> dg.RunRequest | dg.SkipReason:
    """Ask for one run for the oldest files that have settled.

    A file that still changes holds up what stands beside it and nothing else. The run key changes with the hour: files
    of a run that failed are tried again then. That nothing is published twice is seen to by the ledger.
    """
    arrivals = landing.arrived(tensile_desk.FOLDER)
    place = landing.place(tensile_desk.FOLDER)
    still = f"; still changing: {_listed(arrivals.changing)}" if arrivals.changing else ""
    still += f"; left alone: {_listed(arrivals.ignored)}" if arrivals.ignored else ""
    if busy := under_way.run_of(context.instance, tensile_jobs.tensile_intake.name):
        return dg.SkipReason(f"run {busy} is taking files; {len(arrivals.settled)} lie in {place}")
    with postgres.connect(Role.READER, work="look for uploads") as connection:
        unfinished = landing_ledger.unfinished(
            connection, files=tensile_intake.FILES, source=tensile.SOURCE, limit=tensile_desk.FILES_PER_RUN
        )
        now = ledger.now(connection)
    chosen = tensile_desk.ready(arrivals)
    if not chosen and not unfinished:
        return dg.SkipReason(f"no file of a testing machine lies in {place}{still}")
    names = [arrival.name for arrival in chosen]
    identity = _digest([*(arrival.identity for arrival in chosen), *(entry.fetch_id for entry in unfinished)])
    context.log.info(
        f"{len(chosen)} of {len(arrivals.settled)} files that have settled, {len(unfinished)} uploads of runs that "
        f"did not end{still}"
    )
    return dg.RunRequest(
        run_key=f"{now.astimezone(SEOUL):%Y-%m-%dT%H}/{identity}",
        partition_key=f"{now.astimezone(SEOUL):%Y-%m-%d}",
        run_config={"ops": {"tensile__uploads": {"config": {"files": names}}}},
        tags={"meva/files": str(len(chosen)), "meva/unfinished": str(len(unfinished))},
    )


@dg.sensor(
    job=simulation_jobs.simulation_intake,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Takes results of simulations, model versions and registers once all files have settled.",
)
def simulations_landed(
    context: dg.SensorEvaluationContext, landing: Landing, postgres: Postgres
) -> dg.RunRequest | dg.SkipReason:
    """Ask for one run for everything that has arrived in the folder of simulations."""
    return _documents_landed(context, landing, postgres, SIMULATIONS, simulation_jobs.simulation_intake.name)


@dg.sensor(
    job=simulation_jobs.firing_intake,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Takes records of firings with their workbooks once all files have settled.",
)
def firings_landed(
    context: dg.SensorEvaluationContext, landing: Landing, postgres: Postgres
) -> dg.RunRequest | dg.SkipReason:
    """Ask for one run for everything that has arrived in the folder of firings."""
    return _documents_landed(context, landing, postgres, FIRINGS, simulation_jobs.firing_intake.name)


def _documents_landed(
    context: dg.SensorEvaluationContext, landing: Landing, postgres: Postgres, flow: Flow, job: str
) -> dg.RunRequest | dg.SkipReason:
    """Ask for a run for what has settled, and for what a run took that did not end.

    A document and the files that it names belong together, so the folder is left alone while a file still changes.
    The run key changes with the hour: a document that waits for a file is looked at again then.
    """
    arrivals, place = landing.arrived(flow.folder), landing.place(flow.folder)
    left_alone = f"; left alone: {_listed(arrivals.ignored)}" if arrivals.ignored else ""
    if arrivals.changing:
        return dg.SkipReason(f"waiting until nothing in {place} changes: {_listed(arrivals.changing)}{left_alone}")
    if busy := under_way.run_of(context.instance, job):
        return dg.SkipReason(f"run {busy} is taking files; {len(arrivals.settled)} lie in {place}")
    with postgres.connect(Role.READER, work="look for uploads") as connection:
        unfinished = landing_ledger.unfinished(
            connection, files=flow.files, source=simulation.SOURCE, limit=DOCUMENTS_PER_TICK
        )
        now = ledger.now(connection).astimezone(SEOUL)
    chosen = arrivals.settled[:DOCUMENTS_PER_TICK]
    if not chosen and not unfinished:
        return dg.SkipReason(f"no file lies in {place}{left_alone}")
    identity = _digest([*(arrival.identity for arrival in chosen), *(entry.fetch_id for entry in unfinished)])
    config = {"files": [arrival.name for arrival in chosen]}
    return dg.RunRequest(
        run_key=f"{now:%Y-%m-%dT%H}/{identity}",
        partition_key=f"{now:%Y-%m-%d}",
        run_config={"ops": {f"mgg__{flow.word}_uploads": {"config": config}}},
        tags={"meva/files": str(len(chosen)), "meva/unfinished": str(len(unfinished))},
    )


def _digest(identities: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(identities).encode()).hexdigest()[:16]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


SENSORS = (aed_exports_landed, tensile_files_landed, simulations_landed, firings_landed)
