"""The proof that a takeover lost and changed nothing: both sides read by themselves, table by table.

Rows taken + rows in quarantine = rows of the old table, and the digests of what was taken are equal. Rows that were
proved once may leave for the archive, which proves its own files; from then on the earlier proof stands.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import LiteralString

import psycopg
from psycopg import sql

from meva_pipelines.domain.failures import Rejected
from meva_pipelines.domain.simulation import takeover
from meva_pipelines.domain.simulation.curves import StoredCurve
from meva_pipelines.domain.simulation.takeover import Old, Tally
from meva_pipelines.resources import simulation_series, sqlite_places
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.sqlite_source import CURVES, Source
from meva_pipelines.schema.roles import Role


@dataclass(frozen=True, slots=True)
class Proof:
    """What was proved of a table; `proved_before` is when, where rows of it went into the archive since."""

    table: str
    source_rows: int
    rows: int
    quarantined_rows: int
    digest: str
    proved_before: datetime | None = None


def proved(postgres: Postgres, source: Source, *, zone: tzinfo) -> tuple[Proof, ...]:
    """Prove every table that was taken over from a database; `zone` is that of its naive times.

    Raises:
        Rejected: a table differs; what was taken stays and is told in `mgg.takeovers`.
    """
    proofs = []
    for table in (*(old.name for old in takeover.TABLES), *CURVES):
        with postgres.connect(Role.WRITER, work=f"prove {table}") as connection:
            proofs.append(_prove(connection, source, table, zone))
    return tuple(proofs)


def _prove(connection: psycopg.Connection, source: Source, table: str, zone: tzinfo) -> Proof:
    aside = _aside(connection, source, table)
    if table in CURVES:
        source_rows, theirs = _their_curves(source, table, aside)
        ours = _our_curves(connection, source, table)
    else:
        old = next(old for old in takeover.TABLES if old.name == table)
        source_rows, theirs = _their_rows(source, old, aside, zone)
        ours = _our_rows(connection, source, old, aside)
    row = connection.execute(
        "SELECT rows, quarantined_rows, proved_at FROM mgg.takeovers WHERE source_sha256 = %s AND table_name = %s",
        [source.sha256, table],
    ).fetchone()
    rows, quarantined, proved_at = row or (0, 0, None)
    proof = Proof(table, source_rows, rows, quarantined, theirs.digest)
    if (source_rows, theirs) == (rows + quarantined, ours):
        _record(connection, source, proof)
        return proof
    is_missing_some = (source_rows, theirs.rows) == (rows + quarantined, rows) and ours.rows < rows
    if is_missing_some and proved_at is not None and _is_archived(connection, table, since=proved_at):
        return replace(proof, proved_before=proved_at)
    digests = "equal" if theirs.digest == ours.digest else "different"
    raise Rejected(
        f"{table} differs: {source_rows:,} old rows, {rows:,} taken, {quarantined:,} in quarantine, {ours.rows:,}"
        f" found here, digests {digests}. A row of that name was here before with other content, or one was"
        " changed since; mgg.takeovers has the counts"
    )


def _record(connection: psycopg.Connection, source: Source, proof: Proof) -> None:
    connection.execute(
        "UPDATE mgg.takeovers SET source_rows = %s, source_digest = %s, target_digest = %s,"
        " proved_at = clock_timestamp() WHERE source_sha256 = %s AND table_name = %s",
        [proof.source_rows, proof.digest, proof.digest, source.sha256, proof.table],
    )


def _is_archived(connection: psycopg.Connection, table: str, *, since: datetime) -> bool:
    row = connection.execute(
        "SELECT FROM mgg.archive_batches WHERE table_name = %s AND status = 'committed' AND archived_at > %s LIMIT 1",
        [table, since],
    ).fetchone()
    return row is not None


def _aside(connection: psycopg.Connection, source: Source, table: str) -> set[str]:
    """Return what of a table waits in quarantine, as table and old numbers."""
    first = f"{source.sha256[:12]}/"
    rows = connection.execute(
        "SELECT name FROM mgg.quarantine WHERE subject = 'takeover' AND starts_with(name, %s)", [f"{first}{table}/"]
    ).fetchall()
    return {name.removeprefix(first) for (name,) in rows}


def _of(old: Old) -> LiteralString:
    """Return the condition on the rows without a natural key that were taken from one database."""
    match old.name:
        case "test_result_files":
            return "test_result_id IN (SELECT id FROM mgg.test_results WHERE name LIKE %s)"
        case "pt_comparisons":
            return "simulation_id IN (SELECT id FROM mgg.forward_simulations WHERE name LIKE %s) AND figures = '{{}}'"
        case "operation_logs":
            return "origin LIKE %s"
        case _:
            return "name LIKE %s"


def _their_rows(source: Source, old: Old, aside: Collection[str], zone: tzinfo) -> tuple[int, Tally]:
    """Return how many rows the old table has, and the tally of those that were taken."""
    tally, source_rows = Tally(), 0
    names = {other: source.names(other) for other in set(old.references.values())}
    for number, row in source.rows(old):
        source_rows += 1
        if f"{old.name}/{number}" not in aside:
            plain, references = takeover.typed(old, row, names, zone=zone)
            tally.add(takeover.canonical(takeover.in_order(old, plain, references)))
    return source_rows, tally


def _our_rows(connection: psycopg.Connection, source: Source, old: Old, aside: Collection[str]) -> Tally:
    columns: list[sql.Composable] = [sql.Identifier(name) for name in old.plain]
    for column, table in old.references.items():
        key = next(other.key for other in takeover.TABLES if other.name == table) or "name"
        columns.append(
            sql.SQL("(SELECT {} FROM mgg.{} AS r WHERE r.id = t.{})").format(
                sql.Identifier(key), sql.Identifier(table), sql.Identifier(column)
            )
        )
    is_named = old.key is not None
    ours = sql.SQL("{} = ANY(%s)").format(sql.Identifier(old.key or "")) if is_named else sql.SQL(_of(old)).format()
    value: object = sqlite_places.prefix(source)
    if is_named:
        value = [name for number, name in source.names(old.name).items() if f"{old.name}/{number}" not in aside]
    tally = Tally()
    with connection.cursor("tally") as cursor:
        cursor.execute(
            sql.SQL("SELECT {} FROM mgg.{} AS t WHERE {}").format(
                sql.SQL(", ").join(columns), sql.Identifier(old.name), ours
            ),
            [value],
        )
        for row in cursor:
            tally.add(takeover.canonical(row))
    return tally


def _their_curves(source: Source, table: str, aside: Collection[str]) -> tuple[int, Tally]:
    """Return how many points the old table has, and the tally of the curves that were taken."""
    tally, source_rows = Tally(), 0
    for parent, found in source.curves(table):
        for file, curve, rows in found:
            source_rows += rows
            if f"{table}/{parent}/{file}" not in aside and isinstance(curve, StoredCurve):
                tally.add(_canonical_curve(takeover.named(source.sha256, parent), curve), rows=rows)
    return source_rows, tally


def _our_curves(connection: psycopg.Connection, source: Source, table: str) -> Tally:
    tally, parent = Tally(), sqlite_places.PARENT[table]
    for name, (number, _) in sorted(sqlite_places.parents(connection, parent, source).items()):
        if parent == "test_results":
            found = simulation_series.measured(connection, number)
        else:
            curve = simulation_series.simulated(connection, number)
            found = () if curve is None else (curve,)
        for one in found:
            tally.add(_canonical_curve(name, one), rows=one.points)
    return tally


def _canonical_curve(name: str, curve: StoredCurve) -> bytes:
    return name.encode() + b"\x1f" + curve.encoded()
