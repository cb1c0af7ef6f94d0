"""Published tensile tests, and what the assets of the laboratory share.

Uploads (`tensile_uploads`) are published here; what follows from them is in `tensile_results`. Each body shows what is
read, decided and written; statements are in `resources/tensile_*`, rules in `quality`, decisions in `domain`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
import psycopg

from meva_pipelines.assets import attempts, derived, tables
from meva_pipelines.domain.days import SEOUL
from meva_pipelines.quality.tensile_suites import TENSILE_SUITES
from meva_pipelines.resources import ledger, tensile_publishing, tensile_report, tensile_staging
from meva_pipelines.resources.ledger import Attempt, Status
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.tensile_batch import Batch
from meva_pipelines.schema import meva as schema
from meva_pipelines.schema.roles import Role

SUBJECT = schema.TENSILE_TEST.fullname
SOURCE = "landing"
POOL = "tensile"
DAYS = dg.DailyPartitionsDefinition(start_date="2025-10-28", timezone=SEOUL.key, end_offset=1)
"""Partition D holds what was received on the Korean day D; today's is there already, because files come by day."""

UPLOADS = dg.AssetKey(["tensile", "uploads"])


@dataclass(frozen=True, slots=True)
class StagedTests:
    """A staged batch of tests, as the judge knows it."""

    batch: Batch
    store: ObjectStore

    @property
    def attempt(self) -> Attempt:
        """The attempt that staged it."""
        return self.batch.attempt

    @property
    def name(self) -> str:
        """The table that is judged."""
        return self.batch.name("tests")

    def digest(self, connection: psycopg.Connection) -> str:
        """The digest of tests, files and points."""
        return tensile_staging.digest(connection, self.batch)

    def drop(self, connection: psycopg.Connection) -> None:
        """Drop tables and points. Idempotent."""
        tensile_staging.drop(connection, self.batch, self.store)


@dg.multi_asset(
    specs=[
        tables.spec(
            schema.TENSILE_TEST,
            group="tensile",
            description="Tensile tests as readers see them: one row per test, its newest version.",
            deps=[UPLOADS],
            partitions_def=DAYS,
        ),
        tables.spec(
            schema.TENSILE_DATA,
            group="tensile",
            description="Load and displacement of every published test, point by point.",
            deps=[UPLOADS],
            partitions_def=DAYS,
        ),
    ],
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=POOL,
)
def published_tests(
    context: dg.AssetExecutionContext, postgres: Postgres, store: ObjectStore
) -> Iterator[dg.MaterializeResult[None]]:
    """Publish the judged tests of the day in one transaction, with the before-image of every superseded version."""
    with postgres.connect(Role.WRITER, work="find batch") as connection:
        attempt = attempts.to_publish(
            connection, subject=SUBJECT, day=attempts.day_of(context), run_id=context.run.run_id, staged=UPLOADS
        )
    if attempt.status is Status.STAGED:
        published = _publish(postgres, attempt, store)
        context.log.info(f"published attempt {attempt.token}: {published}")
    with postgres.connect(Role.READER, work="report publication") as connection:
        figures = tensile_report.figures(connection, attempt.token)
        totals = tensile_report.totals(connection)
    yield dg.MaterializeResult(
        asset_key=tables.key(schema.TENSILE_TEST),
        metadata={
            "summary": dg.MetadataValue.md(_summary(figures, totals)),
            "dagster/row_count": totals["tests"],
            "attempt": attempt.token,
            **figures,
        },
    )
    yield dg.MaterializeResult(
        asset_key=tables.key(schema.TENSILE_DATA),
        metadata={
            "dagster/row_count": totals["points"],
            "dagster/partition_row_count": figures["points"],
            "attempt": attempt.token,
        },
    )


def _publish(postgres: Postgres, attempt: Attempt, store: ObjectStore) -> tensile_publishing.Published:
    batch = Batch(attempt)
    staged = StagedTests(batch, store)
    with ledger.watch(postgres, attempt), derived.publication(postgres, staged, TENSILE_SUITES) as connection:
        published = tensile_publishing.publish(connection, batch, store, now=ledger.now(connection))
        tensile_publishing.record(connection, batch, published)
    return published


def _summary(figures: dict[str, int], totals: dict[str, int]) -> str:
    return (
        f"**{totals['tests']:,} tests, {totals['points']:,} points.** This batch: {figures['new_tests']:,} new, "
        f"{figures['new_versions']:,} new versions, {figures['older_versions']:,} older ones filed, "
        f"{figures['conflicts']:,} in conflict, {figures['unchanged_tests']:,} unchanged, "
        f"{figures['refused_tests']:,} refused. {totals['disputed']:,} tests wait for a decision, "
        f"{totals['quarantined']:,} tests or files in quarantine."
    )
