"""Every dialect read from a few lines of it; the same test in other words, units and encodings is the same test."""

import math
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.tensile import sidecar as sidecars
from meva_pipelines.domain.tensile.recording import DisplacementSource, Quantity, Shape
from meva_pipelines.domain.tensile.sidecar import Sidecar
from meva_pipelines.domain.tensile.units import INCH_MM, POUND_FORCE
from meva_pipelines.resources import machine_files
from meva_pipelines.resources.machine_files import LIMITS
from meva_pipelines.resources.spreadsheets import Limits
from meva_pipelines_tests.resources.machine_cases import (
    DISPLACEMENT_MM,
    LOAD_N,
    TIME_S,
    Expected,
    dialect_case,
    read_one,
    rows,
    same_curve,
)

GAUGE = DisplacementSource.EXTENSOMETER
CROSSHEAD = DisplacementSource.CROSSHEAD
SEOUL = ZoneInfo("Asia/Seoul")


def text(*lines: str, end: str = "\n") -> str:
    return end.join(lines) + end


def refused(content: bytes | str, rule: str, *words: str, stated: Sidecar | None = None) -> Unusable:
    data = content.encode() if isinstance(content, str) else content
    with pytest.raises(Unusable) as error:
        machine_files.read(data, name="A1.csv", sidecar=stated)
    assert error.value.rule == rule
    for word in words:
        assert word in str(error.value)
    return error.value


def outcome(content: bytes) -> tuple[object, ...] | str:
    """What is read, or the rule that refuses the file; anything else that is raised is a defect."""
    try:
        reading = machine_files.read(content, name="a.csv")
    except Unusable as error:
        return error.rule
    return reading.recordings + reading.refusals


def test_a_key_value_table_of_the_materials_platform() -> None:
    content = text(
        "Specimen name:\tAWA_1",
        "Specimen ID:\tX1",
        "Material:\t42CrMoS4",
        "Specimen type:\tRound Tensile Specimen",
        "Gauge diameter:\t5\tmm",
        "Gauge length:\t25\tmm",
        "Parallel length:\t30\tmm",
        "Original cross-section:\t19.6\tmm²",
        "Cross-section after fracture:\t9.7\tmm²",
        "Ultimate tensile strength:\t1187.9\tMPa",
        "Test temperature:\tRT\tCel",
        "Machine type:\tINSTRON 8852TT",
        "Date:\t2022-09-06 00:00:00",
        "Time\tDisplacement\tForce\tMachine Displacement\tEngineering Strain\tTrue Strain",
        "s\tmm\tkN\tmm\t\t",
        *rows("{t}\t{d}\t{f}\t{t}\t{d}\tnan", scale=(1, 1000, 1)),
    )
    recording = dialect_case(
        content.encode(),
        Expected(
            "PMD key-value table",
            GAUGE,
            fields={
                "name": "A1",
                "material": "42CrMoS4",
                "shape": Shape.ROUND,
                "diameter_mm": 5.0,
                "gauge_length_mm": 25.0,
                "parallel_length_mm": 30.0,
                "area_mm2": 19.6,
                "final_area_mm2": 9.7,
                "temperature_c": 23.0,
                "machine": "INSTRON 8852TT",
                "started_at": datetime(2022, 9, 6, tzinfo=SEOUL),
            },
            strain=DISPLACEMENT_MM,
            crosshead=TIME_S,
        ),
    )
    assert recording.header["Ultimate tensile strength"] == "1187.9 MPa"
    assert [column.quantity for column in recording.detection.columns] == [
        Quantity.TIME,
        Quantity.EXTENSION,
        Quantity.FORCE,
        Quantity.CROSSHEAD,
        Quantity.STRAIN,
        None,
    ]


