"""What people state beside a file, in `<file>.meta.yaml`: typed and checked. Parsing YAML is `resources`' business.

A sidecar overrides what the file says and what was detected in it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime, time
from typing import TypeAlias

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.tensile import moments, units
from meva_pipelines.domain.tensile.recording import Quantity, Shape

Plain: TypeAlias = "str | int | float | bool | date | datetime | list[Plain] | dict[str, Plain] | None"
"""What a YAML or JSON text holds."""

_ENCODINGS = frozenset({"utf-8", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252", "cp949", "euc-kr", "ascii"})
_SEPARATORS = {"tab": "\t", "\t": "\t", "comma": ",", ",": ",", "semicolon": ";", ";": ";", "|": "|", "space": " "}
_DECIMALS = {"point": ".", ".": ".", "comma": ",", ",": ","}
_LONGEST_TEXT = 500
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class ColumnChoice:
    """Which column holds a quantity: its heading, or its number from 1. `unit` overrides the one that is written."""

    name: str
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Sidecar:
    """Statements about a file; None where nothing is stated. Meanings and units as in `recording.Specimen`."""

    test: str | None = None
    material: str | None = None
    condition: str | None = None
    shape: Shape | None = None
    diameter_mm: float | None = None
    thickness_mm: float | None = None
    width_mm: float | None = None
    area_mm2: float | None = None
    gauge_length_mm: float | None = None
    parallel_length_mm: float | None = None
    final_gauge_length_mm: float | None = None
    final_area_mm2: float | None = None
    machine: str | None = None
    extensometer: str | None = None
    operator: str | None = field(default=None, repr=False)
    temperature_c: float | None = None
    started_at: datetime | None = None
    revised_at: datetime | None = None
    remarks: str | None = None
    columns: Mapping[Quantity, ColumnChoice] = field(default_factory=dict)
    decimal: str | None = None
    separator: str | None = None
    encoding: str | None = None
    tare_zero_band_n: float | None = None


def parsed(stated: Plain) -> Sidecar:
    """Check the content of a sidecar; an empty one states nothing.

    Raises:
        Unusable: `sidecar_is_valid`; `field` is the key that is unknown or has a value that it cannot have.
    """
    if stated is None:
        return Sidecar()
    if not isinstance(stated, dict):
        raise Unusable("the sidecar is no mapping of keys to values", rule="sidecar_is_valid")
    known = {each.name for each in fields(Sidecar)}
    unknown = sorted(str(key) for key in stated if key not in known)
    if unknown:
        raise Unusable(
            f"the sidecar has the unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}",
            rule="sidecar_is_valid",
            field=unknown[0],
        )
    checked = {key: _READERS.get(key, _length)(key, value) for key, value in stated.items() if value is not None}
    return Sidecar(**checked)  # type: ignore[arg-type]  # every reader returns the type of its own field


def _wrong(key: str, expected: str) -> Unusable:
    return Unusable(f"the sidecar's {key} must be {expected}", rule="sidecar_is_valid", field=key)


def _text(key: str, value: Plain) -> str:
    if isinstance(value, (bool, list, dict)) or not str(value).strip():
        raise _wrong(key, "a text")
    text = str(value).strip()
    longest = _LONGEST_NAME if key == "test" else _LONGEST_TEXT
    if len(text) > longest or not text.isprintable():
        raise _wrong(key, f"a printable text of at most {longest} characters")
    return text


def _number(key: str, value: Plain) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise _wrong(key, "a number")
    return float(value)


def _length(key: str, value: Plain) -> float:
    number = _number(key, value)
    if number <= 0:
        raise _wrong(key, "a number above 0")
    return number


def _band(key: str, value: Plain) -> float:
    number = _number(key, value)
    if number < 0:
        raise _wrong(key, "a number of 0 or more")
    return number


def _shape(key: str, value: Plain) -> Shape:
    if value not in set(Shape):
        raise _wrong(key, f"one of {', '.join(Shape)}")
    return Shape(str(value))


def _moment(key: str, value: Plain) -> datetime:
    if isinstance(value, datetime):
        found: datetime | None = value if value.tzinfo else value.replace(tzinfo=moments.LABORATORY_ZONE)
    elif isinstance(value, date):
        found = datetime.combine(value, time(), tzinfo=moments.LABORATORY_ZONE)
    else:
        found = moments.moment(value) if isinstance(value, str) else None
    if found is None:
        raise _wrong(key, "a date, or a date and time")
    return found


def _columns(key: str, value: Plain) -> Mapping[Quantity, ColumnChoice]:
    if not isinstance(value, dict):
        raise _wrong(key, "a mapping of quantities to columns")
    return {_quantity(key, name): _choice(f"{key}.{name}", choice) for name, choice in value.items()}


def _quantity(key: str, name: str) -> Quantity:
    if name not in set(Quantity):
        raise _wrong(f"{key}.{name}", f"left out: quantities are {', '.join(Quantity)}")
    return Quantity(name)


def _choice(key: str, value: Plain) -> ColumnChoice:
    if not isinstance(value, dict):
        return ColumnChoice(_text(key, value))
    if unknown := sorted(set(value) - {"name", "unit"}):
        raise _wrong(f"{key}.{unknown[0]}", "left out: a column has a name and a unit")
    unit = value.get("unit")
    if unit is not None and units.unit(str(unit)) is None:
        raise _wrong(f"{key}.unit", "a unit that is known")
    return ColumnChoice(_text(f"{key}.name", value.get("name")), None if unit is None else str(unit))


def _among(allowed: Mapping[str, str]) -> Callable[[str, Plain], str]:
    def read(key: str, value: Plain) -> str:
        if not isinstance(value, str) or value.casefold() not in allowed:
            raise _wrong(key, f"one of {', '.join(name for name in allowed if name.isprintable())}")
        return allowed[value.casefold()]

    return read


_READERS: Mapping[str, Callable[[str, Plain], object]] = {
    **dict.fromkeys(("test", "material", "condition", "machine", "extensometer", "operator", "remarks"), _text),
    "shape": _shape,
    "temperature_c": _number,
    "started_at": _moment,
    "revised_at": _moment,
    "columns": _columns,
    "decimal": _among(_DECIMALS),
    "separator": _among(_SEPARATORS),
    "encoding": _among({name: name for name in _ENCODINGS}),
    "tare_zero_band_n": _band,
}
"""How the value of each key is read; every other key is a length in mm or an area in mm² above 0."""
