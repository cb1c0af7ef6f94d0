"""Where in the rows of a file a table of numbers stands, and which rows above it are names, units and header.

Rows of cells only, as texts: nothing here knows a file, a quantity or a machine.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from meva_pipelines.domain.tensile import numerals, units

Cells = Sequence[str]

_LEAST_NUMBERS = 2
_HEADING_ROWS = 2
_LONGEST_LINE = 1_000
_KEY_AND_VALUE = re.compile(r"^\s*[#%;]*\s*(?P<key>[^:=;]+?)\s*(?::|=|;)\s*(?P<value>.*)$")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a header as it is written."""

    key: str
    value: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """A table of numbers: its headings and what stands above it.

    `first` and `end` count the given rows from 0; a block that reaches the last of them may go on. `names` are
    empty where the table has no headings, `units` where it has no row of units. `above` is the row over the names.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    above: tuple[str, ...]
    entries: tuple[Entry, ...]
    first: int
    end: int
    width: int


def blocks(rows: Sequence[Cells]) -> Iterator[Block]:
    """Yield the tables of numbers in rows of cells, from the top."""
    start = 0
    for first, end in _runs(rows):
        yield _block(rows, start, first, end)
        start = end


def _runs(rows: Sequence[Cells]) -> Iterator[tuple[int, int]]:
    number = 0
    while number < len(rows):
        if not is_numeric(rows[number]):
            number += 1
            continue
        end = number + 1
        while end < len(rows) and (is_numeric(rows[end]) or (not _filled(rows[end]) and _goes_on(rows, end))):
            end += 1
        yield number, end
        number = end


def _goes_on(rows: Sequence[Cells], blank: int) -> bool:
    return blank + 1 < len(rows) and is_numeric(rows[blank + 1])


def is_numeric(row: Cells) -> bool:
    """Tell whether a row belongs to a table: two numbers or more, and texts in the minority."""
    others = [cell for cell in row if not numerals.is_number(cell)]
    numbers = len(row) - len(others)
    if numbers < _LEAST_NUMBERS:
        return False
    texts = sum(not numerals.is_no_number(cell) for cell in _filled(others))
    return texts <= (numbers + len(_filled(others)) - texts) / 2


def _filled(row: Cells) -> list[str]:
    return [cell for cell in row if cell.strip()]


def _block(rows: Sequence[Cells], start: int, first: int, end: int) -> Block:
    """Name the rows between the end of the table before and the first row of this one."""
    heading = [number for number in range(start, first) if _filled(rows[number])]
    unit_row: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    above: tuple[str, ...] = ()
    if len(heading) >= _HEADING_ROWS and are_units(rows[heading[-1]]):
        unit_row = tuple(cell.strip() for cell in rows[heading.pop()])
    if heading and _are_names(rows[heading[-1]]):
        names = tuple(cell.strip() for cell in rows[heading.pop()])
        above = tuple(cell.strip() for cell in rows[heading[-1]]) if heading else ()
    entries = tuple(read for number in heading if (read := entry(rows[number])) is not None)
    width = max(len(row) for row in rows[first:end])
    return Block(names, unit_row, above, entries, first, end, width)


def are_units(row: Cells) -> bool:
    """Tell whether most cells of a row are units, or all stand in brackets."""
    filled = [cell.strip() for cell in _filled(row)]
    known = sum(units.unit(cell) is not None for cell in filled)
    return 2 * known > len(filled) or all(cell[0] in "([" and cell[-1] in ")]" for cell in filled)


def _are_names(row: Cells) -> bool:
    filled = _filled(row)
    return len(filled) >= _LEAST_NUMBERS and 2 * sum(map(numerals.is_number, filled)) < len(filled)


def entry(row: Cells) -> Entry | None:
    """Read one line of a header: `key | value | unit` in cells, or `key: value` in one of them.

    None where it is neither; one text in all cells is the label of a table.
    """
    cells = [cell.strip() for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    if not cells or (len(cells) > 1 and len(set(cells)) == 1):
        return None
    if len(cells) == 1:
        found = _KEY_AND_VALUE.match(cells[0][:_LONGEST_LINE])
        return Entry(found["key"], found["value"].split(";")[0].strip()) if found else None
    return Entry(cells[0].lstrip("#% ").rstrip(" :="), cells[1], cells[2] if len(cells) > 2 else "")


def groups(names: Sequence[str]) -> tuple[range, ...]:
    """Split headings that repeat (`Time, Force, Stroke, Time, Force, Stroke`) into the columns of each specimen.

    One range of all columns when they do not repeat; blank headings at the end belong to nobody.
    """
    width = len(names)
    while width and not names[width - 1]:
        width -= 1
    folded = [name.casefold() for name in names[:width]]
    for period in range(_LEAST_NUMBERS, width // 2 + 1):
        if width % period == 0 and folded == folded[:period] * (width // period):
            return tuple(range(start, start + period) for start in range(0, width, period))
    return (range(width),)
