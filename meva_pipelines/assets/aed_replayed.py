"""Quarantined records of the registry, taken up again after a fix. Which of them pass is for staging to say."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
import psycopg
from pydantic import Field

from meva_pipelines.assets import attempts, tables
from meva_pipelines.assets.aed import DAYS, POOL, REPLAYED_RECORDS, SUBJECT
from meva_pipelines.resources import failpoints, fetches, ledger, raw_pages, reference
from meva_pipelines.resources.egen import EgenSource
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.ledger import Attempt, Mode, Status
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.raw_pages import Entry
from meva_pipelines.schema.roles import Role

_PAGE_ROWS = 1000


class ReplayConfig(dg.Config):
    """Which quarantined records are tried again."""

    source: str = Field(default="", description="Source of the records; empty: the registry API that is asked at night")
    rules: list[str] = Field(default_factory=list, description="Only records rejected by these rules; empty: all")
    attempts: list[int] = Field(
        default_factory=list, description="Only records that these attempts rejected last; empty: all"
    )


@dg.asset(
    key=REPLAYED_RECORDS,
    group_name="aed",
    kinds={"postgres"},
    owners=[tables.OWNER],
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=POOL,
)
def replayed_records(
    context: dg.AssetExecutionContext, config: ReplayConfig, egen: EgenSource, store: ObjectStore, postgres: Postgres
) -> dg.MaterializeResult[None]:
    """Records that wait in quarantine, laid out as a page set, so that staging and audit see them like any other.

    A record stays out when its device was published meanwhile: what is newer is never overwritten.
    """
    contract, day = reference.source(config.source or egen.dialect), attempts.day_of(context)
    with postgres.connect(Role.WRITER, work="take up quarantine") as connection:
        attempt = ledger.open_attempt(
            connection,
            subject=SUBJECT,
            source=contract.name,
            mode=Mode.REPLAY,
            day=day,
            dagster_run_id=context.run.run_id,
        )
        waiting = _waiting(connection, contract.name, config)
    with ledger.watch(postgres, attempt):
        fetch_id = f"{contract.name}/{day}/{attempt.token}"
        entries = [
            raw_pages.put_records(store, fetch_id, number, records)
            for number, records in enumerate(_pages([payload for _, payload in waiting]), start=1)
        ]
        raw_pages.seal(store, fetch_id, contract, entries)
        _enter(postgres, attempt, fetch_id, entries)
        failpoints.reach(Point.FETCH_ENTERED)
    by_rule: dict[str, int] = {}
    for rule, _ in waiting:
        by_rule[rule] = by_rule.get(rule, 0) + 1
    return dg.MaterializeResult(
        metadata={
            "dagster/partition_row_count": len(waiting),
            "attempt": attempt.token,
            "by_rule": dg.MetadataValue.md(
                tables.markdown([{"rule": rule, "records": count} for rule, count in sorted(by_rule.items())])
            ),
        }
    )


def _waiting(connection: psycopg.Connection, source: str, config: ReplayConfig) -> list[tuple[str, dict[str, Any]]]:
    """Rule and payload of every record that still waits and whose device nothing newer was published for."""
    return connection.execute(
        "SELECT q.rule, q.payload FROM aed.quarantine AS q WHERE q.source = %(source)s AND q.released_at IS NULL"
        " AND (%(rules)s::text[] = '{}' OR q.rule = ANY(%(rules)s))"
        " AND (%(attempts)s::bigint[] = '{}' OR q.last_token = ANY(%(attempts)s))"
        " AND NOT EXISTS (SELECT FROM aed.aed_data AS d WHERE d.source = q.source AND d.source_id = q.source_id"
        " AND d.sync_batch_id > q.last_token) ORDER BY q.id",
        {"source": source, "rules": config.rules, "attempts": config.attempts},
    ).fetchall()


def _pages(payloads: Sequence[dict[str, Any]]) -> Iterator[Sequence[dict[str, Any]]]:
    for start in range(0, len(payloads), _PAGE_ROWS):
        yield payloads[start : start + _PAGE_ROWS]


def _enter(postgres: Postgres, attempt: Attempt, fetch_id: str, entries: Sequence[Entry]) -> None:
    rows = sum(entry.rows for entry in entries)
    with postgres.connect(Role.WRITER, work=f"enter replay {attempt.token}") as connection:
        fetches.take(
            connection,
            attempt,
            fetch_id=fetch_id,
            page_hashes=[entry.sha256 for entry in entries],
            is_complete_snapshot=False,
            rows=rows,
            size=0,
            as_of=None,
        )
        ledger.record(
            connection,
            attempt.token,
            status=Status.FETCHED,
            fetched_at=ledger.now(connection),
            fetch_id=fetch_id,
            expected_rows=rows,
        )
