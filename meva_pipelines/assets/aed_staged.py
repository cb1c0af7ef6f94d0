"""Staged records of the registry: typed, triaged, quarantined, profiled, judged. Nothing is published here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import dagster as dg
import psycopg
from pydantic import Field

from meva_pipelines.assets import attempts, derived, tables
from meva_pipelines.assets.aed import DAYS, INTAKES, POOL, STAGED_RECORDS, SUBJECT
from meva_pipelines.domain.aed import Mapper, Page
from meva_pipelines.domain.contract import RecordContract
from meva_pipelines.domain.failures import Refused, Rejected
from meva_pipelines.domain.guards import Limit
from meva_pipelines.quality import aed_rules
from meva_pipelines.quality.aed_suites import AED_SUITES, AED_TARGETS, aed_suites
from meva_pipelines.quality.verdicts import Judge, Verdict, failures, store
from meva_pipelines.resources import (
    failpoints,
    fetches,
    journal,
    ledger,
    raw_pages,
    reference,
    registry_absences,
    registry_explanation,
    registry_profile,
    registry_staging,
    staging,
)
from meva_pipelines.resources.egen import EgenSource
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.journal import Event
from meva_pipelines.resources.ledger import Attempt, Mode, Status
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.registry_staging import Batch, Received
from meva_pipelines.schema.aed import REGIONS, SOURCED_COLUMNS
from meva_pipelines.schema.roles import STAGING_SCHEMA, Role


class StageConfig(dg.Config):
    """What is staged again when the run itself brought nothing, and how much a batch may change or lose."""

    max_change_pct: float = Field(
        default=10.0,
        gt=0,
        le=100,
        description="Largest change of the number of devices, per sido and in all, in percent (seed 001 §5.1); "
        "aed/aed_data has the same limit, to be raised together",
    )
    max_quarantined_pct: float = Field(
        default=5.0, gt=0, le=100, description="Largest share of received records in quarantine, in percent"
    )

    source: str = Field(
        default="",
        description="Source whose newest pages of the day are replayed: data_go_kr, egen, nemc_export; "
        "empty: the registry API that is asked at night",
    )


@dg.asset(
    key=STAGED_RECORDS,
    deps=[*INTAKES, tables.key(REGIONS)],
    group_name="aed",
    kinds={"postgres"},
    owners=[tables.OWNER],
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=POOL,
    check_specs=derived.check_specs(AED_SUITES, STAGED_RECORDS),
)
def staged_records(
    context: dg.AssetExecutionContext,
    config: StageConfig,
    egen: EgenSource,
    store: ObjectStore,
    postgres: Postgres,
    judge: Judge,
) -> Iterator[dg.MaterializeResult[None]]:
    """Records that differ from what is published, typed, triaged and judged; rejected ones wait in quarantine.

    Materialised alone, it replays the newest page set of the day without the network. Its checks are the verdict.
    """
    day = attempts.day_of(context)
    with postgres.connect(Role.WRITER, work="find attempt") as connection:
        attempt, fetch = _to_stage(connection, config.source or egen.dialect, day, context.run.run_id)
    contract = reference.source(attempt.source)
    batch = Batch(attempt)
    with ledger.watch(postgres, attempt):
        with postgres.connect(Role.WRITER, work=f"stage {attempt.token}") as connection:
            received, quarantined = _stage(connection, batch, fetch, contract, store)
            digest = registry_staging.digest(connection, batch)
            groups = reference.regions().sido_groups(day)
            found = registry_absences.survey(
                connection, batch, fetch, sido_groups=groups, limit=Limit(pct=config.max_change_pct)
            )
            registry_profile.measure(connection, batch, found=found, sido_groups=groups)
        suites = aed_suites(max_change_pct=config.max_change_pct, max_quarantined_pct=config.max_quarantined_pct)
        said = judge.judge(
            suites,
            sqlalchemy_url=postgres.reading_url(Role.WRITER, schema=STAGING_SCHEMA),
            tables={target: batch.name(target) for target in AED_TARGETS},
        )
        figures, explanation = _record_staging(postgres, batch, Staged(received, quarantined, digest), said)
    yield dg.MaterializeResult(
        metadata={"dagster/partition_row_count": received.changed, "attempt": attempt.token, **figures},
        check_results=derived.checks(
            suites, said, attempt=attempt.token, asset=STAGED_RECORDS, more=_explained(explanation)
        ),
    )


def _to_stage(connection: psycopg.Connection, source: str, day: date, run_id: str) -> tuple[Attempt, fetches.Fetch]:
    """Return the attempt of this run that fetched, or a new one that replays the newest pages of the day."""
    mine = ledger.attempt_of_run(connection, subject=SUBJECT, dagster_run_id=run_id)
    if mine is not None and mine.fetch_id is not None and mine.status is Status.FETCHED:
        return mine, fetches.named(connection, subject=SUBJECT, fetch_id=mine.fetch_id)
    fetch = fetches.latest(connection, subject=SUBJECT, source=source, day=day)
    if fetch is None:
        raise Refused(f"no pages of {source} were stored for {day}: materialise aed/raw_records for that day first")
    if reference.source(source).modified is None:
        fetches.demand_newest(connection, fetch)
    attempt = ledger.open_attempt(
        connection,
        subject=SUBJECT,
        source=source,
        mode=Mode.REPLAY,
        day=day,
        dagster_run_id=run_id,
        fetch_id=fetch.fetch_id,
    )
    return attempt, fetch


def _stage(
    connection: psycopg.Connection, batch: Batch, fetch: fetches.Fetch, contract: RecordContract, store: ObjectStore
) -> tuple[Received, int]:
    for field in contract.fields:
        journal.note(Event.FIELD_MAPPED, token=batch.attempt.token, field=field.source, column=field.column)
    mapper = Mapper(contract, reference.regions(), day=batch.attempt.day, columns=SOURCED_COLUMNS)
    entries = raw_pages.pages(store, fetch.fetch_id)
    by_number = {entry.number: entry for entry in entries}

    def page_at(number: int) -> Page:
        return mapper.page(number, raw_pages.records(store, by_number[number], contract))

    def pages() -> Iterator[Page]:
        return (page_at(entry.number) for entry in entries)

    staging.drop_abandoned(connection)
    registry_staging.create(connection, batch)
    received = registry_staging.stage(connection, batch, pages(), mapped=mapper.rows)
    if received.rows != fetch.rows:
        raise Rejected(f"{fetch.rows} records were fetched and {received.rows} staged: nothing is published")
    quarantined = registry_staging.triage(connection, batch, aed_rules.row_rules(contract))
    registry_staging.quarantine(connection, batch, fetch_id=fetch.fetch_id, page_at=page_at)
    return received, quarantined


@dataclass(frozen=True, slots=True)
class Staged:
    """A batch that is staged and not yet judged."""

    received: Received
    quarantined_rows: int
    digest: str


def _record_staging(
    postgres: Postgres, batch: Batch, staged: Staged, verdicts: Sequence[Verdict]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write verdicts and figures in one transaction; an audit that failed ends the attempt.

    Returns the figures, and the explanation of a batch that was refused.
    """
    explanation: dict[str, Any] = {}
    failpoints.reach(Point.AUDIT_BEFORE_VERDICT)
    with postgres.connect(Role.WRITER, work=f"record audit {batch.attempt.token}") as connection:
        staged_rows, watermark = registry_staging.staged_figures(connection, batch)
        is_passed = store(connection, batch.attempt, verdicts, digest=staged.digest)
        figures = {
            "received_rows": staged.received.rows,
            "quarantined_rows": staged.quarantined_rows,
            "unchanged_rows": staged.received.rows - staged.quarantined_rows - staged_rows,
        }
        ledger.record(
            connection,
            batch.attempt.token,
            status=Status.STAGED,
            staged_at=ledger.now(connection),
            staged_digest=staged.digest,
            watermark=watermark,
            **figures,
        )
        if not is_passed:
            explanation = registry_explanation.explain(connection, batch)
            ledger.record(connection, batch.attempt.token, details={"explanation": explanation})
            ledger.reject(
                connection,
                batch.attempt,
                f"the audit failed ({failures(verdicts)}); nothing was published and yesterday's registry stays."
                f" Likely: {explanation['cause']}.",
            )
        rules_broken = registry_staging.rejected_by_rule(connection, batch)
    failpoints.reach(Point.AUDIT_AFTER_VERDICT)
    journal.note(Event.SYNC_STAGED, token=batch.attempt.token, staged_rows=staged_rows, **figures)
    for rule, count in rules_broken.items():
        journal.note(Event.RECORDS_QUARANTINED, token=batch.attempt.token, rule=rule, records=count)
    told = {
        **figures,
        "staged_rows": staged_rows,
        "pages": staged.received.pages,
        "audit_s": round(sum(verdict.duration_s for verdict in verdicts), 3),
        "audit": "passed" if is_passed else "failed: nothing of this batch can be published",
    }
    return told, explanation


def _explained(explanation: dict[str, Any]) -> dict[str, dg.MetadataValue[Any]]:
    """Show what a refused batch looked like: cause, regions, fields, pages, makers; no personal data."""
    if not explanation:
        return {}
    shown = ("regions", "fields", "pages", "makers")
    return {
        "likely_cause": dg.MetadataValue.text(explanation["cause"]),
        "worst_regions": dg.MetadataValue.text(_worst(explanation["regions"])),
        **{name: dg.MetadataValue.md(tables.markdown(explanation[name])) for name in shown},
        "sample_keys": dg.MetadataValue.text(", ".join(explanation["sample_keys"])),
    }


def _worst(regions: list[dict[str, Any]]) -> str:
    """The regions that move most in one line, because tables hide behind a button."""
    return "; ".join(
        f"{region['sido']}: {region['now']:,} → {region['then']:,} devices, "
        f"{region['coordinates_lost_pct'] or 0:+.1f} points without coordinates"
        for region in regions[:3]
    )
