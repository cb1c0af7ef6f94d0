"""Everything that is deployed, wired once. `assemble` is a function of its resources; tests pass others."""

import os
from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from meva_pipelines.assets import (
    aed,
    aed_exports,
    aed_raw,
    aed_reference,
    aed_replayed,
    aed_staged,
    archive,
    archive_custody,
    backup,
    backup_custody,
    ops,
    simulation,
    simulation_comparisons,
    simulation_scorecard,
    simulation_uploads,
    tensile,
    tensile_cache,
    tensile_registers,
    tensile_report,
    tensile_results,
    tensile_uploads,
)
from meva_pipelines.automation import (
    alerts,
    archive_clocks,
    archive_jobs,
    backup_jobs,
    backup_schedules,
    backup_sensors,
    jobs,
    landing_sensors,
    restore_jobs,
    schedules,
    sensors,
    simulation_jobs,
    tensile_jobs,
    tensile_sensors,
)
from meva_pipelines.checks import archives, backups, operations, reconciliation, simulations
from meva_pipelines.quality.verdicts import Judge
from meva_pipelines.resources.alerts import Webhook
from meva_pipelines.resources.backup_taking import Vault
from meva_pipelines.resources.cache import Cache
from meva_pipelines.resources.egen import EgenSource
from meva_pipelines.resources.embedded_postgres import DEFAULT_HOME
from meva_pipelines.resources.landing import Landing
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres

_ASSETS = (
    aed_raw,
    aed_exports,
    aed_replayed,
    aed_staged,
    aed,
    aed_reference,
    tensile_registers,
    tensile_uploads,
    tensile,
    tensile_results,
    tensile_report,
    tensile_cache,
    simulation_uploads,
    simulation,
    simulation_comparisons,
    simulation_scorecard,
    archive,
    archive_custody,
    backup,
    backup_custody,
    ops,
)
_CHECKS = (reconciliation, operations, simulations, archives, backups)
PUBLIC_API = "https://apis.data.go.kr/B552657/AEDInfoInqireService"


def assemble(resources: Mapping[str, object]) -> dg.Definitions:
    """Return the code location for a set of resources: `postgres`, `store`, `egen`, `judge`, `webhook`, `landing`,
    `vault`.

    Runs keep their steps in one process: a killed run then leaves no step behind that goes on writing.
    """
    return dg.Definitions(
        assets=[*dg.load_assets_from_modules(_ASSETS)],
        asset_checks=[*dg.load_asset_checks_from_modules(_CHECKS)],
        jobs=[
            *jobs.JOBS,
            *tensile_jobs.JOBS,
            *simulation_jobs.JOBS,
            *archive_jobs.PERIOD_JOBS,
            *archive_jobs.JOBS,
            *backup_jobs.JOBS,
            *restore_jobs.JOBS,
            *alerts.JOBS,
        ],
        schedules=[*schedules.SCHEDULES, *archive_clocks.SCHEDULES, *backup_schedules.SCHEDULES],
        sensors=[
            *sensors.SENSORS,
            *landing_sensors.SENSORS,
            *tensile_sensors.SENSORS,
            *archive_clocks.SENSORS,
            *backup_sensors.SENSORS,
        ],
        resources=resources,
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The location as it is served: resources come from the environment."""
    home = _setting("MEVA_HOME", str(DEFAULT_HOME))
    return assemble(
        {
            "postgres": Postgres(url=_setting("MEVA_DATABASE_URL", ""), home=home),
            "judge": Judge(),
            "store": ObjectStore(url=_setting("MEVA_STORE_URL", _folder_url("store"))),
            "landing": Landing(url=_setting("MEVA_LANDING_URL", _folder_url("landing"))),
            "egen": EgenSource(
                base_url=_setting("MEVA_EGEN_BASE_URL", PUBLIC_API),
                service_key=_setting("MEVA_EGEN_SERVICE_KEY", ""),
                dialect=_setting("MEVA_EGEN_DIALECT", "data_go_kr"),
            ),
            "cache": Cache(url=_setting("MEVA_REDIS_URL", "")),
            "webhook": Webhook(url=_setting("MEVA_ALERT_WEBHOOK_URL", "")),
            "vault": Vault(
                url=_setting("MEVA_BACKUP_URL", _folder_url("backups")),
                key=_setting("MEVA_BACKUP_KEY", ""),
                home=home,
                sources=_sources(),
            ),
        }
    )


def _setting(name: str, default: str) -> str:
    """Return a setting that enters when a run starts, or its default where it is not set at all."""
    return dg.EnvVar(name) if os.environ.get(name) else default


def _folder_url(name: str) -> str:
    home = Path(os.environ.get("MEVA_HOME") or DEFAULT_HOME)
    return (home / name).absolute().as_uri()


def _sources() -> str:
    """Return the folders that file backups hold: the landing zone and the object store where they are folders, and
    those of `MEVA_BACKUP_SOURCES`.
    """
    places = {
        "landing": os.environ.get("MEVA_LANDING_URL") or _folder_url("landing"),
        "store": os.environ.get("MEVA_STORE_URL") or _folder_url("store"),
    }
    named = [f"{name}={url}" for name, url in places.items() if url.startswith("file:")]
    return ",".join(filter(None, [*named, os.environ.get("MEVA_BACKUP_SOURCES", "")]))
