"""What can be started about backups: the rounds, and what a person asks for. When is in `backup_schedules`.

The way back is in `restore_jobs`.
"""

import dagster as dg
from pydantic import Field

from meva_pipelines.assets import backup, backup_custody
from meva_pipelines.domain.backup.records import Backup
from meva_pipelines.domain.backup.vocabulary import Extent, Trigger
from meva_pipelines.domain.failures import Refused, Rejected, Unavailable
from meva_pipelines.resources import (
    backup_custody as custody,
)
from meva_pipelines.resources import (
    backup_files,
    backup_logical,
    backup_physical,
    backup_server,
    backup_wal,
)
from meva_pipelines.resources.backup_taking import Request, Vault
from meva_pipelines.resources.postgres import Postgres

KINDS = ("full", "incremental", "wal", "logical", "files", "files_incremental")
PHYSICAL = frozenset({"full", "incremental", "wal"})
"""Kinds that need the right to replicate."""

backup_nightly = dg.define_asset_job(
    "backup_nightly",
    selection=dg.AssetSelection.assets(backup.FULL, backup.WAL, backup.LOGICAL, backup.FILES),
    description="Back everything up in full: server, log, dump and folders.",
)

backup_proof = dg.define_asset_job(
    "backup_proof",
    selection=dg.AssetSelection.assets(
        backup_custody.CATALOG,
        backup_custody.VERIFICATION,
        backup_custody.DRILL,
        backup_custody.EXPIRY,
        backup_custody.REPORT,
    ),
    description="Copy what targets lack, read backups, restore the newest for proof, and let go what may go.",
    config={"ops": {"backup__expiry": {"config": {"dry_run": False}}}},
)

backup_hourly = dg.define_asset_job(
    "backup_hourly",
    selection=dg.AssetSelection.assets(backup.INCREMENTAL, backup.WAL, backup_custody.CATALOG),
    description="Back up the blocks that changed and the server's log, and copy both to every target.",
)

backup_files_round = dg.define_asset_job(
    "backup_files_round",
    selection=dg.AssetSelection.assets(backup.FILES),
    description="Back up the files that changed in the landing zone, the archive and whatever folders are set.",
)


class NowConfig(backup.ReasonConfig):
    """What is backed up at once, and why."""

    kinds: list[str] = Field(default=["full", "wal"], description=f"In this order; of {', '.join(KINDS)}", min_length=1)
    trigger: str = Field(default=Trigger.MANUAL_REQUEST.value, description=f"One of {', '.join(Trigger)}")


@dg.op(pool=backup.POOL)
def take_backup(context: dg.OpExecutionContext, config: NowConfig, postgres: Postgres, vault: Vault) -> None:
    """Take backups at once, one after the other; a dump where the server gives nothing else."""
    if strange := sorted(set(config.kinds) - set(KINDS)):
        raise Refused(f"no such kind of backup: {', '.join(strange)}; there are {', '.join(KINDS)}")
    with backup_server.session(postgres.dsn(), work="look at server") as connection:
        said = backup_server.never(connection, Extent.FULL)
    kinds = config.kinds
    if said and PHYSICAL & set(kinds):
        context.log.warning(f"{said}: a dump is taken instead")
        kinds = list(dict.fromkeys("logical" if kind in PHYSICAL else kind for kind in kinds))
    for kind in kinds:
        taken = _taken(kind, postgres, vault, config.request(context.run.run_id))
        context.log.info(f"{kind}: {taken.id}, {taken.compressed_size:,} bytes stored of {taken.file_size:,}")


def _taken(kind: str, postgres: Postgres, vault: Vault, request: Request) -> Backup:
    match kind:
        case "full":
            return backup_physical.take_full(postgres, vault, request)
        case "incremental":
            return backup_physical.take_incremental(postgres, vault, request)
        case "wal":
            return backup_wal.take(postgres, vault, request)
        case "logical":
            return backup_logical.take(postgres, vault, request)
        case _:
            extent = Extent.FULL if kind == "files" else Extent.INCREMENTAL
            return backup_files.take(postgres, vault, request, extent=extent)


@dg.job(description="Take backups at once, with a reason: by hand, before a change, or because something is wrong.")
def backup_now() -> None:
    """Take backups at once."""
    take_backup()


class OneBackupConfig(dg.Config):
    """Which copy of which backup."""

    backup_id: str = Field(description="Backup")
    target: str = Field(default="", description="Target; empty: the first")


@dg.op(pool=backup.POOL)
def read_backup(context: dg.OpExecutionContext, config: OneBackupConfig, postgres: Postgres, vault: Vault) -> None:
    """Read every byte of a backup and write down what was found."""
    shelf = vault.shelf(config.target)
    verified = custody.verify(postgres, shelf, [shelf.record(config.backup_id)])
    if verified.corrupted:
        raise Rejected(verified.corrupted[config.backup_id])
    if verified.unread:
        raise Unavailable(verified.unread[0])
    context.log.info(f"{config.backup_id} on {shelf.target.name} is sound: {verified.bytes_read:,} bytes")


@dg.job(description="Read a backup to its last byte and compare it with what was written.")
def verify_backup() -> None:
    """Read a backup."""
    read_backup()


class HoldConfig(OneBackupConfig):
    """Whether a backup is kept whatever the policy says."""

    reason: str = Field(default="", description="Why it stays; empty: the hold is lifted")
    by: str = Field(description="Who says so", min_length=1)


@dg.op
def set_hold(context: dg.OpExecutionContext, config: HoldConfig, postgres: Postgres, vault: Vault) -> None:
    """Keep a backup and its whole chain, or lift the hold."""
    shelf = vault.shelf(config.target)
    if config.reason:
        custody.hold(postgres, vault, shelf, config.backup_id, reason=config.reason, by=config.by)
        context.log.info(f"{config.backup_id} stays on {shelf.target.name}: {config.reason}")
    else:
        shelf.record(config.backup_id)
        shelf.lift(config.backup_id)
        context.log.info(f"the hold on {config.backup_id} on {shelf.target.name} is lifted by {config.by}")
    custody.survey(postgres, vault)


@dg.job(description="Keep a backup and its chain whatever the retention policy says, or lift that hold.")
def hold_backup() -> None:
    """Hold a backup."""
    set_hold()


@dg.op(pool=backup.POOL)
def expire(
    context: dg.OpExecutionContext, config: backup_custody.ExpiryConfig, postgres: Postgres, vault: Vault
) -> None:
    """Let go what the retention policy allows, target by target; a dry run by default."""
    names = [config.target] if config.target else [shelf.target.name for shelf in vault.shelves()]
    for name in names:
        shelf = vault.shelf(name)
        verdict = backup_custody.judged(postgres, shelf, config.policy)
        for decision in verdict.decisions:
            said = "keep" if decision.is_kept else "expire"
            context.log.info(f"{name}: {said} {decision.backup.id}: {'; '.join(decision.reasons)}")
        if config.dry_run:
            context.log.info(f"dry run: {len(verdict.expired)} backups would go from {name}; nothing was removed")
            continue
        done = custody.expire(
            postgres,
            vault,
            shelf,
            policy=config.policy,
            ceiling=config.ceiling,
            approved_by=config.approved_by,
        )
        context.log.info(f"{len(done.removed)} backups are gone from {name}")


@dg.job(description="Let backups go that the retention policy no longer needs; a dry run by default.")
def expire_backups() -> None:
    """Let backups go."""
    expire()


JOBS = (
    backup_nightly,
    backup_proof,
    backup_hourly,
    backup_files_round,
    backup_now,
    verify_backup,
    hold_backup,
    expire_backups,
)