def test_a_logger_with_unused_channels_and_a_row_after_the_break() -> None:
    content = text(
        "Probe;AWA;INSTRON 8852TT;1605F",
        "Maschine [mm]\tKraft [kN]\tKraft 2 [kN]\tClip-Gauge [mm]\tMX_5 [°C]\tZeit [s]\tKanal 10",
        *rows("9.0E-01\t{f}E-03\t0.0E+00\t{d}E+00\t0.0E+00\t{t}E+00\t0.0E+00"),
        "9.0E-01\t0.0E+00\t0.0E+00\t1.9E+00\t0.0E+00\t3.0E+00\t0.0E+00",
    )
    recording = dialect_case(content.encode(), Expected("Instron/HBM logger", GAUGE))
    assert recording.repairs.rows_after_break == 1
    assert recording.repairs.rows_read == len(LOAD_N) + 1


def test_plain_csv_with_units_in_brackets_of_either_kind() -> None:
    round_ones = text("Time (s),Load (kN),Crosshead (mm)", *rows("{t},{f},{d}", scale=(1, 1000, 1)))
    square_ones = text("Time [s];Load [kN];Crosshead [mm]", *rows("{t};{f};{d}", scale=(1, 1000, 1), decimal=","))
    dialect_case(round_ones.encode(), Expected("delimited text"))
    dialect_case(square_ones.encode(), Expected("delimited text", decimal=","))


def test_geometry_that_stands_only_in_the_first_row_of_data() -> None:
    lines = rows("{t},{d},{f},{d},,,")
    lines[0] = lines[0][:-2] + "12.5,3.2,50"
    content = text(
        "Time (s),Extension (mm),Load (N),Strain (mm/mm),Width (mm),Thickness (mm),Gauge length (mm)", *lines
    )
    recording = dialect_case(
        content.encode(),
        Expected(
            "delimited text",
            fields={"width_mm": 12.5, "thickness_mm": 3.2, "area_mm2": 40.0, "gauge_length_mm": 50.0},
            strain=DISPLACEMENT_MM,
        ),
    )
    assert recording.specimen.shape is Shape.RECTANGULAR


def test_german_testxpert_text_with_an_unknown_gauge_length() -> None:
    content = text(
        '"Messlänge"\t"nicht bekannt"',
        '"Probenbreite b0"\t11.4\t"mm"',
        '"Probendicke a0"\t0.2\t"mm"',
        '"Datum"\t"20.02.2008"',
        '"Prüfzeit"\t"Standardweg"\t"Standardkraft"\t"Dehnung"\t"Traverse abs."',
        '"s"\t"mm"\t"N"\t"%"\t"mm"',
        *(
            f"{time:g}\t{way:g}\t{load:.10g}\t{way / 80 * 100:.10g}\t{785.0 + way:.10g}"
            for time, load, way in zip(TIME_S, LOAD_N, DISPLACEMENT_MM, strict=True)
        ),
    )
    recording = dialect_case(
        content.encode("latin-1"),
        Expected(
            "testXpert text, German",
            encoding="latin-1",
            fields={"gauge_length_mm": 80.0, "width_mm": 11.4, "thickness_mm": 0.2, "area_mm2": 11.4 * 0.2},
            strain=[way / 80 for way in DISPLACEMENT_MM],
        ),
    )
    assert recording.specimen.started_at == datetime(2008, 2, 20, tzinfo=SEOUL)
    assert "L0 = 80 mm" in recording.detection.warnings[0]


@pytest.mark.parametrize(
    ("names", "spelling"),
    [
        ('"Temps","Traverse absolue","Force standard","Course standard"', "{t},-700,{f},{d}"),
        ('"Standard force","Time","Standard travel","Crosshead absolute"', "{f},{t},{d},-700"),
        ('"Force standard","Standard travel","Temps"', "{f},{d},{t}"),
    ],
)
def test_tra_files_in_any_language_and_order(names: str, spelling: str) -> None:
    units = {"Temps": "s", "Time": "s", "Force standard": "N", "Standard force": "N"}
    units_row = ",".join(f'"{units.get(name.strip(chr(34)), "mm")}"' for name in names.split(","))
    content = text(
        '"Épaisseur éprouvette",1,"mm"',
        '"Largeur éprouvette",5.96,"mm"',
        '"L0 - course standard",25,"mm"',
        '"Date/heure",43173.4,""',
        '"Opérateur",""',
        names,
        units_row,
        *rows(spelling),
    )
    dialect_case(
        content.encode("latin-1"),
        Expected(
            "testXpert .TRA",
            GAUGE,
            encoding="latin-1",
            fields={
                "gauge_length_mm": 25.0,
                "area_mm2": 5.96,
                "operator": None,
                "started_at": datetime(2018, 3, 14, 9, 36, tzinfo=SEOUL),
            },
        ),
    )


