"""Staging of simulations and firings: curves as objects in the store, and one row per result for the judge.

A row holds what is published of a result, the SHA-256 of its curves and their profile; what breaks a rule moves to
`mgg.quarantine` instead. Curves go to PostgreSQL once, when they are published, which is `simulation_publishing`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb
from sqlalchemy import Boolean, Column, DateTime, Double, Integer, Text
from sqlalchemy.dialects.postgresql import JSONB

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.simulation import references
from meva_pipelines.domain.simulation.curves import StoredCurve
from meva_pipelines.domain.simulation.documents import Kind
from meva_pipelines.domain.simulation.references import Known
from meva_pipelines.resources import failpoints, simulation_decoding, staging
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.ledger import Attempt
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.simulation_bundles import Bundle
from meva_pipelines.resources.simulation_decoding import Result
from meva_pipelines.resources.staged_rows import StagedRows

_RESULTS: Sequence[Column[object]] = (
    Column("kind", Text),
    Column("name", Text),
    Column("stated_at", DateTime(timezone=True)),
    Column("content_sha256", Text),
    Column("bundle_key", Text),
    Column("payload", JSONB),
    Column("curve_key", Text),
    Column("curves", Integer),
    Column("points", Integer),
    Column("start_ms", Double),
    Column("end_ms", Double),
    Column("smallest_step_ms", Double),
    Column("peak_mpa", Double),
    Column("peak_at_share", Double),
    Column("lowest_pct", Double),
    Column("spread_of_peaks_pct", Double),
    Column("is_model_known", Boolean),
)


def rows_of(attempt: Attempt) -> StagedRows:
    """Return the staging table of an attempt: one row per result."""
    return StagedRows(attempt, "mgg", _RESULTS)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A bundle that cannot be taken, and why."""

    key: str
    bundle: Bundle
    error: Unusable
    name: str


@dataclass(slots=True)
class Received:
    """Running counts of a batch; `rejections` are kept for the quarantine."""

    results: int = 0
    curves: int = 0
    points: int = 0
    rejections: list[Rejection] = field(default_factory=list)

    @property
    def bundles(self) -> int:
        """Bundles received."""
        return self.results + len(self.rejections)


def stage(
    connection: psycopg.Connection,
    rows: StagedRows,
    store: ObjectStore,
    bundles: Sequence[tuple[str, Bundle]],
    *,
    kinds: Sequence[Kind],
    known: Known,
    now: datetime,
) -> Received:
    """Stage bundles, each with the key of its manifest; memory is that of one bundle and of the registers.

    `known` is what the warehouse knows. What registers and models of the batch bring counts as known wherever they
    stand in it, unless they are refused themselves.
    """
    brought = [simulation_decoding.reference(store, bundle, kinds=kinds) for _, bundle in bundles]
    known = references.extended(known, [document for document in brought if document is not None], now=now)
    received = Received()
    rows.stage(connection, _rows(rows.attempt, store, bundles, received, kinds=kinds, known=known, now=now))
    failpoints.reach(Point.SIMULATION_STAGED)
    return received


def _rows(
    attempt: Attempt,
    store: ObjectStore,
    bundles: Iterable[tuple[str, Bundle]],
    received: Received,
    *,
    kinds: Sequence[Kind],
    known: Known,
    now: datetime,
) -> Iterator[tuple[object, ...]]:
    for key, bundle in bundles:
        name = bundle.name
        try:
            result = simulation_decoding.decode(store, bundle, kinds=kinds)
            name = result.name
            references.demand(result.document, known, now=now)
        except Unusable as error:
            received.rejections.append(Rejection(key, bundle, error, name))
            continue
        received.results += 1
        received.curves += len(result.curves)
        received.points += sum(curve.points for curve in result.curves)
        yield _row(attempt, store, key, result, known)


def _row(attempt: Attempt, store: ObjectStore, key: str, result: Result, known: Known) -> tuple[object, ...]:
    curve_key = None
    if result.curves:
        curve_key = f"{_folder(attempt.token)}/{result.bundle.sha256}"
        store.put(curve_key, b"".join(curve.encoded() for curve in result.curves))
        failpoints.reach(Point.SIMULATION_CURVE_STAGED)
    return (
        result.kind.value,
        result.name,
        result.stated_at,
        result.bundle.sha256,
        key,
        simulation_decoding.row(result),
        curve_key,
        len(result.curves),
        *_profile(result.curves),
        result.model_version is None or result.model_version in known.models,
    )


def _profile(curves: Sequence[StoredCurve]) -> tuple[object, ...]:
    """Return what the judge looks at, over all curves of a result; NULL where it has none.

    Points, bounds and smallest step of the time, greatest pressure, its place as a share of the record, the lowest
    reading in percent of the peak of its curve, and the spread of the peaks of several sensors in percent of the
    greatest.
    """
    if not curves:
        return (None,) * 8
    peaks = [curve.peak for curve in curves]
    highest_ms, highest = max(peaks, key=lambda peak: peak[1])
    end_ms = max(float(curve.time_ms[-1]) for curve in curves)
    return (
        min(curve.points for curve in curves),
        min(float(curve.time_ms[0]) for curve in curves),
        end_ms,
        min(float(np.diff(curve.time_ms).min()) for curve in curves),
        highest,
        highest_ms / end_ms if end_ms > 0 else 1.0,
        min(curve.lowest_pct for curve in curves),
        100.0 * (highest - min(mpa for _, mpa in peaks)) / highest,
    )


def quarantine(
    connection: psycopg.Connection,
    attempt: Attempt,
    store: ObjectStore,
    rejections: Iterable[Rejection],
    *,
    subject: str,
) -> int:
    """Write every rejected bundle to `mgg.quarantine`, and return how many.

    A bundle that already waits for the same reason is counted once more, not stored twice; staging the batch again
    changes nothing.
    """
    count = 0
    for rejection in rejections:
        payload, digest = simulation_decoding.as_received(store, rejection.bundle)
        error, token = rejection.error, attempt.token
        connection.execute(
            "INSERT INTO mgg.quarantine AS q (subject, name, rule, field, row, reason, payload, payload_hash,"
            " object_key, first_token, last_token) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (subject, payload_hash, rule) DO UPDATE SET last_token = EXCLUDED.last_token,"
            " object_key = EXCLUDED.object_key, times_seen = q.times_seen + 1, released_at = NULL"
            " WHERE q.last_token < EXCLUDED.last_token",
            [
                *(subject, rejection.name, error.rule, error.field, error.row, str(error)),
                *(Jsonb(payload), digest, rejection.key, token, token),
            ],
        )
        count += 1
    return count


def keys(connection: psycopg.Connection, rows: StagedRows) -> list[str]:
    """Return the manifests of the bundles that are staged."""
    found = connection.execute(sql.SQL("SELECT bundle_key FROM {}").format(rows.table)).fetchall()
    return [key for (key,) in found]


def _folder(token: int) -> str:
    """Return where the curves of an attempt lie in the store until they are published."""
    return f"staged/mgg/{token}"


def drop_abandoned(connection: psycopg.Connection, store: ObjectStore, *, subject: str) -> None:
    """Drop the staging tables and curves of attempts that can publish no more: what runs that died left behind."""
    staging.discard_abandoned(connection, store, subject=subject, folder=_folder)
