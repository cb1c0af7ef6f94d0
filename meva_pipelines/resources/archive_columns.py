"""What the columns of archived tables hold, which decides how they are fetched, hashed and encoded. No Arrow here."""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Date, DateTime, Integer, LargeBinary, Numeric, SmallInteger, String, Uuid
from sqlalchemy.dialects.postgresql import INET, JSONB
from sqlalchemy.types import TypeEngine

from meva_pipelines.domain.archive.declared import Archived
from meva_pipelines.domain.failures import Refused
from meva_pipelines.schema.roles import GRANTS

MOST_GROUPS: Final = 4
"""Most groups of four digits of a decimal: what 64 bits hold, as which it is fetched, hashed and stored."""


_TABLES: Final = {table.fullname: table for table in GRANTS}


class Kind(StrEnum):
    """What the values of a column are."""

    SMALL = "smallint"
    INTEGER = "integer"
    BIG = "bigint"
    DECIMAL = "decimal"
    MOMENT = "moment"
    DAY = "day"
    TEXT = "text"
    BYTES = "bytes"


@dataclass(frozen=True, slots=True)
class ColdColumn:
    """A column of an archived table; `precision` and `scale` are the digits of a decimal, all and behind the point."""

    name: str
    kind: Kind
    is_nullable: bool
    precision: int = 0
    scale: int = 0

    @property
    def places(self) -> tuple[int, int]:
        """How many digits of a decimal stand before the point, and how many behind it."""
        return self.precision - self.scale, self.scale


@lru_cache
def columns(table: Archived) -> tuple[ColdColumn, ...]:
    """Return the columns of a table in their order. What PostgreSQL alone knows (addresses, JSON, UUIDs) is text.

    Raises:
        Refused: a column has a type that no cold file holds.
    """
    return tuple(_column(column) for column in _TABLES[f"{table.schema}.{table.name}"].columns)


def of_key(table: Archived) -> tuple[ColdColumn, ...]:
    """Return the columns of a table's key in the order in which files are sorted."""
    by_name = {column.name: column for column in columns(table)}
    return tuple(by_name[name] for name in table.key)


_KINDS: Final[tuple[tuple[type[TypeEngine[Any]], Kind], ...]] = (
    (SmallInteger, Kind.SMALL),
    (BigInteger, Kind.BIG),
    (Integer, Kind.INTEGER),
    (Date, Kind.DAY),
    (String, Kind.TEXT),
    (INET, Kind.TEXT),
    (JSONB, Kind.TEXT),
    (Uuid, Kind.TEXT),
    (LargeBinary, Kind.BYTES),
)
"""What types become, the special ones first."""


def _column(column: Column[Any]) -> ColdColumn:
    nullable, given = bool(column.nullable), column.type
    if isinstance(given, DateTime) and given.timezone:
        return ColdColumn(column.name, Kind.MOMENT, nullable)
    if isinstance(given, Numeric) and given.precision and _groups(given.precision, given.scale or 0) <= MOST_GROUPS:
        return ColdColumn(column.name, Kind.DECIMAL, nullable, given.precision, given.scale or 0)
    for kind_of_column, kind in _KINDS:
        if isinstance(given, kind_of_column):
            return ColdColumn(column.name, kind, nullable)
    raise Refused(f"{column.table.name}.{column.name}: no cold file holds the type {given}")


def _groups(precision: int, scale: int) -> int:
    return -(-(precision - scale) // 4) - (-scale // 4)
