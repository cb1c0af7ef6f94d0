"""Deliveries of registry records without HTTP and without Dagster: staged and published by the very resources.

Records are those of the sandbox in the dialect `egen`, which carries the time of every change.
"""

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from meva_pipelines.domain.aed import Mapper, Page, Record
from meva_pipelines.domain.contract import Contract
from meva_pipelines.domain.guards import Limit
from meva_pipelines.quality import aed_rules
from meva_pipelines.quality.aed_suites import AED_SUITES
from meva_pipelines.resources import (
    fetches,
    ledger,
    published_runs,
    publishing,
    reference,
    registry_absences,
    registry_profile,
    registry_publishing,
    registry_rollback,
    registry_staging,
)
from meva_pipelines.resources.ledger import Mode, Status
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.registry_publishing import Published
from meva_pipelines.resources.registry_rollback import Undone
from meva_pipelines.resources.registry_staging import Batch, Received
from meva_pipelines.sandbox import wire_data_go_kr, wire_egen
from meva_pipelines.sandbox.registry import Registry
from meva_pipelines.sandbox.wire_data_go_kr import Prefix
from meva_pipelines.schema.aed import SOURCED_COLUMNS
from meva_pipelines.schema.roles import Role

DAY = date(2026, 11, 2)
WORLD = Registry(size=300, epoch=DAY)
SUBJECT = "aed.aed_data"
USUAL = Limit()
_NUMBERS = itertools.count(1)


def item(number: int, day: date = DAY, *, is_reformed: bool = True, **changes: object) -> dict[str, object]:
    """One record of the direct feed, with `changes` to its fields."""
    return wire_egen.item(WORLD.device(number, day), is_reformed=is_reformed) | changes


def items(day: date = DAY, *, is_reformed: bool = True) -> list[dict[str, object]]:
    """Every record of the direct feed on a day."""
    return [wire_egen.item(device, is_reformed=is_reformed) for device in WORLD.devices(day)]


def open_item(number: int, day: date = DAY, *, is_reformed: bool = True, **changes: object) -> dict[str, object]:
    """One record of the public open API, with `changes` to its fields."""
    device = WORLD.device(number, day)
    return wire_data_go_kr.full_down_item(device, is_reformed=is_reformed, prefix=Prefix.NONE) | changes


@dataclass(frozen=True, slots=True)
class Staged:
    """A staged batch and what staging counted."""

    batch: Batch
    received: Received
    rejected: int
    quarantined: int
    digest: str

    @property
    def token(self) -> int:
        """Token of the attempt."""
        return self.batch.attempt.token


