"""Every registered failpoint is played by exactly one suite; each suite proves that it reaches its own."""

import importlib
from collections import Counter

from meva_pipelines.resources.failpoints import Point
from meva_pipelines_tests.recovery import points


def test_every_registered_point_is_played_by_one_suite() -> None:
    suites = [importlib.import_module(f"meva_pipelines_tests.recovery.{name}") for name in points.SUITES]
    assert Counter(point for suite in suites for point in suite.POINTS) == Counter(Point)


def test_what_a_suite_plays_is_what_it_is_asked_for() -> None:
    for name in points.SUITES:
        assert points.played_by(name) == importlib.import_module(f"meva_pipelines_tests.recovery.{name}").POINTS
