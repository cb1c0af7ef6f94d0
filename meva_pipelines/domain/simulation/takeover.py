"""What an old SQLite database of the simulation system holds, and its rows in the one form that is written and proved.

A row is converted once: decimals to their places, naive times to UTC, references to the name of what they refer to.
The digest of a table is the sum of the SHA-256 of its rows in that form, whatever their order, so that both sides can
compute it by themselves. Nothing here opens a database.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from meva_pipelines.domain.failures import Unusable

Value = str | int | bool | Decimal | date | datetime | None


class Kind(StrEnum):
    """What a column of an old table holds."""

    TEXT = "text"
    WHOLE = "whole"
    FLAG = "flag"
    DECIMAL_2 = "decimal 2"
    DECIMAL_4 = "decimal 4"
    DECIMAL_6 = "decimal 6"
    DECIMAL_8 = "decimal 8"
    MOMENT = "moment"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Old:
    """An old table: plain columns with their kinds, columns that refer to other tables, and its natural key.

    Without a natural key its rows are named after the database and their old number.
    """

    name: str
    plain: Mapping[str, Kind]
    references: Mapping[str, str]
    key: str | None = None


def _columns(**kinds: str) -> Mapping[str, Kind]:
    """Return columns by kind: the name of a kind in small letters, and the columns of that kind in one text."""
    return MappingProxyType({name: Kind[kind.upper()] for kind, names in kinds.items() for name in names.split()})


_TYPE: Final = _columns(text="type_code description", flag="is_active", moment="created_at")
_PROPELLANT: Final = {**_TYPE, **_columns(decimal_4="density specific_heat")}
_RUN: Final = _columns(
    text="model_version status error_message",
    decimal_4="shell_height current_condition execution_time",
    moment="created_at",
)
_OF_RUN: Final = {"work_order_id": "work_orders", "user_id": "users", "igniter_type_id": "igniter_types"}

TABLES: Final = (
    Old(
        "users",
        _columns(
            text="username email password_hash full_name role department",
            flag="is_active",
            moment="created_at updated_at last_login",
        ),
        {"created_by": "users"},
        "username",
    ),
    Old("igniter_types", _TYPE, {}, "type_code"),
    Old("nc_types", _PROPELLANT, {}, "type_code"),
    Old("gp_types", _PROPELLANT, {}, "type_code"),
    Old(
        "test_devices",
        _columns(
            text="device_code device_name location", day="calibration_date", flag="is_active", moment="created_at"
        ),
        {},
        "device_code",
    ),
    Old(
        "work_orders",
        _columns(text="work_order_number status priority description", moment="created_at updated_at completed_at"),
        {"created_by": "users"},
        "work_order_number",
    ),
    Old(
        "model_versions",
        _columns(
            text="version_name model_type file_path description",
            whole="num_models",
            day="training_date",
            decimal_8="r_squared",
            moment="created_at",
        ),
        {"created_by": "users"},
        "version_name",
    ),
    Old(
        "forward_simulations",
        {
            **_RUN,
            **_columns(
                text="simulation_type",
                whole="num_models num_data_points",
                decimal_4="nc_amount gp_amount peak_pressure peak_time",
                decimal_8="r_squared",
            ),
        },
        {**_OF_RUN, "nc_type_id": "nc_types", "gp_type_id": "gp_types"},
    ),
    Old(
        "reverse_simulations",
        {
            **_RUN,
            **_columns(
                text="pressure_data_file",
                decimal_4="predicted_nc_amount predicted_gp_amount",
                decimal_2="confidence_score",
            ),
        },
        {
            **_OF_RUN,
            "test_device_id": "test_devices",
            "predicted_nc_type_id": "nc_types",
            "predicted_gp_type_id": "gp_types",
        },
    ),
    Old(
        "test_results",
        _columns(text="tester_id notes status", day="test_date", moment="created_at updated_at"),
        {"work_order_id": "work_orders", "user_id": "users", "test_device_id": "test_devices"},
    ),
    Old(
        "test_result_files",
        _columns(text="file_name file_path file_type", whole="file_size", moment="uploaded_at"),
        {"test_result_id": "test_results"},
    ),
    Old(
        "pt_comparisons",
        _columns(
            text="notes",
            decimal_4="peak_pressure_diff peak_time_diff",
            decimal_6="rmse",
            decimal_8="correlation",
            moment="created_at",
        ),
        {"user_id": "users", "simulation_id": "forward_simulations", "test_result_id": "test_results"},
    ),
    Old(
        "operation_logs",
        _columns(text="log_type action details ip_address user_agent", moment="created_at"),
        {"user_id": "users"},
    ),
)
"""The tables that are taken over, parents first; series follow, policies and archive batches stay behind."""


def named(source: str, number: int) -> str:
    """Return the name of a row without a natural key: `source` is the SHA-256 of the database, `number` its old id."""
    return f"sqlite/{source[:12]}/{number}"


def convert(old: Old, row: Mapping[str, object], *, zone: tzinfo) -> dict[str, Value]:
    """Return the plain columns of a row as typed values; columns that the old table lacks are None.

    Raises:
        Unusable: `value_is_typed`, with the column.
    """
    return {name: _converted(kind, row.get(name), name, zone) for name, kind in old.plain.items()}


def typed(
    old: Old, row: Mapping[str, object], names: Mapping[str, Mapping[int, str]], *, zone: tzinfo
) -> tuple[dict[str, Value], dict[str, str | None]]:
    """Return a row in typed form, and what it refers to by name; `names` are those of the rows of other tables.

    Raises:
        Unusable: `value_is_typed`, or `reference_exists` with the column.
    """
    references: dict[str, str | None] = dict.fromkeys(old.references)
    for column, table in old.references.items():
        if (number := row.get(column)) is None:
            continue
        references[column] = names[table].get(number) if isinstance(number, int) else None
        if references[column] is None:
            raise Unusable(f"{column} refers to no row", rule="reference_exists", field=column)
    return convert(old, row, zone=zone), references


def _converted(kind: Kind, value: object, name: str, zone: tzinfo) -> Value:
    if value is None or value == "":
        return None
    if isinstance(value, bytes):
        raise Unusable(f"{name} is no text in UTF-8", rule="value_is_typed", field=name)
    try:
        return _READERS[kind](str(value), zone)
    except (ValueError, KeyError, InvalidOperation):
        raise Unusable(f"{name} is no {kind}", rule="value_is_typed", field=name) from None


def _moment(text: str, zone: tzinfo) -> datetime:
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)


def decimal(value: object, places: int) -> Decimal:
    """Return a number rounded half to even to its places; raises InvalidOperation for what is none."""
    found = Decimal(str(value)).quantize(Decimal(1).scaleb(-places))
    return found or abs(found)


_FLAGS: Final = MappingProxyType({"1": True, "0": False, "true": True, "false": False})
_READERS: Final[Mapping[Kind, Callable[[str, tzinfo], Value]]] = MappingProxyType(
    {
        Kind.TEXT: lambda text, _: text,
        Kind.WHOLE: lambda text, _: int(text),
        Kind.FLAG: lambda text, _: _FLAGS[text.lower()],
        Kind.DAY: lambda text, _: date.fromisoformat(text[:10]),
        Kind.MOMENT: _moment,
        Kind.DECIMAL_2: lambda text, _: decimal(text, 2),
        Kind.DECIMAL_4: lambda text, _: decimal(text, 4),
        Kind.DECIMAL_6: lambda text, _: decimal(text, 6),
        Kind.DECIMAL_8: lambda text, _: decimal(text, 8),
    }
)


def canonical(values: Iterable[Value]) -> bytes:
    """Return a row as bytes: the same for equal values, wherever they were read."""
    return b"\x1f".join(_text(value).encode() for value in values)


def _text(value: Value) -> str:
    match value:
        case None:
            return "\x00"
        case bool():
            return "t" if value else "f"
        case Decimal():
            return f"{value.normalize():f}" if value else "0"
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds")
        case _:
            return str(value)


@dataclass(slots=True)
class Tally:
    """Rows of a table and the sum of their SHA-256, whatever their order."""

    rows: int = 0
    total: int = 0

    def add(self, row: bytes, *, rows: int = 1) -> None:
        """Count a row in canonical form; a curve counts as many rows as it has points."""
        self.rows += rows
        self.total = (self.total + int.from_bytes(hashlib.sha256(row).digest())) % (1 << 256)

    @property
    def digest(self) -> str:
        """The sum as 64 hexadecimal digits."""
        return f"{self.total:064x}"


def in_order(old: Old, plain: Mapping[str, Value], references: Mapping[str, str | None]) -> Sequence[Value]:
    """Return the values of a row in the order in which they are digested: plain columns, then references by name."""
    return [*(plain[name] for name in old.plain), *(references.get(name) for name in old.references)]
