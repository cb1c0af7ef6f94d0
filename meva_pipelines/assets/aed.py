"""The published AED registry, and what the assets of the registry share.

Raw pages (`aed_raw`) become staged records (`aed_staged`), which are published here. Each body shows what is read,
decided and written; statements are in `resources/registry_*`, rules in `quality`, decisions in `domain`.
"""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
from pydantic import Field

from meva_pipelines.assets import attempts, tables
from meva_pipelines.domain.days import SEOUL
from meva_pipelines.domain.guards import Limit
from meva_pipelines.quality.aed_suites import AED_SUITES
from meva_pipelines.resources import (
    journal,
    ledger,
    publishing,
    reference,
    registry_publishing,
    registry_staging,
    staging,
)
from meva_pipelines.resources.journal import Event
from meva_pipelines.resources.ledger import Attempt, Status
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.registry_publishing import Published
from meva_pipelines.resources.registry_staging import Batch
from meva_pipelines.schema import aed as schema
from meva_pipelines.schema.roles import Role

SUBJECT = schema.AED_DATA.fullname
POOL = "aed_registry"
DAYS = dg.DailyPartitionsDefinition(start_date="2025-10-28", timezone=SEOUL.key)
"""Partition D holds what happened on the Korean day D and is due after D ends (decision D4)."""

RAW_RECORDS = dg.AssetKey(["aed", "raw_records"])
EXPORT_FILES = dg.AssetKey(["aed", "export_files"])
REPLAYED_RECORDS = dg.AssetKey(["aed", "replayed_records"])
INTAKES = (RAW_RECORDS, EXPORT_FILES, REPLAYED_RECORDS)
"""Where page sets come from; a run uses one of them."""
STAGED_RECORDS = dg.AssetKey(["aed", "staged_records"])
DEADLINE = dg.FreshnessPolicy.cron(deadline_cron="0 7 * * *", lower_bound_delta=timedelta(hours=6), timezone=SEOUL.key)


class PublishConfig(dg.Config):
    """How much a publication may change."""

    max_change_pct: float = Field(
        default=10.0,
        gt=0,
        le=100,
        description="Largest change of the number of devices, per sido and in all, in percent (seed 001 §5.1)",
    )


@dg.multi_asset(
    specs=[
        tables.spec(
            schema.AED_DATA,
            group="aed",
            description="The AED registry as readers see it: one row per device and source.",
            deps=[STAGED_RECORDS],
            partitions_def=DAYS,
            freshness_policy=DEADLINE,
        ),
        tables.spec(
            schema.AED_HISTORY,
            group="aed",
            description="Every superseded version of a registry row with the period in which it was valid.",
            deps=[STAGED_RECORDS],
            partitions_def=DAYS,
        ),
    ],
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=POOL,
)
def published_registry(
    context: dg.AssetExecutionContext, config: PublishConfig, postgres: Postgres
) -> Iterator[dg.MaterializeResult[None]]:
    """Publish the judged batch of the day in one transaction, with the before-image of every changed row."""
    with postgres.connect(Role.WRITER, work="find batch") as connection:
        attempt = attempts.to_publish(
            connection, subject=SUBJECT, day=attempts.day_of(context), run_id=context.run.run_id, staged=STAGED_RECORDS
        )
    if attempt.status is Status.STAGED:
        published = _publish(postgres, attempt, config)
        journal.note(Event.ROWS_PUBLISHED, token=attempt.token, **published.figures())
    with postgres.connect(Role.READER, work="report publication") as connection:
        figures = registry_publishing.figures(connection, attempt.token)
    yield dg.MaterializeResult(
        asset_key=tables.key(schema.AED_DATA),
        metadata={
            "summary": dg.MetadataValue.md(
                f"**{figures['live_rows']:,} devices live.** {figures['received_rows']:,} received = "
                f"{figures['inserted_rows']:,} new + {figures['updated_rows']:,} changed + "
                f"{figures['renamed_rows']:,} renamed + "
                f"{figures['unchanged_rows']:,} unchanged + {figures['quarantined_rows']:,} quarantined; "
                f"{figures['missing_rows']:,} missing."
            ),
            "dagster/row_count": figures["live_rows"],
            "attempt": attempt.token,
            **figures,
        },
    )
    superseded = sum(figures[name] for name in ("updated_rows", "renamed_rows", "missing_rows"))
    yield dg.MaterializeResult(
        asset_key=tables.key(schema.AED_HISTORY),
        metadata={"dagster/partition_row_count": superseded, "attempt": attempt.token},
    )


def _publish(postgres: Postgres, attempt: Attempt, config: PublishConfig) -> Published:
    batch = Batch(attempt)
    with (
        ledger.watch(postgres, attempt),
        publishing.publication(
            postgres,
            attempt,
            digest=lambda connection: registry_staging.digest(connection, batch),
            suites=tuple(suite.name for suite in AED_SUITES),
        ) as connection,
    ):
        published = registry_publishing.publish(
            connection,
            batch,
            now=ledger.now(connection),
            sido_groups=reference.regions().sido_groups(attempt.day),
            limit=Limit(pct=config.max_change_pct),
        )
        registry_publishing.record(connection, batch, published)
    with postgres.connect(Role.WRITER, work=f"clean {attempt.token}") as connection:
        registry_staging.drop(connection, batch)
        staging.drop_abandoned(connection)
    return published
