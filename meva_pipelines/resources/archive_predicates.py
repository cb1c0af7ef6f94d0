"""Filters carried out: as a condition of SQL on hot rows and as an expression of Arrow on cold ones, with one meaning.

Both sides compare text by code point and know SQL's third truth value. Identifiers come from the registered columns
and values are bound; no text of a question becomes part of a statement.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from meva_pipelines.domain.archive.column_types import (
    Columns,
    ColumnType,
    DateType,
    DecimalType,
    IntegerType,
    MomentType,
    OpaqueType,
    TextType,
    Value,
)
from meva_pipelines.domain.archive.declared import Archived
from meva_pipelines.domain.archive.filters import (
    ORDERING,
    Both,
    Condition,
    Either,
    Filter,
    Not,
    Operator,
    like_expression,
)
from meva_pipelines.domain.archive.queries import Sort
from meva_pipelines.resources import archive_columns
from meva_pipelines.resources.archive_columns import ColdColumn, Kind
from meva_pipelines.resources.copied_batches import selected
from meva_pipelines.schema.roles import Role

_BITS = {Kind.SMALL: 16, Kind.INTEGER: 32, Kind.BIG: 64}
_SIGNS = {
    Operator.EQ: sql.SQL("="),
    Operator.NE: sql.SQL("<>"),
    Operator.GT: sql.SQL(">"),
    Operator.GTE: sql.SQL(">="),
    Operator.LT: sql.SQL("<"),
    Operator.LTE: sql.SQL("<="),
    Operator.LIKE: sql.SQL("LIKE"),
}
_COMPARISONS: dict[Operator, Callable[[Any, Any], Any]] = {
    Operator.EQ: pc.equal,
    Operator.NE: pc.not_equal,
    Operator.GT: pc.greater,
    Operator.GTE: pc.greater_equal,
    Operator.LT: pc.less,
    Operator.LTE: pc.less_equal,
}


def registered(table: Archived) -> dict[str, ColdColumn]:
    """Return the columns of a table by name, in table order."""
    return {column.name: column for column in archive_columns.columns(table)}


@lru_cache
def nameable(table: Archived, role: Role) -> Columns:
    """Return the columns that a role may name, with their types: the reader none that may tell of a person."""
    hidden = table.personal if role is Role.READER else ()
    return {name: _type(column) for name, column in registered(table).items() if name not in hidden}


def condition(asked: Filter, table: Archived) -> sql.Composable:
    """Return a filter as a condition of SQL on the hot table."""
    match asked:
        case Both(parts):
            return _joined(" AND ", [condition(part, table) for part in parts], nothing="true")
        case Either(parts):
            return _joined(" OR ", [condition(part, table) for part in parts], nothing="false")
        case Not(part):
            return sql.SQL("(NOT {})").format(condition(part, table))
        case Condition():
            return _compared(asked, registered(table)[asked.field])


def ordering(sort: Sequence[Sort], table: Archived) -> sql.Composable:
    """Return the columns of ORDER BY: text by code point, NULLs last, rows that are equal so far by their key."""
    columns = registered(table)
    ends = [Sort(name) for name in table.key if name not in {one.field for one in sort}]
    return sql.SQL(", ").join(_ordered(one, columns[one.field]) for one in (*sort, *ends))


def expression(asked: Filter, schema: pa.Schema) -> pc.Expression:
    """Return a filter as an expression of Arrow on batches that have the fields of a schema."""
    match asked:
        case Both(parts):
            return _balanced([expression(part, schema) for part in parts], pc.and_kleene, empty=True)
        case Either(parts):
            return _balanced([expression(part, schema) for part in parts], pc.or_kleene, empty=False)
        case Not(part):
            return pc.invert(expression(part, schema))
        case Condition():
            return _expressed(asked, schema.field(asked.field).type)


def _type(column: ColdColumn) -> ColumnType:
    match column.kind:
        case Kind.SMALL | Kind.INTEGER | Kind.BIG:
            return IntegerType(_BITS[column.kind])
        case Kind.DECIMAL:
            return DecimalType(column.precision, column.scale)
        case Kind.TEXT:
            return TextType()
        case Kind.DAY:
            return DateType()
        case Kind.MOMENT:
            return MomentType()
        case Kind.BYTES:
            return OpaqueType()


def _compared(asked: Condition, column: ColdColumn) -> sql.Composable:
    left = selected(column)
    if asked.value is None:
        test = "({} IS NULL)" if asked.operator is Operator.EQ else "({} IS NOT NULL)"
        return sql.SQL(test).format(left)
    if isinstance(asked.value, tuple):
        return _listed(asked.operator, left, asked.value)
    by_code_point = asked.operator in ORDERING and column.kind is Kind.TEXT
    pattern = '({} COLLATE "C" {} {})' if by_code_point else "({} {} {})"
    return sql.SQL(pattern).format(left, _SIGNS[asked.operator], sql.Literal(asked.value))


def _listed(operator: Operator, left: sql.Composable, values: Sequence[Value]) -> sql.Composable:
    if not values:
        return sql.SQL("false" if operator is Operator.IN else "true")
    test = "({} IN ({}))" if operator is Operator.IN else "({} NOT IN ({}))"
    return sql.SQL(test).format(left, sql.SQL(", ").join(map(sql.Literal, values)))


def _joined(word: str, parts: Sequence[sql.Composable], *, nothing: str) -> sql.Composable:
    if not parts:
        return sql.SQL(nothing)
    return sql.SQL("({})").format(sql.SQL(word).join(parts))


def _ordered(sort: Sort, column: ColdColumn) -> sql.Composed:
    """A column without NULLs is ordered without a word about them, so that its index can serve."""
    pattern = '{} COLLATE "C"' if column.kind is Kind.TEXT else "{}"
    ends = " DESC" if sort.is_descending else ""
    nulls = " NULLS LAST" if column.is_nullable else ""
    return sql.SQL(pattern + ends + nulls).format(selected(column))


def _expressed(asked: Condition, kind: pa.DataType) -> pc.Expression:
    field = pc.field(asked.field)
    if asked.value is None:
        return field.is_null() if asked.operator is Operator.EQ else field.is_valid()
    if isinstance(asked.value, tuple):
        return _is_member(asked, kind)
    if asked.operator is Operator.LIKE:
        return pc.match_substring_regex(field, like_expression(str(asked.value)))
    return _COMPARISONS[asked.operator](field, pa.scalar(asked.value, kind))


def _balanced(parts: Sequence[pc.Expression], join: Callable[..., pc.Expression], *, empty: bool) -> pc.Expression:
    """Join many parts as a tree of little depth, which Arrow walks by recursion."""
    if len(parts) <= 1:
        return parts[0] if parts else pc.scalar(empty)
    half = len(parts) // 2
    return join(_balanced(parts[:half], join, empty=empty), _balanced(parts[half:], join, empty=empty))


def _is_member(asked: Condition, kind: pa.DataType) -> pc.Expression:
    """Membership of a NULL is unknown, unless the list is empty."""
    if not asked.listed:
        return pc.scalar(asked.operator is Operator.NOT_IN)
    field = pc.field(asked.field)
    found = field.isin(pa.array(asked.listed, kind))
    known = pc.if_else(field.is_valid(), found, pa.scalar(None, pa.bool_()))
    return pc.invert(known) if asked.operator is Operator.NOT_IN else known
