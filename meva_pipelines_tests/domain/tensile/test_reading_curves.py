"""The choice of columns, and the repair of curves: everything counted, everything recorded, nothing invented."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.tensile import columns, headings, repair, sidecar, tables
from meva_pipelines.domain.tensile.columns import Selection
from meva_pipelines.domain.tensile.recording import Curve, DisplacementSource, Quantity, Repairs, Series
from meva_pipelines.domain.tensile.sidecar import ColumnChoice

COUNT = 200
WAY: Series = np.linspace(0.0, 10.0, COUNT)
LOAD: Series = 5_000.0 * np.tanh(WAY) + 10.0 * WAY
TIME: Series = np.linspace(0.0, 19.9, COUNT)


def selection(load: Series = LOAD, way: Series = WAY, time: Series | None = TIME) -> Selection:
    return Selection(
        force=load.copy(),
        displacement=way.copy(),
        source=DisplacementSource.CROSSHEAD,
        is_position=False,
        time=None if time is None else time.copy(),
        crosshead=None,
        strain=None,
        gauge_length_mm=None,
        columns=(),
        warnings=(),
    )


def chosen(names: list[str], values: list[Series], *, gauge_length_mm: float | None = None) -> Selection:
    found = headings.read(names, [], {})
    kept = {each.position: values[each.position].copy() for each in found if each.kind is not None}
    return columns.select(found, kept, gauge_length_mm=gauge_length_mm)


def broken(rule: str, given_selection: Selection, zero_band_n: float | None = None) -> Unusable:
    with pytest.raises(Unusable) as error:
        repair.repaired(given_selection, first_row=10, zero_band_n=zero_band_n)
    assert error.value.rule == rule
    return error.value


def repaired_or_rule(given_selection: Selection) -> tuple[Curve, Repairs] | str:
    try:
        return repair.repaired(given_selection, first_row=1)
    except Unusable as error:
        return error.rule


def test_a_standard_travel_is_the_extensometers_when_a_gauge_length_is_set() -> None:
    names = ["Time (s)", "Standard force (N)", "Standard travel (mm)", "Grip to grip separation (mm)"]
    values = [TIME, LOAD, WAY, 50 + 1.4 * WAY]
    set_one = chosen(names, values, gauge_length_mm=25.0)
    assert set_one.source is DisplacementSource.EXTENSOMETER
    np.testing.assert_array_equal(set_one.crosshead, 50 + 1.4 * WAY)
    assert chosen(names, values).source is DisplacementSource.CROSSHEAD
    follows = chosen(names, [TIME, LOAD, WAY, 50 + WAY], gauge_length_mm=25.0)
    assert follows.source is DisplacementSource.CROSSHEAD


def test_a_gauge_length_follows_from_displacement_and_strain() -> None:
    found = chosen(["Kraft [N]", "Standardweg [mm]", "Dehnung [%]"], [LOAD, WAY, WAY / 80 * 100])
    assert found.gauge_length_mm == 80.0
    bent = chosen(["Kraft [N]", "Standardweg [mm]", "Dehnung [%]"], [LOAD, WAY, WAY**2])
    assert bent.gauge_length_mm is None


def test_a_plain_displacement_beside_the_machines_is_the_extensometers() -> None:
    found = chosen(["Force (N)", "Displacement (mm)", "Machine Displacement (mm)"], [LOAD, WAY, 1.3 * WAY])
    assert found.source is DisplacementSource.EXTENSOMETER
    alone = chosen(["Force (N)", "Displacement (mm)"], [LOAD, WAY])
    assert alone.source is DisplacementSource.CROSSHEAD
    assert "no extensometer" in alone.columns[1].why


def test_channels_of_zeros_are_no_candidates() -> None:
    found = chosen(["Force 1 (N)", "Force 2 (kN)", "Stroke (mm)"], [np.zeros(COUNT), LOAD / 1000, WAY])
    np.testing.assert_allclose(found.force, LOAD)
    assert [column.quantity for column in found.columns] == [None, Quantity.FORCE, Quantity.CROSSHEAD]
    assert "zero throughout" in found.columns[0].why


def test_a_strain_and_a_gauge_length_are_enough_for_a_displacement() -> None:
    found = chosen(["Force (N)", "Strain (%)"], [LOAD, WAY], gauge_length_mm=50.0)
    np.testing.assert_allclose(found.displacement, WAY * 0.5)
    with pytest.raises(Unusable, match="gauge_length_mm"):
        chosen(["Force (N)", "Strain (%)"], [LOAD, WAY])


def test_a_sidecar_names_columns_and_units() -> None:
    stated = {
        Quantity.FORCE: ColumnChoice("signal a", "kN"),
        Quantity.EXTENSION: ColumnChoice("2", "mm"),
    }
    found = headings.read(["signal a", "signal b", "Kraft [N]"], [], stated)
    assert [each.kind for each in found][2] is None
    result = columns.select(found, {0: LOAD / 1000, 1: WAY}, gauge_length_mm=None)
    np.testing.assert_allclose(result.force, LOAD)
    assert result.source is DisplacementSource.EXTENSOMETER
    with pytest.raises(Unusable, match="'signal c'") as error:
        headings.read(["signal a"], [], {Quantity.FORCE: ColumnChoice("signal c")})
    assert error.value.rule == "sidecar_column_exists"


def test_headings_that_repeat_are_several_specimens() -> None:
    assert tables.groups(["t", "F", "s", "t", "F", "s", "", ""]) == (range(3), range(3, 6))
    assert tables.groups(["t", "F", "s"]) == (range(3),)


def test_a_clean_curve_stays_as_it_is() -> None:
    curve, repairs = repair.repaired(selection(), first_row=1)
    np.testing.assert_array_equal(curve.load_n, LOAD)
    np.testing.assert_array_equal(curve.displacement_mm, WAY)
    assert repairs.rows_read == COUNT
    assert (repairs.tare_n, repairs.zero_mm, repairs.time_offset_s, repairs.notes) == (0.0, 0.0, 0.0, ())


def test_blanks_repeats_and_the_rows_after_the_break_are_counted() -> None:
    load = np.concatenate([[40.0], LOAD, [2_000.0, 3.0, -44.0, 0.0], [np.nan] * 3])
    way = np.concatenate([[-0.01], WAY, [10.1, 9.0, 9.0, 9.0], [np.nan] * 3])
    time = np.concatenate([[0.0], TIME, TIME[-1] + np.arange(1, 5), [np.nan] * 3])
    curve, repairs = repair.repaired(selection(load, way, time), first_row=1)
    np.testing.assert_array_equal(curve.load_n, LOAD)
    np.testing.assert_array_equal(curve.displacement_mm, WAY)
    assert (repairs.rows_blank, repairs.rows_repeated, repairs.rows_after_break) == (3, 1, 4)
    assert repairs.rows_read == len(curve.load_n) + 3 + 1 + 4


def test_of_rows_of_one_time_the_one_with_the_maximum_stays() -> None:
    load, time = LOAD.copy(), TIME.copy()
    load[100], time[101], time[102] = 9_000.0, time[100], time[100]
    curve, repairs = repair.repaired(selection(load, WAY, time), first_row=1)
    assert curve.load_n.max() == 9_000.0
    assert repairs.rows_repeated == 2


def test_slow_unloading_is_no_break_but_ends_at_zero() -> None:
    load = np.concatenate([LOAD, np.linspace(LOAD[-1], -60.0, 400)[1:]])
    way = np.concatenate([WAY, np.full(399, 10.0)])
    time: Series = np.linspace(0.0, 599.0, len(load))
    curve, repairs = repair.repaired(selection(load, way, time), first_row=1)
    assert curve.load_n.min() >= 0
    assert repairs.rows_after_break == np.count_nonzero(load < 0)


def test_a_force_a_little_below_zero_is_kept_and_recorded_and_more_is_refused() -> None:
    curve, repairs = repair.repaired(selection(LOAD - 30.0), first_row=1)
    assert repairs.tare_n == -30.0
    np.testing.assert_allclose(curve.load_n, LOAD - 30.0)
    error = broken("load_is_not_negative", selection(LOAD - 500.0))
    assert (error.field, error.row) == ("force", 10)
    curve, repairs = repair.repaired(selection(LOAD - 500.0), first_row=1, zero_band_n=600.0)
    assert repairs.tare_n == -500.0
    broken("load_is_not_negative", selection(LOAD - 30.0), zero_band_n=10.0)


def test_compression_and_too_little_are_refused() -> None:
    assert "compression" in str(broken("load_is_tensile", selection(-LOAD)))
    assert "compression" in str(broken("load_is_tensile", selection(np.zeros(COUNT))))
    broken("at_least_two_points", selection(np.full(COUNT, np.nan)))
    broken("at_least_two_points", selection(LOAD[:1], WAY[:1], TIME[:1]))


def test_time_that_goes_back_names_its_row() -> None:
    time = TIME.copy()
    time[50] = 1.0
    error = broken("time_increases", selection(LOAD, WAY, time))
    assert (error.field, error.row) == ("time", 60)


def test_positions_become_displacements_and_time_begins_at_zero() -> None:
    given_selection = replace(selection(LOAD, 785.0 + WAY, TIME + 5.5), crosshead=300.0 + WAY)
    curve, repairs = repair.repaired(given_selection, first_row=1)
    np.testing.assert_allclose(curve.displacement_mm, WAY, atol=1e-9)
    assert curve.crosshead_mm is not None
    np.testing.assert_allclose(curve.crosshead_mm, WAY, atol=1e-9)
    assert (repairs.zero_mm, repairs.time_offset_s) == (785.0, 5.5)


@given(
    load=arrays.arrays(np.float64, st.integers(0, 40), elements=st.floats(-1e4, 1e6) | st.just(np.nan)),
    data=st.data(),
)
def test_rows_read_are_points_and_counted_rows(load: Series, data: st.DataObject) -> None:
    steps = data.draw(arrays.arrays(np.float64, len(load), elements=st.sampled_from([0.0, 0.0, 0.5, 1.0, 2.0])))
    way, time = np.cumsum(steps), np.cumsum(steps)
    is_timed = data.draw(st.booleans())
    outcome = repaired_or_rule(selection(load, way, time if is_timed else None))
    if isinstance(outcome, str):
        assert outcome in {"at_least_two_points", "load_is_tensile", "load_is_not_negative", "time_increases"}
        return
    curve, repairs = outcome
    counted = repairs.rows_blank + repairs.rows_repeated + repairs.rows_after_break
    assert repairs.rows_read == len(load) == len(curve.load_n) + counted
    assert min(curve.load_n.min(), 0.0) == repairs.tare_n
    assert len(curve.load_n) >= 2
    if curve.elapsed_s is not None:
        assert curve.elapsed_s[0] == 0
        assert np.all(np.diff(curve.elapsed_s) > 0)


def test_overflows_are_blanked() -> None:
    values = np.array([1.0, -1e6, 2.0, 9.91e37, -1e6 + 1])
    assert repair.without_sentinels(values) == 2
    np.testing.assert_array_equal(values, [1.0, np.nan, 2.0, np.nan, -1e6 + 1])


@pytest.mark.parametrize(
    ("stated", "field"),
    [
        ({"nonsense": 1}, "nonsense"),
        ({"width_mm": "wide"}, "width_mm"),
        ({"width_mm": 0}, "width_mm"),
        ({"shape": "star"}, "shape"),
        ({"test": "a\nb"}, "test"),
        ({"started_at": "soon"}, "started_at"),
        ({"columns": {"power": "x"}}, "columns.power"),
        ({"columns": {"force": {"name": "F", "unit": "V"}}}, "columns.force.unit"),
        ({"decimal": "dot"}, "decimal"),
        ({"tare_zero_band_n": -1}, "tare_zero_band_n"),
        ({"operator": ["a"]}, "operator"),
    ],
)
def test_a_sidecar_names_the_key_that_is_wrong(stated: dict[str, sidecar.Plain], field: str) -> None:
    with pytest.raises(Unusable) as error:
        sidecar.parsed(stated)
    assert (error.value.rule, error.value.field) == ("sidecar_is_valid", field)
