"""Every form of export file gives the same rows; broken, hostile and oversized files are refused whole."""

import csv
import gzip
import io
import struct
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path

import openpyxl
import pytest
import xlwt
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import DEFUSEDXML

from meva_pipelines.domain import exports
from meva_pipelines.domain.failures import Rejected
from meva_pipelines.resources import export_files, reference
from meva_pipelines.resources.export_files import ExportFile, Form
from meva_pipelines.resources.spreadsheets import Limits
from meva_pipelines.sandbox import exports as portal
from meva_pipelines_tests.fixtures.location import FIRST_DAY, REGISTRY
from meva_pipelines_tests.resources.workbooks import repacked

CONTRACT = reference.table("nemc_export")
HEAD = ("장비연번", "설치기관명", "설치기관_주소", "시_도", "비고")
ROW = ("12-0000001", "보건소", "서울특별시 중구 중앙로 1", "서울", "-")
SHEET = "xl/worksheets/sheet1.xml"
MOMENT = datetime(2024, 1, 2, 3, 4, 5)  # noqa: DTZ001 - cells of a sheet know no time zone


def records(file: ExportFile) -> list[list[object]]:
    bodies = [gzip.decompress(p.body) if p.encoding == "gzip" else p.body for p in file.pages]
    return [list(record.values()) for body in bodies for record in exports.decode_page(body)]


