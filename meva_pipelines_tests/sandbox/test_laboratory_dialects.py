"""Every dialect's files have the features that are recorded of real ones, read here without the project's readers."""

import io
import json
import math
import re
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import openpyxl
import pytest

from meva_pipelines.domain.tensile.recording import Shape, Specimen
from meva_pipelines.sandbox import laboratory_tables as tables
from meva_pipelines.sandbox.laboratory_dialects import FORMS, Dialect
from meva_pipelines.sandbox.laboratory_loggers import OVERFLOW
from meva_pipelines.sandbox.laboratory_machines import OWNERS
from meva_pipelines.sandbox.laboratory_materials import MATERIALS
from meva_pipelines.sandbox.laboratory_measuring import Conditions, Trial, measure
from meva_pipelines.sandbox.laboratory_tables import POSITION_MM, UNITS, Channel, Heading

POINTS = 300
SPECIMEN = Specimen(
    "T-17",
    material="Steel_AISI4140",
    condition="annealed",
    shape=Shape.ROUND,
    diameter_mm=5.005,
    area_mm2=math.pi * 5.005**2 / 4,
    gauge_length_mm=25.0,
    parallel_length_mm=30.0,
    final_area_mm2=9.7,
    machine="INSTRON 8852TT",
    extensometer="clip-on",
    operator="operator 1",
    temperature_c=23.0,
    started_at=datetime(2018, 3, 14, 9, 36, tzinfo=ZoneInfo("Asia/Seoul")),
)


@pytest.fixture(scope="module")
def trial() -> Trial:
    conditions = Conditions(preload_n=40, noise_n=1, noise_mm=1e-5, start_s=5.5, tail=2, tail_n=-44.3)
    return measure(MATERIALS["Steel_AISI4140"].law, SPECIMEN, conditions, points=POINTS)


def written(dialect: Dialect, *trials: Trial, variant: int = 0) -> bytes:
    return b"".join(FORMS[dialect].render(trials, variant))


def lines(dialect: Dialect, *trials: Trial, variant: int = 0, encoding: str = "utf-8") -> list[str]:
    return written(dialect, *trials, variant=variant).decode(encoding).splitlines()


def test_every_dialect_is_written_by_exactly_one_machine() -> None:
    assert set(OWNERS) == set(FORMS) == set(Dialect)


def test_the_key_value_table_has_superscripts_and_loses_true_values_at_the_maximum(trial: Trial) -> None:
    text = lines(Dialect.PMD, trial)
    keys = [line.split("\t")[0] for line in text]
    assert text[0].startswith("Specimen name:\t")
    assert "Specimen ID:\tT-17" in text
    assert any(line.startswith("Original cross-section:\t19.674243628060164\tmm²") for line in text)
    assert "Test temperature:\tRT\tCel" in text
    rows = [line.split("\t") for line in text[keys.index("s") + 1 :]]
    assert len(rows) == POINTS
    assert [float(row[2]) for row in rows] == pytest.approx(trial.measured.force_n / 1e3, rel=1e-15)
    top = int(trial.measured.force_n.argmax())
    assert [row[6] == "nan" for row in rows] == [number >= top for number in range(POINTS)]


def test_the_logger_has_fifteen_channels_with_time_in_the_ninth_and_damaged_units(trial: Trial) -> None:
    first, names, *rows = lines(Dialect.LOGGER, trial)
    assert first.startswith("Probe;T-17;")
    headings = names.split("\t")
    assert len(headings) == 15
    assert headings[1] == "Kraft [kN]"
    assert headings[8] == "Zeit [s]"
    assert "MX840A_0_CH 5 [Â°C]" in headings
    cells = [row.split("\t") for row in rows]
    assert re.fullmatch(r"-?\d\.\d{5}E[+-]\d\d", cells[0][1])
    assert {row[3] for row in cells} == {"0.00000E+00"}


def test_geometry_stands_in_the_first_data_row_alone(trial: Trial) -> None:
    names, first, *rest = lines(Dialect.PARENTHESES, trial)
    assert names.split(",")[:4] == ["Time (s)", "Extension (mm)", "Load (kN)", "Strain (mm/mm)"]
    assert float(first.split(",")[4]) == 25
    assert all(row.split(",")[4:] == ["", ""] for row in rest)


def test_brackets_hold_units_of_other_countries(trial: Trial) -> None:
    names, first, *_ = lines(Dialect.BRACKETS, trial)
    assert names == "Time [sec];Load [lbf];Extensometer [in]"
    load = float(first.split(";")[1].replace(",", "."))
    assert load * 4.4482216152605 == pytest.approx(trial.measured.force_n[0], rel=1e-7)
    assert lines(Dialect.BRACKETS, trial, variant=1)[0].startswith("Extensometer [µm];Stress [kpsi]")


