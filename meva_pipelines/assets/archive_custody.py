"""The archive as assets: what becomes of cold parts. Read again for proof, cleared of orphans, reported.

How they come to be is in `archive`.
"""

from collections.abc import Sequence

import dagster as dg
from pydantic import Field

from meva_pipelines.assets import archive, archive_pictures, tables
from meva_pipelines.assets.archive_pictures import Standing
from meva_pipelines.domain.alarms import Alarm
from meva_pipelines.domain.archive import verifying
from meva_pipelines.domain.archive.declared import TABLES
from meva_pipelines.resources import (
    alarms,
    archive_batches,
    archive_custody,
    archive_planning,
    ledger,
    staging,
)
from meva_pipelines.resources.archive_batches import Batch, State
from meva_pipelines.resources.archive_planning import Planned
from meva_pipelines.resources.cold_files import ColdFiles
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role

ORPHANS = dg.AssetKey(["archive", "orphans"])
VERIFICATION = dg.AssetKey(["archive", "verification"])
REPORT = dg.AssetKey(["archive", "report"])
SUBJECT = "archive.verification"


class OrphansConfig(dg.Config):
    """How much may go at once."""

    dry_run: bool = Field(default=True, description="Only say what would go; nothing is removed")
    ceiling: int = Field(default=1_000, ge=0, description="Most objects that may go in one run")
    approved_by: str = Field(default="policy", min_length=1, description="Who approves; stands in the deletion ledger")


class VerificationConfig(dg.Config):
    """How much is read."""

    everything: bool = Field(default=False, description="Read every part, not only what is due tonight")


@dg.asset(
    key=ORPHANS,
    deps=[archive.PLAN],
    group_name=archive.GROUP,
    kinds={"file"},
    owners=[tables.OWNER],
    pool=archive.POOL,
)
def orphans(config: OrphansConfig, postgres: Postgres, store: ObjectStore) -> dg.MaterializeResult[None]:
    """Objects below the archive that no batch refers to; after a week of grace they go, through the deletion ledger."""
    files = ColdFiles(store)
    found = (
        archive_custody.orphans(postgres, files)
        if config.dry_run
        else archive_custody.collect(postgres, files, ceiling=config.ceiling, approved_by=config.approved_by)
    )
    with postgres.connect(Role.WRITER, work="clear staging") as connection:
        staging.drop_abandoned(connection)
    return dg.MaterializeResult(
        metadata={
            "dry_run": config.dry_run,
            "objects": len(found.orphans),
            "bytes": found.size,
            "half_written": found.partials,
            "names": ", ".join(one.key for one in found.orphans[:10]) or "none",
        }
    )


@dg.asset(
    key=VERIFICATION,
    deps=[archive.cold(table) for table in TABLES.values()],
    group_name=archive.GROUP,
    kinds={"parquet"},
    owners=[tables.OWNER],
    pool=archive.POOL,
)
def verification(config: VerificationConfig, postgres: Postgres, store: ObjectStore) -> dg.MaterializeResult[None]:
    """Cold parts read to their last byte: a share of them every night, each one within a month; and the logs' chain."""
    files = ColdFiles(store)
    with postgres.connect(Role.ARCHIVER, work="plan verification") as connection:
        now = ledger.now(connection)
        parts = archive_batches.all_parts(connection)
    due = verifying.due({batch.id: batch.read_at for batch in parts}, now=now)
    found = archive_custody.verify(postgres, files, [one for one in parts if config.everything or one.id in due])
    chain = archive_custody.chain(postgres, files)
    said = [f"{len(found.damaged)} parts: {', '.join(sorted(found.damaged)[:5])}."] if found.damaged else []
    said += [] if chain.is_whole else ["The chain of operation logs is broken."]
    alarms.set_alarm(postgres, Alarm.ARCHIVE_CORRUPTED, SUBJECT, " ".join(said))
    return dg.MaterializeResult(
        metadata={
            "parts": len(parts),
            "read_parts": found.parts,
            "read_bytes": found.size,
            "damaged_parts": len(found.damaged),
            "findings": dg.MetadataValue.md(
                "\n".join(f"- {name}: {text}" for name, text in found.damaged.items()) or "Nothing is wrong."
            ),
            "chained_logs": chain.logs,
            "chain_is_whole": chain.is_whole,
            "chain_missing": chain.missing,
            "chain_doubles": chain.doubles,
            "chain_breaks": chain.breaks,
            "chain_first_break": -1 if chain.first_break is None else chain.first_break,
        }
    )


