"""Units, names of channels, numbers, dates and keys of headers, as files of five languages write them."""

import math
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.tensile import header_words, headers, moments, numerals, quantities, units
from meva_pipelines.domain.tensile.quantities import Kind
from meva_pipelines.domain.tensile.recording import Shape
from meva_pipelines.domain.tensile.sidecar import Sidecar
from meva_pipelines.domain.tensile.tables import Entry
from meva_pipelines.domain.tensile.units import Dimension

SEOUL = ZoneInfo("Asia/Seoul")


@pytest.mark.parametrize(
    ("text", "dimension", "factor"),
    [
        ("kN", Dimension.FORCE, 1e3),
        ("MN", Dimension.FORCE, 1e6),
        ("mN", Dimension.FORCE, 1e-3),
        ("kgf", Dimension.FORCE, 9.80665),
        ("lbf", Dimension.FORCE, 0.45359237 * 9.80665),
        ("(in)", Dimension.LENGTH, 25.4),
        ("[µm]", Dimension.LENGTH, 1e-3),
        ("sec", Dimension.TIME, 1.0),
        ("min", Dimension.TIME, 60.0),
        ("%", Dimension.RATIO, 0.01),
        ("mm/mm", Dimension.RATIO, 1.0),
        ("µm/m", Dimension.RATIO, 1e-6),
        ("N/mm²", Dimension.STRESS, 1.0),
        ("psi", Dimension.STRESS, 0.45359237 * 9.80665 / 25.4**2),
        ("kpsi", Dimension.STRESS, 1e3 * 0.45359237 * 9.80665 / 25.4**2),
        ("GPa", Dimension.STRESS, 1e3),
        ("mm�", Dimension.AREA, 1.0),
        ("Â°C", Dimension.TEMPERATURE, 1.0),
    ],
)
def test_units(text: str, dimension: Dimension, factor: float) -> None:
    found = units.unit(text)
    assert found is not None
    assert found.dimension is dimension
    assert found.factor == pytest.approx(factor, rel=1e-12)


@pytest.mark.parametrize("text", ["", "Nm", "V", "mm/s", "mm/min", "N/tex", "counts"])
def test_what_is_no_unit_of_a_tensile_test(text: str) -> None:
    assert units.unit(text) is None


@pytest.mark.parametrize(
    ("heading", "name", "unit"),
    [
        ("Load (kN)", "Load", "kN"),
        ("C_1_Force[kN]", "C_1_Force", "kN"),
        ("Force_N", "Force", "N"),
        ("Load / kN", "Load", "kN"),
        ("Force, N", "Force", "N"),
        ("Extension in mm", "Extension", "mm"),
        ("Tensile strain (Extension)", "Tensile strain (Extension)", None),
        ("Axial Strain", "Axial Strain", None),
        ("Strain 1", "Strain 1", None),
    ],
)
def test_headings_are_split_into_name_and_unit(heading: str, name: str, unit: str | None) -> None:
    assert quantities.split(heading) == (name, unit)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Standardkraft", Kind.FORCE),
        ("Ch 1 Kraft", Kind.FORCE),
        ("하중", Kind.FORCE),
        ("试验力", Kind.FORCE),
        ("Ch 1 Kraft Sollwert", Kind.NOT_MEASURED),
        ("Load command", Kind.NOT_MEASURED),
        ("C_1_Valeur de commande", Kind.NOT_MEASURED),
        ("True Strain", Kind.NOT_MEASURED),
        ("Crosshead speed", Kind.NOT_MEASURED),
        ("Breitenänderung", Kind.NOT_MEASURED),
        ("Pr�fzeit", Kind.TIME),
        ("PrÃ¼fzeit", Kind.TIME),
        ("Temps d'essai", Kind.TIME),
        ("시험 시간", Kind.TIME),
        ("Clip-Gauge", Kind.GAUGE),
        ("C_1_D�form1", Kind.GAUGE),
        ("변위", Kind.DISPLACEMENT),
        ("크로스헤드 변위", Kind.CROSSHEAD),
        ("Traverse abs.", Kind.POSITION),
        ("Ecartement entre outils", Kind.POSITION),
        ("Course standard", Kind.TRAVEL),
        ("_Strain1", Kind.STRAIN),
        ("연신율", Kind.STRAIN),
        ("Kanal 10", None),
        ("", None),
    ],
)
def test_names_of_channels(name: str, kind: Kind | None) -> None:
    found = quantities.meaning(name)
    assert (found.kind if found else None) is kind


@pytest.mark.parametrize(
    ("table", "mark"),
    [
        (b"1.5\t2.5", "."),
        (b"0,5\t2", ","),
        (b"1,25\t2,250", ","),
        (b"12,345.678", "."),
        (b"1,234,567", "."),
        (b"1.234,5", ","),
        (b"1,234\t0.5", "."),
        (b"1,234\t5,678", None),
        (b"1,0E+03", ","),
    ],
)
def test_the_decimal_mark_is_decided_by_the_whole_table(table: bytes, mark: str | None) -> None:
    assert numerals.decimal_mark(table) == mark


