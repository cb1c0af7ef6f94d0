"""Files of testing machines, read whole: bytes in, tests out. What a file is, is told from its content alone.

Encodings and forms are opened in `machine_text`, `machine_sheets` and `machine_uploads`; what names, units and values
mean is decided in `domain.tensile`. Nothing is kept and nothing is written here.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import chain
from pathlib import PurePath
from typing import Protocol

import yaml

from meva_pipelines.domain.failures import MevaError, Rejected, Unusable
from meva_pipelines.domain.tensile import columns, dialects, header_words, headers, headings, repair, sidecar, tables
from meva_pipelines.domain.tensile.dialects import Dialect, Form
from meva_pipelines.domain.tensile.headings import Heading
from meva_pipelines.domain.tensile.quantities import Kind
from meva_pipelines.domain.tensile.recording import Detection, Reading, Recording, Refusal, Series
from meva_pipelines.domain.tensile.sidecar import Sidecar
from meva_pipelines.domain.tensile.tables import Block, Cells, Entry
from meva_pipelines.resources import machine_encodings, machine_sheets, machine_text, machine_uploads, spreadsheets
from meva_pipelines.resources.spreadsheets import Limits

LIMITS = Limits(rows=5_000_000, lines=5_001_000, columns=512)
"""What a file may hold; its size is bounded where it lands."""

_SIDECAR_BYTES = 100_000
_HINT = 1_000
_BESIDE = frozenset({"force_is_found", "sidecar_column_exists"})


class Table(Protocol):
    """A table of any form: its block, where it stands, and its columns on demand."""

    block: Block
    first_row: int
    first_cells: tuple[str, ...]
    titles: tuple[str, ...]
    separator: str

    @property
    def decimal(self) -> str:
        """The decimal mark."""

    def read(self, positions: Sequence[int], limits: Limits) -> Mapping[int, Series]:
        """Read columns by position."""


@dataclass(slots=True)
class _File:
    """A file opened: what it is, and its tables in turn."""

    form: Form
    encoding: str
    head: Sequence[Cells]
    tables: Iterable[Table]
    titles: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    entries: list[Entry] = field(default_factory=list)
    by_label: dict[str, list[Entry]] = field(default_factory=dict)


def read_sidecar(content: bytes) -> Sidecar:
    """Read a sidecar (`<file>.meta.yaml`).

    Raises:
        Unusable: `sidecar_is_valid`; it is no plain YAML, or states what it cannot.
    """
    if len(content) > _SIDECAR_BYTES:
        raise Unusable(f"the sidecar has more than {_SIDECAR_BYTES:,} bytes", rule="sidecar_is_valid")
    if b"&" in content and b"*" in content:
        raise Unusable("the sidecar has anchors, which a plain statement does not need", rule="sidecar_is_valid")
    try:
        stated = yaml.safe_load(content.decode("utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Unusable(f"the sidecar is no YAML ({type(error).__name__})", rule="sidecar_is_valid") from None
    return sidecar.parsed(stated)


def read(content: bytes, *, name: str, sidecar: Sidecar | None = None, limits: Limits = LIMITS) -> Reading:
    """Read a whole file.

    Args:
        content: the file.
        name: its name; the stem is the name of the test where nobody states another.
        sidecar: what people state beside it.
        limits: what it may hold.

    Raises:
        Unusable: nothing of the file can be taken; `rule` names what it breaks. Where a file holds several tests, one
            that cannot be taken is a refusal in the reading instead.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # readers of workbooks tell of styles that values do not need
            return _read(content, PurePath(name).stem, sidecar or Sidecar(), limits)
    except Unusable:
        raise
    except Rejected as error:
        raise Unusable(str(error), rule="file_is_readable") from None
    except MevaError:
        raise
    except spreadsheets.BROKEN as error:
        raise Unusable(
            f"the file is damaged or not what it looks like ({type(error).__name__})", rule="file_is_readable"
        ) from None


