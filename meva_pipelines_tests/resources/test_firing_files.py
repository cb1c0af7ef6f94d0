"""Workbooks of firings: the real shape is read exactly; what is hostile or broken is refused by name."""

import io
import zipfile
from collections.abc import Callable

import numpy as np
import openpyxl
import pytest

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.resources import firing_files, simulation_files
from meva_pipelines.sandbox import firing_files as files
from meva_pipelines.sandbox import workbook
from meva_pipelines.sandbox.firings import Firing, Season
from meva_pipelines.sandbox.workbook import Sheet

SEASON = Season(orders=4, repeats=1)
FIRINGS = [next(SEASON.firings(order)) for order in SEASON.work_orders()]
HEADER: list[tuple[str, str]] = [("时间", "压力"), ("[ms]", "MPa"), ("注释", "x")]
ROWS: list[tuple[float, float]] = [(0.0, -0.01), (0.01, 20.0), (0.02, 3.0)]


def rule_of(content: bytes) -> str:
    with pytest.raises(Unusable) as caught:
        firing_files.read(content)
    return caught.value.rule


def rewritten(content: bytes, change: Callable[[str, bytes], bytes], **more: bytes) -> bytes:
    """The workbook with its parts changed, and further ones."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            archive.writestr(name, change(name, source.read(name)))
        for name, part in more.items():
            archive.writestr(name.replace("__", "/").replace("_xml", ".xml").replace("_bin", ".bin"), part)
    return target.getvalue()


@pytest.mark.parametrize("firing", FIRINGS, ids=lambda firing: firing.name)
def test_the_real_shape_is_read_bit_for_bit(firing: Firing) -> None:
    """4,000 rows: three rows of header and steps of 0.01 ms, or four and steps of 1 ms."""
    sheet = firing_files.read(files.sheet(firing))
    assert sheet.header.rows == (4 if firing.order.step_ms == 1.0 else 3)
    assert sheet.header.note == firing.name
    assert np.array_equal(sheet.time_ms, firing.time_ms())
    assert np.array_equal(sheet.pressure_mpa, firing.readings_mpa())
    assert sheet.pressure_mpa.min() < 0


def test_a_workbook_of_another_program_is_read_alike() -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for titles in HEADER:
        sheet.append(titles)
    for values in ROWS:
        sheet.append(values)
    buffer = io.BytesIO()
    book.save(buffer)
    assert firing_files.read(buffer.getvalue()).pressure_mpa.tolist() == [-0.01, 20.0, 3.0]


def test_what_is_no_workbook_or_damaged_is_refused() -> None:
    whole = workbook.written([Sheet("S", [*HEADER, *ROWS])])
    assert rule_of(b"") == "workbook_is_readable"
    assert rule_of(b"Time,Pressure\n0,1\n") == "workbook_is_readable"
    for length in range(4, len(whole), 97):
        assert rule_of(whole[:length]) in {"workbook_is_readable", "file_is_within_limits"}


def test_macros_links_and_formulas_without_values_are_refused() -> None:
    whole = workbook.written([Sheet("S", [*HEADER, *ROWS])])
    assert rule_of(rewritten(whole, lambda _, part: part, xl__vbaProject_bin=b"x")) == "workbook_is_harmless"
    links = rewritten(whole, lambda _, part: part, xl__externalLinks__externalLink1_xml=b"<x/>")
    assert rule_of(links) == "workbook_is_harmless"
    bare = rewritten(whole, lambda _, part: part.replace(b"<c><v>20.0</v></c>", b"<c><f>1+1</f></c>"))
    assert rule_of(bare) == "workbook_is_harmless"


def test_entities_are_refused() -> None:
    whole = workbook.written([Sheet("S", [*HEADER, *ROWS])])
    laughing = rewritten(
        whole, lambda _, part: part.replace(b"<worksheet", b'<!DOCTYPE x [<!ENTITY a "b">]><worksheet')
    )
    assert rule_of(laughing) == "file_is_within_limits"


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    whole = workbook.written([Sheet("S", [*HEADER, *ROWS])])
    blank = b" " * 30_000_000 + b"</sheetData>"
    blown = rewritten(whole, lambda _, part: part.replace(b"</sheetData>", blank))
    assert len(blown) < 100_000
    assert rule_of(blown) == "file_is_within_limits"


@pytest.mark.parametrize(
    "far",
    [
        b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>',
        b"<row r='150000'>" + b"<c/>" * 20_000 + b"</row>",
        b'<row r="1"><c r="&#88;FD1"><v>1</v></c></row>',
    ],
)
def test_cells_that_lie_far_apart_are_refused_before_the_workbook_is_opened(far: bytes) -> None:
    """A reader that keeps whole rectangles would ask for half a terabyte here, and end the process."""
    whole = workbook.written([Sheet("S", [*HEADER, *ROWS])])
    wide = rewritten(whole, lambda _, part: part.replace(b"</sheetData>", far + b"</sheetData>"))
    assert rule_of(wide) == "file_is_within_limits"


def test_a_second_sheet_with_values_is_refused() -> None:
    assert rule_of(workbook.written([Sheet("S", [*HEADER, *ROWS]), Sheet("T", [(1.0,)])])) == "sheet_is_alone"


def test_series_are_the_same_in_every_format() -> None:
    simulation = SEASON.simulations(next(SEASON.work_orders()))[0]
    for form in ("csv", "parquet"):
        documents = files.simulation_document(simulation, form=form)
        content = next(part for name, part in documents.items() if name.endswith(form))
        time_ms, pressure_mpa = simulation_files.series(content)
        assert np.array_equal(time_ms, simulation.time_ms())
        assert np.array_equal(pressure_mpa, simulation.pressure_mpa())


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"time,pressure\n0,1\n", "series_has_two_columns"),
        (b"time_ms,pressure_mpa\n0,1\n1,x\n", "rows_are_numbers"),
        (b"time_ms,pressure_mpa\n0,1,2\n", "rows_are_numbers"),
        (b"\xff\xfe\x00", "series_is_readable"),
        (b"PAR1 and nothing more", "series_is_readable"),
    ],
)
def test_a_broken_series_is_refused_by_name(content: bytes, rule: str) -> None:
    with pytest.raises(Unusable) as caught:
        simulation_files.series(content)
    assert caught.value.rule == rule


def test_a_flipped_byte_in_parquet_is_found_or_harmless() -> None:
    """Pages written here carry no checksum; whatever is read must still be numbers, or be refused."""
    simulation = SEASON.simulations(next(SEASON.work_orders()))[0]
    documents = files.simulation_document(simulation, form="parquet")
    content = next(part for name, part in documents.items() if name.endswith("parquet"))
    refused = 0
    for position in range(4, len(content), 131):
        spoiled = bytearray(content)
        spoiled[position] ^= 0xFF
        try:
            simulation_files.series(bytes(spoiled))
        except Unusable:
            refused += 1
    assert refused > 0
