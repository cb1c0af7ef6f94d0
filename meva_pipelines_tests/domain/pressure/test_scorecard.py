"""The scorecard against numbers worked out by hand and by the statistics module."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.pressure import scorecard
from meva_pipelines.domain.pressure.comparison import Metric
from meva_pipelines.domain.pressure.scorecard import Observation, Verdict

T_95_OF_4 = 2.131847
"""Student's t, one-sided 5 %, four degrees of freedom, from the tables."""


def seen(version: str, cell: str, *values: float, metric: Metric = Metric.RMSE) -> list[Observation]:
    return [Observation(version, cell, f"{cell}{number}", {metric: value}) for number, value in enumerate(values)]


def decided(observations: list[Observation], *metrics: Metric) -> scorecard.Decision:
    return scorecard.decide(observations, candidate="new", active="old", metrics=metrics or (Metric.RMSE,))


def test_the_loss_of_a_score_is_what_it_lacks_and_that_of_a_difference_its_size() -> None:
    assert scorecard.loss(Metric.ISO_OVERALL, 0.75) == 0.25
    assert scorecard.loss(Metric.CORRELATION, -0.5) == 1.5
    assert scorecard.loss(Metric.PEAK_TIME_DIFF, -0.5) == 0.5
    assert scorecard.loss(Metric.RMSE, 2.0) == 2.0


def test_the_scatter_is_pooled_over_the_recipes() -> None:
    first, second = (1.0, 1.2, 1.1), (3.0, 3.5)
    found = scorecard.scatter(seen("old", "a", *first) + seen("old", "b", *second), Metric.RMSE)
    assert found is not None
    pooled = (2 * statistics.variance(first) + statistics.variance(second)) / 3
    assert found.deviation == pytest.approx(math.sqrt(pooled))
    assert found.freedom == 3


def test_a_second_version_beside_the_same_firings_adds_no_freedom() -> None:
    found = scorecard.scatter(seen("old", "a", 1.0, 1.2, 1.1) + seen("new", "a", 2.0, 2.2, 2.1), Metric.RMSE)
    assert found is not None
    assert found.freedom == 2
    assert found.deviation == pytest.approx(0.1)


def test_two_firings_of_one_recipe_say_nothing_of_scatter() -> None:
    assert scorecard.scatter(seen("old", "a", 1.0, 1.2), Metric.RMSE) is None
    assert scorecard.scatter(seen("old", "a", 1.0) + seen("old", "b", 2.0), Metric.RMSE) is None


def test_the_critical_difference_is_that_of_the_table_of_student() -> None:
    active = seen("old", "a", 1.0, 1.1, 1.2, 1.3, 1.4)
    candidate = seen("new", "a", 1.2, 1.3, 1.4, 1.5, 1.6)
    (difference,) = decided(active + candidate).differences
    deviation = statistics.stdev([1.0, 1.1, 1.2, 1.3, 1.4])
    assert difference.critical == pytest.approx(T_95_OF_4 * deviation * math.sqrt(2 / 5), rel=1e-5)
    assert (difference.active, difference.candidate) == pytest.approx((1.2, 1.4))


def test_a_difference_within_scatter_is_allowed_and_beyond_it_refused() -> None:
    active = (1.0, 1.1, 1.2, 1.3, 1.4)
    within = decided(seen("old", "a", *active) + seen("new", "a", *(value + 0.20 for value in active)))
    assert within.verdict is Verdict.ALLOWED
    beyond = decided(seen("old", "a", *active) + seen("new", "a", *(value + 0.22 for value in active)))
    assert beyond.verdict is Verdict.REFUSED
    assert beyond.reasons == ("a: rmse_mpa is off by 1.42, 0.22 more than the active; scatter allows 0.213",)


def test_a_strength_in_one_recipe_does_not_pay_for_a_weakness_in_another() -> None:
    active = seen("old", "a", 1.0, 1.1, 1.2) + seen("old", "b", 1.0, 1.1, 1.2)
    candidate = seen("new", "a", 0.1, 0.2, 0.3) + seen("new", "b", 1.8, 1.9, 2.0)
    found = decided(active + candidate)
    assert found.verdict is Verdict.REFUSED
    assert [item.cell for item in found.differences if item.is_worse] == ["b"]


def test_the_more_is_judged_the_more_a_difference_must_be() -> None:
    one = seen("old", "a", 1.0, 1.1, 1.2) + seen("new", "a", 1.2, 1.3, 1.4)
    two = one + seen("old", "b", 1.0) + seen("new", "b", 1.0)
    first, second = (decided(observations).differences[0].critical for observations in (one, two))
    assert first is not None
    assert second is not None
    assert second > first


def test_the_same_errors_are_never_worse() -> None:
    same = decided(seen("old", "a", 1.0, 1.0, 1.0) + seen("new", "a", 1.0, 1.0, 1.0))
    assert same.verdict is Verdict.ALLOWED