@dataclass(frozen=True, slots=True)
class Desk:
    """Takes deliveries of one source; every batch is given passed verdicts unless a test says otherwise."""

    postgres: Postgres
    source: str = "egen"

    @property
    def contract(self) -> Contract:
        """The contract of the source."""
        return reference.contract(self.source)

    def mapper(self, day: date = DAY) -> Mapper:
        """The mapper of the source for a day."""
        return Mapper(self.contract, reference.regions(), day=day, columns=SOURCED_COLUMNS)

    def stage(
        self,
        records: Sequence[Record],
        *,
        day: date = DAY,
        mode: Mode = Mode.FULL,
        is_judged: bool = True,
        page_rows: int = 100,
        complete: Sequence[str] | None = None,
    ) -> Staged:
        """Stage, triage and quarantine a delivery; a full one is complete, or only in the sido `complete`."""
        mapper = self.mapper(day)
        parts = [records[start : start + page_rows] for start in range(0, len(records), page_rows)]

        def page_at(number: int) -> Page:
            return mapper.page(number, parts[number - 1])

        with self.postgres.connect(Role.WRITER, work="stage a delivery") as connection:
            batch, fetch_id = self._open(connection, day, mode, len(records), complete)
            registry_staging.create(connection, batch)
            pages = (page_at(number) for number in range(1, len(parts) + 1))
            received = registry_staging.stage(connection, batch, pages, mapped=mapper.rows)
            rejected = registry_staging.triage(connection, batch, aed_rules.row_rules(self.contract))
            quarantined = registry_staging.quarantine(connection, batch, fetch_id=fetch_id, page_at=page_at)
            digest = registry_staging.digest(connection, batch)
            rows, watermark = registry_staging.staged_figures(connection, batch)
            unchanged = received.rows - rejected - rows
            ledger.record(
                connection,
                batch.attempt.token,
                status=Status.STAGED,
                staged_digest=digest,
                watermark=watermark,
                received_rows=received.rows,
                quarantined_rows=rejected,
                unchanged_rows=unchanged,
            )
            for suite in AED_SUITES if is_judged else ():
                _pass(connection, batch, suite.name, digest)
        return Staged(batch, received, rejected, quarantined, digest)

    def _open(
        self, connection: psycopg.Connection, day: date, mode: Mode, rows: int, complete: Sequence[str] | None
    ) -> tuple[Batch, str]:
        attempt = ledger.open_attempt(
            connection, subject=SUBJECT, source=self.source, mode=mode, day=day, dagster_run_id="desk"
        )
        fetch_id = f"{self.source}/{day}/{attempt.token}"
        fetches.take(
            connection,
            attempt,
            fetch_id=fetch_id,
            page_hashes=[],
            is_complete_snapshot=mode is Mode.FULL and complete is None,
            rows=rows,
            size=0,
            as_of=None,
        )
        fetches.prove_parts(connection, subject=SUBJECT, fetch_id=fetch_id, parts=self._regions(complete or (), day))
        ledger.record(connection, attempt.token, status=Status.FETCHED, fetch_id=fetch_id)
        opened = ledger.attempt(connection, attempt.token)
        assert opened is not None
        return Batch(opened), fetch_id

    @staticmethod
    def _regions(sido: Sequence[str], day: date) -> set[str]:
        """The codes of some sido and of all their districts."""
        return {*sido, *(region.code for region in reference.regions().regions_on(day) if region.sido_code in sido)}

    def measure(self, staged: Staged, *, limit: Limit = USUAL) -> None:
        """Measure the profile of a staged batch."""
        with self.postgres.connect(Role.WRITER, work="measure a delivery") as connection:
            attempt = staged.batch.attempt
            groups = reference.regions().sido_groups(attempt.day)
            fetch = fetches.named(connection, subject=SUBJECT, fetch_id=attempt.fetch_id or "")
            found = registry_absences.survey(connection, staged.batch, fetch, sido_groups=groups, limit=limit)
            registry_profile.measure(connection, staged.batch, found=found, sido_groups=groups)

    def publish(self, staged: Staged, *, limit: Limit = USUAL, drops: bool = True) -> Published:
        """Publish a staged batch and drop its staging tables."""
        attempt = staged.batch.attempt
        with publishing.publication(
            self.postgres,
            attempt,
            digest=lambda connection: registry_staging.digest(connection, staged.batch),
            suites=tuple(suite.name for suite in AED_SUITES),
        ) as connection:
            published = registry_publishing.publish(
                connection,
                staged.batch,
                now=ledger.now(connection),
                sido_groups=reference.regions().sido_groups(attempt.day),
                limit=limit,
            )
            registry_publishing.record(connection, staged.batch, published)
        if drops:
            with self.postgres.connect(Role.WRITER, work="drop a delivery") as connection:
                registry_staging.drop(connection, staged.batch)
        return published

    def again(self, staged: Staged) -> Staged:
        """The same batch with its attempt read again from the ledger."""
        with self.postgres.connect(Role.WRITER, work="read attempt") as connection:
            attempt = ledger.attempt(connection, staged.token)
        assert attempt is not None
        return replace(staged, batch=Batch(attempt))

    def deliver(
        self, records: Sequence[Record], *, day: date = DAY, mode: Mode = Mode.FULL, limit: Limit = USUAL
    ) -> Published:
        """Stage and publish."""
        return self.publish(self.stage(records, day=day, mode=mode), limit=limit)

    def newest(self) -> int:
        """Token of the newest attempt."""
        return int(self.rows("SELECT max(token) FROM ops.sync_runs")[0][0])

    def undo(self, target: int) -> Undone:
        """Roll a published run back, whether or not that is allowed."""
        with self.postgres.connect(Role.WRITER, work="open rollback") as connection:
            attempt = ledger.open_attempt(
                connection,
                subject=SUBJECT,
                source=self.source,
                mode=Mode.ROLLBACK,
                day=DAY,
                dagster_run_id="desk",
                target_token=target,
            )
        with publishing.locked(self.postgres, attempt) as connection:
            return registry_rollback.roll_back(
                connection, source=self.source, target=target, token=attempt.token, now=ledger.now(connection)
            )

    def undoable(self) -> frozenset[int]:
        """Tokens that may be rolled back now."""
        with self.postgres.connect(Role.WRITER, work="list rollbacks") as connection:
            return published_runs.undoable(connection, subject=SUBJECT, source=self.source)

    def digest(self) -> str:
        """Digest of every stored byte of the published rows."""
        with self.postgres.connect(Role.BACKUP, work="digest registry") as connection:
            return registry_rollback.table_digest(connection, source=self.source)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return all rows of a query, asked as the superuser."""
        with psycopg.connect(self.postgres.dsn()) as connection:
            return connection.execute(query, values).fetchall()

    def change(self, statement: str, *values: object) -> None:
        """Execute a statement as the superuser."""
        with psycopg.connect(self.postgres.dsn()) as connection:
            connection.execute(statement, values)


def _pass(connection: psycopg.Connection, batch: Batch, suite: str, digest: str) -> None:
    ledger.store_verdict(
        connection, batch.attempt.token, suite=suite, digest=digest, is_passed=True, results=[], duration_s=0.0
    )


@contextmanager
def shared_desk(server_url: str, template: str, home: str) -> Iterator[Desk]:
    """A desk on a fresh warehouse that the tests of a whole module may share."""
    name = f"meva_desk_{os.getpid()}_{next(_NUMBERS)}"
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
        yield Desk(Postgres(url=url, home=home))
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
