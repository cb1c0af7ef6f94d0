"""What the header of a file says of the specimen: a dictionary of keys in five languages, and its values in our units.

What a sidecar states overrides the header; an area is computed from the dimensions where none is given.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from meva_pipelines.domain.tensile import moments, numerals, quantities, tables, units
from meva_pipelines.domain.tensile.recording import Shape, Specimen
from meva_pipelines.domain.tensile.sidecar import Sidecar
from meva_pipelines.domain.tensile.tables import Cells, Entry
from meva_pipelines.domain.tensile.units import Dimension, Unit

ROOM_TEMPERATURE_C = 23.0
"""Taken for `RT`: the middle of the controlled range 23 ± 5 °C of ISO 6892-1."""

_KEYS: Mapping[str, str] = {
    "material": "material, materials, material designation, werkstoff, matériau, matière, material name, 재질, 재료, 소재, 材料, 材质",
    "condition": "condition, heat treatment, heat treatment batch, wärmebehandlung, zustand, état, 열처리, 状态, 热处理",
    "shape": "shape, specimen type, specimen shape, geometry, probenform, probentyp, probengeometrie, forme, forme éprouvette, type d'éprouvette, 시편형상, 시편 형상, 형상, 试样形状",
    "diameter_mm": "diameter, diameter mm, d0, gauge diameter, gage diameter, specimen diameter, durchmesser, probendurchmesser, diamètre, diamètre éprouvette, 직경, 지름, 直径",
    "thickness_mm": "thickness, a0, specimen thickness, dicke, probendicke, probendicke a0, wall thickness, wandstärke, épaisseur, épaisseur éprouvette, 두께, 厚度",
    "width_mm": "width, b0, specimen width, breite, probenbreite, probenbreite b0, largeur, largeur éprouvette, 폭, 너비, 宽度",
    "area_mm2": "area, s0, cross section, cross sectional area, crosssection, original cross section, original cross sectional area, specimen area, querschnitt, probenquerschnitt, querschnittsfläche, anfangsquerschnitt, section, section initiale, section éprouvette, 단면적, 面积, 截面积, 横截面积, 原始横截面积",
    "gauge_length_mm": "gauge length, gage length, l0, lo, original gauge length, initial gauge length, gage length standard travel, gauge length standard travel, l0 sw, l0 standard travel, l0 course standard, l0 standardweg, messlänge, anfangsmesslänge, messlänge standardweg, messlänge l0, longueur initiale, longueur de référence, longueur de jauge, extensometer gauge length, 표점거리, 표점 거리, 标距, 原始标距",
    "parallel_length_mm": "parallel length, lc, versuchslänge, parallele länge, longueur calibrée, reduced section length, 평행부 길이, 평행부길이, 平行长度",
    "final_gauge_length_mm": "final gauge length, lu, gauge length after fracture, final gage length, messlänge nach bruch, longueur ultime, 断后标距",
    "final_area_mm2": "su, cross section after fracture, area after fracture, final area, final cross section, minimum cross section after fracture, bruchquerschnitt, querschnitt nach bruch, section ultime, 断后截面积",
    "machine": "machine, machine type, machine name, machine data, testing machine, test machine, frame, prüfmaschine, maschine, maschinendaten, machine d'essai, 시험기, 试验机",
    "extensometer": "extensometer, extensometer type, capteur de course, wegaufnehmer, dehnungsaufnehmer, extensomètre, 신율계, 引伸计",
    "operator": "operator, operator name, tester, tested by, user, prüfer, bediener, opérateur, 시험자, 작업자, 操作员, 试验员",
    "temperature_c": "temperature, test temperature, testing temperature, temperatur, prüftemperatur, température, température d'essai, 온도, 시험온도, 시험 온도, 温度, 试验温度",
    "started_at": "date, test date, date time, date clock time, date heure, datum, datum uhrzeit, prüfdatum, start time, start date, started, started at, test start, date of test, test run date, date d'essai, 시험일, 시험일자, 시험일시, 날짜, 일자, 日期, 试验日期",
    "revised_at": "revised at, revised",
    "remarks": "remarks, remark, comment, comments, note, notes, bemerkung, bemerkungen, remarque, commentaire, 비고, 备注",
}  # fmt: skip
_LENGTHS = frozenset(name for name in _KEYS if name.endswith("_mm"))
_AREAS = frozenset(name for name in _KEYS if name.endswith("_mm2"))
_NUMBERS = _LENGTHS | _AREAS | {"temperature_c"}
_ROOM = frozenset({"rt", "room temperature", "raumtemperatur", "ambient", "ambiante", "상온", "室温"})
_SHAPES: Mapping[Shape, tuple[str, ...]] = {
    Shape.TUBE: ("tube", "pipe", "rohr", "관", "管"),
    Shape.ROUND: ("round", "rund", "circular", "cylind", "zylind", "rond", "환봉", "원형", "봉", "圆"),
    Shape.RECTANGULAR: ("rectang", "flat", "flach", "plat", "sheet", "strip", "판", "사각", "矩形", "板"),
}
_LONGEST_TEXT = 500
_LEAST_KEYS = 2
_SPECIMEN = re.compile(r"\b(?:specimen|sample|probe|eprouvette)\b.*\b(?:name|label|id|no|number|nr)\b|\bprobe(?:nbezeichnung|nname|n nr)?$|시편|시험편|试样")


@dataclass(frozen=True, slots=True)
class Header:
    """A header understood: values by the fields of `Specimen`, the rest as it is written, and what is noteworthy."""

    fields: Mapping[str, float | str | datetime | Shape]
    rest: Mapping[str, str] = field(repr=False)
    warnings: tuple[str, ...] = ()


def field_of(name: str) -> str | None:
    """Return the field of `Specimen` that a key or the heading of a column names."""
    words = " ".join(quantities.plain(name).replace("_", " ").replace("-", " ").replace("/", " ").split())
    words = " ".join("".join(" " if mark in ",.:;°" else mark for mark in words).split())
    return _FIELDS.get(words)


def _dictionary() -> dict[str, str]:
    found: dict[str, str] = {}
    for name, keys in _KEYS.items():
        found |= {" ".join(quantities.plain(key).split()): name for key in keys.split(",")}
    return found


_FIELDS = _dictionary()


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


def _value(
    name: str, text: str, unit: str, decimal: str, warnings: list[str]
) -> float | str | datetime | Shape | None:
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
    return next((shape for shape, hints in _SHAPES.items() if any(hint in words for hint in hints)), None)


def specimen(name: str, header: Header, sidecar: Sidecar) -> Specimen:
    """Put together what the header says and what the sidecar states, which goes first.

    An area that nobody gives is that of the circle of d0, of the ring of d0 and a0, or of the rectangle a0 · b0.
    """
    stated = {each: getattr(sidecar, each) for each in _KEYS if getattr(sidecar, each) is not None}
    found = Specimen(name=name, **{**header.fields, **stated})  # type: ignore[arg-type]  # _value keeps to the types
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


def names_specimen(key: str) -> bool:
    """Tell whether a key of a header names the specimen."""
    return _SPECIMEN.search(quantities.plain(key)) is not None


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