def test_korean_files_are_in_cp949(trial: Trial) -> None:
    content = written(Dialect.KOREAN, trial)
    assert content.decode("cp949").startswith("시간(s),하중(N),변위(mm),변형률(%)\r\n")
    with pytest.raises(UnicodeDecodeError):
        content.decode("utf-8")


def test_german_testxpert_text_is_latin_1_with_unknown_values_in_words(trial: Trial) -> None:
    content = written(Dialect.ZWICK_TEXT, trial)
    text = content.decode("latin-1").splitlines()
    assert '"Messlänge"\t"nicht bekannt"' in text
    assert '"Datum"\t"14.03.2018"' in text
    units = text.index('"s"\t"mm"\t"N"\t"%"\t"mm"')
    assert text[units - 1] == '"Prüfzeit"\t"Standardweg"\t"Standardkraft"\t"Dehnung"\t"Traverse abs."'
    assert re.search(rb"\de-00\d", content)
    assert not re.search(rb"\de-0\d\b", content)
    _, travel, _, strain, position = map(float, text[units + 100].split("\t"))
    assert 100 * travel / strain == pytest.approx(25.0, rel=1e-5)
    assert position == pytest.approx(POSITION_MM, rel=0.05)


def test_tra_files_differ_in_order_and_number_of_columns(trial: Trial) -> None:
    seen = set()
    for variant in range(4):
        text = lines(Dialect.TRA_FRENCH, trial, variant=variant, encoding="latin-1")
        assert text[0] == '"Diamètre éprouvette",5.005,"mm"'
        assert '"Date/heure",43173.4,""' in text
        assert '"Opérateur",""' in text
        seen.add(next(line for line in text if '"Temps"' in line))
        assert min(map(float, text[-1].split(","))) == pytest.approx(-44.3, abs=5)
    assert len(seen) == 4
    english = lines(Dialect.TRA_ENGLISH, trial, encoding="latin-1")
    assert '"Time","Crosshead absolute","Standard force","Standard travel"' in english
    assert english[-POINTS].startswith("5.50")


@pytest.mark.parametrize(
    ("dialect", "parameters", "values"),
    [(Dialect.WORKBOOK_ENGLISH, "Parameters", "Values"), (Dialect.WORKBOOK_FRENCH, "Paramètres", "Valeurs")],
)
def test_workbooks_have_eight_column_sets_and_some_no_parameters(
    trial: Trial, dialect: Dialect, parameters: str, values: str
) -> None:
    seen, with_parameters = set(), set()
    for variant in range(8):
        book = openpyxl.load_workbook(io.BytesIO(written(dialect, trial, variant=variant)), rich_text=True)
        with_parameters.add(parameters in book.sheetnames)
        sheet = book[f"{values} T-17"]
        identity, names, units, *rows = sheet.iter_rows(values_only=True)
        assert set(identity) == {"T-17"}
        assert len(rows) == POINTS
        assert len(units) == len(names)
        seen.add(names)
        force = [name for name, unit in zip(names, units, strict=True) if unit == "N"]
        column = names.index(force[0])
        assert [row[column] for row in rows] == trial.measured.force_n.tolist()
    assert len(seen) == 8
    assert with_parameters == {True, False}


def test_the_results_sheet_sets_an_index_low_and_has_an_excel_date(trial: Trial) -> None:
    book = openpyxl.load_workbook(io.BytesIO(written(Dialect.WORKBOOK_ENGLISH, trial, variant=2)), rich_text=True)
    names, _, row = book["Results T-17"].iter_rows(values_only=True)
    assert str(names[2]) == "Fmax"
    assert dict(zip(map(str, names), row, strict=True))["Date/Clock time"] == pytest.approx(43173.4)
    assert dict(zip(map(str, names), row, strict=True))["L0"] == 25


def test_a_strain_in_mm_and_a_strain_in_percent_both_occur() -> None:
    headings = [each for n in range(8) for each in FORMS[Dialect.WORKBOOK_ENGLISH].headings(n)]
    assert {("Strain", "mm"), ("Nominal strain", "%")} <= {(each.name, each.unit) for each in headings}


def test_bluehill_quotes_its_thousands(trial: Trial) -> None:
    content = written(Dialect.BLUEHILL, trial).decode()
    assert content.startswith('Specimen label,"T-17"\r\nDiameter,"5.0050",mm\r\n')
    assert "\r\n\r\nTime (s),Extension (mm),Load (N),Tensile strain (%),Tensile stress (MPa)\r\n" in content
    assert re.search(r'"\d{1,2},\d{3}\.\d{5}"', content)


def test_bluehill_exports_utf_16_with_a_decimal_comma(trial: Trial) -> None:
    content = written(Dialect.BLUEHILL_UTF16, trial)
    assert content.startswith(b"\xff\xfe")
    text = content.decode("utf-16")
    assert text.count("\ufeff") == 0
    assert "Time (s);Load (kN);Extension (mm)\r\n5,5" in text