@given(st.lists(st.floats(-1e9, 1e9), min_size=3), st.sampled_from(".,"))
def test_written_numbers_are_read_back(values: list[float], mark: str) -> None:
    for value in values:
        assert numerals.number(f"{value:.6f}".replace(".", mark), mark) == pytest.approx(value, abs=1e-6)
        grouped = f"{value:,.3f}"
        if mark == ",":
            grouped = grouped.translate(str.maketrans(",.", ".,"))
        assert numerals.number(grouped, mark) == pytest.approx(value, abs=1e-3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2022-09-06 00:00:00", datetime(2022, 9, 6)),  # noqa: DTZ001 - the zone is added below
        ("18.7.2000", datetime(2000, 7, 18)),  # noqa: DTZ001 - as above
        ("24.08.2022, 11:55:02", datetime(2022, 8, 24, 11, 55, 2)),  # noqa: DTZ001 - as above
        ("43173.4", datetime(2018, 3, 14, 9, 36)),  # noqa: DTZ001 - as above
        ("6/21/2018 11:47:32 PM", datetime(2018, 6, 21, 23, 47, 32)),  # noqa: DTZ001 - as above
        ("2024-03-04 오후 3:05:06", datetime(2024, 3, 4, 15, 5, 6)),  # noqa: DTZ001 - as above
        ("2024년 3월 4일", datetime(2024, 3, 4)),  # noqa: DTZ001 - as above
    ],
)
def test_moments(text: str, expected: datetime) -> None:
    assert moments.moment(text) == expected.replace(tzinfo=SEOUL)


def test_a_moment_with_its_own_zone_keeps_it() -> None:
    found = moments.moment("2024-05-06T07:08:09+02:00")
    assert found is not None
    assert found.utcoffset() == timedelta(hours=2)


@pytest.mark.parametrize("text", ["", "03/04/2021", "31.2.2020", "12", "tomorrow", "2024-13-01"])
def test_what_is_no_moment_or_two(text: str) -> None:
    assert moments.moment(text) is None


@pytest.mark.parametrize(
    ("key", "field"),
    [
        ("Épaisseur éprouvette", "thickness_mm"),
        ("Probendicke a0", "thickness_mm"),
        ("Gage length, standard travel", "gauge_length_mm"),
        ("L0 - course standard", "gauge_length_mm"),
        ("Original cross-section", "area_mm2"),
        ("Cross-section after fracture", "final_area_mm2"),
        ("Date/Clock time", "started_at"),
        ("gauge_length", "gauge_length_mm"),
        ("표점거리", "gauge_length_mm"),
        ("Prüfgeschwindigkeit", None),
    ],
)
def test_keys_of_headers(key: str, field: str | None) -> None:
    assert header_words.field_of(key) == field


def test_values_of_a_header_come_in_our_units_and_unknown_ones_stay_away() -> None:
    header = headers.read(
        [
            Entry("Diameter", "0.5", "in"),
            Entry("Gauge length [cm]", "5"),
            Entry("Lc", "nicht bekannt", "mm"),
            Entry("A0", "126.6", "mm²"),
            Entry("Temperature", "300.15", "K"),
            Entry("Operator", "someone"),
            Entry("Width", "-3", "mm"),
            Entry("Test speed", "1", "mm/min"),
        ],
        decimal=".",
    )
    specimen = headers.specimen("a", header, Sidecar())
    assert (specimen.diameter_mm, specimen.gauge_length_mm, specimen.area_mm2) == (12.7, 50.0, 126.6)
    assert specimen.temperature_c == pytest.approx(27.0)
    assert (specimen.parallel_length_mm, specimen.width_mm, specimen.shape) == (None, None, Shape.ROUND)
    assert specimen.operator == "someone"
    assert "Operator" not in header.rest
    assert header.rest["Test speed"] == "1 mm/min"


@pytest.mark.parametrize(
    ("stated", "area"),
    [
        (Sidecar(diameter_mm=10.0), math.pi * 25),
        (Sidecar(thickness_mm=2.0, width_mm=12.5), 25.0),
        (Sidecar(shape=Shape.TUBE, diameter_mm=20.0, thickness_mm=2.0), math.pi * (100 - 64)),
        (Sidecar(shape=Shape.TUBE, diameter_mm=20.0), None),
        (Sidecar(width_mm=12.5), None),
        (Sidecar(diameter_mm=10.0, area_mm2=80.0), 80.0),
    ],
)
def test_an_area_follows_from_the_dimensions(stated: Sidecar, area: float | None) -> None:
    found = headers.specimen("a", headers.read([], decimal="."), stated).area_mm2
    assert found == (None if area is None else pytest.approx(area))
