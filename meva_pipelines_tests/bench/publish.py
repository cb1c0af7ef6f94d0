"""Our publish phase: staging with its row rules, then the publishing transaction. The audit is another figure.

Records come decoded; the seconds of turning them into typed rows (`mapping`) are counted apart, because the floor
gets its rows typed already.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from time import perf_counter
from typing import TYPE_CHECKING

from meva_pipelines.domain.aed import Mapped, Mapper, Page, Record
from meva_pipelines.domain.guards import Limit
from meva_pipelines.quality import aed_rules, verdicts
from meva_pipelines.quality.aed_suites import AED_SUITES
from meva_pipelines.quality.verdicts import Verdict
from meva_pipelines.resources import (
    fetches,
    ledger,
    publishing,
    reference,
    registry_absences,
    registry_profile,
    registry_publishing,
    registry_staging,
)
from meva_pipelines.resources.ledger import Attempt, Mode, Status
from meva_pipelines.resources.registry_staging import Batch
from meva_pipelines.schema.aed import AED_DATA, SOURCED_COLUMNS
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.bench.world import Warehouse

if TYPE_CHECKING:
    from meva_pipelines_tests.bench.dataset import Dataset

SUBJECT = AED_DATA.fullname


@dataclass(slots=True)
class Lap:
    """One batch under way and the seconds it took so far, by part; `decoding` is nobody's business here."""

    batch: Batch
    parts: dict[str, float]

    def total(self) -> float:
        """Seconds of all parts, decoding excluded."""
        return sum(seconds for part, seconds in self.parts.items() if part != "decoding")


def staged(warehouse: Warehouse, rows: "Dataset", day: date) -> Lap:
    """Stage a day: create, copy what differs, row rules, quarantine, digest."""
    contract, regions = reference.contract("egen"), reference.regions()
    mapper = Mapper(contract, regions, day=day, columns=SOURCED_COLUMNS)
    parts = dict.fromkeys(("decoding", "digests", "mapping", "copy", "rules", "quarantine", "batch digest"), 0.0)

    def page(number: int, records: Sequence[Record]) -> Page:
        started = perf_counter()
        made = mapper.page(number, records)
        parts["digests"] += perf_counter() - started
        return made

    def pages() -> Iterator[Page]:
        source = rows.pages(day)
        held: list[list[Record] | None] = [None, None]
        for number in range(1, 1 << 30):
            started = perf_counter()
            held = [held[-1], next(source, None)]  # the page before is freed here, not in our time
            parts["decoding"] += perf_counter() - started
            if held[-1] is None:
                return
            yield page(number, held[-1])

    def mapped(page: Page, positions: Sequence[int]) -> Mapped:
        started = perf_counter()
        typed = mapper.rows(page, positions)
        parts["mapping"] += perf_counter() - started
        return typed

    def page_again(number: int) -> Page:
        started = perf_counter()
        records = rows.page(day, number)
        parts["decoding"] += perf_counter() - started
        return mapper.page(number, records)

    with warehouse.postgres.connect(Role.WRITER, work="bench") as connection:
        batch = Batch(_attempt(warehouse, day, rows.size))
        with timed(parts, "copy", besides=("decoding", "digests", "mapping")):
            registry_staging.create(connection, batch)
            registry_staging.stage(connection, batch, pages(), mapped=mapped)
        with timed(parts, "rules"):
            registry_staging.triage(connection, batch, aed_rules.row_rules(contract))
        with timed(parts, "quarantine", besides=("decoding",)):
            registry_staging.quarantine(connection, batch, fetch_id=batch.attempt.fetch_id or "", page_at=page_again)
        with timed(parts, "batch digest"):
            digest = registry_staging.digest(connection, batch)
        groups = regions.sido_groups(day)
        fetch = fetches.named(connection, subject=SUBJECT, fetch_id=batch.attempt.fetch_id or "")
        found = registry_absences.survey(connection, batch, fetch, sido_groups=groups, limit=Limit())
        registry_profile.measure(connection, batch, found=found, sido_groups=groups)
        passed = [Verdict(suite.name, (), 0.0) for suite in AED_SUITES]
        verdicts.store(connection, batch.attempt, passed, digest=digest)
        ledger.record(connection, batch.attempt.token, status=Status.STAGED, staged_digest=digest)
    return Lap(batch, parts)


def published(warehouse: Warehouse, rows: "Dataset", day: date) -> Lap:
    """Stage and publish a day."""
    warehouse.world.settle()
    lap = staged(warehouse, rows, day)
    with timed(lap.parts, "publish"):
        release(warehouse, lap.batch)
    with timed(lap.parts, "drop"), warehouse.postgres.connect(Role.WRITER, work="bench") as connection:
        registry_staging.drop(connection, lap.batch)
    return lap


def release(warehouse: Warehouse, batch: Batch) -> None:
    """Run the publishing transaction of a staged batch."""
    with publishing.publication(
        warehouse.postgres,
        batch.attempt,
        digest=lambda connection: registry_staging.digest(connection, batch),
        suites=tuple(suite.name for suite in AED_SUITES),
    ) as connection:
        published = registry_publishing.publish(
            connection,
            batch,
            now=ledger.now(connection),
            sido_groups=reference.regions().sido_groups(batch.attempt.day),
            limit=Limit(),
        )
        registry_publishing.record(connection, batch, published)


def opened(warehouse: Warehouse, day: date, source: str) -> Attempt:
    """Open an attempt at a full sync."""
    with warehouse.postgres.connect(Role.WRITER, work="bench") as connection:
        return ledger.open_attempt(
            connection, subject=SUBJECT, source=source, mode=Mode.FULL, day=day, dagster_run_id="bench"
        )


def entered(warehouse: Warehouse, attempt: Attempt, *, hashes: Sequence[str], rows: int) -> Attempt:
    """Enter a complete fetch and return the attempt that knows it."""
    fetch_id = f"{attempt.source}/{attempt.day}/{attempt.token}"
    with warehouse.postgres.connect(Role.WRITER, work="bench") as connection:
        fetches.take(
            connection,
            attempt,
            fetch_id=fetch_id,
            page_hashes=list(hashes),
            is_complete_snapshot=True,
            rows=rows,
            size=0,
            as_of=None,
        )
        ledger.record(connection, attempt.token, status=Status.FETCHED, fetch_id=fetch_id)
        found = ledger.attempt(connection, attempt.token)
    return found or attempt


def _attempt(warehouse: Warehouse, day: date, rows: int) -> Attempt:
    return entered(warehouse, opened(warehouse, day, "egen"), hashes=[], rows=rows)


@contextmanager
def timed(parts: dict[str, float], name: str, *, besides: tuple[str, ...] = ()) -> Iterator[None]:
    """Add the seconds of a block to a part, without those that other parts took inside it."""
    inside = sum(parts[part] for part in besides)
    started = perf_counter()
    yield
    spent = perf_counter() - started - sum(parts[part] for part in besides) + inside
    parts[name] = parts.get(name, 0.0) + spent