def test_bluehill_with_thousands_in_quotes_and_with_every_cell_quoted() -> None:
    quoted = [f'{t},{d},"{load:,.4f}",{d}' for t, d, load in zip(TIME_S, DISPLACEMENT_MM, LOAD_N, strict=True)]
    content = text(
        'Specimen label,"A 1"',
        'Width,"12.5",mm',
        'Thickness,"3.2",mm',
        "",
        "Time,Extension,Load,Tensile strain (Extension)",
        "(s),(mm),(N),(mm/mm)",
        *quoted,
        end="\r\n",
    )
    recording = dialect_case(content.encode(), Expected("Instron Bluehill", fields={"area_mm2": 40.0}))
    assert recording.detection.separator == "comma"
    german = text(
        'Specimen label;"A 1"',
        "",
        '"Time (s)";"Extension (mm)";"Load (N)";"Tensile stress (MPa)"',
        *rows('"{t}";"{d}";"{f}";"1,5"', decimal=","),
    )
    dialect_case(
        german.encode("utf-16-le"), Expected("Instron Bluehill", encoding="UTF-16 without byte order mark", decimal=",")
    )


def test_two_headings_of_one_channel_are_no_ambiguity() -> None:
    content = text("Time (s),Extension (mm),Load (N),Tensile extension (mm)", *rows("{t},{d},{f},{d}"))
    dialect_case(content.encode(), Expected("Instron Bluehill"))


def test_specimens_side_by_side_with_empty_columns_behind() -> None:
    lines = rows('"{t}","{f}","{d}","{t}","{f}","{d}","",""')
    lines += ['"","","","3.0","10.5","2.5","",""']
    content = text(
        '"P1","","","P2","","","",""',
        '"Temps","Force","Stroke","Temps","Force","Stroke","",""',
        '"sec","N","mm","sec","N","mm","",""',
        *lines,
    )
    reading = machine_files.read(content.encode(), name="batch.csv")
    assert [each.specimen.name for each in reading.recordings] == ["batch #P1", "batch #P2"]
    first, second = reading.recordings
    assert first.detection.dialect == "Shimadzu Trapezium"
    same_curve(first)
    assert (first.repairs.rows_read, first.repairs.rows_blank) == (len(LOAD_N) + 1, 1)
    assert second.repairs.rows_after_break == 1
    same_curve(second)


def test_one_bad_specimen_of_several_does_not_take_the_others_along() -> None:
    content = text(
        "P1,,,P2,,",
        "Time (s),Force (N),Stroke (mm),Time (s),Force (N),Stroke (mm)",
        *(line + f",{t},-50,1" for line, t in zip(rows("{t},{f},{d}"), TIME_S, strict=True)),
    )
    reading = machine_files.read(content.encode(), name="batch.csv")
    assert [each.specimen.name for each in reading.recordings] == ["batch #P1"]
    assert [(each.specimen, each.rule) for each in reading.refusals] == [("batch #P2", "load_is_tensile")]


def test_mts_793_with_blocks_and_a_declared_decimal_comma() -> None:
    content = text(
        "MTS793|MPT|DEU|x|x|,|.|:|49|1|1|A",
        "",
        "Bediener Information\t\t\t\tZeit:\t78,4\ts",
        "Durchmesser :\t5,05",
        "",
        "Datenerfassung\t\t\t\tZeit:\t544,3\ts",
        "Datum\tLaufzeit\tCh 1 Kraft Sollwert\tCh 1 Kraft\tCh 1 Weg",
        "d\ts\tkN\tkN\tmm",
        *rows("41842\t{t}\t1,5\t{f}\t{d}", scale=(1, 1000, 1), decimal=","),
        "",
        "Datenerfassung\t\t\t\tZeit:\t544,3\ts",
        "Ch 1 Kraft\tCh 1 Weg",
        "kN\tmm",
        "0,2\t2,03",
        "3,4\t2,04",
    )
    dialect_case(content.encode(), Expected("MTS 793", decimal=",", fields={"diameter_mm": 5.05}))