def test_what_looks_worse_while_the_scatter_is_unknown_is_left_to_a_person() -> None:
    worse = decided(seen("old", "a", 1.0, 1.1) + seen("new", "a", 5.0, 5.1))
    assert worse.verdict is Verdict.UNDECIDED
    assert worse.reasons == ("a: rmse_mpa is off by 5.05, 4 more than the active; the scatter is unknown",)
    better = decided(seen("old", "a", 1.0, 1.1) + seen("new", "a", 0.5, 0.6))
    assert better.verdict is Verdict.ALLOWED


def test_a_recipe_or_a_metric_that_the_candidate_lacks_is_not_passed_over() -> None:
    active = seen("old", "a", 1.0, 1.1, 1.2) + seen("old", "b", 1.0, 1.1, 1.2)
    found = decided(active + seen("new", "a", 0.5, 0.6, 0.7))
    assert found.verdict is Verdict.UNDECIDED
    assert found.reasons == ("b: new has no rmse_mpa, old has",)


def test_the_first_version_is_allowed_and_an_active_one_without_firings_proves_nothing() -> None:
    assert scorecard.decide([], candidate="new", active=None).verdict is Verdict.ALLOWED
    assert scorecard.decide([], candidate="new", active="old").verdict is Verdict.UNDECIDED


def test_a_score_is_worse_when_it_falls() -> None:
    ratings = {"old": (0.90, 0.91, 0.92), "new": (0.60, 0.61, 0.62)}
    observations = [
        item for version, values in ratings.items() for item in seen(version, "a", *values, metric=Metric.ISO_OVERALL)
    ]
    assert decided(observations, Metric.ISO_OVERALL).verdict is Verdict.REFUSED


def test_equal_versions_are_refused_at_most_once_in_twenty() -> None:
    """Two versions of one quality beside different firings, five recipes, three repeats, two metrics."""
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(400):
        observations = [
            Observation(version, cell, f"{version}{cell}{number}", {Metric.RMSE: one, Metric.MAE: other})
            for version in ("old", "new")
            for cell in "abcde"
            for number, (one, other) in enumerate(rng.normal(3.0, 0.3, (3, 2)))
        ]
        refused += decided(observations, Metric.RMSE, Metric.MAE).verdict is Verdict.REFUSED
    assert refused <= 0.05 * 400


def test_a_standing_is_inside_if_firings_differ_as_much_from_each_other() -> None:
    repeats = [
        Observation(one, "a", other, {Metric.RMSE: value})
        for one, other, value in (("f1", "f2", 0.8), ("f1", "f3", 1.1), ("f2", "f3", 0.6))
    ]
    observations = seen("old", "a", 0.9, 1.0, 1.1) + seen("new", "a", 1.5, 1.4, 1.6) + seen("old", "b", 1.0)
    new, old, elsewhere = scorecard.standings(observations, repeats)
    assert (new.version, new.corridor, new.is_inside) == ("new", 1.1, False)
    assert (old.version, old.firings, old.is_inside) == ("old", 3, True)
    assert (new.loss, old.loss) == pytest.approx((1.5, 1.0))
    assert (elsewhere.cell, elsewhere.corridor, elsewhere.is_inside) == ("b", None, None)


def test_with_two_repeats_the_corridor_is_unknown() -> None:
    repeats = [Observation("f1", "a", "f2", {Metric.RMSE: 0.8})]
    (found,) = scorecard.standings(seen("old", "a", 0.9), repeats)
    assert (found.corridor, found.is_inside) == (None, None)


def test_a_trend_compares_each_version_with_the_one_before_in_the_recipes_of_both() -> None:
    observations = (
        seen("v1", "a", 2.0, 2.2, 2.4)
        + seen("v2", "a", 1.0, 1.2, 1.4)
        + seen("v2", "b", 7.0, 7.2, 7.4)
        + seen("v3", "b", 7.1, 7.3, 7.5)
    )
    first, second, third = scorecard.trend(observations, Metric.RMSE, ["v1", "absent", "v2", "v3"])
    assert (first.version, first.change, first.change_in_scatter) == ("v1", None, None)
    assert (second.cells, second.firings) == (2, 6)
    assert second.loss == pytest.approx(4.2)
    assert [second.change, second.change_in_scatter] == pytest.approx([-1.0, -5.0])
    assert [third.change, third.change_in_scatter] == pytest.approx([0.1, 0.5])


losses = st.lists(st.floats(0, 10), min_size=1, max_size=6)


@given(old=losses, new=losses, scale=st.sampled_from([0.25, 2.0, 1024.0]))
def test_the_unit_of_a_metric_decides_nothing(old: list[float], new: list[float], scale: float) -> None:
    plain = decided(seen("old", "a", *old) + seen("new", "a", *new))
    scaled = decided(
        seen("old", "a", *(scale * value for value in old)) + seen("new", "a", *(scale * value for value in new))
    )
    assert scaled.verdict is plain.verdict


@given(old=losses, new=losses)
def test_of_two_versions_at_most_one_is_refused_for_the_other(old: list[float], new: list[float]) -> None:
    observations = seen("old", "a", *old) + seen("new", "a", *new)
    back = scorecard.decide(observations, candidate="old", active="new", metrics=(Metric.RMSE,))
    assert not (decided(observations).verdict is Verdict.REFUSED and back.verdict is Verdict.REFUSED)
