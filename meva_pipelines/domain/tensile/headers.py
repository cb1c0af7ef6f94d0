"""What the header of a file says of the specimen: its values by the fields of `Specimen`, in our units.

What a sidecar states overrides the header; an area is computed from the dimensions where none is given.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from meva_pipelines.domain.tensile import moments, numerals, quantities, tables, units
from meva_pipelines.domain.tensile.header_words import KEYS, SHAPES, field_of
from meva_pipelines.domain.tensile.recording import Shape, Specimen
from meva_pipelines.domain.tensile.sidecar import Sidecar
from meva_pipelines.domain.tensile.tables import Cells, Entry
from meva_pipelines.domain.tensile.units import Dimension, Unit

ROOM_TEMPERATURE_C = 23.0
"""Taken for `RT`: the middle of the controlled range 23 ± 5 °C of ISO 6892-1."""

_LENGTHS = frozenset(name for name in KEYS if name.endswith("_mm"))
_AREAS = frozenset(name for name in KEYS if name.endswith("_mm2"))
_NUMBERS = _LENGTHS | _AREAS | {"temperature_c"}
_ROOM = frozenset({"rt", "room temperature", "raumtemperatur", "ambient", "ambiante", "상온", "室温"})
_LONGEST_TEXT = 500
_LEAST_KEYS = 2


@dataclass(frozen=True, slots=True)
class Header:
    """A header understood: values by the fields of `Specimen`, the rest as it is written, and what is noteworthy."""

    fields: Mapping[str, float | str | datetime | Shape]
    rest: Mapping[str, str] = field(repr=False)
    warnings: tuple[str, ...] = ()


def read(entries: Iterable[Entry], *, decimal: str) -> Header:
    """Read the entries of a header; the first entry with a usable value counts for each field."""
    fields: dict[str, float | str | datetime | Shape] = {}
    rest: dict[str, str] = {}
    warnings: list[str] = []
    for entry in entries:
        key, unit_in_key = quantities.split(entry.key)
        unit = unit_in_key or entry.unit
        name = _meant(field_of(key), unit)
        value = None if name is None or name in fields else _value(name, entry.value, unit, decimal, warnings)
        if name is not None and value is not None:
            fields[name] = value
        if entry.key.strip() and not numerals.is_blank(entry.value) and name != "operator":
            rest.setdefault(entry.key.strip(), f"{entry.value} {entry.unit}".strip()[:_LONGEST_TEXT])
    return Header(fields, rest, tuple(warnings))


def _meant(name: str | None, unit: str) -> str | None:
    """Tell the area A0 in mm² from the thickness a0 in mm, and drop what has the unit of something else."""
    known = units.unit(unit) if unit else None
    if name is None or known is None:
        return name
    if name in _LENGTHS and known.dimension is not Dimension.LENGTH:
        return "area_mm2" if name == "thickness_mm" and known.dimension is Dimension.AREA else None
    return None if name in _AREAS and known.dimension is not Dimension.AREA else name


def _value(name: str, text: str, unit: str, decimal: str, warnings: list[str]) -> float | str | datetime | Shape | None:
    if numerals.is_blank(text):
        return None
    if name in _NUMBERS:
        return _measure(name, text, unit, decimal, warnings)
    if name in {"started_at", "revised_at"}:
        return moments.moment(text)
    if name == "shape":
        return _shape(text)
    return "".join(letter for letter in text if letter.isprintable())[:_LONGEST_TEXT].strip() or None


def _measure(name: str, text: str, unit: str, decimal: str, warnings: list[str]) -> float | None:
    """Read a number with its unit, which may stand in the same cell (`25 mm`); lengths and areas are above 0."""
    if name == "temperature_c" and text.strip().casefold() in _ROOM:
        warnings.append(f"the temperature {text.strip()!r} was read as {ROOM_TEMPERATURE_C:g} °C")
        return ROOM_TEMPERATURE_C
    number = numerals.header_number(text, decimal)
    if number is None and len(parts := text.split(maxsplit=1)) > 1:
        number, unit = numerals.header_number(parts[0], decimal), parts[1]
    if number is None:
        return None
    known = (units.unit(unit) if unit else None) or Unit(Dimension.LENGTH, 1.0)
    value = known.factor * number + known.offset
    return value if name == "temperature_c" or (value > 0 and math.isfinite(value)) else None


def _shape(text: str) -> Shape | None:
    words = text.casefold()
    return next((shape for shape, hints in SHAPES.items() if any(hint in words for hint in hints)), None)


def specimen(name: str, header: Header, sidecar: Sidecar) -> Specimen:
    """Put together what the header says and what the sidecar states, which goes first.

    An area that nobody gives is that of the circle of d0, of the ring of d0 and a0, or of the rectangle a0 · b0.
    """
    stated = {each: getattr(sidecar, each) for each in KEYS if getattr(sidecar, each) is not None}
    found = Specimen(name=name, **{**header.fields, **stated})
    if found.shape is None and found.diameter_mm is not None and found.width_mm is None:
        found = replace(found, shape=Shape.ROUND)
    elif found.shape is None and found.thickness_mm is not None and found.width_mm is not None:
        found = replace(found, shape=Shape.RECTANGULAR)
    return found if found.area_mm2 is not None else replace(found, area_mm2=_area(found))


def _area(specimen: Specimen) -> float | None:
    """S0 in mm² from the dimensions: π d0²/4, π (d0 - a0) a0, a0 · b0 (ISO 6892-1, annexes B to E)."""
    diameter, thickness, width = specimen.diameter_mm, specimen.thickness_mm, specimen.width_mm
    if specimen.shape is Shape.TUBE:
        is_whole = diameter is not None and thickness is not None and 2 * thickness < diameter
        return math.pi * (diameter - thickness) * thickness if is_whole and diameter and thickness else None
    if diameter is not None:
        return math.pi * diameter**2 / 4
    return thickness * width if thickness is not None and width is not None else None


def in_columns(names: Sequence[str], first_row: Sequence[str], units_row: Sequence[str]) -> tuple[Entry, ...]:
    """Return the measures of the specimen that a table has as columns, with their values in its first row."""
    return tuple(
        Entry(name, value.strip(), units_row[position] if position < len(units_row) else "")
        for position, (name, value) in enumerate(zip(names, first_row, strict=False))
        if field_of(quantities.split(name)[0]) in _NUMBERS and numerals.is_number(value)
    )


def _by_name(names: Cells, row: Cells, units_row: Cells) -> list[Entry]:
    pairs = enumerate(zip(names, row, strict=False))
    padded = [*units_row, *[""] * len(names)]
    return [Entry(name, value, padded[position]) for position, (name, value) in pairs if name.strip() and value.strip()]


def in_sheet(rows: Sequence[Cells]) -> tuple[list[Entry], dict[str, list[Entry]]]:
    """Return the entries of a sheet that holds no curve: those of all specimens, and those of each by its label.

    Understood are lines of key, value and unit, and tables with one row per specimen, whose first text is its label.
    """
    common: list[Entry] = []
    by_label: dict[str, list[Entry]] = {}
    names: Cells = ()
    units_row: Cells = ()
    for row in rows:
        filled = [cell for cell in row if cell.strip()]
        if not filled:
            names = ()
        elif sum(field_of(quantities.split(cell)[0]) is not None for cell in filled) >= _LEAST_KEYS:
            names, units_row = row, ()
        elif names and tables.are_units(row):
            units_row = row
        elif names:
            own = _by_name(names, row, units_row)
            label = next((cell.strip() for cell in filled if not numerals.is_number(cell)), "")
            by_label.setdefault(label, []).extend(own)
        elif (entry := tables.entry(row)) is not None:
            common.append(entry)
    if len(by_label) == 1:
        common += next(iter(by_label.values()))
    return common, by_label