def test_mts_testsuite() -> None:
    content = text(
        "C:\\tests\\steel",
        "Test:\tsteel",
        "Date:\t24.08.2022, 11:55:02",
        "_Extension\t_Load\t_Time\t_Strain1",
        "mm\tkN\tsec\tmm",
        *rows("9,5\t{f}\t{t}\t{d}", scale=(1, 1000, 1), decimal=","),
    )
    dialect_case(
        content.encode("utf-8-sig"),
        Expected(
            "MTS TestSuite",
            GAUGE,
            encoding="UTF-8 with byte order mark",
            decimal=",",
            fields={"started_at": datetime(2022, 8, 24, 11, 55, 2, tzinfo=SEOUL)},
        ),
    )


def test_walter_and_bai_with_damaged_letters() -> None:
    content = text(
        "S/No;C_1_Temps[s];C_1_Force[kN];C_1_D�form1[mm];C_1_D�placement[mm];C_1_Valeur de commande[%]",
        *rows("10;{t};{f};{d};9.5;3.0", scale=(1, 1000, 1)),
    )
    recording = dialect_case(content.encode(), Expected("Walter+Bai", GAUGE))
    assert "U+FFFD" in recording.detection.warnings[0]


def test_catman_with_overflows_and_a_separator_at_the_end_of_each_row() -> None:
    lines = rows("{t}\t{f}\t{d}\t1.5\t")
    lines[2] = "-1000000\t" + lines[2].split("\t", 1)[1]
    content = text("HBM catman 4.5", "Zeit [s]\tKraft [N]\tWeg [mm]\tMotor [V]\t", *lines)
    recording = read_one(content.encode("latin-1"))
    assert recording.detection.dialect == "catman ASC"
    assert (recording.repairs.rows_read, recording.repairs.rows_blank) == (len(LOAD_N), 1)
    assert "overflow" in recording.repairs.notes[0]


def test_korean_files_in_their_own_encoding() -> None:
    content = text(
        "시험자,홍", "시편 두께(mm),2", "시간(초),하중(kgf),변위(mm)", *rows("{t},{f},{d}", scale=(1, 9.80665, 1))
    )
    recording = dialect_case(content.encode("cp949"), Expected("delimited text", encoding="CP949"))
    assert "홍" not in str(recording.header)


def test_uploads_in_json_and_csv_need_no_units() -> None:
    values = {"load": list(LOAD_N), "extension": list(DISPLACEMENT_MM), "time": list(TIME_S)}
    statements = '"test": "T-7", "diameter_mm": 5.05, "started_at": "2024-05-06T07:08:09+09:00"'
    content = f'{{{statements}, "columns": {str(values).replace(chr(39), chr(34))}}}'
    recording = dialect_case(content.encode(), Expected("upload", GAUGE, fields={"name": "T-7", "diameter_mm": 5.05}))
    assert recording.specimen.area_mm2 == pytest.approx(math.pi * 5.05**2 / 4)
    lines = text("# test: T-8", "# gauge_length_mm: 25", "time,load,extension", *rows("{t},{f},{d}"))
    dialect_case(lines.encode(), Expected("upload CSV", GAUGE, fields={"name": "T-8", "gauge_length_mm": 25.0}))


@pytest.mark.parametrize(
    "stated", ["test: 1", "[1]", '{"columns": {"load": [1, 2], "time": [1]}}', '{"columns": {"load": "x"}}']
)
def test_an_upload_that_breaks_its_schema_is_refused(stated: str) -> None:
    if stated.startswith("{"):
        refused(stated, "upload_is_valid")
    else:
        refused(stated, "table_is_found")