def _read(content: bytes, stem: str, stated: Sidecar, limits: Limits) -> Reading:
    file, dialect = _opened(content, stated, limits)
    known = _Understanding(file, dialect, stated, limits)
    tests = [test for table in file.tables for test in _tests(known, table)]
    usable = [test for test in tests if not test.is_beside]
    if not usable:
        raise _nothing(tests)
    if dialect.is_one_test:
        usable = [max(usable, key=lambda test: test.rows)]
    if len(usable) == 1 and usable[0].error is not None:
        raise usable[0].error
    names = _names(stated.test or stem, usable, is_stated=stated.test is not None)
    return Reading(
        recordings=tuple(
            replace(test.recording, specimen=replace(test.recording.specimen, name=each))
            for each, test in zip(names, usable, strict=True)
            if test.recording is not None
        ),
        refusals=tuple(
            Refusal(each, test.error.rule, str(test.error), test.error.field, test.error.row)
            for each, test in zip(names, usable, strict=True)
            if test.error is not None
        ),
    )


@dataclass(frozen=True, slots=True)
class _Test:
    """What became of one test: a recording or an error.

    `name` is the one that an upload gives it, blank otherwise. `is_beside` marks a table that is no test at all.
    """

    label: str
    name: str = ""
    rows: int = 0
    recording: Recording | None = None
    error: Unusable | None = None
    is_beside: bool = False


def _nothing(tests: Sequence[_Test]) -> Unusable:
    if not tests:
        return Unusable("no table of numbers was found in the file", rule="table_is_found")
    widest = max(tests, key=lambda test: test.rows)
    return widest.error or Unusable("no table of the file is a test", rule="table_is_found")


def _names(name: str, tests: Sequence[_Test], *, is_stated: bool) -> list[str]:
    """Name the tests of one file; labels that are missing or repeat give way to numbers."""
    own = [test.name for test in tests]
    if not is_stated and all(own) and len(set(own)) == len(own):
        return own
    if len(tests) == 1:
        return [name]
    labels = [test.label for test in tests]
    is_unique = all(labels) and len(set(labels)) == len(labels)
    return [f"{name} #{label if is_unique else number}" for number, label in enumerate(labels, start=1)]


def _opened(content: bytes, stated: Sidecar, limits: Limits) -> tuple[_File, Dialect]:
    if content.startswith((spreadsheets.OLE, spreadsheets.ZIP)):
        file = _workbook(content, limits)
        return file, dialects.recognise(file.form, file.head, file.titles)
    if content[:_HINT].removeprefix(b"\xef\xbb\xbf").lstrip().startswith((b"{", b"[{")):
        return _File(Form.JSON, "UTF-8", (), machine_uploads.found(content, limits)), dialects.UPLOAD
    text = machine_encodings.decoded(content, stated)
    head, mark = machine_text.beginning(text, stated)
    dialect = dialects.recognise(Form.TEXT, head)
    declared = dialect.decimal_in_first_line and dialect.decimal_in_first_line.search("\t".join(head[0]))
    decimal = stated.decimal or (declared[1] if declared else None)
    found = machine_text.found(text, mark, decimal=decimal, limits=limits)
    return _File(Form.TEXT, text.encoding, head, found, warnings=text.warnings), dialect


def _workbook(content: bytes, limits: Limits) -> _File:
    """Open a workbook; the sheets that hold no test are its header."""
    sheets = list(machine_sheets.opened(content, limits))
    file = _File(
        Form.XLS if content.startswith(spreadsheets.OLE) else Form.XLSX,
        "of the workbook",
        [row for sheet in sheets for row in sheet.head],
        chain.from_iterable(sheet.tables() for sheet in sheets),
        tuple(sheet.title for sheet in sheets),
    )
    for sheet in sheets:
        if not any(headings.has_force(block.names, block.units) for block in tables.blocks(sheet.head)):
            common, by_label = headers.in_sheet(sheet.head)
            file.entries += common
            file.by_label |= by_label
    return file


@dataclass(frozen=True, slots=True)
class _Understanding:
    """What is known before the columns of a test are read."""

    file: _File
    dialect: Dialect
    stated: Sidecar
    limits: Limits


