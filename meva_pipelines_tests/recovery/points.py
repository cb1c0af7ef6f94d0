"""Who plays which failpoint: every registered one belongs to the suite of one subject.

Each suite lists them as `POINTS` and proves that it reaches them all.
"""

from collections.abc import Mapping

from meva_pipelines.resources.failpoints import Point

SUITES: Mapping[str, tuple[str, ...]] = {
    "test_failpoints": ("aed.", "store.object.before_rename", "publish.", "alerts."),
    "test_tensile_failpoints": ("tensile.",),
    "test_simulation_failpoints": ("mgg.",),
    "test_archive_failpoints": ("archive.", "store.object.before_link"),
    "test_backup_failpoints": ("backup.",),
}
"""Suites with the beginnings of the names of the points that they play."""


def played_by(suite: str) -> list[Point]:
    """The points that a suite has to reach."""
    return [point for point in Point if point.value.startswith(SUITES[suite])]
