"""The archive as assets: what would move, the cold parts of each table, and the hot rows that left for them.

Every table of `domain/archive/declared` has two assets, partitioned by the periods that its files hold. The steps are
verbs of `resources/archive_*`; what becomes of the parts afterwards is in `archive_custody`.
"""

from collections.abc import Iterable, Iterator

import dagster as dg
import psycopg
from pydantic import Field
from sqlalchemy import Table

from meva_pipelines.assets import derived, tables
from meva_pipelines.assets.simulation import RETENTION_POLICIES
from meva_pipelines.domain.archive.declared import TABLES, Archived
from meva_pipelines.domain.archive.periods import FOLDER, Period, Span
from meva_pipelines.domain.failures import Refused
from meva_pipelines.quality.archive_suites import PART_SUITES
from meva_pipelines.quality.verdicts import Judge
from meva_pipelines.resources import (
    archive_batches,
    archive_planning,
    archive_proving,
    archive_release,
    ledger,
    staging,
)
from meva_pipelines.resources.archive_planning import Planned
from meva_pipelines.resources.archive_proving import Findings
from meva_pipelines.resources.cold_files import ColdFiles
from meva_pipelines.resources.ledger import Attempt, Mode
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.base import METADATA
from meva_pipelines.schema.roles import Role

GROUP = "archive"
POOL = "archive"
PERIODS = {span: dg.DynamicPartitionsDefinition(name=f"archive_{span.value}s") for span in Span}
"""Quarters and months of which rows became old enough; `archive/plan` and the nightly look add them."""

PLAN = dg.AssetKey(["archive", "plan"])
_ONE_BY_ONE = dg.BackfillPolicy.multi_run(max_partitions_per_run=1)
_SUITES = tuple(suite.name for suite in PART_SUITES)


class ReleaseConfig(dg.Config):
    """How many rows may leave."""

    dry_run: bool = Field(default=True, description="Only say what would leave; no row is deleted")
    ceiling: int = Field(default=200_000_000, ge=0, description="Most rows that may leave with one period")
    approved_by: str = Field(default="policy", min_length=1, description="Who approves; stands in the deletion ledger")


def cold(table: Archived) -> dg.AssetKey:
    """Return the asset of a table's cold parts."""
    return dg.AssetKey([GROUP, table.name])


def released(table: Archived) -> dg.AssetKey:
    """Return the asset of the rows that left a table."""
    return dg.AssetKey([GROUP, f"{table.name}_released"])


def table_named(name: str) -> Archived:
    """Return the archived table of a name.

    Raises:
        Refused: there is none.
    """
    if name not in TABLES:
        raise Refused(f"{name!r} is not archived; tables that are: {', '.join(TABLES)}")
    return TABLES[name]


def declared(table: Archived) -> Table:
    """Return the table as the schema has it."""
    return METADATA.tables[f"{table.schema}.{table.name}"]


def add_periods(instance: dg.DagsterInstance, found: Iterable[tuple[Archived, Period]]) -> None:
    """Let the periods of tables be chosen in the UI."""
    names: dict[Span, set[str]] = {span: set() for span in Span}
    for table, period in found:
        names[table.span].add(period.name)
    for span, partitions in PERIODS.items():
        known = set(instance.get_dynamic_partitions(str(partitions.name)))
        instance.add_dynamic_partitions(str(partitions.name), sorted(names[span] - known))


@dg.asset(key=PLAN, deps=[RETENTION_POLICIES], group_name=GROUP, kinds={"postgres"}, owners=[tables.OWNER])
def plan(context: dg.AssetExecutionContext, postgres: Postgres) -> dg.MaterializeResult[None]:
    """What would move now, table by table and period by period, and what keeps the rest. Nothing is moved."""
    with postgres.connect(Role.ARCHIVER, work="plan archive") as connection:
        found = archive_planning.plan(connection)
    add_periods(context.instance, ((one.table, one.period) for one in found if one.is_due))
    due = [one for one in found if one.is_due]
    return dg.MaterializeResult(
        metadata={
            "hot_periods": len(found),
            "due_periods": len(due),
            "due_rows": sum(one.hot.rows for one in due),
            "due_bytes": sum(one.hot.size for one in due),
            "periods": dg.MetadataValue.md(tables.markdown([told(one) for one in found])),
        }
    )


def told(planned: Planned) -> dict[str, object]:
    """Return a period as it is shown to people."""
    return {
        "table": planned.table.name,
        "period": planned.period.name,
        "hot rows": planned.hot.rows,
        "hot MB": round(planned.hot.size / 1e6, 2),
        "cold parts": len(planned.generations),
        "now": "moves" if planned.is_due else planned.why_not,
    }


