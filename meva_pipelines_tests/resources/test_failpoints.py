"""Failpoints: silent unless asked, exact when asked. Deaths are proved on processes of their own."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from meva_pipelines.resources import failpoints
from meva_pipelines.resources.failpoints import Injected, Point

_VISIT = """
import sys
from meva_pipelines.resources import failpoints
for name in sys.argv[1:]:
    failpoints.reach(failpoints.Point(name))
    print("passed", name, flush=True)
"""
FIRST, SECOND = Point.PUBLISH_LOCKED, Point.PUBLISH_BEFORE_COMMIT


def visit(requested: str, *points: Point, **settings: str) -> subprocess.CompletedProcess[str]:
    """Visit points in a fresh process; its standard output has a line for each that was passed."""
    return subprocess.run(
        [sys.executable, "-c", _VISIT, *(point.value for point in points)],
        env={"PYTHONPATH": str(Path(failpoints.__file__).parents[2]), "MEVA_FAILPOINTS": requested, **settings},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def passed(done: subprocess.CompletedProcess[str]) -> int:
    return done.stdout.count("passed")


def test_a_point_does_nothing_when_nobody_asked() -> None:
    for point in Point:
        failpoints.reach(point)


def test_a_point_that_was_not_named_is_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEVA_FAILPOINTS", f"{FIRST.value}:raise,another.name:kill")
    failpoints.reach(SECOND)


def test_visits_are_counted_from_the_request_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEVA_FAILPOINTS", f"{FIRST.value}:raise@99,nothing:kill")
    failpoints.reach(FIRST)
    monkeypatch.setenv("MEVA_FAILPOINTS", f"{FIRST.value}:raise,nothing:kill")
    with pytest.raises(failpoints.Injected):
        failpoints.reach(FIRST)


def test_kill_ends_the_process_as_a_power_cut_would() -> None:
    done = visit(f"{FIRST.value}:kill", SECOND, FIRST, SECOND)
    assert done.returncode == -signal.SIGKILL
    assert passed(done) == 1


def test_exit_leaves_at_once() -> None:
    done = visit(f"{FIRST.value}:exit", FIRST)
    assert (done.returncode, passed(done)) == (70, 0)


def test_raise_names_the_point() -> None:
    done = visit(f"{FIRST.value}:raise", FIRST)
    assert done.returncode == 1
    assert f"{Injected.__name__}: injected at {FIRST.value}" in done.stderr


def test_the_action_waits_for_the_nth_visit_and_happens_once() -> None:
    done = visit(f"{FIRST.value}:raise@3", *[FIRST] * 4)
    assert passed(done) == 2
    assert passed(visit(f"{FIRST.value}:raise@3,{SECOND.value}:raise@3", FIRST, SECOND, FIRST, SECOND)) == 4


def test_several_actions_at_one_point_count_the_same_visits() -> None:
    """Each item once counted for itself, so the second visit looked like the third and fourth."""
    done = visit(f"{FIRST.value}:sleep@9,{FIRST.value}:raise@2", *[FIRST] * 3)
    assert passed(done) == 1


def test_sleep_delays_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failpoints, "_SLEEP_S", 0.05)
    monkeypatch.setenv("MEVA_FAILPOINTS", ",".join(f"{FIRST.value}:sleep@{n}" for n in range(1, 1000)))
    began = time.monotonic()
    failpoints.reach(FIRST)
    assert time.monotonic() - began >= 0.05


def test_an_unknown_action_is_an_error_rather_than_a_test_that_proves_nothing() -> None:
    done = visit(f"{FIRST.value}:explode", FIRST)
    assert done.returncode == 1
    assert "unknown action 'explode'" in done.stderr


def test_the_trace_tells_every_visit_in_order(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    done = visit("", FIRST, SECOND, FIRST, MEVA_FAILPOINTS_TRACE=str(trace))
    assert passed(done) == 3
    assert trace.read_text(encoding="utf-8").split() == [FIRST.value, SECOND.value, FIRST.value]


def test_the_trace_includes_the_point_that_killed(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    visit(f"{FIRST.value}:kill", SECOND, FIRST, MEVA_FAILPOINTS_TRACE=str(trace))
    assert trace.read_text(encoding="utf-8").split() == [SECOND.value, FIRST.value]


def test_every_point_is_reached_somewhere_in_the_package() -> None:
    package = Path(failpoints.__file__).parents[1]
    text = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    assert [point for point in Point if f"reach(Point.{point.name})" not in text] == []
