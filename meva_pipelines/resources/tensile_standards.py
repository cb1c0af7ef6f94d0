"""Standard values and calibrations on their way from the registers into the warehouse, and back for comparisons.

The same protocol as everywhere: staged, digested, judged, published in one transaction. A row that left its register
stays, with its history, but speaks no more.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

import psycopg
from psycopg import sql

from meva_pipelines.domain.tensile import comparison, standards
from meva_pipelines.domain.tensile.comparison import Property
from meva_pipelines.domain.tensile.standards import Grade, Statement
from meva_pipelines.resources import failpoints, tensile_machines
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.ledger import Attempt
from meva_pipelines.resources.tensile_registers import Registers, Standard
from meva_pipelines.schema.meva import PROPERTY_COLUMNS, STANDARD_COLUMNS
from meva_pipelines.schema.roles import STAGING_SCHEMA

_KEY = ("material_id", "condition", "temperature_c", "source")
_STATED = tuple(name for name in STANDARD_COLUMNS if name not in {"material_id", "token"})
_CARRIED = tuple(name for name in STANDARD_COLUMNS if name not in {*_KEY, "token"})


@dataclass(frozen=True, slots=True)
class Batch:
    """The staging tables of one attempt at the registers."""

    attempt: Attempt

    @property
    def standards(self) -> sql.Identifier:
        """One row per standard value and source."""
        return sql.Identifier(STAGING_SCHEMA, self.name("standards"))

    @property
    def machines(self) -> sql.Identifier:
        """One row per calibration."""
        return sql.Identifier(STAGING_SCHEMA, self.name("machines"))

    def name(self, part: str) -> str:
        """Return the unqualified name of a staging table."""
        return f"registers_{self.attempt.token}_{part}"


@dataclass(frozen=True, slots=True)
class Published:
    """What a publication changed."""

    inserted_rows: int
    updated_rows: int
    vanished_rows: int
    approved_rows: int
    calibrations: int


def stage(connection: psycopg.Connection, batch: Batch, registers: Registers) -> None:
    """Stage the registers, with what the sources agree on. Staging again starts anew."""
    drop(connection, batch)
    measured = sql.SQL(", ").join(sql.SQL("{} float8").format(sql.Identifier(name)) for name in PROPERTY_COLUMNS)
    connection.execute(
        sql.SQL(
            "CREATE UNLOGGED TABLE {} (material text, condition text, temperature_c float8, source text,"
            " publisher text, grade text, {}, agreeing text[])"
        ).format(batch.standards, measured)
    )
    connection.execute(
        sql.SQL(
            "CREATE UNLOGGED TABLE {} (name text, maker text, capacity_n float8, calibrated_on date, valid_until date,"
            " class text, certificate text)"
        ).format(batch.machines)
    )
    known = tensile_machines.known(connection)
    for each in registers.standards:
        known.material(each.material)  # of two spellings that are new the one that stands first counts
    with connection.cursor() as cursor:
        cursor.executemany(
            sql.SQL("INSERT INTO {} VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)").format(
                batch.standards
            ),
            [
                (
                    known.material(each.material),
                    each.condition,
                    each.temperature_c,
                    each.statement.source,
                    each.statement.publisher,
                    each.statement.grade,
                    *(each.statement.values.get(name) for name in PROPERTY_COLUMNS),
                    sorted(agreed),
                )
                for each, agreed in _agreements(registers.standards)
            ],
        )
        cursor.executemany(
            sql.SQL("INSERT INTO {} VALUES (%s, %s, %s, %s, %s, %s, %s)").format(batch.machines),
            [
                (
                    known.machine(m.name),
                    m.maker,
                    m.capacity_n,
                    m.calibrated_on,
                    m.valid_until,
                    m.force_class,
                    m.certificate,
                )
                for m in registers.machines
            ],
        )
    connection.commit()


def _agreements(rows: Iterable[Standard]) -> Iterable[tuple[Standard, frozenset[str]]]:
    ordered = sorted(rows, key=lambda each: (*map(str, each.subject), each.statement.source))
    for _, group in groupby(ordered, key=lambda each: each.subject):
        of_subject = list(group)
        statements = [each.statement for each in of_subject]
        yield from ((each, standards.agreeing(each.statement, statements)) for each in of_subject)


def digest(connection: psycopg.Connection, batch: Batch) -> str:
    """Return the order-independent digest of the staged registers."""
    row = connection.execute(
        sql.SQL(
            "SELECT (SELECT count(*) || ':' || coalesce(sum(hash_record_extended(s, 0)), 0) FROM {standards} AS s)"
            " || '/' || (SELECT count(*) || ':' || coalesce(sum(hash_record_extended(m, 0)), 0) FROM {machines} AS m)"
        ).format(standards=batch.standards, machines=batch.machines)
    ).fetchone()
    return "" if row is None else str(row[0])


def drop(connection: psycopg.Connection, batch: Batch) -> None:
    """Drop the staging tables of a batch. Idempotent."""
    for table in (batch.standards, batch.machines):
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
    connection.commit()


def publish(connection: psycopg.Connection, batch: Batch, *, now: datetime) -> Published:
    """Make the staged registers visible. Runs inside `publishing.publication`, which commits it."""
    names = {"standards": batch.standards, "machines": batch.machines}
    tensile_machines.enter(
        connection,
        materials=[n for (n,) in connection.execute(sql.SQL("SELECT material FROM {standards}").format(**names))],
        machines=[n for (n,) in connection.execute(sql.SQL("SELECT name FROM {machines}").format(**names))],
    )
    connection.execute(_MACHINES.format(**names))
    calibrations = connection.execute(_CALIBRATIONS.format(**names), {"token": batch.attempt.token}).rowcount
    inserted, updated, vanished = _write(connection, batch, now)
    failpoints.reach(Point.TENSILE_REGISTERS_WRITTEN)
    approved = connection.execute("SELECT count(*) FROM meva.standard_property WHERE is_approved").fetchone()
    return Published(
        inserted_rows=inserted,
        updated_rows=updated,
        vanished_rows=vanished,
        approved_rows=int(approved[0]) if approved else 0,
        calibrations=calibrations,
    )


def approved(connection: psycopg.Connection) -> tuple[comparison.Standard, ...]:
    """Return the standard values that tests may be compared with, one entry per material, condition, temperature."""
    rows = connection.execute(
        sql.SQL(
            "SELECT m.name, p.condition, p.temperature_c, p.source, p.publisher, p.grade, p.agreeing, {}"
            " FROM meva.standard_property AS p JOIN meva.material AS m USING (material_id) WHERE p.is_approved"
            " ORDER BY m.name, p.condition, p.temperature_c, p.source"
        ).format(_listed("p", PROPERTY_COLUMNS))
    ).fetchall()
    found = []
    for (material, condition, temperature_c), group in groupby(rows, key=lambda row: row[:3]):
        statements = [
            Statement(source, publisher, Grade(grade), _given(agreed, values))
            for _, _, _, source, publisher, grade, agreed, *values in group
        ]
        chosen = standards.approved(statements)
        values = {item: chosen[item.value].value for item in Property if item.value in chosen}
        sources = sorted({chosen[item.value].source for item in values})
        if values:
            found.append(comparison.Standard(material, condition, temperature_c, "; ".join(sources), values))
    return tuple(found)


def _given(agreed: list[str], values: list[float | None]) -> dict[str, float]:
    given = zip(PROPERTY_COLUMNS, values, strict=True)
    return {name: value for name, value in given if value is not None and name in agreed}


_MACHINES = sql.SQL(
    "UPDATE meva.testing_machine AS m SET is_registered = true, maker = s.maker, capacity_n = s.capacity_n"
    " FROM (SELECT DISTINCT ON (name) * FROM {machines} ORDER BY name, calibrated_on DESC) AS s WHERE m.name = s.name"
    " AND (m.is_registered, m.maker, m.capacity_n) IS DISTINCT FROM (true, s.maker, s.capacity_n)"
)
_CALIBRATIONS = sql.SQL(
    "INSERT INTO meva.machine_calibration AS c (machine_id, calibrated_on, valid_until, class, certificate, token)"
    " SELECT m.machine_id, s.calibrated_on, s.valid_until, s.class, s.certificate, %(token)s FROM {machines} AS s"
    " JOIN meva.testing_machine AS m USING (name) ON CONFLICT (machine_id, calibrated_on) DO UPDATE SET"
    " valid_until = excluded.valid_until, class = excluded.class, certificate = excluded.certificate,"
    " token = excluded.token WHERE (c.valid_until, c.class, c.certificate)"
    " IS DISTINCT FROM (excluded.valid_until, excluded.class, excluded.certificate)"
)


def _listed(alias: str, names: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL("{}.{}").format(sql.SQL(alias), sql.Identifier(name)) for name in names)


_STAGED = sql.SQL(
    "(SELECT m.material_id, {stated} FROM {standards} AS t JOIN meva.material AS m ON m.name = t.material) AS s"
)
_IS_SAME = sql.SQL(
    "s.material_id = p.material_id AND s.condition IS NOT DISTINCT FROM p.condition"
    " AND s.temperature_c = p.temperature_c AND s.source = p.source"
)


def _write(connection: psycopg.Connection, batch: Batch, now: datetime) -> tuple[int, int, int]:
    """Merge the staged rows. Returns how many are new, how many changed, and how many speak no more."""
    parts = {
        "staged": _STAGED.format(stated=_listed("t", _STATED), standards=batch.standards),
        "same": _IS_SAME,
        "carried": sql.SQL(", ").join(map(sql.Identifier, STANDARD_COLUMNS)),
        "old": _listed("p", STANDARD_COLUMNS),
        "old_values": _listed("p", _CARRIED),
        "new_values": _listed("s", _CARRIED),
        "stated": _listed("s", ("material_id", *_STATED)),
        "changes": sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in _CARRIED),
        "excluded": _listed("excluded", _CARRIED),
        "token": sql.Literal(batch.attempt.token),
        "now": sql.Literal(now),
    }
    images = connection.execute(sql.SQL(_IMAGES).format(**parts)).rowcount
    vanished = connection.execute(sql.SQL(_SILENCE).format(**parts)).rowcount
    written = connection.execute(sql.SQL(_UPSERT).format(**parts)).rowcount
    return written - (images - vanished), images - vanished, vanished


_IMAGES = """
INSERT INTO meva.standard_property_history (superseded_token, superseded_at, std_id, {carried})
SELECT {token}, {now}, p.std_id, {old} FROM meva.standard_property AS p LEFT JOIN {staged} ON {same}
WHERE CASE WHEN s.source IS NULL THEN p.is_approved ELSE ({old_values}) IS DISTINCT FROM ({new_values}) END
"""
_SILENCE = """
UPDATE meva.standard_property AS p SET agreeing = '{{}}', token = {token}
WHERE is_approved AND NOT EXISTS (SELECT FROM {staged} WHERE {same})
"""
_UPSERT = """
INSERT INTO meva.standard_property AS p ({carried}) SELECT {stated}, {token} FROM {staged}
ON CONFLICT (material_id, condition, temperature_c, source) DO UPDATE SET {changes}, token = excluded.token
WHERE ({old_values}) IS DISTINCT FROM ({excluded})
"""
