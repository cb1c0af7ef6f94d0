"""Raw pages of the registry: fetched, proved complete, stored as received. Nothing is interpreted here."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Literal

import dagster as dg
from pydantic import Field

from meva_pipelines.assets import tables
from meva_pipelines.assets.aed import DAYS, POOL, RAW_RECORDS, SUBJECT, day_of
from meva_pipelines.domain import relaunches
from meva_pipelines.domain.failures import MevaError, Refused, Unavailable
from meva_pipelines.resources import failpoints, ledger, raw_pages, reference
from meva_pipelines.resources.egen import EgenSource, Fetched
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.ledger import Attempt, Mode, Status
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role


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
    relaunches: int = Field(
        default=3,
        ge=0,
        le=10,
        description="How often a fetch that failed is launched again within the hour, where trying again helps",
    )
    relaunch_after_s: float = Field(
        default=300.0,
        ge=0,
        le=3_600,
        description="Seconds before the first of these launches; the pause doubles from one to the next",
    )
    districts: list[str] = Field(
        default_factory=list,
        description="'sido/gugun' names to ask for one by one (dialect data_go_kr); empty: the whole country",
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

    Nothing is staged unless every page came, each said so itself, and the rows add up to the announced total. Where
    the source does not answer, the fetch is launched again within the hour, each time as an attempt of its own.
    """
    contract, day = reference.contract(egen.dialect), day_of(context)
    with postgres.connect(Role.WRITER, work="open attempt") as connection:
        done, elapsed = ledger.launched(connection, subject=SUBJECT, dagster_run_id=context.run.run_id)
        attempt = ledger.open_attempt(
            connection,
            subject=SUBJECT,
            source=contract.name,
            mode=Mode(config.mode),
            day=day,
            dagster_run_id=context.run.run_id,
        )
        watermark = ledger.published_watermark(connection, subject=SUBJECT, source=contract.name)
    started = time.monotonic()
    decided: list[timedelta | None] = []

    def pause(error: MevaError) -> timedelta | None:
        """Decide once, so that a message is never at odds with what happens."""
        if not decided:
            took = elapsed + timedelta(seconds=time.monotonic() - started)
            first = timedelta(seconds=config.relaunch_after_s)
            decided.append(relaunches.wait(error, done=done, at_most=config.relaunches, elapsed=took, first=first))
        return decided[0]

    try:
        with ledger.watch(postgres, attempt, is_last=lambda error: pause(error) is None), _explained(pause, done):
            failpoints.reach(Point.FETCH_STARTED)
            wants_changes = attempt.mode is Mode.INCREMENTAL and contract.modified is not None and watermark is not None
            since = watermark - timedelta(minutes=config.overlap_minutes) if wants_changes and watermark else None
            store.discard_partials("raw/aed")
            writer = raw_pages.Writer(store, f"{contract.name}/{day}/{attempt.token}")
            fetched = egen.fetch(
                modified_after=since,
                store=writer.put,
                districts=_districts(config.districts),
                within_s=relaunches.left(elapsed).total_seconds(),
            )
            entries = writer.finish(fetched, contract)
            _enter(postgres, attempt, fetched, entries, is_whole=since is None or fetched.fell_back, config=config)
    except Unavailable as error:
        _relaunch(context, error, pause(error), config)
        raise
    context.log.info(
        f"{fetched.rows:,} records on {fetched.pages} pages in {fetched.duration_s:.1f} s, "
        f"{fetched.bytes_received / 1e6:.1f} MB received, {fetched.retries} requests repeated"
    )
    return dg.MaterializeResult(metadata=_fetch_metadata(attempt, fetched, store))


@contextmanager
def _explained(pause: Callable[[MevaError], timedelta | None], done: int) -> Iterator[None]:
    """Let the error of the last launch say what it means and what to do."""
    try:
        yield
    except (Unavailable, Refused) as error:
        if pause(error) is None:
            raise relaunches.final(error, done=done) from None
        raise


def _relaunch(
    context: dg.AssetExecutionContext, error: Unavailable, pause: timedelta | None, config: FetchConfig
) -> None:
    """Ask Dagster to launch the fetch again after a pause, if there is one to wait for."""
    if pause is None:
        return
    context.log.warning(f"{error}. Nothing was published; the fetch is launched again in {pause.total_seconds():.0f} s")
    raise dg.RetryRequested(max_retries=config.relaunches, seconds_to_wait=pause.total_seconds()) from error


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
    failpoints.reach(Point.FETCH_ENTERED)


def _fetch_metadata(attempt: Attempt, fetched: Fetched, store: ObjectStore) -> dict[str, Any]:
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


def _districts(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    pairs = [name.partition("/") for name in names]
    if wrong := [name for name, (_, slash, _) in zip(names, pairs, strict=True) if not slash]:
        raise Refused(f"districts are written 'sido/gugun', not {wrong[0]!r}")
    return tuple((sido.strip(), gugun.strip()) for sido, _, gugun in pairs)
