"""What can be started about the archive: a period of a table, the nightly look, a period back, a hold."""

from datetime import datetime, timedelta

import dagster as dg
from pydantic import Field

from meva_pipelines.assets import archive, archive_custody
from meva_pipelines.assets.simulation import RETENTION_POLICIES
from meva_pipelines.domain.archive import filters
from meva_pipelines.domain.archive.declared import TABLES, Archived
from meva_pipelines.domain.archive.filters import Filter
from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.domain.days import SEOUL
from meva_pipelines.domain.failures import Refused
from meva_pipelines.resources import archive_holds, archive_predicates, archive_restoring, ledger
from meva_pipelines.resources.archive_restoring import Wish
from meva_pipelines.resources.cold_files import ColdFiles
from meva_pipelines.resources.ledger import Mode
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role


def name_of(table: Archived) -> str:
    """Return the name of a table's job."""
    return f"archive_{table.name}"


PERIOD_JOBS = tuple(
    dg.define_asset_job(
        name_of(table),
        selection=dg.AssetSelection.assets(archive.cold(table), archive.released(table)),
        description=f"Write a period of {table.schema}.{table.name} to Parquet, prove the file, let the hot rows go.",
        config={"ops": {archive.released(table).to_python_identifier(): {"config": {"dry_run": False}}}},
    )
    for table in TABLES.values()
)

archive_nightly = dg.define_asset_job(
    "archive_nightly",
    selection=dg.AssetSelection.assets(
        RETENTION_POLICIES, archive.PLAN, archive_custody.ORPHANS, archive_custody.VERIFICATION, archive_custody.REPORT
    ),
    description="Say what moves next, read a share of the cold parts, collect what nobody refers to, report.",
    config={"ops": {archive_custody.ORPHANS.to_python_identifier(): {"config": {"dry_run": False}}}},
)


class RestoreConfig(dg.Config):
    """Which cold rows come back, and how long they stay."""

    table: str = Field(description=f"One of {', '.join(TABLES)}")
    period: str = Field(default="", description="2024-Q1, or 2024-01 for a table in months")
    where: str = Field(default="", description='Instead of a period: {"field": …, "operator": "eq", "value": …}')
    hold_days: int = Field(default=30, ge=1, le=3650, description="How long the archive leaves the periods alone")
    held_by: str = Field(description="Who wants the rows", min_length=1)
    reason: str = Field(default="restored", description="What they are for", min_length=1)
    ceiling: int = Field(default=50_000_000, ge=0, description="Most rows that may come back")
    dry_run: bool = Field(default=True, description="Only say what would come back; nothing is written")


@dg.op(pool=archive.POOL)
def bring_rows_back(
    context: dg.OpExecutionContext, config: RestoreConfig, postgres: Postgres, store: ObjectStore
) -> None:
    """Bring cold rows back into PostgreSQL and hold their periods there; a dry run by default."""
    table, files = archive.table_named(config.table), ColdFiles(store)
    asked = _asked(table, config)
    if config.dry_run:
        returned = archive_restoring.plan(postgres, files, table, asked)
    else:
        with postgres.connect(Role.WRITER, work="open attempt") as connection:
            attempt = ledger.open_attempt(
                connection,
                subject=table.subject,
                source=config.period or "filter",
                mode=Mode.RESTORE,
                day=ledger.today(connection),
                dagster_run_id=context.run.run_id,
            )
        wish = Wish(table, asked, config.hold_days, config.held_by, config.reason)
        with ledger.watch(postgres, attempt):
            returned = archive_restoring.restore(postgres, files, attempt, wish, ceiling=config.ceiling)
    for one in returned:
        context.log.info(f"{table.name} {one.period.name}: {one.rows:,} rows")
    total = sum(one.rows for one in returned)
    if config.dry_run:
        context.log.info(f"dry run: {total:,} rows would come back; bring them with `dry_run: false`")
    elif total:
        context.log.info(f"{total:,} rows are back and stay for {config.hold_days} days")
    else:
        context.log.info("every row that was asked for is hot already, or there is none")


def _asked(table: Archived, config: RestoreConfig) -> Filter:
    if bool(config.period) == bool(config.where):
        raise Refused("say either which `period` comes back, or which rows by `where`")
    if config.period:
        return archive_restoring.whole(table, Period.named(config.period))
    return filters.of_json(config.where, archive_predicates.nameable(table, Role.ARCHIVER))


@dg.job(
    description="Bring cold rows back into PostgreSQL, a period or a filter, held for a while; a dry run by default."
)
def archive_restore() -> None:
    """Bring cold rows back."""
    bring_rows_back()


class HoldConfig(dg.Config):
    """Which period stays hot, and until when."""

    table: str = Field(description=f"One of {', '.join(TABLES)}")
    period: str = Field(description="2024-Q1, or 2024-01 for a table in months")
    reason: str = Field(default="", description="Why it stays; empty: every hold on it is lifted")
    by: str = Field(description="Who says so", min_length=1)
    days: int = Field(default=30, ge=1, le=3650, description="How long it stays")


@dg.op
def set_archive_hold(context: dg.OpExecutionContext, config: HoldConfig, postgres: Postgres) -> None:
    """Keep a period where it is, or let the policy decide again."""
    table, period = archive.table_named(config.table), Period.named(config.period)
    with postgres.connect(Role.ARCHIVER, work="hold period") as connection:
        if config.reason:
            until = ledger.now(connection) + timedelta(days=config.days)
            archive_holds.place(
                connection, table=table, period=period, reason=config.reason, held_by=config.by, until=until
            )
            context.log.info(f"{table.name} {period.name} stays until {_told(until)}: {config.reason}")
            return
        lifted = [
            archive_holds.lift(connection, hold.id)
            for hold in archive_holds.active(connection)
            if hold.table == table and hold.start < period.end and hold.end > period.start
        ]
    if not lifted:
        raise Refused(f"nothing holds {table.name} {period.name}")
    context.log.info(f"{len(lifted)} holds on {table.name} {period.name} are lifted by {config.by}")


def _told(moment: datetime) -> str:
    return f"{moment.astimezone(SEOUL):%Y-%m-%d %H:%M} KST"


@dg.job(description="Keep a period hot whatever its policy says, or lift that hold.")
def archive_hold() -> None:
    """Hold a period."""
    set_archive_hold()


JOBS = (archive_nightly, archive_restore, archive_hold)