def table(*rows: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([HEAD, *rows])
    return text.getvalue().encode()


def html(*rows: Sequence[str], before: str = "", cell: str = "td") -> bytes:
    lines = "".join(f"<tr>{''.join(f'<{cell}>{c}</{cell}>' for c in row)}</tr>" for row in (HEAD, *rows))
    return f"<html><body>{before}<table>{lines}</table></body></html>".encode()


def workbook(*rows: Sequence[object], fill: Callable[[openpyxl.Workbook], None] | None = None) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in (HEAD, *rows):
        sheet.append(list(row))
    if fill is not None:
        fill(book)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def old_workbook(*rows: Sequence[object]) -> bytes:
    book = xlwt.Workbook(encoding="utf-8")
    sheet = book.add_sheet("AED")
    style = xlwt.easyxf(num_format_str="YYYY-MM-DD")
    for number, row in enumerate(rows):
        for column, value in enumerate(row):
            sheet.write(number, column, value, *([style] if isinstance(value, date) else []))
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def refused(content: bytes, reason: str, limits: Limits | None = None) -> None:
    with pytest.raises(Rejected, match=reason):
        export_files.read(content, CONTRACT, limits)


@pytest.mark.parametrize(
    ("form", "read_as", "encoding"),
    [
        (portal.Form.HTML_XLS, Form.HTML, "UTF-8"),
        (portal.Form.CSV_CP949, Form.CSV, "CP949"),
        (portal.Form.CSV_UTF8, Form.CSV, "UTF-8"),
        (portal.Form.CSV_BOM, Form.CSV, "UTF-8 with byte order mark"),
        (portal.Form.XLSX, Form.XLSX, None),
    ],
)
def test_every_form_of_the_portal_gives_the_same_rows(form: portal.Form, read_as: Form, encoding: str | None) -> None:
    rows = portal.rows(REGISTRY, FIRST_DAY)["경기"]
    content = portal.render(rows, form)
    assert content == portal.render(portal.rows(REGISTRY, FIRST_DAY)["경기"], form)
    file = export_files.read(content, CONTRACT)
    assert (file.form, file.encoding, file.rows) == (read_as, encoding, len(rows))
    assert records(file) == [[cell or None for cell in row] for row in rows]
    assert (file.header.unknown, file.header.missing, file.notes) == ((), (), ())


def test_a_workbook_of_the_old_binary_form_gives_the_same_rows() -> None:
    rows = portal.rows(REGISTRY, FIRST_DAY)["제주"]
    file = export_files.read(old_workbook(tuple(portal.HEADERS), *rows), CONTRACT)
    assert (file.form, file.encoding) == (Form.XLS, None)
    assert records(file) == [[cell or None for cell in row] for row in rows]


def test_a_table_in_cp949_markup_is_read_whatever_it_declares() -> None:
    content = html(ROW, before='<meta charset="utf-8">').decode().encode("cp949")
    file = export_files.read(content, CONTRACT)
    assert (file.form, file.encoding) == (Form.HTML, "CP949")
    assert records(file) == [list(ROW)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_the_one_under_which_the_header_is_known(delimiter: str) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows([HEAD, (*ROW[:-1], "가, 나; 다\n라")])
    assert records(export_files.read(text.getvalue().encode(), CONTRACT)) == [[*ROW[:-1], "가, 나; 다\n라"]]


def test_cells_of_a_sheet_become_the_texts_that_the_contract_understands() -> None:
    head = (
        "장비연번",
        "설치기관명",
        "설치기관_주소",
        "시_도",
        "제조일자",
        "설치일자",
        "위도",
        "최근사용일",
        "관리번호",
        "비고",
    )
    row = ("12-1", "기관", "주소", "서울", date(2024, 1, 2), MOMENT, 37.5, 3.0, 7, True)
    expected = [*row[:4], "2024-01-02", "2024-01-02 03:04:05", "37.5", "3", "7", "TRUE"]
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(head)
    sheet.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    assert records(export_files.read(buffer.getvalue(), CONTRACT)) == [expected]
    old = old_workbook(head[:5] + head[6:], row[:5] + row[6:])
    assert records(export_files.read(old, CONTRACT)) == [[*expected[:5], *expected[6:]]]


def test_formulas_are_not_calculated_and_texts_that_look_like_them_stay_texts() -> None:
    file = export_files.read(workbook((*ROW[:-1], "=1+1"), (*ROW[:-1], "+82-2-000")), CONTRACT)
    assert [row[-1] for row in records(file)] == [None, "+82-2-000"]
    assert any("formulas" in note for note in file.notes)
    text = "=cmd|' /C calc'!A0"
    assert records(export_files.read(table((*ROW[:-1], text)), CONTRACT))[0][-1] == text


def test_macros_links_and_further_sheets_are_ignored_and_noted() -> None:
    content = repacked(
        workbook(ROW, fill=lambda book: book.create_sheet("other").append(["x"])),
        {"xl/vbaProject.bin": b"macro", "xl/externalLinks/externalLink1.xml": b"<externalLink/>"},
    )
    file = export_files.read(content, CONTRACT)
    assert records(file) == [list(ROW)]
    assert {note.split(":")[0] for note in file.notes} == {
        "macros were ignored",
        "links to other files were ignored",
        "2 sheets",
    }


@pytest.mark.parametrize("name", ["rowspan", "nested", "span"])
def test_markup_in_which_columns_cannot_be_told_is_refused(name: str) -> None:
    whole = html(ROW).decode()
    cell = "<td>보건소</td>"
    changed = {
        "rowspan": (whole.replace(cell, '<td rowspan="2">보건소</td>'), "several rows"),
        "nested": (whole.replace(cell, "<td><table><tr><td>x</td></tr></table></td>"), "inside a table"),
        "span": (whole.replace(cell, '<td colspan="999999999">보건소</td>'), "more than 200 columns|more cells"),
    }
    content, reason = changed[name]
    refused(content.encode(), reason)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\n\n \r\n", "is empty"),
        (b"%PDF-1.7 \xe2\xe3\xcf\xd3\n" + bytes(range(256)), "neither a workbook nor text"),
        ("장비연번,시_도\n".encode("utf-16"), "neither a workbook nor text"),
        (b"\xff\xfd\xf0 junk \x80\x80", "neither UTF-8"),
        (b"<html><body>login</body></html>", "without a table"),
        (b"<?xml version='1.0'?><Workbook/>", "without a table"),
        (b"PK\x03\x04 not a zip", "damaged"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 not a workbook", "damaged"),
        (table(), "no rows"),
        ("이름,전화\n홍길동,010\n".encode(), "장비연번"),
        (table(ROW) + b'12-2,"no end', "damaged"),
        (table(ROW) + b"12-2,a\r\n", r"row 3 has 2 cells and the header 5"),
        (table(ROW, (*ROW, "extra")), "row 3 has more cells"),
        (html(ROW, ROW[:3]), "row 3 has 3 cells"),
    ],
)
def test_what_is_no_whole_table_is_refused_with_its_reason(content: bytes, reason: str) -> None:
    refused(content, reason)


def test_mixed_encodings_are_refused_and_not_guessed_at() -> None:
    utf8, cp949 = table(ROW), ",".join(ROW).encode("cp949") + b"\r\n"
    refused(utf8 + cp949, "neither UTF-8|mixed")
    refused(utf8.decode().encode("cp949") + ",".join(ROW).encode() + b"\r\n", "mixed|neither UTF-8")


def test_a_file_is_what_its_content_says_and_not_its_name() -> None:
    """The reader is given no name at all; each form is told from its first bytes."""
    forms = {export_files.read(content, CONTRACT).form for content in (table(ROW), html(ROW), workbook(ROW))}
    assert forms == {Form.CSV, Form.HTML, Form.XLSX}


@pytest.mark.parametrize("form", [portal.Form.HTML_XLS, portal.Form.XLSX])
def test_a_file_that_was_cut_off_is_refused_wherever_the_cut_lies(form: portal.Form) -> None:
    content = portal.render(portal.rows(REGISTRY, FIRST_DAY)["세종"], form)
    end = content.rfind(b"</table>") if form is portal.Form.HTML_XLS else len(content) - 1
    for cut in range(0, end, max(1, end // 60)):
        refused(content[:cut], r"\w")


def test_a_cut_in_separated_values_is_refused_or_noted() -> None:
    content = table(ROW, ROW)
    refused(content[: content.rfind(b",")], "cells and the header")
    assert "cannot be told" in export_files.read(content[:-2], CONTRACT).notes[0]


@pytest.mark.parametrize("make", [lambda rows: table(*rows), lambda rows: html(*rows), lambda rows: workbook(*rows)])
def test_rows_columns_and_cells_beyond_the_limits_are_refused(make: Callable[[list[Sequence[str]]], bytes]) -> None:
    refused(make([ROW] * 60), "more than 30 rows", Limits(rows=30))
    refused(make([ROW] * 60), "more than 50 lines", Limits(lines=50))
    refused(make([(*ROW, *["x"] * 10)]), "more than 7 columns", Limits(columns=7))
    refused(make([(*ROW[:-1], "가" * 101)]), "more than 100 characters", Limits(characters=100))


def test_the_million_empty_rows_of_a_sheet_are_not_read() -> None:
    far = b'<row r="900000000"><c r="A900000000" t="n"><v>1</v></c></row></sheetData>'
    content = workbook(ROW)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        sheet = archive.read(SHEET)
    refused(
        repacked(content, {SHEET: sheet.replace(b"</sheetData>", far)}), "more than 2,000 lines", Limits(lines=2_000)
    )


def test_a_workbook_that_expands_beyond_reason_is_refused_before_it_is_opened() -> None:
    bomb = repacked(workbook(ROW), {"xl/media/image1.bin": b"\0" * 19_000_000})
    refused(bomb, "expands more than 200 times")
    refused(bomb, "expands to more than 5,000,000", Limits(expanded_bytes=5_000_000, ratio=100_000))
    refused(bomb, "no table has more than 1,000,000", Limits(ratio=100_000, part_bytes=1_000_000))
    many = repacked(workbook(ROW), {f"xl/media/{number}": b"" for number in range(40)})
    refused(many, "parts, at most 20", Limits(parts=20))


def test_sizes_in_the_headers_of_a_workbook_are_not_believed() -> None:
    content = bytearray(repacked(workbook(ROW), {"xl/media/image1.bin": b"\0" * 3_000_000}))
    at = content.rfind(b"PK\x01\x02")
    struct.pack_into("<I", content, at + 24, 10)
    refused(bytes(content), "damaged|expands")


@pytest.mark.parametrize(
    "doctype",
    [
        b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd">',
    ],
)
@pytest.mark.parametrize("part", [SHEET, "xl/workbook.xml", "[Content_Types].xml", "xl/styles.xml"])
def test_entities_in_a_workbook_are_refused(doctype: bytes, part: str) -> None:
    content = workbook(ROW)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        xml = archive.read(part)
    body = xml.partition(b"?>")[2] if xml.startswith(b"<?xml") else xml
    refused(repacked(content, {part: doctype + body}), "declares entities")
    hidden = (doctype + body).decode().encode("utf-16")
    refused(repacked(content, {part: hidden}), "not in UTF-8")
    refused(repacked(content, {part: b'<?xml version="1.0" encoding="cp037"?>' + body}), "not in UTF-8")


def test_a_second_lock_stands_behind_the_first() -> None:
    assert DEFUSEDXML, "openpyxl reads with the defused parser when it is installed, as setup.py demands"


def test_comments_in_markup_hide_rows_and_cost_no_time() -> None:
    assert records(export_files.read(html(ROW, before="<!-- <tr><td>old</td></tr> -->"), CONTRACT)) == [list(ROW)]
    refused(b"<html>" + b"<!--" * 1_000_000 + b"<table></table>", "empty|no column")


def test_billion_laughs_in_markup_expand_to_nothing() -> None:
    bomb = b'<!DOCTYPE html [<!ENTITY a "hahaha"><!ENTITY b "&a;&a;&a;">]>' + html((*ROW[:-1], "&b;"))
    assert records(export_files.read(bomb, CONTRACT))[0][-1] in {"&b;", None}


def test_two_parts_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.xlsx"
    path.write_bytes(workbook(ROW))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(SHEET, b"<worksheet/>")
    refused(path.read_bytes(), "two parts of one name")


def test_a_page_that_shrinks_suspiciously_well_is_kept_as_it_is() -> None:
    """The reader of pages refuses what expands 300 times; honest pages of equal rows must not fall to it."""
    file = export_files.read(table(*[(*ROW[:-1], "가" * 5_000)] * 50), CONTRACT)
    assert [page.encoding for page in file.pages] == ["identity"]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_damage_does_more_than_refuse_the_file(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from([WORKBOOK, OLD_WORKBOOK, table(ROW, ROW), html(ROW, ROW)])))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(Rejected):
        assert export_files.read(bytes(content), CONTRACT, Limits(lines=5_000)).rows > 0


WORKBOOK = workbook(ROW, ROW)
OLD_WORKBOOK = old_workbook(HEAD, ROW, ROW)
