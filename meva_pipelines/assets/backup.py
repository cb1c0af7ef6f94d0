"""Backups as assets: taken here. What becomes of them afterwards is in `backup_custody`.

Full backups, dumps and the log are of the whole server or of the warehouse's database; file backups are of folders.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from pydantic import Field

from meva_pipelines.assets import tables
from meva_pipelines.assets.aed import DAYS
from meva_pipelines.domain.backup import retention, wal
from meva_pipelines.domain.backup.chains import first_segment
from meva_pipelines.domain.backup.records import Backup
from meva_pipelines.domain.backup.retention import Policy
from meva_pipelines.domain.backup.vocabulary import Extent, Method, Trigger
from meva_pipelines.domain.days import SEOUL
from meva_pipelines.domain.failures import Refused, Unavailable
from meva_pipelines.resources import (
    alarms,
    backup_files,
    backup_logical,
    backup_physical,
    backup_server,
    backup_wal,
)
from meva_pipelines.resources.backup_taking import Request, Vault
from meva_pipelines.resources.postgres import Postgres

POOL = "backup"
GROUP = "backup"
HOURS = dg.HourlyPartitionsDefinition(start_date="2026-11-01-00:00", timezone=SEOUL.key)
"""Partition H holds what happened in the hour H and is due after it ends."""

FULL = dg.AssetKey(["backup", "full"])
INCREMENTAL = dg.AssetKey(["backup", "incremental"])
WAL = dg.AssetKey(["backup", "wal"])
LOGICAL = dg.AssetKey(["backup", "logical"])
FILES = dg.AssetKey(["backup", "files"])
_ONE_RUN = dg.BackfillPolicy.single_run()


class ReasonConfig(dg.Config):
    """Why a backup is taken."""

    trigger: str = Field(default=Trigger.SCHEDULED.value, description=f"One of {', '.join(Trigger)}")
    description: str = Field(default="", description="The reason in a person's words", max_length=500)
    tags: list[str] = Field(default_factory=list, description="Labels")

    def request(self, run_id: str) -> Request:
        """Return the request that the reason stands for."""
        return Request(
            trigger=Trigger(self.trigger), description=self.description, tags=tuple(self.tags), run_id=run_id
        )


class FilesConfig(ReasonConfig):
    """How much a file backup holds."""

    extent: str = Field(
        default="auto", description="full, incremental, or auto: full on Sundays and where there is no parent"
    )


def _taking(key: dg.AssetKey, **more: Any) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Declare an asset that takes backups of the database."""
    declare: Callable[[Callable[..., Any]], dg.AssetsDefinition] = dg.asset(
        key=key, group_name=GROUP, kinds={"postgres", "file"}, owners=[tables.OWNER], pool=POOL, **more
    )
    return declare


@_taking(FULL, partitions_def=DAYS, backfill_policy=_ONE_RUN)
def full(
    context: dg.AssetExecutionContext, config: ReasonConfig, postgres: Postgres, vault: Vault
) -> dg.MaterializeResult[None]:
    """The whole server as it is now: every block, compressed, encrypted and digested on its way to the target.

    A backfill of past days takes one backup, of today: no earlier moment can be backed up any more.
    """
    with alarms.watched(postgres, "backup.full"):
        if said := _never(postgres, Extent.FULL):
            return _not_taken(said)
        return _shown(backup_physical.take_full(postgres, vault, config.request(context.run.run_id)))


@_taking(INCREMENTAL, deps=[FULL], partitions_def=HOURS, backfill_policy=_ONE_RUN)
def incremental(
    context: dg.AssetExecutionContext, config: ReasonConfig, postgres: Postgres, vault: Vault
) -> dg.MaterializeResult[None]:
    """The blocks that changed since the newest backup of the server, which may itself be an increment."""
    with alarms.watched(postgres, "backup.incremental"):
        if said := _never(postgres, Extent.INCREMENTAL):
            return _not_taken(said)
        return _shown(backup_physical.take_incremental(postgres, vault, config.request(context.run.run_id)))


@_taking(WAL, deps=[FULL])
def wal_segments(
    context: dg.AssetExecutionContext, config: ReasonConfig, postgres: Postgres, vault: Vault
) -> dg.MaterializeResult[None]:
    """The server's log since the last time: with it, any moment since the oldest full backup can be brought back.

    It waits for no increment: where none can be taken, the log alone carries on.
    """
    with alarms.watched(postgres, "backup.wal"):
        if said := _never(postgres, Extent.FULL):
            return _not_taken(said)
        backup = backup_wal.take(postgres, vault, config.request(context.run.run_id))
    gaps = log_gaps(vault, backup)
    return _shown(
        backup,
        gaps=len(gaps),
        spool_bytes=backup_wal.spool_bytes(vault),
        recovery_point=dg.MetadataValue.timestamp(backup.covers_until),
    )


