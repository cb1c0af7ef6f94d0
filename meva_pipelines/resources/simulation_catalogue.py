"""What results refer to, as verbs on the tables of `mgg`: people, catalogues, devices, work orders, model versions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb
from sqlalchemy import Table

from meva_pipelines.domain.simulation.references import Known
from meva_pipelines.schema import mgg


@dataclass(frozen=True, slots=True)
class _Kept:
    """How the rows of a register go into a table: its natural key, its columns, and columns that name a user."""

    table: Table
    key: str
    columns: tuple[str, ...]
    users: tuple[str, ...] = ()


_TYPE = ("type_code", "description", "is_active")
_PROPELLANT = (*_TYPE, "density", "specific_heat")
_KEPT: Mapping[str, _Kept] = {
    "users": _Kept(mgg.USERS, "username", ("username", "email", "full_name", "role", "department", "is_active")),
    "igniter_types": _Kept(mgg.IGNITER_TYPES, "type_code", _TYPE),
    "nc_types": _Kept(mgg.NC_TYPES, "type_code", _PROPELLANT),
    "gp_types": _Kept(mgg.GP_TYPES, "type_code", _PROPELLANT),
    "test_devices": _Kept(
        mgg.TEST_DEVICES,
        "device_code",
        ("device_code", "device_name", "location", "calibration_date", "is_active"),
    ),
    "work_orders": _Kept(
        mgg.WORK_ORDERS,
        "work_order_number",
        ("work_order_number", "status", "priority", "description", "created_at", "completed_at"),
        ("created_by",),
    ),
}
_MODEL = _Kept(
    mgg.MODEL_VERSIONS,
    "version_name",
    ("version_name", "model_type", "file_path", "num_models", "training_date", "r_squared", "description"),
)


def known(connection: psycopg.Connection) -> Known:
    """Return the names and codes that exist."""
    emails: dict[str, str] = dict(connection.execute("SELECT email, username FROM mgg.users").fetchall())
    return Known(
        users=frozenset(emails.values()),
        emails=emails,
        work_orders=_names(connection, mgg.WORK_ORDERS, "work_order_number"),
        igniter_types=_names(connection, mgg.IGNITER_TYPES, "type_code"),
        nc_types=_names(connection, mgg.NC_TYPES, "type_code"),
        gp_types=_names(connection, mgg.GP_TYPES, "type_code"),
        devices=_names(connection, mgg.TEST_DEVICES, "device_code"),
        models=dict(connection.execute("SELECT version_name, model_type FROM mgg.model_versions").fetchall()),
    )


def keep_registers(
    connection: psycopg.Connection, registers: Sequence[Mapping[str, Sequence[Mapping[str, object]]]]
) -> None:
    """Insert and update the rows of registers, table by table: an order may name a user of another register."""
    for name, kept in _KEPT.items():
        for register in registers:
            _keep(connection, kept, register.get(name, ()))


def keep_model(connection: psycopg.Connection, model: Mapping[str, object]) -> None:
    """Insert or update a model version; whether it is active is never touched."""
    _keep(connection, _MODEL, [model])


def _keep(connection: psycopg.Connection, kept: _Kept, rows: Sequence[Mapping[str, object]]) -> None:
    if not rows:
        return
    plain = [sql.Identifier(name) for name in kept.columns]
    users = [sql.Identifier(name) for name in kept.users]
    values = [sql.SQL("p.{}").format(name) for name in plain] + [
        sql.SQL("(SELECT id FROM mgg.users WHERE username = r.row->>{})").format(sql.Literal(name))
        for name in kept.users
    ]
    names = [*plain, *users]
    connection.execute(
        sql.SQL(
            "INSERT INTO {table} AS t ({names}) SELECT DISTINCT ON (p.{key}) {values}"
            " FROM jsonb_array_elements(%s) WITH ORDINALITY AS r(row, n),"
            " jsonb_populate_record(NULL::{table}, r.row - %s::text[]) AS p ORDER BY p.{key}, r.n DESC"
            " ON CONFLICT ({key}) DO UPDATE SET {changes} WHERE ({old}) IS DISTINCT FROM ({new})"
        ).format(
            table=sql.Identifier(str(kept.table.schema), kept.table.name),
            key=sql.Identifier(kept.key),
            names=sql.SQL(", ").join(names),
            values=sql.SQL(", ").join(values),
            changes=sql.SQL(", ").join(sql.SQL("{0} = EXCLUDED.{0}").format(name) for name in names),
            old=sql.SQL(", ").join(sql.SQL("t.{}").format(name) for name in names),
            new=sql.SQL(", ").join(sql.SQL("EXCLUDED.{}").format(name) for name in names),
        ),
        [Jsonb(list(rows)), list(kept.users)],
    )


def _names(connection: psycopg.Connection, table: Table, column: str) -> frozenset[str]:
    rows = connection.execute(
        sql.SQL("SELECT {} FROM {}").format(sql.Identifier(column), sql.Identifier(str(table.schema), table.name))
    )
    return frozenset(name for (name,) in rows)