@dg.asset(key=REPORT, deps=[VERIFICATION], group_name=archive.GROUP, kinds={"postgres"}, owners=[tables.OWNER])
def report(postgres: Postgres) -> dg.MaterializeResult[None]:
    """Bytes hot and cold, what moves next, the age of the last reading; what is long overdue is told."""
    with postgres.connect(Role.ARCHIVER, work="report archive") as connection:
        now = ledger.now(connection)
        planned = archive_planning.plan(connection)
        parts, batches = archive_batches.all_parts(connection), archive_batches.known(connection)
        overdue = archive_planning.due(connection, since=verifying.OVERDUE)
        freed = dict(connection.execute(_FREED).fetchall())
    named = ", ".join(f"{table.name} {period.name}" for table, period in overdue[:5])
    alarms.set_alarm(postgres, Alarm.ARCHIVE_OVERDUE, SUBJECT, f"{len(overdue)} periods: {named}." if overdue else "")
    standings = [_standing(name, planned, parts, freed_bytes=int(freed.get(name, 0))) for name in TABLES]
    ages = [(now - batch.read_at).total_seconds() / 86_400 for batch in parts if batch.read_at is not None]
    cold_rows, cold_bytes = sum(batch.rows for batch in parts), sum(batch.file_size or 0 for batch in parts)
    return dg.MaterializeResult(
        metadata={
            "hot_bytes": sum(one.hot_bytes for one in standings),
            "cold_bytes": cold_bytes,
            "cold_rows": cold_rows,
            "cold_parts": len(parts),
            "bytes_per_cold_row": round(cold_bytes / cold_rows, 2) if cold_rows else 0.0,
            "compression_ratio": _ratio(sum(one.freed_bytes for one in standings), cold_bytes),
            "due_rows": sum(one.hot.rows for one in planned if one.is_due),
            "failed_batches": sum(batch.state is State.FAILED for batch in batches),
            "overdue_periods": len(overdue),
            "oldest_reading_d": round(max(ages, default=0.0), 2),
            "tables": dg.MetadataValue.md(tables.markdown([_row(one) for one in standings])),
            "next": dg.MetadataValue.md(tables.markdown([archive.told(one) for one in planned if one.is_due])),
            "ages": archive_pictures.ages(standings, now=now),
        }
    )


_FREED = (
    "SELECT plan ->> 'table', sum((plan ->> 'hot_bytes')::bigint) FROM ops.deletion_ledger"
    " WHERE kind = 'archive' GROUP BY 1"
)
"""What the rows that left weighed in the database with their indexes."""


def _standing(name: str, planned: Sequence[Planned], parts: Sequence[Batch], *, freed_bytes: int) -> Standing:
    hot = [one for one in planned if one.table.name == name]
    cold = [one for one in parts if one.table.name == name]
    periods = {batch.period for batch in cold}
    return Standing(
        table=name,
        hot={one.period: one.hot.rows for one in hot},
        cold={period: sum(batch.rows for batch in cold if batch.period == period) for period in periods},
        hot_bytes=sum(one.hot.size for one in hot),
        cold_bytes=sum(batch.file_size or 0 for batch in cold),
        freed_bytes=freed_bytes,
    )


def _row(standing: Standing) -> dict[str, object]:
    return {
        "table": standing.table,
        "hot rows": sum(standing.hot.values()),
        "hot MB": round(standing.hot_bytes / 1e6, 2),
        "cold rows": sum(standing.cold.values()),
        "cold MB": round(standing.cold_bytes / 1e6, 2),
        "was hot, MB": round(standing.freed_bytes / 1e6, 2),
        "smaller by": _ratio(standing.freed_bytes, standing.cold_bytes),
    }


def _ratio(before: int, after: int) -> float:
    return round(before / after, 1) if after else 0.0
