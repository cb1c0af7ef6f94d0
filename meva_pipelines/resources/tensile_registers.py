"""The registers that the laboratory keeps: testing machines with their calibrations, and standard values.

Files in the folder `registers` of the landing zone, which are read where they lie and never moved; standard values come
with the package too, and a row of the laboratory takes the place of one from the same source. A register is taken whole
or not at all. What is published of it is `tensile_standards`' business.
"""

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from importlib import resources
from math import isfinite
from typing import Any, TypeAlias

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.tensile.comparison import REFERENCE_TEMPERATURE_C, name_key
from meva_pipelines.domain.tensile.standards import Grade, Statement
from meva_pipelines.resources.landing import Landing
from meva_pipelines.schema.meva import PROPERTY_COLUMNS

FOLDER = "registers"
MACHINES, STANDARDS = "testing_machines.csv", "standard_properties.csv"
_LONGEST = 500

Cells: TypeAlias = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Machine:
    """One row of the register of machines: a machine with one of its calibrations."""

    name: str
    maker: str | None
    capacity_n: float | None
    calibrated_on: date
    valid_until: date
    force_class: str
    certificate: str | None


@dataclass(frozen=True, slots=True)
class Standard:
    """One row of the register of standard values."""

    material: str
    condition: str | None
    temperature_c: float
    statement: Statement

    @property
    def subject(self) -> tuple[str | None, str | None, float]:
        """Return what it speaks of, whatever the spelling."""
        return name_key(self.material), name_key(self.condition), self.temperature_c


@dataclass(frozen=True, slots=True)
class Registers:
    """Both registers as they stand."""

    machines: tuple[Machine, ...]
    standards: tuple[Standard, ...]


def read(landing: Landing) -> Registers:
    """Read the registers; one that is not there is empty, beside what the package knows.

    Raises:
        Unusable: a register cannot be taken; the message names the file, `field` and `row` where it is wrong.
        Unavailable: the landing zone does not answer, or a file changed while it was read.
    """
    packaged = resources.files(__package__).joinpath("reference", STANDARDS).read_bytes()
    known = {(each.subject, each.statement.source): each for each in _rows(STANDARDS, packaged, _standard)}
    known |= {
        (each.subject, each.statement.source): each for each in _rows(STANDARDS, _found(landing, STANDARDS), _standard)
    }
    return Registers(tuple(_rows(MACHINES, _found(landing, MACHINES), _machine)), tuple(known.values()))


def _found(landing: Landing, name: str) -> bytes:
    arrival = landing.find(FOLDER, name)
    return b"" if arrival is None else landing.read(FOLDER, arrival)


def _rows(file: str, content: bytes, parse: "Callable[[_Row], Any]") -> Iterator[Any]:
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise Unusable(f"{file} is not UTF-8 (byte {error.start:,})", rule="register_is_text") from None
    if not lines:
        return
    reader = csv.DictReader(lines, strict=True)
    seen: dict[object, int] = {}
    try:
        for cells in reader:
            row = _Row(file, reader.line_num, {name: (cell or "").strip() for name, cell in cells.items() if name})
            if None in cells or any(cell is None for cell in cells.values()):
                raise row.wrong(None, "as many cells as the header")
            parsed = parse(row)
            key = (
                (parsed.name, parsed.calibrated_on)
                if isinstance(parsed, Machine)
                else (parsed.subject, parsed.statement.source)
            )
            if key in seen:
                raise row.wrong(None, f"something else than row {seen[key]}")
            seen[key] = row.number
            yield parsed
    except csv.Error as error:
        raise Unusable(f"{file} is no CSV: {error}", rule="register_is_csv", row=reader.line_num) from None


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of a register; every question about a cell names it when the answer is unusable."""

    file: str
    number: int
    cells: Cells

    def wrong(self, field: str | None, expected: str) -> Unusable:
        """Return the error for a cell, or for the whole row."""
        where = f"{self.file}, row {self.number}" + (f", {field}" if field else "")
        return Unusable(f"{where}: expected {expected}", rule="register_row_is_valid", field=field, row=self.number)

    def text(self, field: str) -> str:
        """Return a text that must be there."""
        found = self.optional(field)
        if found is None:
            raise self.wrong(field, "a text")
        return found

    def optional(self, field: str) -> str | None:
        """Return a text, or None where the cell is empty."""
        if field not in self.cells:
            raise self.wrong(field, "a column of that name")
        cell = self.cells[field]
        if len(cell) > _LONGEST or not cell.isprintable():
            raise self.wrong(field, f"a printable text of at most {_LONGEST} characters")
        return cell or None

    def number_or_none(self, field: str, *, above: float) -> float | None:
        """Return a finite number above a bound, or None where the cell is empty."""
        cell = self.optional(field)
        if cell is None:
            return None
        try:
            value = float(cell)
        except ValueError:
            value = float("nan")
        if not isfinite(value) or value <= above:
            raise self.wrong(field, f"a number above {above:g}")
        return value

    def day(self, field: str) -> date:
        """Return a day written YYYY-MM-DD."""
        try:
            return date.fromisoformat(self.text(field))
        except ValueError:
            raise self.wrong(field, "a day written YYYY-MM-DD") from None

    def one_of(self, field: str, values: tuple[str, ...]) -> str:
        """Return one of some texts."""
        found = self.text(field)
        if found not in values:
            raise self.wrong(field, f"one of {', '.join(values)}")
        return found


def _machine(row: _Row) -> Machine:
    machine = Machine(
        name=row.text("machine"),
        maker=row.optional("maker"),
        capacity_n=row.number_or_none("capacity_n", above=0),
        calibrated_on=row.day("calibrated_on"),
        valid_until=row.day("valid_until"),
        force_class=row.one_of("class", ("0.5", "1", "2", "3")),
        certificate=row.optional("certificate"),
    )
    if machine.valid_until < machine.calibrated_on:
        raise row.wrong("valid_until", "no day before calibrated_on")
    return machine


def _standard(row: _Row) -> Standard:
    lowest = {"elongation_pct": -1e-9, "poisson_ratio": -1.0}
    given = {name: row.number_or_none(name, above=lowest.get(name, 0.0)) for name in PROPERTY_COLUMNS}
    values = {name: value for name, value in given.items() if value is not None}
    if not values:
        raise row.wrong(None, f"at least one of {', '.join(PROPERTY_COLUMNS)}")
    for name, highest in (("poisson_ratio", 0.5), ("young_modulus_gpa", 2_000.0)):
        if values.get(name, 0.0) > highest:
            raise row.wrong(name, f"at most {highest:g}")
    temperature = row.number_or_none("temperature_c", above=-273.15)
    return Standard(
        material=row.text("material"),
        condition=row.optional("condition"),
        temperature_c=REFERENCE_TEMPERATURE_C if temperature is None else temperature,
        statement=Statement(
            row.text("source"), row.text("publisher"), Grade(row.one_of("grade", tuple(Grade))), values
        ),
    )
