"""The way back: the database to a moment, files into a folder. Both are dry runs unless a person says otherwise."""

from datetime import datetime
from pathlib import Path

import dagster as dg
import psycopg
from pydantic import Field

from meva_pipelines.assets import backup
from meva_pipelines.domain.backup.records import Backup
from meva_pipelines.domain.backup.vocabulary import Method
from meva_pipelines.domain.failures import Refused
from meva_pipelines.quality import restored_copies
from meva_pipelines.resources import (
    backup_drill,
    backup_files_restoring,
    backup_logical,
    backup_programs,
    backup_restoring,
    backup_return,
    backup_server,
)
from meva_pipelines.resources.backup_programs import Programs
from meva_pipelines.resources.backup_restoring import Goal
from meva_pipelines.resources.backup_shelves import Shelf
from meva_pipelines.resources.backup_taking import Vault
from meva_pipelines.resources.postgres import Postgres, parts_of

PLACES = ("scratch", "beside", "live", "tables")


class RestoreDatabaseConfig(dg.Config):
    """To which moment the database is brought back, and where to."""

    at: str = Field(default="", description="A moment with its offset, 2026-11-19T14:59:59+09:00; empty: the latest")
    backup_id: str = Field(default="", description="The end of this backup, or this dump, instead of a moment")
    target: str = Field(default="", description="Target to restore from; empty: the first")
    server: str = Field(default="", description="System identifier of the server that was backed up; empty: this one")
    without: list[str] = Field(default_factory=list, description="Backups that must not be used: they are bad")
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
    goal = Goal(
        at=backup_restoring.moment(config.at), backup_id=config.backup_id or None, without=tuple(config.without)
    )
    shelf = vault.shelf(config.target)
    with backup_server.session(postgres.dsn(), work="plan restore") as connection:
        system_id = config.server or backup_server.identity(connection).system_id
        live_programs = backup_programs.of_server(connection.info.server_version)
    if (dump := _dump(shelf, goal, system_id)) is not None:
        context.log.info(f"from {shelf.target.name}: dump {dump.id} of {dump.covers_until.isoformat()}")
        if not _is_dry(context, config):
            with backup_logical.restored(postgres.dsn(), shelf, dump) as dsn:
                _bring(context, config, postgres, dsn, at=dump.covers_until, programs=live_programs)
        return
    route = backup_restoring.plan(shelf, goal, system_id=system_id)
    context.log.info(
        f"from {shelf.target.name}: {', '.join(base.id for base in route.bases)}, {len(route.log)} backups of the log; "
        f"it reaches {route.covers_until.isoformat()}"
    )
    if _is_dry(context, config):
        return
    with backup_restoring.restored(vault, shelf, goal, system_id=system_id) as restored:
        context.log.info(f"restored to {restored.reached.isoformat()} in {restored.seconds:.1f} s")
        parts = parts_of(postgres.dsn())
        dsn = restored.scratch.dsn(user=parts.get("user", ""), database=parts.get("dbname", ""))
        _bring(context, config, postgres, dsn, at=restored.reached, programs=restored.programs)


def _dump(shelf: Shelf, goal: Goal, system_id: str) -> Backup | None:
    """Return the dump that is meant: the named one, or the newest where there is nothing else to come back to."""
    if goal.at is not None:
        return None
    wanted = shelf.record(goal.backup_id) if goal.backup_id else backup_drill.newest(shelf, system_id)
    return wanted if wanted.method is Method.LOGICAL else None


def _is_dry(context: dg.OpExecutionContext, config: RestoreDatabaseConfig) -> bool:
    if config.dry_run:
        context.log.info("dry run: nothing was restored; say `dry_run: false` to do it")
    return config.dry_run


def _bring(
    context: dg.OpExecutionContext,
    config: RestoreDatabaseConfig,
    postgres: Postgres,
    copy_dsn: str,
    *,
    at: datetime,
    programs: Programs,
) -> None:
    live = postgres.dsn()
    with backup_server.session(copy_dsn, work="check copy") as connection:
        _report(context, connection)
    match config.into:
        case "tables":
            backup_return.tables(copy_dsn, live, config.tables, programs=programs)
            context.log.info(f"{', '.join(config.tables)} are back in the live database")
        case "beside":
            name = backup_return.beside(copy_dsn, live, at=at, programs=programs)
            context.log.info(f"the restored database stands beside the live one: {name}")
        case "live":
            returned = backup_return.instead(copy_dsn, live, programs=programs)
            context.log.info(f"{returned.database} is the restored one now; the former is {returned.kept_as}")
        case _:
            context.log.info("the copy is thrown away: it was a trial")


def _report(context: dg.OpExecutionContext, copy: psycopg.Connection) -> None:
    broken = {name: count for name, count in restored_copies.breaches(copy).items() if count}
    context.log.info(f"invariants of the copy: {broken or 'all hold'}")


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


JOBS = (restore_database, restore_files)
