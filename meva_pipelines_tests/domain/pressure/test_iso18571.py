"""ISO/TS 18571: what each part says of closed-form pairs, and figures of a published implementation.

The figures are those of `objective_rating_metrics` 1.3, the reference of TU Graz; it is not installed here because it
brings some thirty packages, among them a compiler that holds numpy back.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.pressure import iso18571
from meva_pipelines.domain.pressure.iso18571 import Grade, Pair, Rating
from meva_pipelines.domain.pressure.trace import Series
from meva_pipelines_tests.domain.pressure.curves import bell, clock

TIME_MS = clock(401)
TEST = bell(TIME_MS)

PUBLISHED = {
    "late": (bell(TIME_MS, at_ms=16.5), (0.818592137933, 0.812967581047, 1.0, 1.0)),
    "early and weak": (
        bell(TIME_MS, at_ms=13.0, peak_mpa=34.0),
        (0.77221882293, 0.750623441397, 0.919068473666, 0.925),
    ),
    "strong and wide": (
        bell(TIME_MS, peak_mpa=46.0, width_ms=6.5),
        (0.721525581709, 1.0, 0.919922209675, 0.808306581997),
    ),
    "offset": (TEST + 1.5, (1.0, 1.0, 0.848967117235, 1.0)),
    "wavy": (TEST + 2 * np.sin(2 * np.pi * TIME_MS / 3), (1.0, 1.0, 0.863331613506, 0.427515351972)),
    "another pulse": (
        bell(TIME_MS, at_ms=22.0, peak_mpa=30.0, width_ms=9.0),
        (0.465613203186, 0.127182044888, 0.75272121347, 0.620990311594),
    ),
    "upside down": (
        -bell(TIME_MS, at_ms=17.0, peak_mpa=36.0, width_ms=6.0),
        (0.565240024654, 0.002493765586, 0.0, 0.408040590095),
    ),
}


def rating(simulation: Series, test: Series = TEST) -> Rating:
    found = iso18571.rated(Pair(simulation, test))
    assert isinstance(found, Rating)
    return found


def parts(found: Rating) -> tuple[float, float, float, float]:
    return found.corridor, found.phase, found.magnitude, found.slope


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_parts_are_those_of_the_published_implementation(name: str) -> None:
    simulation, expected = PUBLISHED[name]
    found = rating(simulation)
    assert parts(found) == pytest.approx(expected, abs=1e-9)
    weights = (0.4, 0.2, 0.2, 0.2)
    assert found.overall == pytest.approx(sum(w * part for w, part in zip(weights, expected, strict=True)), abs=1e-9)


def test_a_curve_agrees_with_itself_in_every_part() -> None:
    found = rating(TEST)
    assert parts(found) == (1.0, 1.0, 1.0, 1.0)
    assert (found.late_points, found.grade) == (0, Grade.EXCELLENT)


@pytest.mark.parametrize("points", [-80, -37, -1, 1, 20, 80])
def test_a_pure_shift_costs_phase_and_corridor_and_nothing_else(points: int) -> None:
    found = rating(bell(TIME_MS, at_ms=15.0 + 0.1 * points))
    assert found.late_points == points
    assert found.phase == pytest.approx(1 - abs(points) / (0.2 * 401))
    assert (found.magnitude, found.slope) == pytest.approx((1.0, 1.0), abs=1e-6)
    assert found.corridor < 1.0 or abs(points) == 1


def test_beyond_the_greatest_shift_the_phase_is_worth_nothing() -> None:
    assert iso18571.phase(-80, 400) == 0.0
    assert iso18571.phase(40, 400) == 0.5
    assert iso18571.phase(0, 400) == 1.0


@given(factor=st.floats(0.2, 4.0))
def test_a_scaled_curve_keeps_its_phase_and_loses_slope_as_its_factor_says(factor: float) -> None:
    """The slope of a scaled curve is off by |factor - 1| everywhere."""
    found = rating(factor * TEST)
    assert (found.phase, found.late_points) == (1.0, 0)
    assert found.slope == pytest.approx(max(1 - abs(factor - 1) / 2, 0.0), abs=1e-9)


@pytest.mark.parametrize(("share", "score"), [(0.049, 1.0), (0.275, 0.25), (0.41, 0.04), (0.5, 0.0), (0.8, 0.0)])
def test_the_corridor_of_a_constant_offset(share: float, score: float) -> None:
    """Between the corridors the score is the square of the way: at 27.5 % of the peak half of it is left."""
    assert rating(TEST + share * 40.0).corridor == pytest.approx(score)
    assert rating(TEST - share * 40.0).corridor == pytest.approx(score)


def test_the_magnitude_of_a_constant_offset_without_warping() -> None:
    """A ramp and the same ramp higher up cannot be warped together at their ends; the cheapest path is known."""
    test = np.full(101, 10.0)
    test[0] = 9.999
    found = iso18571.magnitude(Pair(test * 1.2, test))
    assert found == pytest.approx(1 - 0.2 / 0.5, abs=1e-4)


def test_noise_costs_slope_before_anything_else() -> None:
    noise = np.random.default_rng(2).normal(0.0, 0.8, TIME_MS.size)
    found = rating(TEST + noise)
    assert found.corridor > 0.99
    assert found.phase == 1.0
    assert found.slope < found.magnitude < 1.0


def test_the_test_is_the_reference_and_swapping_is_another_question() -> None:
    assert rating(1.5 * TEST).magnitude != pytest.approx(rating(TEST, 1.5 * TEST).magnitude, abs=0.01)


def test_on_a_tie_the_smaller_shift_is_taken() -> None:
    """A wave that fits again after each period of 30 points is 4 points late, not 26 early."""
    at = np.arange(301)
    found = rating(np.sin(2 * np.pi * (at - 4) / 30), np.sin(2 * np.pi * at / 30))
    assert found.late_points == 4


def test_of_two_shifts_of_one_size_the_simulation_is_called_late() -> None:
    """The published implementation decides this tie by the last digit of its rounding."""
    assert rating(-TEST).late_points == 80


@pytest.mark.parametrize(
    ("overall", "grade"),
    [
        (0.0, Grade.POOR),
        (0.58, Grade.POOR),
        (math.nextafter(0.58, 1), Grade.FAIR),
        (0.80, Grade.FAIR),
        (math.nextafter(0.80, 1), Grade.GOOD),
        (0.94, Grade.GOOD),
        (math.nextafter(0.94, 1), Grade.EXCELLENT),
        (1.0, Grade.EXCELLENT),
    ],
)
def test_the_limits_of_the_grades_belong_to_the_lower_one(overall: float, grade: Grade) -> None:
    assert iso18571.graded(overall) is grade


def test_what_cannot_be_rated_says_why() -> None:
    flat = np.full(401, 3.0)
    assert iso18571.rated(Pair(flat, TEST)) == "the pressure of the simulation is constant"
    assert iso18571.rated(Pair(TEST, flat)) == "the pressure of the test is constant"
    assert iso18571.rated(Pair(TEST[:10], TEST[:10])) == "10 common points; a rating needs 11"


@given(
    series=st.integers(11, 60).flatmap(
        lambda points: st.tuples(*[st.lists(st.floats(-50, 50), min_size=points, max_size=points) for _ in range(2)])
    ),
    scale=st.floats(1e-3, 1e3),
)
def test_every_part_is_between_0_and_1_and_has_no_unit(series: tuple[list[float], list[float]], scale: float) -> None:
    simulation, test = (np.round(np.array(values), 3) for values in series)
    found = iso18571.rated(Pair(simulation, test))
    scaled = iso18571.rated(Pair(scale * simulation, scale * test))
    if isinstance(found, str):
        assert scaled == found
        return
    assert isinstance(scaled, Rating)
    assert all(0.0 <= part <= 1.0 for part in parts(found))
    assert scaled.corridor == pytest.approx(found.corridor, abs=1e-6)