NAMES = {
    "time": ("Time", "Zeit", "Temps", "Prüfzeit", "시간", "时间", "Elapsed time"),
    "force": ("Load", "Kraft", "Force", "Standardkraft", "하중", "试验力", "Axial Force"),
    "crosshead": ("Crosshead", "Traverse", "Stroke", "Kolbenweg", "크로스헤드", "横梁位移"),
}
UNITS = {
    "time": (("s", 1.0), ("sec", 1.0), ("ms", 1e-3), ("min", 60.0)),
    "force": (("N", 1.0), ("kN", 1e3), ("lbf", POUND_FORCE), ("kgf", 9.80665)),
    "crosshead": (("mm", 1.0), ("µm", 1e-3), ("in", INCH_MM), ("cm", 10.0)),
}


@given(data=st.data())
def test_the_same_test_in_other_words_units_orders_and_encodings_is_the_same_test(data: st.DataObject) -> None:
    order = data.draw(st.permutations(["time", "force", "crosshead"]))
    chosen = {name: data.draw(st.sampled_from(NAMES[name])) for name in order}
    units = {name: data.draw(st.sampled_from(UNITS[name])) for name in order}
    separator, decimal = data.draw(st.sampled_from([("\t", "."), ("\t", ","), (";", ","), (";", "."), (",", ".")]))
    values = {"time": TIME_S, "force": LOAD_N, "crosshead": DISPLACEMENT_MM}
    lines = [
        separator.join(f"{values[name][row] / units[name][1]:.12g}".replace(".", decimal) for name in order)
        for row in range(len(LOAD_N))
    ]
    is_inline = data.draw(st.booleans())
    heading = [separator.join(f"{chosen[name]} [{units[name][0]}]" if is_inline else chosen[name] for name in order)]
    if not is_inline:
        heading.append(separator.join(units[name][0] for name in order))
    content = data.draw(st.sampled_from(["\n", "\r\n"])).join([*heading, *lines, ""])
    encodings = [name for name in ("utf-8", "utf-8-sig", "utf-16", "utf-16-be", "latin-1") if _fits(content, name)]
    recording = read_one(content.encode(data.draw(st.sampled_from(encodings))))
    same_curve(recording)
    assert recording.curve.displacement_source is CROSSHEAD


def _fits(content: str, encoding: str) -> bool:
    try:
        return content.encode(encoding).decode(encoding) == content
    except UnicodeEncodeError:
        return False


def test_two_forces_are_asked_about_and_a_sidecar_answers() -> None:
    content = text("Time (s),Force 1 (N),Force 2 (N),Stroke (mm)", *rows("{t},{f},{d},{d}"))
    error = refused(content, "column_is_unambiguous", "'Force 1 (N)'", "'Force 2 (N)'")
    assert error.field == "force"
    stated = sidecars.parsed({"columns": {"force": {"name": "Force 1"}}, "test": "T"})
    recording = read_one(content.encode(), sidecar=stated)
    same_curve(recording)
    assert recording.specimen.name == "T"
    assert [column.why for column in recording.detection.columns][1] == "stated in the sidecar"


def test_columns_without_any_heading_are_named_by_their_number() -> None:
    content = text(*rows("{t},{f},{d}"))
    refused(content, "force_is_found", "'column 1', 'column 2', 'column 3'")
    stated = sidecars.parsed(
        {
            "columns": {
                "time": {"name": 1, "unit": "s"},
                "force": {"name": 2, "unit": "N"},
                "crosshead": {"name": 3, "unit": "mm"},
            }
        }
    )
    same_curve(read_one(content.encode(), sidecar=stated))


