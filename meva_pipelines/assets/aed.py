"""The AED registry: raw pages → staged records → published table and history → report.

Each body shows what is read, decided and written; the statements are in `resources/registry_*`, the rules in
`quality`, the decisions in `domain`.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Literal

import dagster as dg
import psycopg
from pydantic import Field

from meva_pipelines.assets import tables
from meva_pipelines.domain.aed import Mapper, Page
from meva_pipelines.domain.contract import Contract
from meva_pipelines.domain.failures import Refused, Rejected
from meva_pipelines.domain.guards import Limit
from meva_pipelines.quality import rules
from meva_pipelines.quality.judge import Verdict, judge
from meva_pipelines.quality.suites import AED_SUITES, Target
from meva_pipelines.resources import (
    failpoints,
    ledger,
    publishing,
    raw_pages,
    reference,
    registry_publishing,
    registry_staging,
)
from meva_pipelines.resources.egen import EgenSource, Fetched
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.ledger import Attempt, Mode, Status
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.registry_publishing import Published
from meva_pipelines.resources.registry_staging import Batch, Received
from meva_pipelines.schema import aed as schema
from meva_pipelines.schema.roles import STAGING_SCHEMA, Role

SUBJECT = schema.AED_DATA.fullname
POOL = "aed_registry"
DAYS = dg.DailyPartitionsDefinition(start_date="2025-10-28", timezone="Asia/Seoul")
"""Partition D holds what happened on the Korean day D and is due after D ends (decision D4)."""

RAW_RECORDS = dg.AssetKey(["aed", "raw_records"])
STAGED_RECORDS = dg.AssetKey(["aed", "staged_records"])
DEADLINE = dg.FreshnessPolicy.cron(
    deadline_cron="0 7 * * *", lower_bound_delta=timedelta(hours=6), timezone="Asia/Seoul"
)


class FetchConfig(dg.Config):
    """How the registry is asked."""

    mode: Literal["incremental", "full"] = Field(
        default="incremental",
        description="incremental: what changed, where the source can tell, else everything. full: everything, and "
        "devices that are absent are counted as missing",
    )
    overlap_minutes: int = Field(
        default=60,
        ge=0,
        le=10_080,
        description="Minutes before the newest change seen that are asked for again (incremental, dialect egen)",
    )
    districts: list[str] = Field(
        default_factory=list,
        description="'sido/gugun' names to ask for one by one (dialect data_go_kr); empty: the whole country",
    )


class PublishConfig(dg.Config):
    """How much a publication may change."""

    max_change_pct: float = Field(
        default=10.0,
        gt=0,
        le=100,
        description="Largest change of the number of devices, per sido and in all, in percent (seed 001 §5.1)",
    )


@dg.asset(
    key=RAW_RECORDS,
    group_name="aed",
    kinds={"file"},
    owners=[tables.OWNER],
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=POOL,
)
def raw_records(
    context: dg.AssetExecutionContext,
    config: FetchConfig,
    egen: EgenSource,
    store: ObjectStore,
    postgres: Postgres,
) -> dg.MaterializeResult[None]:
    """Pages of the registry exactly as received, proved complete; every sync can be replayed from them.

    Nothing is staged unless every page came, each said so itself, and the rows add up to the announced total.
    """
    contract, day = reference.contract(egen.dialect), _day(context)
    with postgres.connect(Role.WRITER, work="open attempt") as connection:
        attempt = ledger.open_attempt(
            connection,
            subject=SUBJECT,
            source=contract.name,
            mode=Mode(config.mode),
            day=day,
            dagster_run_id=context.run_id,
        )
        watermark = ledger.published_watermark(connection, subject=SUBJECT, source=contract.name)
    with ledger.watch(postgres, attempt):
        failpoints.reach(Point.FETCH_STARTED)
        wants_changes = attempt.mode is Mode.INCREMENTAL and contract.modified is not None and watermark is not None
        since = watermark - timedelta(minutes=config.overlap_minutes) if wants_changes and watermark else None
        writer = raw_pages.Writer(store, f"{contract.name}/{day}/{attempt.token}")
        fetched = egen.fetch(modified_after=since, store=writer.put, districts=_districts(config.districts))
        entries = writer.finish(fetched, contract)
        _enter(postgres, attempt, fetched, entries, is_whole=since is None or fetched.fell_back, config=config)
    context.log.info(
        f"{fetched.rows:,} records on {fetched.pages} pages in {fetched.duration_s:.1f} s, "
        f"{fetched.bytes_received / 1e6:.1f} MB received, {fetched.retries} requests repeated"
    )
    return dg.MaterializeResult(metadata=_fetch_metadata(attempt, fetched, store))


def _enter(
    postgres: Postgres,
    attempt: Attempt,
    fetched: Fetched,
    entries: Sequence[raw_pages.Entry],
    *,
    is_whole: bool,
    config: FetchConfig,
) -> None:
    fetch_id = f"{attempt.source}/{attempt.day}/{attempt.token}"
    with postgres.connect(Role.WRITER, work=f"enter fetch {attempt.token}") as connection:
        ledger.take(
            connection,
            attempt,
            fetch_id=fetch_id,
            page_hashes=[entry.sha256 for entry in entries],
            is_complete_snapshot=is_whole and not config.districts,
            rows=fetched.rows,
            size=fetched.bytes_received,
            as_of=fetched.as_of,
        )
        ledger.record(
            connection,
            attempt.token,
            status=Status.FETCHED,
            fetched_at=ledger.now(connection),
            fetch_id=fetch_id,
            expected_rows=fetched.total,
            bytes_received=fetched.bytes_received,
            requests=fetched.requests,
            retries=fetched.retries,
        )


def _fetch_metadata(attempt: Attempt, fetched: Fetched, store: ObjectStore) -> dict[str, object]:
    return {
        "dagster/partition_row_count": fetched.rows,
        "attempt": attempt.token,
        "mode": fetched.mode_used.value,
        "fell_back_to_full": fetched.fell_back,
        "pages": fetched.pages,
        "received_mb": round(fetched.bytes_received / 1e6, 3),
        "decoded_mb": round(fetched.bytes_decoded / 1e6, 3),
        "requests": fetched.requests,
        "retries": fetched.retries,
        "restarts": fetched.restarts,
        "duration_s": round(fetched.duration_s, 3),
        "notes": "; ".join(fetched.notes) or "none",
        "page_set": store.uri(f"raw/aed/{attempt.source}/{attempt.day}/{attempt.token}"),
    }


@dg.asset(
    key=STAGED_RECORDS,
    deps=[RAW_RECORDS],
    group_name="aed",
    kinds={"postgres"},
    owners=[tables.OWNER],
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=POOL,
)
def staged_records(
    context: dg.AssetExecutionContext, egen: EgenSource, store: ObjectStore, postgres: Postgres
) -> dg.MaterializeResult[None]:
    """Records that differ from what is published, typed, triaged and judged; rejected ones wait in quarantine.

    Materialised alone, it replays the newest page set of the day without the network.
    """
    contract, day = reference.contract(egen.dialect), _day(context)
    with postgres.connect(Role.WRITER, work="find attempt") as connection:
        attempt, fetch = _to_stage(connection, contract.name, day, context.run_id)
    batch = Batch(attempt)
    with ledger.watch(postgres, attempt):
        with postgres.connect(Role.WRITER, work=f"stage {attempt.token}") as connection:
            received, quarantined = _stage(connection, batch, fetch, contract, store)
            digest = registry_staging.digest(connection, batch)
            regions = reference.regions()
            registry_publishing.profile(
                connection, batch, is_snapshot=fetch.is_complete_snapshot, sido_groups=regions.sido_groups(day)
            )
        verdicts = judge(
            AED_SUITES,
            sqlalchemy_url=postgres.reading_url(Role.WRITER),
            schema=STAGING_SCHEMA,
            tables={target: batch.name(target) for target in Target},
        )
        figures = _record_staging(postgres, batch, received, quarantined, digest, verdicts)
    return dg.MaterializeResult(
        metadata={"dagster/partition_row_count": received.changed, "attempt": attempt.token, **figures}
    )


def _to_stage(
    connection: psycopg.Connection, source: str, day: date, run_id: str
) -> tuple[Attempt, ledger.Fetch]:
    """Return the attempt of this run that fetched, or a new one that replays the newest pages of the day."""
    mine = ledger.attempt_of_run(connection, subject=SUBJECT, dagster_run_id=run_id)
    if mine is not None and mine.fetch_id is not None and mine.status is Status.FETCHED:
        return mine, ledger.fetch(connection, subject=SUBJECT, fetch_id=mine.fetch_id)
    fetch = ledger.latest_fetch(connection, subject=SUBJECT, source=source, day=day)
    if fetch is None:
        raise Refused(f"no pages of {source} were stored for {day}: materialise aed/raw_records for that day first")
    if reference.contract(source).modified is None:
        ledger.demand_newest(connection, fetch)
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
    connection: psycopg.Connection, batch: Batch, fetch: ledger.Fetch, contract: Contract, store: ObjectStore
) -> tuple[Received, int]:
    mapper = Mapper(contract, reference.regions(), day=batch.attempt.day, columns=schema.SOURCED_COLUMNS)
    entries = raw_pages.pages(store, fetch.fetch_id)
    by_number = {entry.number: entry for entry in entries}

    def page_at(number: int) -> Page:
        return mapper.page(number, raw_pages.records(store, by_number[number], contract))

    def pages() -> Iterator[Page]:
        return (page_at(entry.number) for entry in entries)

    registry_staging.drop_abandoned(connection)
    registry_staging.create(connection, batch)
    received = registry_staging.stage(connection, batch, pages(), mapped=mapper.rows)
    if received.rows != fetch.rows:
        raise Rejected(f"{fetch.rows} records were fetched and {received.rows} staged: nothing is published")
    quarantined = registry_staging.triage(connection, batch, rules.aed_rules(contract))
    registry_staging.quarantine(connection, batch, fetch_id=fetch.fetch_id, page_at=page_at)
    return received, quarantined


def _record_staging(  # noqa: PLR0913
    postgres: Postgres,
    batch: Batch,
    received: Received,
    quarantined: int,
    digest: str,
    verdicts: Sequence[Verdict],
) -> dict[str, object]:
    """Write verdicts and figures in one transaction; an audit that failed ends the attempt."""
    is_passed = all(verdict.is_passed for verdict in verdicts)
    failpoints.reach(Point.AUDIT_BEFORE_VERDICT)
    with postgres.connect(Role.WRITER, work=f"record audit {batch.attempt.token}") as connection:
        staged_rows, watermark = registry_staging.staged_figures(connection, batch)
        for verdict in verdicts:
            ledger.store_verdict(
                connection,
                batch.attempt.token,
                suite=verdict.suite,
                digest=digest,
                is_passed=verdict.is_passed,
                results=[finding.as_json() for finding in verdict.findings],
                duration_s=verdict.duration_s,
            )
        figures = {
            "received_rows": received.rows,
            "quarantined_rows": quarantined,
            "unchanged_rows": received.rows - quarantined - staged_rows,
        }
        ledger.record(
            connection,
            batch.attempt.token,
            status=Status.STAGED,
            staged_at=ledger.now(connection),
            staged_digest=digest,
            watermark=watermark,
            **figures,
        )
        if not is_passed:
            ledger.reject(connection, batch.attempt, _failed(verdicts))
    failpoints.reach(Point.AUDIT_AFTER_VERDICT)
    return {
        **figures,
        "staged_rows": staged_rows,
        "pages": received.pages,
        "audit_s": round(sum(verdict.duration_s for verdict in verdicts), 3),
        "audit": "passed" if is_passed else "failed: nothing of this batch can be published",
    }


def _failed(verdicts: Sequence[Verdict]) -> str:
    failed = [f"{v.suite}: {f.expectation}" for v in verdicts for f in v.findings if f.stops]
    return f"the audit failed ({'; '.join(failed)}); nothing was published and yesterday's registry stays"


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
        attempt = _to_publish(connection, _day(context), context.run_id)
    if attempt.status is Status.STAGED:
        published = _publish(postgres, attempt, config)
        context.log.info(f"published attempt {attempt.token}: {published}")
    with postgres.connect(Role.READER, work="report publication") as connection:
        figures = registry_publishing.figures(connection, attempt.token)
    yield dg.MaterializeResult(
        asset_key=tables.key(schema.AED_DATA),
        metadata={"dagster/row_count": figures["live_rows"], "attempt": attempt.token, **figures},
    )
    superseded = sum(figures[name] for name in ("updated_rows", "missing_rows"))
    yield dg.MaterializeResult(
        asset_key=tables.key(schema.AED_HISTORY),
        metadata={"dagster/partition_row_count": superseded, "attempt": attempt.token},
    )


def _to_publish(connection: psycopg.Connection, day: date, run_id: str) -> Attempt:
    """Return the attempt that this run staged, or the newest one of the day that can be or was published."""
    mine = ledger.attempt_of_run(connection, subject=SUBJECT, dagster_run_id=run_id)
    if mine is not None and mine.status in {Status.STAGED, Status.PUBLISHED}:
        return mine
    found = ledger.latest_attempt(
        connection, subject=SUBJECT, day=day, statuses=(Status.STAGED, Status.PUBLISHED)
    )
    if found is None:
        raise Refused(f"no judged batch waits for {day}: materialise aed/staged_records and look at its checks")
    return found


def _publish(postgres: Postgres, attempt: Attempt, config: PublishConfig) -> Published:
    batch = Batch(attempt)
    with ledger.watch(postgres, attempt):
        with publishing.publication(
            postgres,
            attempt,
            digest=lambda connection: registry_staging.digest(connection, batch),
            suites=tuple(suite.name for suite in AED_SUITES),
        ) as connection:
            fetch = ledger.fetch(connection, subject=SUBJECT, fetch_id=attempt.fetch_id or "")
            published = registry_publishing.publish(
                connection,
                batch,
                now=ledger.now(connection),
                counts_absences=fetch.is_complete_snapshot and fetch.mode == Mode.FULL,
                last_full_day=ledger.last_full_day(connection, subject=SUBJECT, source=attempt.source),
                sido_groups=reference.regions().sido_groups(attempt.day),
                limit=Limit(pct=config.max_change_pct),
            )
            registry_publishing.record(connection, batch, published)
    with postgres.connect(Role.WRITER, work=f"clean {attempt.token}") as connection:
        registry_staging.drop(connection, batch)
    return published


def _day(context: dg.AssetExecutionContext) -> date:
    """Return the day of the run: the last one when a range is backfilled in a single run."""
    return date.fromisoformat(context.partition_key_range.end)


def _districts(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    pairs = [name.partition("/") for name in names]
    if wrong := [name for name, (_, slash, _) in zip(names, pairs, strict=True) if not slash]:
        raise Refused(f"districts are written 'sido/gugun', not {wrong[0]!r}")
    return tuple((sido.strip(), gugun.strip()) for sido, _, gugun in pairs)
