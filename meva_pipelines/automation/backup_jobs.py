"""What can be started about backups: the nightly and hourly rounds, and what a person asks for. When is in
`backup_schedules`.
"""

from datetime import datetime
from pathlib import Path

import dagster as dg
import psycopg
from pydantic import Field

from meva_pipelines.assets import backup, backup_custody
from meva_pipelines.domain.backup.vocabulary import Extent, Trigger
from meva_pipelines.domain.failures import Refused
from meva_pipelines.quality import restored_copies
from meva_pipelines.resources import (
    backup_custody as custody,
)
from meva_pipelines.resources import (
    backup_files,
    backup_files_restoring,
    backup_logical,
    backup_physical,
    backup_restoring,
    backup_return,
    backup_server,
    backup_wal,
)
from meva_pipelines.resources.backup_restoring import Goal, Restored
from meva_pipelines.resources.backup_shelves import Hold
from meva_pipelines.resources.backup_taking import Request, Vault
from meva_pipelines.resources.postgres import Postgres, parts_of

KINDS = ("full", "incremental", "wal", "logical", "files", "files_incremental")
PLACES = ("scratch", "beside", "live", "tables")

backup_nightly = dg.define_asset_job(
    "backup_nightly",
    selection=dg.AssetSelection.assets(
        backup.FULL,
        backup.WAL,
        backup.LOGICAL,
        backup.FILES,
        backup_custody.CATALOG,
        backup_custody.VERIFICATION,
        backup_custody.DRILL,
        backup_custody.EXPIRY,
        backup_custody.REPORT,
    ),
    description="Back everything up in full, copy it to every target, read it, restore it for proof, let go what may go.",
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


class NowConfig(dg.Config):
    """What is backed up at once, and why."""

    kinds: list[str] = Field(default=["full", "wal"], description=f"In this order; of {', '.join(KINDS)}", min_length=1)
    trigger: str = Field(default=Trigger.MANUAL_REQUEST.value, description=f"One of {', '.join(Trigger)}")
    description: str = Field(default="", description="The reason in a person's words", max_length=500)
    tags: list[str] = Field(default_factory=list, description="Labels")


@dg.op(pool=backup.POOL)
def take_backup(context: dg.OpExecutionContext, config: NowConfig, postgres: Postgres, vault: Vault) -> None:
    """Take backups at once, one after the other."""
    if strange := sorted(set(config.kinds) - set(KINDS)):
        raise Refused(f"no such kind of backup: {', '.join(strange)}; there are {', '.join(KINDS)}")
    request = Request(
        trigger=Trigger(config.trigger),
        description=config.description,
        tags=tuple(config.tags),
        run_id=context.run.run_id,
    )
    for kind in config.kinds:
        match kind:
            case "full":
                taken = backup_physical.take_full(postgres, vault, request)
            case "incremental":
                taken = backup_physical.take_incremental(postgres, vault, request)
            case "wal":
                taken = backup_wal.take(postgres, vault, request)
            case "logical":
                taken = backup_logical.take(postgres, vault, request)
            case _:
                extent = Extent.FULL if kind == "files" else Extent.INCREMENTAL
                taken = backup_files.take(postgres, vault, request, extent=extent)
        context.log.info(f"{kind}: {taken.id}, {taken.compressed_size:,} bytes stored of {taken.file_size:,}")


@dg.job(description="Take backups at once, with a reason: by hand, before a change, or because something is wrong.")
def backup_now() -> None:
    """Take backups at once."""
    take_backup()


class RestoreDatabaseConfig(dg.Config):
    """To which moment the database is brought back, and where to."""

    at: str = Field(default="", description="A moment with its offset, 2026-11-19T14:59:59+09:00; empty: the latest")
    backup_id: str = Field(default="", description="The end of this physical backup instead of a moment")
    target: str = Field(default="", description="Target to restore from; empty: the first")
    into: str = Field(
        default="scratch",
        description="scratch: restored, checked and thrown away; beside: a database beside the live one; "
        "live: the restored database takes the place of the live one, which is kept under another name; "
        "tables: only the named tables, into the live database, where they must be missing",
    )
    tables: list[str] = Field(default_factory=list, description="schema.table, for `into: tables`")
    dry_run: bool = Field(default=True, description="Only say what would be taken and how far it reaches")


@dg.op(pool=backup.POOL)
def bring_database_back(
    context: dg.OpExecutionContext, config: RestoreDatabaseConfig, postgres: Postgres, vault: Vault
) -> None:
    """Restore the database to a moment; nothing live is touched unless it is said."""
    if config.into not in PLACES or (config.into == "tables") != bool(config.tables):
        raise Refused(f"`into` is one of {', '.join(PLACES)}, and `tables` goes with `into: tables`")
    goal = Goal(at=_moment(config.at), backup_id=config.backup_id or None)
    shelf = vault.shelf(config.target)
    with backup_server.session(postgres.dsn(), work="plan restore") as connection:
        system_id = backup_server.identity(connection).system_id
    route = backup_restoring.plan(shelf, goal, system_id=system_id)
    context.log.info(
        f"from {shelf.target.name}: {', '.join(base.id for base in route.bases)}, {len(route.log)} backups of the log; "
        f"it reaches {route.covers_until.isoformat()}"
    )
    if config.dry_run:
        context.log.info("dry run: nothing was restored; say `dry_run: false` to do it")
        return
    with backup_restoring.restored(vault, shelf, goal, system_id=system_id) as restored:
        context.log.info(f"restored to {restored.reached.isoformat()} in {restored.seconds:.1f} s")
        _bring(context, config, postgres, restored)


def _bring(context: dg.OpExecutionContext, config: RestoreDatabaseConfig, postgres: Postgres, copy: Restored) -> None:
    live = postgres.dsn()
    parts = parts_of(live)
    dsn = copy.scratch.dsn(user=parts.get("user", ""), database=parts.get("dbname", ""))
    with backup_server.session(dsn, work="check copy") as connection:
        _report(context, connection)
    match config.into:
        case "tables":
            backup_return.tables(dsn, live, config.tables, programs=copy.programs)
            context.log.info(f"{', '.join(config.tables)} are back in the live database")
        case "beside" | "live":
            name = backup_return.beside(dsn, live, at=copy.reached, programs=copy.programs)
            context.log.info(f"the restored database stands beside the live one: {name}")
            if config.into == "live":
                returned = backup_return.swap(live, name, at=copy.reached)
                context.log.info(f"{returned.database} is the restored one now; the former is {returned.kept_as}")
        case _:
            context.log.info("the copy is thrown away: it was a trial")


def _report(context: dg.OpExecutionContext, copy: psycopg.Connection) -> None:
    broken = {name: count for name, count in restored_copies.breaches(copy).items() if count}
    context.log.info(f"invariants of the copy: {broken or 'all hold'}")


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(f"{text[:40]!r} is no moment; write it 2026-11-19T14:59:59+09:00") from None
    if moment.tzinfo is None:
        raise Refused("the moment has no offset from UTC; write it 2026-11-19T14:59:59+09:00")
    return moment


@dg.job(
    description="Bring the database back to a moment or a backup: for a trial, beside the live one, or in its place."
)
def restore_database() -> None:
    """Bring the database back."""
    bring_database_back()


class RestoreFilesConfig(dg.Config):
    """Which files are brought back, and where to."""

    backup_id: str = Field(description="Backup of files")
    paths: list[str] = Field(default_factory=list, description="source/path, a folder, or a glob; empty: everything")
    into: str = Field(description="Folder that receives them, each under its source", min_length=1)
    target: str = Field(default="", description="Target to restore from; empty: the first")
    replaces: bool = Field(default=False, description="Take the place of a folder that is not empty; it is kept beside")
    dry_run: bool = Field(default=True, description="Only say what would be written")


@dg.op(pool=backup.POOL)
def bring_files_back(
    context: dg.OpExecutionContext, config: RestoreFilesConfig, postgres: Postgres, vault: Vault
) -> None:
    """Restore files into a folder that takes its place at once."""
    shelf = vault.shelf(config.target)
    plan = backup_files_restoring.plan(shelf, config.backup_id, tuple(config.paths))
    context.log.info(f"{len(plan.members):,} files, {plan.bytes:,} bytes, would be written below {config.into}")
    if config.dry_run:
        context.log.info("dry run: nothing was written; say `dry_run: false` to do it")
        return
    with backup_server.session(postgres.dsn(), work="restore files") as connection:
        now = backup_server.clock(connection)
    done = backup_files_restoring.restore(shelf, plan, Path(config.into), at=now, replaces=config.replaces)
    context.log.info(f"{done.message}; {done.duration_s:.1f} s; former folder: {done.kept_as or 'none'}")


@dg.job(description="Bring files back from a backup into a folder: a path, a folder, a glob or everything.")
def restore_files() -> None:
    """Bring files back."""
    bring_files_back()


class OneBackupConfig(dg.Config):
    """Which copy of which backup."""

    backup_id: str = Field(description="Backup")
    target: str = Field(default="", description="Target; empty: the first")


@dg.op(pool=backup.POOL)
def read_backup(context: dg.OpExecutionContext, config: OneBackupConfig, postgres: Postgres, vault: Vault) -> None:
    """Read every byte of a backup and write down what was found."""
    shelf = vault.shelf(config.target)
    verified = custody.verify(postgres, shelf, [shelf.record(config.backup_id)])
    for said in verified.corrupted.values():
        raise Refused(said)
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
        with backup_server.session(postgres.dsn(), work="hold backup") as connection:
            now = backup_server.clock(connection)
        shelf.hold(config.backup_id, Hold(config.reason, config.by, now))
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
    backup_hourly,
    backup_files_round,
    backup_now,
    restore_database,
    restore_files,
    verify_backup,
    hold_backup,
    expire_backups,
)
