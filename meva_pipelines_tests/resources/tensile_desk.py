"""Tensile tests without files and without Dagster: staged and published by the very resources."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from psycopg import sql
from sqlalchemy import make_url

from meva_pipelines.domain.tensile.recording import (
    Curve,
    Detection,
    DisplacementSource,
    Reading,
    Recording,
    Refusal,
    Repairs,
    Specimen,
)
from meva_pipelines.domain.tensile.versions import Resolution
from meva_pipelines.resources import (
    landing_ledger,
    ledger,
    publishing,
    tensile_disputes,
    tensile_machines,
    tensile_publishing,
    tensile_resolution,
    tensile_staging,
)
from meva_pipelines.resources.ledger import Attempt, Mode
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.tensile_batch import Batch, Transaction
from meva_pipelines.resources.tensile_disputes import Dispute
from meva_pipelines.resources.tensile_intake import FILES, Upload
from meva_pipelines.resources.tensile_publishing import Published
from meva_pipelines.schema.roles import Role

DAY = date(2026, 11, 18)
SUBJECT, SOURCE = "meva.tensile_test", "landing"
SUITE = "tests_are_sound"
NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
_NUMBERS = itertools.count(1)
DETECTION = Detection("plain", "utf-8", ",", ".", ())


def recording(name: str = "A-1", *, points: int = 50, stiffness: float = 1.0, **stated: Any) -> Recording:
    """A test that rises linearly: 100 N and 0.01 mm per point times `stiffness`, a point every 10 ms."""
    steps = np.arange(points, dtype=np.float64)
    curve = Curve(
        load_n=100 * stiffness * steps,
        displacement_mm=steps / 100,
        displacement_source=DisplacementSource.EXTENSOMETER,
        elapsed_s=steps / 100,
    )
    specimen = Specimen(name, **{"area_mm2": 50.0, "gauge_length_mm": 25.0, "material": "S235", **stated})
    return Recording(specimen, curve, DETECTION, Repairs(rows_read=points), {"Test": name})


def upload(name: str, *, at: datetime = NOON, mark: object = "") -> Upload:
    """A file of that name, as it would lie in the store."""
    identity = sha256(f"{name}{mark}{at}".encode()).hexdigest()
    return Upload(identity, name, f"raw/tensile/{identity}/m.json", at, 1_000)


def later(minutes: float) -> datetime:
    """A moment some minutes after noon."""
    return NOON + timedelta(minutes=minutes)


@dataclass(frozen=True, slots=True)
class Desk:
    """Takes deliveries of tests; every batch is given a passed verdict unless a test says otherwise."""

    postgres: Postgres
    store: ObjectStore

    def open(self, mode: Mode = Mode.INCREMENTAL, *, target: int | None = None) -> Attempt:
        """Open an attempt."""
        with self.postgres.connect(Role.WRITER, work="open attempt") as connection:
            return ledger.open_attempt(
                connection,
                subject=SUBJECT,
                source=SOURCE,
                mode=mode,
                day=DAY,
                dagster_run_id="desk",
                target_token=target,
            )

    def stage(self, *readings: tuple[Upload, Reading], is_judged: bool = True) -> Batch:
        """Stage uploads and quarantine what they refuse."""
        batch = Batch(self.open())
        with self.postgres.connect(Role.WRITER, work="stage tests") as connection:
            for each, _ in readings:
                landing_ledger.remember(
                    connection,
                    batch.attempt,
                    sha256=each.content_id,
                    rows=1,
                    size=each.size,
                    is_refused=False,
                    files=FILES,
                    fetch_id=each.manifest,
                )
            tensile_staging.create(connection, batch)
            tensile_staging.stage(
                connection, batch, self.store, readings, register=tensile_machines.known(connection), now=NOON
            )
            tensile_staging.triage(connection, batch, [])
            tensile_staging.quarantine(connection, batch)
            if is_judged:
                self.judge(connection, batch)
        return batch

    @staticmethod
    def judge(connection: psycopg.Connection, batch: Batch) -> None:
        """Give a batch a passed verdict."""
        ledger.store_verdict(
            connection,
            batch.attempt.token,
            suite=SUITE,
            digest=tensile_staging.digest(connection, batch),
            is_passed=True,
            results=[],
            duration_s=0.0,
        )

    def publish(self, batch: Batch) -> Published:
        """Publish a staged batch and clean up after it."""
        with publishing.publication(
            self.postgres,
            batch.attempt,
            digest=lambda connection: tensile_staging.digest(connection, batch),
            suites=(SUITE,),
        ) as connection:
            published = tensile_publishing.publish(connection, batch, self.store, now=ledger.now(connection))
            tensile_publishing.record(connection, batch, published)
        with self.postgres.connect(Role.WRITER, work="drop staging") as connection:
            tensile_staging.drop(connection, batch, self.store)
        return published

    def deliver(self, *recordings: Recording, at: datetime = NOON, file: str = "") -> Published:
        """Stage and publish tests, each in a file of its own that was modified at a moment."""
        return self.publish(
            self.stage(
                *(
                    (upload(file or f"{r.specimen.name}.csv", at=at, mark=n), Reading((r,)))
                    for n, r in enumerate(recordings)
                )
            )
        )

    def resolve(self, conflict_id: int, resolution: Resolution) -> tensile_resolution.Resolved:
        """Carry out a decision."""
        attempt = self.open(Mode.REPLAY)
        with publishing.locked(self.postgres, attempt) as connection:
            transaction = Transaction(connection, attempt.token, ledger.now(connection))
            return tensile_resolution.resolve(transaction, conflict_id, resolution, by="somebody")

    def undo(self, target: int) -> int:
        """Roll a published run back; returns the token of the rollback."""
        attempt = self.open(Mode.ROLLBACK, target=target)
        with publishing.locked(self.postgres, attempt) as connection:
            tensile_resolution.roll_back(Transaction(connection, attempt.token, ledger.now(connection)), target)
        return attempt.token

    def disputes(self) -> list[Dispute]:
        """The conflicts that are open."""
        with self.postgres.connect(Role.WRITER, work="look") as connection:
            return tensile_disputes.open_ones(connection)

    def digest(self) -> str:
        """Digest of every published byte."""
        with self.postgres.connect(Role.BACKUP, work="digest") as connection:
            return tensile_resolution.table_digest(connection)

    def newest(self) -> int:
        """Token of the newest attempt."""
        return int(self.rows("SELECT max(token) FROM ops.sync_runs")[0][0])

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return all rows of a query, asked as the superuser."""
        with psycopg.connect(self.postgres.dsn()) as connection:
            return connection.execute(query, values or None).fetchall()


def refused(specimen: str, rule: str = "curve_is_usable") -> Reading:
    """A reading of which nothing can be taken."""
    return Reading((), (Refusal(specimen, rule, "it cannot be used", row=7),))


def renamed(original: Recording, name: str) -> Recording:
    """The same test under another name."""
    return replace(original, specimen=replace(original.specimen, name=name))


def with_curve(original: Recording, **series: Any) -> Recording:
    """The same test with other series."""
    return replace(original, curve=replace(original.curve, **series))


@contextmanager
def shared_desk(server_url: str, template: str, home: Path) -> Iterator[Desk]:
    """A desk on a fresh warehouse and a store of its own."""
    name = f"meva_tests_{os.getpid()}_{next(_NUMBERS)}"
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
        yield Desk(Postgres(url=url, home=str(home)), ObjectStore(url=(home / "store").as_uri()))
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
