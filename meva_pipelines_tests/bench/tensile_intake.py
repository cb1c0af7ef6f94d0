"""Our way of a machine file: from the landing zone to published points, in batches as large as a run takes.

What `tensile/uploads` and `meva/tensile_test` do, without Dagster: kept in the store, read, staged, judged, published.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from meva_pipelines.domain.tensile.recording import Reading
from meva_pipelines.quality import verdicts
from meva_pipelines.quality.expectations import Target
from meva_pipelines.quality.tensile_rules import TENSILE_RULES
from meva_pipelines.quality.tensile_suites import TENSILE_SUITES
from meva_pipelines.quality.verdicts import Judge
from meva_pipelines.resources import (
    ledger,
    machine_files,
    publishing,
    tensile_desk,
    tensile_intake,
    tensile_machines,
    tensile_publishing,
    tensile_staging,
)
from meva_pipelines.resources.landing import Landing
from meva_pipelines.resources.ledger import Mode, Status
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.tensile_batch import Batch
from meva_pipelines.resources.tensile_desk import Sighting
from meva_pipelines.resources.tensile_intake import Upload
from meva_pipelines.schema.meva import TENSILE_TEST
from meva_pipelines.schema.roles import STAGING_SCHEMA, Role
from meva_pipelines_tests.bench.publish import timed

DAY = date(2026, 1, 5)
_PARTS = ("keep", "read", "stage", "judge", "publish")


@dataclass(slots=True)
class Intake:
    """A laboratory's landing zone, store and warehouse; `parts` collects seconds by part."""

    postgres: Postgres
    home: Path
    parts: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_PARTS, 0.0))
    points: int = 0

    @property
    def folder(self) -> Path:
        """Where files are dropped."""
        return self.home / "landing" / tensile_desk.FOLDER

    def run(self) -> float:
        """Take everything that lies there, batch after batch. Returns seconds."""
        landing = Landing(url=(self.home / "landing").as_uri(), settle_s=0)
        store = ObjectStore(url=(self.home / "store").as_uri())
        while names := [each.name for each in tensile_desk.ready(landing.arrived(tensile_desk.FOLDER))]:
            self._batch(landing, store, names)
        return sum(self.parts.values())

    def _batch(self, landing: Landing, store: ObjectStore, names: list[str]) -> None:
        with timed(self.parts, "keep"), self.postgres.connect(Role.WRITER, work="bench") as connection:
            attempt = ledger.open_attempt(
                connection,
                subject=TENSILE_TEST.fullname,
                source="landing",
                mode=Mode.INCREMENTAL,
                day=DAY,
                dagster_run_id="bench",
            )
            sightings = tensile_desk.sort(connection, attempt, landing, store, names)
            tensile_desk.enter(connection, attempt, sightings)
        batch = Batch(attempt)
        with timed(self.parts, "stage", besides=("read",)):
            self._stage(batch, store, sightings)
        with timed(self.parts, "keep"):
            tensile_desk.clear(landing, attempt, sightings, {})
        with timed(self.parts, "judge"):
            self._judge(batch)
        with timed(self.parts, "publish"):
            self._publish(batch, store)

    def _stage(self, batch: Batch, store: ObjectStore, sightings: list[Sighting]) -> None:
        with self.postgres.connect(Role.WRITER, work="bench") as connection:
            tensile_staging.drop_abandoned(connection, store, subject=batch.attempt.subject)
            tensile_staging.create(connection, batch)
            tensile_staging.stage(
                connection,
                batch,
                store,
                self._readings(store, sightings),
                register=tensile_machines.known(connection),
                now=ledger.now(connection),
            )
            tensile_staging.triage(connection, batch, TENSILE_RULES)
            if refused := tensile_staging.quarantine(connection, batch):
                raise RuntimeError(f"{refused} tests were refused, so the time says nothing")

    def _readings(self, store: ObjectStore, sightings: list[Sighting]) -> Iterator[tuple[Upload, Reading]]:
        for sighting in sightings:
            if sighting.upload is None:
                raise RuntimeError(f"{sighting.name} was {sighting.fate}, so the time says nothing")
            with timed(self.parts, "read"):
                upload, original = tensile_intake.found(store, sighting.upload.manifest)
                stated = None if original.sidecar is None else machine_files.read_sidecar(original.sidecar)
                reading = machine_files.read(original.content, name=upload.name, sidecar=stated)
            yield upload, reading

    def _judge(self, batch: Batch) -> None:
        with self.postgres.connect(Role.WRITER, work="bench") as connection:
            digest = tensile_staging.digest(connection, batch)
        said = Judge(is_isolated=False).judge(
            TENSILE_SUITES,
            sqlalchemy_url=self.postgres.reading_url(Role.WRITER, schema=STAGING_SCHEMA),
            tables={Target.TESTS: batch.name("tests")},
        )
        with self.postgres.connect(Role.WRITER, work="bench") as connection:
            if not verdicts.store(connection, batch.attempt, said, digest=digest):
                raise RuntimeError(f"the audit failed, so the time says nothing: {verdicts.failures(said)}")
            ledger.record(connection, batch.attempt.token, status=Status.STAGED, staged_digest=digest)

    def _publish(self, batch: Batch, store: ObjectStore) -> None:
        with publishing.publication(
            self.postgres,
            batch.attempt,
            digest=lambda connection: tensile_staging.digest(connection, batch),
            suites=tuple(suite.name for suite in TENSILE_SUITES),
        ) as connection:
            published = tensile_publishing.publish(connection, batch, store, now=ledger.now(connection))
            tensile_publishing.record(connection, batch, published)
        self.points += published.points
        with self.postgres.connect(Role.WRITER, work="bench") as connection:
            tensile_staging.drop(connection, batch, store)