def test_what_cannot_be_taken_says_which_rule_it_breaks() -> None:
    refused(b"", "text_is_readable", "empty")
    refused(bytes(range(256)), "text_is_readable")
    refused("a letter\nand another\n", "table_is_found")
    refused(text("Time (s),Displacement (mm)", *rows("{t},{d}")), "force_is_found", "'Time (s)', 'Displacement (mm)'")
    refused(text("Time (s),Load (N)", *rows("{t},{f}")), "displacement_is_found", "'Load (N)'")
    refused(text("Time,Kraft,Weg", *rows("{t},{f},{d}")), "unit_is_known", "'Kraft'")
    refused(text("Time (s),Load (N),Stroke (mm)", *rows("{t},-{f},{d}")), "load_is_tensile", "compression")
    refused(text("Time (s);Load (N);Stroke (mm)", "0;1,250;1,500", "1;2,250;2,500"), "decimal_mark_is_known", "sidecar")
    refused(b"PK\x03\x04 no workbook", "file_is_readable")
    refused(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 no workbook", "file_is_readable")


def test_a_cell_that_is_no_number_is_named_by_row_and_column() -> None:
    lines = rows("{t},{f},{d}")
    lines[3] = "1.5,abc,0.75"
    error = refused(text("Time (s),Load (N),Stroke (mm)", *lines), "values_are_numbers")
    assert (error.field, error.row) == ("Load (N)", 5)


def test_text_below_a_table_ends_it() -> None:
    content = text(
        "Time (s),Load (N),Stroke (mm)", *rows("{t},{f},{d}"), "", "End of test,operator left", "Comment,none"
    )
    same_curve(read_one(content.encode()))


def test_time_that_goes_back_is_named_by_its_row() -> None:
    lines = rows("{t},{f},{d}")
    lines[2], lines[3] = lines[3], lines[2]
    error = refused(text("Time (s),Load (N),Stroke (mm)", *lines), "time_increases")
    assert error.row == 5


def test_limits_hold() -> None:
    content = text("Time (s),Load (N),Stroke (mm)", *rows("{t},{f},{d}")).encode()
    for limits in (Limits(rows=5), Limits(lines=3), Limits(columns=2), Limits(characters=4)):
        with pytest.raises(Unusable) as error:
            machine_files.read(content, name="a.csv", limits=limits)
        assert error.value.rule == "file_is_within_limits"
    assert machine_files.read(content, name="a.csv", limits=LIMITS).recordings


def test_a_long_table_is_read_to_its_end() -> None:
    count = 20_000
    time = np.arange(count) / 100
    content = "Time [s]\tLoad [kN]\tStroke [mm]\n" + "".join(f"{t:.2f}\t{t / 10:.3f}\t{t / 50:.4f}\n" for t in time)
    recording = read_one(content.encode())
    assert len(recording.curve.load_n) == count
    np.testing.assert_allclose(recording.curve.load_n, np.round(time / 10, 3) * 1000)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_anything_else_is_refused_with_a_rule(content: bytes) -> None:
    assert outcome(content)


@pytest.mark.parametrize(
    "content", [b"a: [1", b"test: !!python/object:os.system x", b"a: &x 1\nb: *x", b"unknown: 1", b"width_mm: -1"]
)
def test_a_sidecar_that_is_not_plain_and_valid_is_refused(content: bytes) -> None:
    with pytest.raises(Unusable) as error:
        machine_files.read_sidecar(content)
    assert error.value.rule == "sidecar_is_valid"


def test_a_sidecar_overrides_the_header() -> None:
    stated = machine_files.read_sidecar(
        "test: S1\nmaterial: 강\nshape: rectangular\nwidth_mm: 10\nthickness_mm: 2\nstarted_at: 2024-03-04\n".encode()
    )
    content = text("# Diameter: 5 mm", "# Material: tin", "Time (s),Load (N),Stroke (mm)", *rows("{t},{f},{d}"))
    specimen = read_one(content.encode(), sidecar=stated).specimen
    assert (specimen.name, specimen.material, specimen.width_mm) == ("S1", "강", 10.0)
    assert specimen.started_at == datetime(2024, 3, 4, tzinfo=SEOUL)


@pytest.mark.parametrize(
    "line",
    [
        "1" * 30_000 + "x",
        "a" * 30_000 + ":",
        "(" * 30_000,
        "é" * 30_000,
        "1," * 15_000,
        ": " * 15_000,
        "\t" * 300,
        "\n" * 30_000,
    ],
)
def test_hostile_lines_are_told_from_tests_without_delay(line: str) -> None:
    """Patterns that go back over a long cell again and again would take minutes here."""
    content = text(line, "Time (s),Load (N),Stroke (mm)", *rows("{t},{f},{d}"), line)
    assert outcome(content.encode())
