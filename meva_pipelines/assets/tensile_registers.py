"""The registers of the laboratory: materials, testing machines with their calibrations, standard values."""

from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from meva_pipelines.assets import attempts, derived, tables
from meva_pipelines.assets.tensile import POOL
from meva_pipelines.quality.tensile_suites import STANDARDS
from meva_pipelines.quality.verdicts import Judge
from meva_pipelines.resources import ledger, tensile_registers, tensile_standards
from meva_pipelines.resources.landing import Landing
from meva_pipelines.resources.ledger import Attempt, Mode, Status
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.tensile_standards import Batch, Published
from meva_pipelines.schema import meva as schema
from meva_pipelines.schema.roles import Role

REGISTERS = dg.AssetKey(["tensile", "registers"])
STANDARD_PROPERTY = tables.key(schema.STANDARD_PROPERTY)
SUBJECT = schema.STANDARD_PROPERTY.fullname
_SOURCE = "registers"
_ROWS_SHOWN = 40
_OTHERS = (schema.MATERIAL, schema.TESTING_MACHINE, schema.MACHINE_CALIBRATION)


@dataclass(frozen=True, slots=True)
class _Staged:
    """The staged registers, as the judge knows them."""

    batch: Batch

    @property
    def attempt(self) -> Attempt:
        return self.batch.attempt

    @property
    def name(self) -> str:
        return self.batch.name("standards")

    def digest(self, connection: psycopg.Connection) -> str:
        return tensile_standards.digest(connection, self.batch)

    def drop(self, connection: psycopg.Connection) -> None:
        tensile_standards.drop(connection, self.batch)


@dg.asset(
    key=REGISTERS,
    group_name="tensile",
    kinds={"file", "excel"},
    owners=[tables.OWNER],
    check_specs=derived.check_specs([STANDARDS], REGISTERS),
    pool=POOL,
)
def registers(
    context: dg.AssetExecutionContext, landing: Landing, postgres: Postgres, judge: Judge
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Read the registers where they lie, stage them and have them judged; a register is taken whole or not at all.

    `testing_machines.csv` and `standard_properties.csv` lie in the folder `registers` of the landing zone.
    """
    with postgres.connect(Role.WRITER, work="open attempt") as connection:
        attempt = ledger.open_attempt(
            connection,
            subject=SUBJECT,
            source=_SOURCE,
            mode=Mode.FULL,
            day=ledger.today(connection),
            dagster_run_id=context.run.run_id,
        )
    staged = _Staged(Batch(attempt))
    with ledger.watch(postgres, attempt):
        found = tensile_registers.read(landing)
        with postgres.connect(Role.WRITER, work=f"stage {attempt.token}") as connection:
            tensile_standards.stage(connection, staged.batch, found)
        yield from derived.judge_rows(postgres, judge, staged, [STANDARDS], REGISTERS)
    yield dg.MaterializeResult(
        asset_key=REGISTERS,
        metadata={
            "attempt": attempt.token,
            "standard_values": len(found.standards),
            "calibrations": len(found.machines),
            "place": landing.place(tensile_registers.FOLDER),
        },
    )


@dg.multi_asset(
    specs=[
        tables.spec(
            schema.STANDARD_PROPERTY,
            group="tensile",
            description="Standard values by material, condition and temperature; approved where two publishers agree.",
            deps=[REGISTERS],
        ),
        tables.spec(schema.MATERIAL, group="tensile", description="Materials by name.", deps=[REGISTERS]),
        tables.spec(schema.TESTING_MACHINE, group="tensile", description="Testing machines by name.", deps=[REGISTERS]),
        tables.spec(
            schema.MACHINE_CALIBRATION,
            group="tensile",
            description="Calibrations of testing machines with the period in which they hold (ISO 7500-1).",
            deps=[REGISTERS],
        ),
    ],
    pool=POOL,
)
def published_registers(context: dg.AssetExecutionContext, postgres: Postgres) -> Iterator[dg.MaterializeResult[None]]:
    """Publish what changed in the judged registers, with the before-image of every standard value."""
    with postgres.connect(Role.WRITER, work="find batch") as connection:
        attempt = attempts.to_publish(
            connection,
            subject=SUBJECT,
            day=ledger.today(connection),
            run_id=context.run.run_id,
            staged=REGISTERS,
        )
    if attempt.status is Status.STAGED:
        published = _publish(postgres, _Staged(Batch(attempt)))
        context.log.info(f"published attempt {attempt.token}: {published}")
    with postgres.connect(Role.READER, work="report registers") as connection:
        counts = {table.fullname: _count(connection, table.name) for table in (schema.STANDARD_PROPERTY, *_OTHERS)}
        shown = _standards(connection)
        approved = tensile_standards.approved(connection)
    yield dg.MaterializeResult(
        asset_key=STANDARD_PROPERTY,
        metadata={
            "dagster/row_count": counts[SUBJECT],
            "attempt": attempt.token,
            "approved_materials": len(approved),
            "standard_values": dg.MetadataValue.md(tables.markdown(shown)),
        },
    )
    for table in _OTHERS:
        yield dg.MaterializeResult(
            asset_key=tables.key(table),
            metadata={"dagster/row_count": counts[table.fullname], "attempt": attempt.token},
        )


def _publish(postgres: Postgres, staged: _Staged) -> Published:
    with derived.publication(postgres, staged, [STANDARDS]) as connection:
        published = tensile_standards.publish(connection, staged.batch, now=ledger.now(connection))
        ledger.record(
            connection,
            staged.attempt.token,
            inserted_rows=published.inserted_rows,
            updated_rows=published.updated_rows,
        )
    return published


def _count(connection: psycopg.Connection, table: str) -> int:
    found = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("meva", table))).fetchone()
    return 0 if found is None else int(found[0])


def _standards(connection: psycopg.Connection) -> list[dict[str, object]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT m.name AS material, s.condition, s.temperature_c, s.young_modulus_gpa, s.yield_strength_mpa,"
            " s.tensile_strength_mpa, s.elongation_pct, s.source, s.grade, s.is_approved"
            " FROM meva.standard_property AS s JOIN meva.material AS m USING (material_id)"
            " ORDER BY m.name, s.condition, s.temperature_c, s.grade LIMIT %s",
            [_ROWS_SHOWN],
        ).fetchall()
