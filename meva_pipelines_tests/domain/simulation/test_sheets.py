"""Header rows of a measured curve's sheet, in every form that is known, and numbers below them."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.simulation import sheets
from meva_pipelines.domain.simulation.sheets import Cells

NUMBERS: list[Cells] = [(0.0, -0.01), (0.01, 3.5), (0.02, 1.25)]


@pytest.mark.parametrize(
    "header",
    [
        [("Time", "Pressure"), ("[ms]", "MPa"), ("注释", "T-7")],
        [("时间", "压力"), ("【ms】", "(MPa)"), ("备注", "T-7")],
        [("点火", None), ("Time", "Pressure"), ("毫秒", "兆帕"), ("注释", "T-7")],
        [("Time [ms]", "Pressure [MPa]"), ("注释", "T-7")],
    ],
)
def test_header_rows_are_understood(header: list[Cells]) -> None:
    sheet = sheets.read([*header, *NUMBERS])
    assert sheet.header.note == "T-7"
    assert sheet.header.rows == len(header)
    assert sheet.time_ms.tolist() == [0.0, 0.01, 0.02]
    assert sheet.pressure_mpa.tolist() == [-0.01, 3.5, 1.25]


@pytest.mark.parametrize(
    ("time_unit", "pressure_unit", "time_factor", "pressure_factor"),
    [("s", "MPa", 1e3, 1.0), ("µs", "kPa", 1e-3, 1e-3), ("ms", "bar", 1.0, 0.1), ("msec", "psi", 1.0, 6.894757293e-3)],
)
def test_other_units_are_converted_as_they_are_written(
    time_unit: str, pressure_unit: str, time_factor: float, pressure_factor: float
) -> None:
    sheet = sheets.read([(time_unit, pressure_unit), *NUMBERS])
    assert sheet.time_ms == pytest.approx(np.array([0.0, 0.01, 0.02]) * time_factor)
    assert sheet.pressure_mpa == pytest.approx(np.array([-0.01, 3.5, 1.25]) * pressure_factor)


def test_columns_in_the_other_order_are_told_by_their_units() -> None:
    sheet = sheets.read([("MPa", "ms"), *((b, a) for a, b in [(0.0, -0.01), (0.01, 3.5)])])
    assert sheet.time_ms.tolist() == [0.0, 0.01]


@pytest.mark.parametrize(
    ("rows", "rule"),
    [
        ([("Time", "Pressure"), *NUMBERS], "units_are_written"),
        ([("ms", "ms"), *NUMBERS], "units_are_written"),
        ([("ms", "MPa")], "sheet_has_numbers"),
        ([("ms", "MPa"), (0.0, 1.0, 2.0)], "sheet_has_two_columns"),
        ([("ms", "MPa"), *NUMBERS, ("end", None), *NUMBERS], "rows_are_numbers"),
        ([("text", None)] * 30 + NUMBERS, "sheet_has_numbers"),
    ],
)
def test_what_cannot_be_understood_is_refused_by_name(rows: list[Cells], rule: str) -> None:
    with pytest.raises(Unusable) as caught:
        sheets.read(rows)
    assert caught.value.rule == rule


def test_blank_rows_below_the_header_do_not_count() -> None:
    assert sheets.read([("ms", "MPa"), *NUMBERS, (None, None), ()]).time_ms.size == 3


@given(st.lists(st.lists(st.one_of(st.none(), st.floats(), st.text(max_size=5)), max_size=4), max_size=30))
def test_any_sheet_is_read_or_refused(rows: list[list[float | str | None]]) -> None:
    with suppress(Unusable):
        sheet = sheets.read(rows)
        assert sheet.time_ms.shape == sheet.pressure_mpa.shape
