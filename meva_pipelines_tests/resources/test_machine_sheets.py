"""Workbooks of testing machines: any sheets in any language, typed cells, and what makes a workbook unwelcome."""

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import openpyxl
import pytest
import xlwt

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.tensile.recording import DisplacementSource
from meva_pipelines.resources import machine_files
from meva_pipelines.resources.spreadsheets import Limits
from meva_pipelines_tests.resources.machine_cases import DISPLACEMENT_MM, LOAD_N, TIME_S, read_one, same_curve
from meva_pipelines_tests.resources.workbooks import repacked

SEOUL = ZoneInfo("Asia/Seoul")
Rows = Sequence[Sequence[object]]
SHEET = "xl/worksheets/sheet1.xml"


def book(sheets: Mapping[str, Rows]) -> bytes:
    made = openpyxl.Workbook()
    assert made.active is not None
    made.remove(made.active)
    for title, rows in sheets.items():
        sheet = made.create_sheet(title)
        for row in rows:
            sheet.append(list(row))
    buffer = io.BytesIO()
    made.save(buffer)
    return buffer.getvalue()


def old_book(sheets: Mapping[str, Rows]) -> bytes:
    made = xlwt.Workbook(encoding="utf-8")
    for title, rows in sheets.items():
        sheet = made.add_sheet(title)
        for number, row in enumerate(rows):
            for column, value in enumerate(row):
                sheet.write(number, column, value)
    buffer = io.BytesIO()
    made.save(buffer)
    return buffer.getvalue()


def values(label: str, names: Sequence[str], units: Sequence[str], *, strange: Sequence[object] = ()) -> Rows:
    """A sheet of values: the label over every column, names, units, and the test of `machine_cases`."""
    data = zip(TIME_S, LOAD_N, DISPLACEMENT_MM, strict=True)
    return [
        [label] * len(names),
        list(names),
        list(units),
        *([t, f, d, *strange] for t, f, d in data),
    ]


ENGLISH = values("A1", ("Time", "Standard force", "Standard travel"), ("s", "N", "mm"))
RESULTS = [
    ("", "Specimen designation", "Fmax", "d0", "L0 SW", "Date/Clock time"),
    ("", "", "N", "mm", "mm", ""),
    ("", "A1", 3300.1, 6.0, 25.0, 43228.5),
]


@pytest.mark.parametrize("write", [book, old_book])
def test_sheets_of_values_and_results_in_either_form(write: Callable[[Mapping[str, Rows]], bytes]) -> None:
    content = write(
        {"Parameters": [("Material", "tin"), ("Operator", "x")], "Results A1": RESULTS, "Values A1": ENGLISH}
    )
    recording = read_one(content)
    same_curve(recording)
    specimen = recording.specimen
    assert recording.detection.dialect == "testXpert workbook"
    assert (specimen.name, specimen.material, specimen.diameter_mm, specimen.gauge_length_mm) == (
        "A1",
        "tin",
        6.0,
        25.0,
    )
    assert specimen.started_at == datetime(2018, 5, 8, 12, tzinfo=SEOUL)
    assert recording.curve.displacement_source is DisplacementSource.EXTENSOMETER


def test_a_workbook_of_values_alone() -> None:
    recording = read_one(
        book(
            {
                "Valeurs chargé": values(
                    "c", ("Temps d'essai", "Force standard", "Ecartement entre outils"), ("s", "N", "mm")
                )
            }
        )
    )
    same_curve(recording)
    assert recording.curve.displacement_source is DisplacementSource.CROSSHEAD


def test_a_strain_in_millimetres_is_an_elongation() -> None:
    recording = read_one(book({"Werte 1": values("1", ("Prüfzeit", "Standardkraft", "Strain"), ("s", "kN", "mm"))}))
    assert recording.curve.displacement_source is DisplacementSource.EXTENSOMETER
    assert recording.curve.load_n.max() == pytest.approx(max(LOAD_N) * 1000)


def test_several_sheets_of_values_are_several_specimens_with_their_own_results() -> None:
    results = [*RESULTS, ("", "B2", 3300.1, 8.0, 40.0, 43228.5)]
    other = values("B2", ("Time", "Standard force", "Standard travel"), ("s", "N", "mm"))
    reading = machine_files.read(book({"Results": results, "Values A1": ENGLISH, "Values B2": other}), name="lot.xlsx")
    assert [(each.specimen.name, each.specimen.diameter_mm) for each in reading.recordings] == [
        ("lot #A1", 6.0),
        ("lot #B2", 8.0),
    ]


def test_columns_added_by_hand_and_numbers_kept_as_text() -> None:
    rows = [
        list(row)
        for row in values(
            "A1", ("Time", "Standard force", "Standard travel", "stress"), ("s", "N", "mm", "MPa"), strange=("#DIV/0!",)
        )
    ]
    rows[4][1] = "1250,5"
    rows.append(["", "", "", ""])
    same_curve(read_one(book({"Values": rows})))


def test_formulas_count_only_with_their_stored_values() -> None:
    rows = [list(row) for row in ENGLISH]
    rows[5][1] = "=1+1"
    with pytest.raises(Unusable, match="formulas without stored values") as error:
        machine_files.read(book({"Values": rows}), name="a.xlsx")
    assert error.value.rule == "workbook_is_harmless"
    with zipfile.ZipFile(io.BytesIO(book({"Values": rows}))) as archive:
        sheet = archive.read(SHEET)
    stored = (
        sheet.replace(b"<f>1+1</f><v></v>", b"<f>1+1</f><v>2500.25</v>")
        .replace(b"<f>1+1</f><v />", b"<f>1+1</f><v>2500.25</v>")
        .replace(b"<f>1+1</f><v/>", b"<f>1+1</f><v>2500.25</v>")
    )
    assert stored != sheet
    same_curve(read_one(repacked(book({"Values": rows}), {SHEET: stored})))


@pytest.mark.parametrize(
    ("part", "words"), [("xl/vbaProject.bin", "macros"), ("xl/externalLinks/externalLink1.xml", "links to other files")]
)
def test_macros_and_links_are_refused(part: str, words: str) -> None:
    content = repacked(book({"Values": ENGLISH}), {part: b"<x/>"})
    with pytest.raises(Unusable, match=words):
        machine_files.read(content, name="a.xlsx")


def test_workbooks_that_grow_too_much_are_refused() -> None:
    bomb = repacked(book({"Values": ENGLISH}), {"xl/worksheets/sheet9.xml": b"<a>" + b" " * 3_000_000})
    with pytest.raises(Unusable, match="expands more than"):
        machine_files.read(bomb, name="a.xlsx")
    for limits in (Limits(rows=3), Limits(columns=2)):
        with pytest.raises(Unusable) as error:
            machine_files.read(book({"Values": ENGLISH}), name="a.xlsx", limits=limits)
        assert error.value.rule == "file_is_within_limits"


def test_a_workbook_without_a_test_says_what_it_has() -> None:
    with pytest.raises(Unusable, match="'Fmax'"):
        machine_files.read(book({"Results": [*RESULTS, ("", "A2", 1.0, 6.0, 25.0, 43228.5)]}), name="a.xlsx")
    with pytest.raises(Unusable, match="damaged"):
        machine_files.read(book({"Values": ENGLISH})[:900], name="a.xlsx")