@_taking(LOGICAL, partitions_def=DAYS, backfill_policy=_ONE_RUN)
def logical(
    context: dg.AssetExecutionContext, config: ReasonConfig, postgres: Postgres, vault: Vault
) -> dg.MaterializeResult[None]:
    """The warehouse's database as pg_dump writes it: portable, of one moment; no log can be replayed on it."""
    with alarms.watched(postgres, "backup.logical"):
        return _shown(backup_logical.take(postgres, vault, config.request(context.run.run_id)))


@dg.asset(key=FILES, group_name=GROUP, kinds={"file"}, owners=[tables.OWNER], pool=POOL)
def files(
    context: dg.AssetExecutionContext, config: FilesConfig, postgres: Postgres, vault: Vault
) -> dg.MaterializeResult[None]:
    """The landing zone, the archive and whatever folders are set: everything on Sundays, else what changed."""
    request = config.request(context.run.run_id)
    with alarms.watched(postgres, "backup.files"):
        backup = backup_files.take(postgres, vault, request, extent=_extent(postgres, vault, config.extent))
    return _shown(backup, **{name: int(backup.figures[name]) for name in ("files", "packed_files", "left_out")})


def _never(postgres: Postgres, extent: Extent) -> str:
    with backup_server.session(postgres.dsn(), work="look at server") as connection:
        return backup_server.never(connection, extent)


def _not_taken(said: str) -> dg.MaterializeResult[None]:
    """Nothing is wrong and nothing was taken: the server is none of which such a backup can be had."""
    return dg.MaterializeResult(metadata={"not_taken": said})


def _shown(backup: Backup, **more: dg.MetadataValue | int) -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={**figures(backup), **more})


def figures(backup: Backup) -> dict[str, dg.MetadataValue | str | int | float]:
    """Return what the UI shows of a backup."""
    return {
        "backup_id": backup.id,
        "backup_types": ", ".join(backup.types),
        "trigger": backup.trigger.value,
        "file_size": backup.file_size,
        "compressed_size": backup.compressed_size,
        "compression_ratio_pct": round(backup.compression_ratio, 1),
        "duration_s": round((backup.completed_at - backup.created_at).total_seconds(), 2),
        "key_id": backup.key_id,
        "parent": backup.parent_id or "none",
        "restores": backup.method.restores,
        "covers_until": dg.MetadataValue.timestamp(backup.covers_until),
        "checksum": backup.digest,
        "checksum_md5": backup.md5,
    }


def log_gaps(vault: Vault, newest: Backup | None = None) -> tuple[wal.Gap, ...]:
    """Return what is missing of the log since the base that the recovery window begins with, on the first target.

    Older bases are kept for their own moment, and their log has expired.

    Raises:
        Unavailable: no target answers.
    """
    for shelf in vault.shelves():
        try:
            found = shelf.inventory().backups.values()
        except Unavailable:
            continue
        bases = [
            backup
            for backup in found
            if backup.method is Method.PHYSICAL and (newest is None or backup.subject == newest.subject)
        ]
        latest = max((backup.covers_until for backup in found), default=datetime.max.replace(tzinfo=UTC))
        first = retention.first_of_window(bases, now=latest, window=Policy().window)
        if first is None or first.server is None:
            return ()
        segments = [item for backup in found if backup.subject == first.subject for item in backup_wal.segments(backup)]
        return wal.gaps(segments, since=first_segment(first.server))
    raise Unavailable("no backup target answers")


def _extent(postgres: Postgres, vault: Vault, wanted: str) -> Extent:
    if wanted != "auto":
        try:
            return Extent(wanted)
        except ValueError:
            raise Refused(f"a file backup is full, incremental or auto, not {wanted[:40]!r}") from None
    with backup_server.session(postgres.dsn(), work="weekday") as connection:
        today: datetime = backup_server.clock(connection)
    is_sunday = today.astimezone(SEOUL).weekday() == 6
    return Extent.FULL if is_sunday or not backup_files.has_parent(postgres, vault) else Extent.INCREMENTAL