def _tests(known: _Understanding, table: Table) -> Iterator[_Test]:
    """Yield the tests of one table: several where their columns stand side by side."""
    block = table.block
    names = block.names or tuple(f"column {number}" for number in range(1, block.width + 1))
    parts = tables.groups(names) if block.names else (range(block.width),)
    known.file.entries = known.file.entries or list(block.entries)
    for part in parts:
        label = _label(table, part, is_only=len(parts) == 1)
        entries = [*block.entries, *known.file.by_label.get(label, ()), *known.file.entries]
        yield _test(known, table, _Part(part, names[part.start : part.stop], entries, label))


@dataclass(frozen=True, slots=True)
class _Part:
    """The columns of one test in a table, and the header that goes with them."""

    columns: range
    names: Sequence[str]
    entries: Sequence[Entry]
    label: str

    def of(self, cells: Sequence[str]) -> Sequence[str]:
        """The cells of a row that belong to this test."""
        return cells[self.columns.start : self.columns.stop]


def _label(table: Table, part: range, *, is_only: bool) -> str:
    above = [cell for cell in table.block.above[part.start : part.stop] if cell]
    if above and (not is_only or (len(above) > 1 and len(set(above)) == 1)):
        return above[0]
    if table.titles:
        return table.titles[0].split(maxsplit=1)[-1]
    return next((entry.value for entry in table.block.entries if header_words.names_specimen(entry.key)), "")


def _test(known: _Understanding, table: Table, part: _Part) -> _Test:
    """Read one test; a table without a force is none, unless the file has nothing better."""
    stated = _merged(table, known.stated)
    rows = table.block.end - table.block.first
    in_header = next((entry.value for entry in part.entries if entry.key.casefold() == "test"), "")
    name = stated.test or (in_header if known.dialect.is_upload else "")
    try:
        found = headings.read(part.names, part.of(table.block.units), stated.columns, schema=known.dialect.schema)
        if not any(each.kind is Kind.FORCE for each in found):
            raise columns.missing("force", found)
        values = _values(known, table, part, found)
        rows = max((len(series) for series in values.values()), default=0)
        return _Test(part.label, name, rows, _recording(known, table, part, found, values, stated))
    except Unusable as error:
        return _Test(part.label, name, rows, error=error, is_beside=error.rule in _BESIDE)


def _merged(table: Table, stated: Sidecar) -> Sidecar:
    """What an upload states of itself, overridden by the sidecar."""
    own = getattr(table, "stated", None)
    if not isinstance(own, Sidecar):
        return stated
    over = {each.name: getattr(stated, each.name) for each in fields(Sidecar) if getattr(stated, each.name)}
    return replace(own, **over)


def _values(known: _Understanding, table: Table, part: _Part, found: Sequence[Heading]) -> Mapping[int, Series]:
    wanted = [each.position for each in found if each.kind not in {None, Kind.STRESS}]
    start = part.columns.start
    read = table.read([start + position for position in wanted], known.limits) if wanted else {}
    return {position: read[start + position] for position in wanted}


def _recording(
    known: _Understanding,
    table: Table,
    part: _Part,
    found: Sequence[Heading],
    values: Mapping[int, Series],
    stated: Sidecar,
) -> Recording:
    missing = sum(repair.without_sentinels(series) for series in values.values())
    notes = (f"{missing:,} values were overflow marks of the amplifier: blanked",) if missing else ()
    in_columns = headers.in_columns(part.names, part.of(table.first_cells), part.of(table.block.units))
    header = headers.read([*part.entries, *in_columns], decimal=table.decimal)
    specimen = headers.specimen(part.label, header, stated)
    selection = columns.select(found, values, gauge_length_mm=specimen.gauge_length_mm)
    curve, repairs = repair.repaired(
        selection, first_row=table.first_row, zero_band_n=stated.tare_zero_band_n, notes=notes
    )
    warning = [*known.file.warnings, *header.warnings, *selection.warnings]
    if specimen.gauge_length_mm is None and selection.gauge_length_mm is not None:
        specimen = replace(specimen, gauge_length_mm=selection.gauge_length_mm)
        warning.append(f"L0 = {selection.gauge_length_mm:g} mm follows from displacement and strain")
    detection = Detection(
        known.dialect.name, known.file.encoding, table.separator, table.decimal, selection.columns, tuple(warning)
    )
    return Recording(specimen, curve, detection, repairs, header.rest)