def _cold_asset(table: Archived) -> dg.AssetsDefinition:
    key = cold(table)

    @dg.asset(
        key=key,
        description=f"{table.schema}.{table.name} in Parquet, a file for each {table.span.value}: written, read again,"
        " compared with the hot rows, and judged. No row is deleted here.",
        deps=[PLAN],
        group_name=GROUP,
        kinds={"parquet"},
        owners=[tables.OWNER],
        partitions_def=PERIODS[table.span],
        backfill_policy=_ONE_BY_ONE,
        check_specs=derived.check_specs(PART_SUITES, key),
        metadata={
            "dagster/table_name": f"{FOLDER}/{table.name}",
            "dagster/column_schema": tables.column_schema(declared(table)),
        },
        pool=POOL,
    )
    def archived(
        context: dg.AssetExecutionContext, postgres: Postgres, store: ObjectStore, judge: Judge
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        period = Period.named(context.partition_key)
        with postgres.connect(Role.WRITER, work="open attempt") as connection:
            attempt = ledger.open_attempt(
                connection,
                subject=table.subject,
                source=period.name,
                mode=Mode.ARCHIVE,
                day=ledger.today(connection),
                dagster_run_id=context.run.run_id,
            )
        with ledger.watch(postgres, attempt):
            batch = archive_planning.begin(postgres, attempt, table=table, period=period)
            if batch is None:
                yield from derived.nothing_to_judge(postgres, archive_proving.staging_of(attempt), PART_SUITES, key)
                yield dg.MaterializeResult(asset_key=key, metadata={"attempt": attempt.token, "rows": 0})
                return
            found = archive_proving.bring_down(postgres, ColdFiles(store), batch)
            for said in found.numbers.differences:
                context.log.warning(said)
            staged = archive_proving.stage(postgres, attempt, found)
            yield from derived.judge_rows(postgres, judge, staged, PART_SUITES, key)
        yield dg.MaterializeResult(asset_key=key, metadata=_part_figures(store, attempt, found))

    return archived


def _part_figures(
    store: ObjectStore, attempt: Attempt, found: Findings
) -> dict[str, dg.MetadataValue | str | int | float]:
    batch, reread = found.batch, found.reread
    return {
        "dagster/partition_row_count": reread.extent.rows,
        "dagster/uri": store.uri(batch.file_key),
        "attempt": attempt.token,
        "batch": batch.name,
        "generation": batch.generation,
        "rows": reread.extent.rows,
        "size_bytes": reread.size,
        "bytes_per_row": round(reread.size / max(reread.extent.rows, 1), 2),
        "row_groups": reread.row_groups,
        "sha256": reread.sha256,
        "digest": reread.extent.digest,
        "schema_version": reread.schema_version,
        "recomputed_curves": found.numbers.curves,
        "recomputed_comparisons": found.numbers.comparisons,
        "columns": dg.MetadataValue.md(
            tables.markdown(
                [
                    {"column": one.name, "nulls": one.nulls, "least": one.least, "greatest": one.greatest}
                    for one in reread.profiles
                ]
            )
        ),
    }


def _released_asset(table: Archived) -> dg.AssetsDefinition:
    key = released(table)

    @dg.asset(
        key=key,
        description=f"Rows of {table.schema}.{table.name} that left the database, {table.span.value} by"
        f" {table.span.value}: deleted with proof, in the transaction that commits their cold part.",
        deps=[cold(table)],
        group_name=GROUP,
        kinds={"postgres"},
        owners=[tables.OWNER],
        partitions_def=PERIODS[table.span],
        backfill_policy=_ONE_BY_ONE,
        pool=POOL,
    )
    def left(
        context: dg.AssetExecutionContext, config: ReleaseConfig, postgres: Postgres
    ) -> dg.MaterializeResult[None]:
        period = Period.named(context.partition_key)
        with postgres.connect(Role.ARCHIVER, work="find batch") as connection:
            attempt = _proved_by(connection, table, period, run_id=context.run.run_id)
            batch = archive_batches.of_attempt(connection, attempt)
        if batch is None:
            return dg.MaterializeResult(metadata={"rows": 0, "attempt": attempt.token, "dry_run": config.dry_run})
        if config.dry_run:
            context.log.info(f"dry run: {batch.rows:,} rows of {batch.name} would leave; `dry_run: false` lets them go")
            return dg.MaterializeResult(metadata={"rows": batch.rows, "attempt": attempt.token, "dry_run": True})
        with ledger.watch(postgres, attempt):
            gone = archive_release.release(
                postgres, attempt, batch, suites=_SUITES, ceiling=config.ceiling, approved_by=config.approved_by
            )
        with postgres.connect(Role.WRITER, work=f"clean {attempt.token}") as connection:
            staging.drop_abandoned(connection)
        return dg.MaterializeResult(
            metadata={
                "rows": gone.rows,
                "freed_bytes": gone.freed_bytes,
                "batch": batch.name,
                "attempt": attempt.token,
                "deletion_ledger_id": gone.ledger_id,
                "dry_run": False,
            }
        )

    return left


def _proved_by(connection: psycopg.Connection, table: Archived, period: Period, *, run_id: str) -> Attempt:
    """Return the attempt in which this run proved the cold part: rows leave in the run that read it, or not at all."""
    attempt = ledger.attempt_of_run(connection, subject=table.subject, dagster_run_id=run_id)
    if attempt is None or attempt.source != period.name:
        raise Refused(
            f"rows of {table.name} leave only in the run that has read their cold part: materialise "
            f"{cold(table).to_user_string()} and {released(table).to_user_string()} together (job archive_{table.name})"
        )
    return attempt


ASSETS = [make(table) for table in TABLES.values() for make in (_cold_asset, _released_asset)]
