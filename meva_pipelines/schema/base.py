"""The one MetaData that every table hangs on. Tables live in the module of their PostgreSQL schema."""

from typing import Any

from sqlalchemy import Column, MetaData
from sqlalchemy.dialects.postgresql.base import PGDialect

METADATA = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    }
)


def sql_type(column: Column[Any]) -> str:
    """Return the type of a column as PostgreSQL spells it."""
    return column.type.compile(dialect=_POSTGRESQL).lower()


_POSTGRESQL = PGDialect()  # type: ignore[no-untyped-call]