def test_trapezium_repeats_a_triple_for_each_specimen(trial: Trial) -> None:
    short = replace(
        trial,
        specimen=replace(SPECIMEN, name="T-17 #2"),
        measured=replace(
            trial.measured,
            **{
                name: getattr(trial.measured, name)[:200]
                for name in ("time_s", "force_n", "extension_mm", "crosshead_mm")
            },
        ),
    )
    names, headings, units, *rows = lines(Dialect.SHIMADZU, trial, short)
    assert names == '"T-17","","","2","","","",""'
    assert headings == '"Temps","Stroke","Force","Temps","Stroke","Force","",""'
    assert units == '"sec","mm","N","sec","mm","N","",""'
    assert len(rows) == POINTS
    assert rows[-1].endswith(',"","","","",""')
    assert not rows[100].endswith(',"","","","",""')


def test_mts_793_declares_its_marks_and_ends_with_an_empty_block(trial: Trial) -> None:
    text = lines(Dialect.MTS_793, trial)
    assert text[0] == "MTS793|MPT|DEU|x|x|,|.|:|49|1|1|A"
    assert "Datum : \t14.3.2018" in text
    assert any("�" in line for line in text)
    names = text.index("Datum\tCh 1 Kraft Sollwert\tLaufzeit\tCh 1 Kraft\tCh 1 Weg\tExtensometer")
    assert text[names + 2].startswith("43173\t0,0")
    assert "." not in "".join(text[names + 2 : names + 2 + POINTS])
    assert text[-3:][0].startswith("Datenerfassung")


def test_mts_testsuite_has_a_mark_of_byte_order_and_names_with_underscores(trial: Trial) -> None:
    content = written(Dialect.MTS_TESTSUITE, trial)
    assert content.startswith(b"\xef\xbb\xbfC:\\")
    assert content.count(b"\xef\xbb\xbf") == 1
    assert "_Extension\t_Load\t_Time\t_Strain1\nmm\tkN\tsec\tmm\n" in content.decode("utf-8-sig")


def test_walter_and_bai_counts_in_tens(trial: Trial) -> None:
    _, names, *rows = lines(Dialect.WALTER_BAI, trial)
    assert names == "Sample;Time[s];C_1_Force[kN];C_1_Stroke[mm];C_2_Extensometer[mm]"
    assert [int(row.split(";")[0]) for row in rows[:3]] == [10, 20, 30]


def test_catman_writes_overflows_and_a_tab_at_the_end(trial: Trial) -> None:
    text = lines(Dialect.CATMAN, trial, encoding="latin-1")
    assert text[2] == "Zeit [s]\tKraft [N]\tLängenänderung [mm]\tKolbenweg [mm]\tTemperatur [°C]\t"
    cells = [line.split("\t") for line in text[3:]]
    assert all(row[-1] == "" for row in cells)
    assert [number for number, row in enumerate(cells) if float(row[3]) == OVERFLOW] == [10, 11, 12]
    assert {row[4] for row in cells} == {"-1000000"}


def test_uploads_hold_every_value_exactly(trial: Trial) -> None:
    upload = json.loads(written(Dialect.UPLOAD_JSON, trial, variant=1))
    assert upload["test"] == "T-17"
    assert upload["columns"]["load"] == {"unit": "N", "values": trial.measured.force_n.tolist()}
    text = lines(Dialect.UPLOAD_CSV, trial)
    assert "# test: T-17" in text
    names = text.index("time_s,load_N,extension_mm,crosshead_mm")
    assert [float(row.split(",")[1]) for row in text[names + 1 :]] == trial.measured.force_n.tolist()


def test_units_have_their_exact_factors() -> None:
    assert UNITS["lbf"] == 0.45359237 * 9.80665
    assert UNITS["kpsi"] == pytest.approx(1e3 * UNITS["lbf"] / 25.4**2, rel=1e-15)


@pytest.mark.parametrize("dialect", Dialect)
def test_a_long_file_comes_in_parts(dialect: Dialect) -> None:
    long = measure(MATERIALS["Steel_AISI4140"].law, SPECIMEN, Conditions(), points=45_000)
    if dialect in {Dialect.WORKBOOK_ENGLISH, Dialect.WORKBOOK_FRENCH, Dialect.UPLOAD_JSON}:
        assert len(list(FORMS[dialect].render((long,), 0))) == 1
    else:
        assert len(list(FORMS[dialect].render((long,), 0))) > 3


@pytest.mark.parametrize("points", [60, 5_000, 300_000])
def test_times_are_spelt_so_that_rows_can_be_told_apart(points: int) -> None:
    fast = measure(MATERIALS["Aluminum_6061T6"].law, SPECIMEN, Conditions(start_s=79.0), points=points)
    column = tables.column(Heading("Time", "s", Channel.TIME), fast)
    spelt = [float(column.spelling % value) for value in fast.measured.time_s]
    assert (np.diff(spelt) > 0).all()
