"""Staging of tensile tests: points as objects in the store, and one row per test that holds everything else.

The row is the profile that the judge looks at, and the digest over the rows is what its verdict speaks of: a row holds
the SHA-256 of its points. Rows lie in UNLOGGED tables of the schema `staging` named after the attempt's token. Points
go to PostgreSQL once, when they are published, which is next door in `tensile_publishing`.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from meva_pipelines.domain.tensile import identity, measures, moments
from meva_pipelines.domain.tensile.recording import Reading, Recording, Refusal, Repairs, Specimen
from meva_pipelines.resources import failpoints, landing_ledger, staging, tensile_points
from meva_pipelines.resources import tensile_contents as contents
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.staging import RowRule
from meva_pipelines.resources.tensile_batch import STAGED_OBJECTS, Batch
from meva_pipelines.resources.tensile_intake import FILES, Upload
from meva_pipelines.resources.tensile_machines import Register
from meva_pipelines.schema.base import sql_type
from meva_pipelines.schema.meva import CONTENT_COLUMNS, TENSILE_TEST

_BUNDLE_BYTES, _BUNDLE_TESTS = 8_000_000, 500
_NAMED = {"material_id": "material", "machine_id": "machine"}
"""Materials and machines are staged by name: they get their numbers when they are published."""

STATED_COLUMNS = tuple(_NAMED.get(name, name) for name in CONTENT_COLUMNS)
_SHORT = {
    "bigint": "int8",
    "boolean": "bool",
    "double precision": "float8",
    "integer": "int4",
    "jsonb": "jsonb",
    "text": "text",
    "timestamp with time zone": "timestamptz",
}
_OWN_COLUMNS = {
    "n": "int4",
    "name": "text",
    "decision": "text",
    "upload": "text",
    "object": "text",
    "at_byte": "int8",
    "bytes": "int8",
}
_MEASURED = dict.fromkeys(measures.NAMES, "float8")
_STATED = {
    name: "text" if name in _NAMED.values() else _SHORT[sql_type(TENSILE_TEST.columns[name])] for name in STATED_COLUMNS
}
STAGED_COLUMNS = {**_OWN_COLUMNS, **_STATED, **_MEASURED}
"""The columns of a staged test with their types."""

_OF_SPECIMEN = tuple(name for name in STATED_COLUMNS if name in {each.name for each in fields(Specimen)})
_OF_REPAIRS = tuple(name for name in STATED_COLUMNS if name in {each.name for each in fields(Repairs)})
_COPY_TYPES = list(STAGED_COLUMNS.values())


@dataclass(slots=True)
class Received:
    """Running counts of a batch while it is staged: `tests` = those staged + `refused`; a refused file counts one."""

    files: int = 0
    tests: int = 0
    refused: int = 0
    points: int = 0
    bytes: int = 0


def create(connection: psycopg.Connection, batch: Batch) -> None:
    """Create the empty staging tables of a batch, dropping what an interrupted try left behind."""
    _drop_tables(connection, batch)
    typed = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in STAGED_COLUMNS.items()
    )
    connection.execute(sql.SQL("CREATE UNLOGGED TABLE {} ({})").format(batch.tests, typed))
    connection.execute(
        sql.SQL("CREATE UNLOGGED TABLE {} (upload text PRIMARY KEY, file_name text, manifest text)").format(batch.files)
    )
    connection.execute(
        sql.SQL(
            "CREATE UNLOGGED TABLE {} (upload text, specimen text, rule text, field text, row bigint, reason text,"
            " code smallint)"
        ).format(batch.refused)
    )
    connection.commit()


def drop(connection: psycopg.Connection, batch: Batch, store: ObjectStore) -> None:
    """Drop the staging tables of a batch and the points in the store. Idempotent."""
    _drop_tables(connection, batch)
    connection.commit()
    store.discard(batch.folder)


def drop_abandoned(connection: psycopg.Connection, store: ObjectStore, *, subject: str) -> None:
    """Drop the staging tables and points of attempts that can publish no more: what runs that died left behind."""
    staging.discard_abandoned(connection, store, subject=subject, folder=lambda token: f"{STAGED_OBJECTS}/{token}")


def _drop_tables(connection: psycopg.Connection, batch: Batch) -> None:
    for table in (batch.tests, batch.files, batch.refused):
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))


def stage(
    connection: psycopg.Connection,
    batch: Batch,
    store: ObjectStore,
    readings: Iterable[tuple[Upload, Reading]],
    *,
    register: Register,
    now: datetime,
) -> Received:
    """Stage the tests of some uploads; what a reading refuses is kept for the quarantine.

    Memory is that of one reading and one bundle of points. `register` knows materials and machines by any spelling.
    """
    stager = _Stager(connection, batch, store, register, now)
    for upload, reading in readings:
        stager.take(upload, reading)
    stager.flush()
    contents.decide(connection, batch)
    connection.commit()
    failpoints.reach(Point.TENSILE_PROFILE_COPIED)
    return stager.received


@dataclass(slots=True)
class _Stager:
    """Brings tests into staging. Points of several go into one object: a file for each would cost an fsync for each."""

    connection: psycopg.Connection
    batch: Batch
    store: ObjectStore
    register: Register
    now: datetime
    received: Received = field(default_factory=Received)
    _objects: int = 0
    _size: int = 0
    _parts: list[bytes] = field(default_factory=list)
    _rows: list[tuple[object, ...]] = field(default_factory=list)
    _staged: int = 0

    def take(self, upload: Upload, reading: Reading) -> None:
        """Stage what one upload holds."""
        self._enter(upload, reading.refusals)
        self.received.files += 1
        self.received.bytes += upload.size
        self.received.refused += len(reading.refusals)
        self.received.tests += len(reading.refusals) + len(reading.recordings)
        for recording in reading.recordings:
            self.received.points += len(recording.curve.load_n)
            self._add(upload, recording)
            if self._size >= _BUNDLE_BYTES or len(self._rows) >= _BUNDLE_TESTS:
                self.flush()

    def flush(self) -> None:
        """Write the points that wait, then the rows that speak of them."""
        if not self._rows:
            return
        self.store.put(self._object, b"".join(self._parts))
        failpoints.reach(Point.TENSILE_OBJECT_WRITTEN)
        columns = sql.SQL(", ").join(map(sql.Identifier, STAGED_COLUMNS))
        with (
            self.connection.cursor() as cursor,
            cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(self.batch.tests, columns)) as copy,
        ):
            copy.set_types(_COPY_TYPES)
            for row in self._rows:
                copy.write_row(row)
        self.connection.commit()
        self._objects += 1
        self._size, self._parts, self._rows = 0, [], []

    @property
    def _object(self) -> str:
        return f"{self.batch.folder}/{self._objects:06d}.points"

    def _enter(self, upload: Upload, refusals: Sequence[Refusal]) -> None:
        self.connection.execute(
            sql.SQL("INSERT INTO {} VALUES (%s, %s, %s) ON CONFLICT DO NOTHING").format(self.batch.files),
            [upload.content_id, upload.name, upload.manifest],
        )
        if not refusals:
            return
        with self.connection.cursor() as cursor:
            cursor.executemany(
                sql.SQL("INSERT INTO {} VALUES (%s, %s, %s, %s, %s, %s, 422)").format(self.batch.refused),
                [(upload.content_id, r.specimen, r.rule, r.field, r.row, r.reason) for r in refusals],
            )

    def _add(self, upload: Upload, recording: Recording) -> None:
        packed = tensile_points.pack(recording.curve)
        self._staged += 1
        row = {
            "n": self._staged,
            "name": recording.specimen.name,
            "decision": None,
            "upload": upload.content_id,
            "object": self._object,
            "at_byte": self._size,
            "bytes": len(packed),
            **self._stated(upload, recording, hashlib.sha256(packed).hexdigest()),
            **measures.measure(recording),
        }
        self._rows.append(tuple(row[name] for name in STAGED_COLUMNS))
        self._parts.append(packed)
        self._size += len(packed)

    def _stated(self, upload: Upload, recording: Recording, curve_sha256: str) -> dict[str, object]:
        specimen, repairs = recording.specimen, recording.repairs
        revised_at = specimen.revised_at or upload.modified_at
        started_at = specimen.started_at or revised_at
        tested_on = started_at.astimezone(moments.LABORATORY_ZONE).date()
        return {
            **{name: getattr(specimen, name) for name in _OF_SPECIMEN},
            **{name: getattr(repairs, name) for name in _OF_REPAIRS},
            "content_sha256": identity.content_sha256(recording, curve_sha256=curve_sha256),
            "curve_sha256": curve_sha256,
            "revised_at": revised_at,
            "revised_at_source": "file" if specimen.revised_at is None else "stated",
            "material": self.register.material(specimen.material),
            "machine": self.register.machine(specimen.machine),
            "calibration_state": self.register.calibration_state(specimen.machine, tested_on=tested_on).value,
            "started_at": started_at,
            "started_at_source": "revised_at" if specimen.started_at is None else "stated",
            "points": len(recording.curve.load_n),
            "displacement_source": recording.curve.displacement_source.value,
            "has_time": recording.curve.elapsed_s is not None,
            "detection": Jsonb({**asdict(recording.detection), "notes": repairs.notes}),
            "header": Jsonb(dict(recording.header)),
            "file_name": upload.name,
            "original": upload.original,
            "received_at": self.now,
            "token": self.batch.attempt.token,
        }


def triage(connection: psycopg.Connection, batch: Batch, rules: Sequence[RowRule]) -> int:
    """Move every staged test that breaks a rule out of the batch; the first rule that it breaks names it.

    A rule is a condition in SQL over a staged row `s`. Returns how many tests are refused in all.
    """
    broken = staging.first_broken(rules)
    connection.execute(
        sql.SQL(
            "WITH gone AS (DELETE FROM {tests} AS s WHERE {broken} IS NOT NULL"
            " RETURNING s.upload, s.name, {broken} AS broken)"
            " INSERT INTO {refused} SELECT upload, name, (%s::text[])[broken], (%s::text[])[broken], NULL,"
            " (%s::text[])[broken], 422 FROM gone"
        ).format(tests=batch.tests, refused=batch.refused, broken=broken),
        staging.told(rules),
    )
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(batch.refused)).fetchone()
    contents.decide(connection, batch)
    connection.commit()
    return 0 if row is None else int(row[0])


def quarantine(connection: psycopg.Connection, batch: Batch) -> int:
    """Write what is refused to `meva.quarantine`, and close the uploads of which nothing else is left.

    What waits already for the same reason is counted once more, not stored twice. Returns how many are refused.
    """
    token = batch.attempt.token
    written = connection.execute(
        sql.SQL(
            "INSERT INTO meva.quarantine AS q (content_id, file_name, specimen, rule, field, row, reason, code,"
            " original, first_token, last_token) SELECT DISTINCT ON (r.upload, r.specimen, r.rule) r.upload,"
            " f.file_name, r.specimen, r.rule, r.field, r.row, r.reason, r.code,"
            " regexp_replace(f.manifest, '/[^/]*$', ''), {token}, {token} FROM {refused} AS r"
            " JOIN {files} AS f USING (upload) ORDER BY r.upload, r.specimen, r.rule, r.row"
            " ON CONFLICT (content_id, specimen, rule) DO UPDATE SET last_token = excluded.last_token,"
            " times_seen = q.times_seen + 1, reason = excluded.reason, field = excluded.field, row = excluded.row,"
            " released_at = NULL WHERE q.last_token < excluded.last_token"
        ).format(token=sql.Literal(token), refused=batch.refused, files=batch.files)
    )
    spent = connection.execute(
        sql.SQL(
            "SELECT manifest FROM {files} AS f WHERE NOT EXISTS (SELECT FROM {tests} AS t WHERE t.upload = f.upload)"
        ).format(files=batch.files, tests=batch.tests)
    ).fetchall()
    landing_ledger.finish(connection, [key for (key,) in spent], files=FILES, outcome="rejected", token=token)
    failpoints.reach(Point.TENSILE_QUARANTINED)
    connection.commit()
    return written.rowcount


def digest(connection: psycopg.Connection, batch: Batch) -> str:
    """Return the order-independent digest of the staged batch: rows and 64-bit sums of their hashes.

    The rows hold the SHA-256 of content and points, so that no point can change between audit and publication unseen.
    """
    row = connection.execute(
        sql.SQL(
            "SELECT (SELECT count(*) || ':' || coalesce(sum(hashtextextended(t::text, 0)), 0) FROM {tests} AS t)"
            " || '/' || (SELECT count(*) || ':' || coalesce(sum(hashtextextended(r::text, 0)), 0) FROM {refused} AS r)"
        ).format(tests=batch.tests, refused=batch.refused)
    ).fetchone()
    return "" if row is None else str(row[0])
