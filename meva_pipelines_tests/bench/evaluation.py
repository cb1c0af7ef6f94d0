"""The evaluation of tensile tests beside plain numpy: every window of ASTM E3076, and a whole evaluation.

The plain recipe is what a script does: two regressions by numpy.polyfit and the crossing of the offset line. It knows
neither noise nor uncertainty. `python -m meva_pipelines_tests.bench.evaluation` measures this part alone.
"""

import math
from collections.abc import Callable, Sequence
from statistics import median

import numpy as np

from meva_pipelines.domain.tensile.evaluation import sdar
from meva_pipelines.domain.tensile.evaluation.evaluator import evaluate
from meva_pipelines.domain.tensile.evaluation.recipe import Recipe, SlopeMethod
from meva_pipelines.domain.tensile.recording import Curve, Series, Specimen
from meva_pipelines_tests.bench import report
from meva_pipelines_tests.bench.report import Figure, Laps, Sense
from meva_pipelines_tests.domain.tensile.evaluation.curves import Setup, recorded, smooth

TESTS = 1_000
POINTS = 5_000
_BATCH = 50
_SAME = 1e-9

Test = tuple[Curve, Specimen]


def figures(*, rounds: int, tests: int = TESTS) -> list[Figure]:
    """The windows of E3076, and whole evaluations with a fixed band and with the search."""
    return [_windows(rounds), *_evaluations(rounds, tests)]


def _windows(rounds: int) -> Figure:
    """All admissible windows of one search: ours by prefix sums, theirs by numpy.polyfit, and the same answer."""
    curve, specimen = recorded(smooth(), Setup(points=POINTS, elastic_share=0.2, noise_mpa=0.1, noise_strain=1e-6))
    top = int(curve.load_n.argmax()) + 1
    part = sdar.region(_strain(curve, specimen)[:top], _stress(curve, specimen)[:top])
    if part is None:
        raise RuntimeError("the generated test has no point of tangency")
    x, y = part.x, part.y
    least = math.ceil(0.2 * x.size)
    _agree(x, y, least)
    laps = report.interleaved(
        rounds,
        {
            "prefix sums": lambda: {"prefix sums": report.measured(lambda: sdar.best_window(x, y, least))},
            "numpy.polyfit": lambda: {"numpy.polyfit": report.measured(lambda: _best_by_polyfit(x, y, least))},
        },
    )
    windows = sum(x.size - length + 1 for length in range(least, x.size + 1))
    ours, theirs = laps["prefix sums"], laps["numpy.polyfit"]
    return Figure(
        name=f"E3076, all {windows:,} windows of {x.size} points, same answer to {_SAME:g}",
        sense=Sense.AT_LEAST,
        goal=300,
        value=report.ratio(laps, "numpy.polyfit", "prefix sums"),
        unit="× faster",
        ours=f"{1000 * median(ours):.2f} ms",
        against=f"numpy.polyfit {median(theirs):.2f} s",
    )


def _agree(x: Series, y: Series, least: int) -> None:
    """Stop where the two searches do not find the same window and slope."""
    window, (residual, start, stop) = sdar.best_window(x, y, least), _best_by_polyfit(x, y, least)
    is_same = (window.start, window.stop) == (start, stop)
    if not is_same or not math.isclose(window.residual, residual, rel_tol=_SAME, abs_tol=_SAME):
        raise RuntimeError(f"the searches disagree: {window} and {(residual, start, stop)}")


def _best_by_polyfit(x: Series, y: Series, least: int) -> tuple[float, int, int]:
    best = (math.inf, 0, 0)
    for start in range(x.size - least + 1):
        for stop in range(start + least, x.size + 1):
            _, squares, *_ = np.polyfit(x[start:stop], y[start:stop], 1, full=True)
            spread = y[start:stop] - y[start:stop].mean()
            best = min(best, (float(squares[0] / (spread @ spread)), start, stop))
    return best


def _evaluations(rounds: int, tests: int) -> list[Figure]:
    ways: dict[str, Callable[[Curve, Specimen], object]] = {
        "plain recipe": _plain,
        "evaluation": lambda curve, specimen: evaluate(curve, specimen, Recipe()),
        "evaluation, E3076": lambda curve, specimen: evaluate(curve, specimen, Recipe(slope=SlopeMethod.RESIDUALS)),
    }
    laps: Laps = {name: [0.0] * rounds for name in ways}
    for first in range(0, tests, _BATCH):
        batch = [_made(seed) for seed in range(first, min(first + _BATCH, tests))]
        timed = report.interleaved(rounds, {name: _lap(name, way, batch) for name, way in ways.items()})
        for name, seconds in timed.items():
            laps[name] = [before + more for before, more in zip(laps[name], seconds, strict=True)]
    title = f"full evaluation, {tests:,} tests × {POINTS:,} points"
    return [
        report.slower(title, laps, "evaluation", "plain recipe", goal=25),
        report.slower(f"{title}, slope by E3076", laps, "evaluation, E3076", "plain recipe", goal=None),
    ]


def _lap(name: str, way: Callable[[Curve, Specimen], object], batch: Sequence[Test]) -> Callable[[], dict[str, float]]:
    def run() -> None:
        for curve, specimen in batch:
            way(curve, specimen)

    return lambda: {name: report.measured(run)}


def _made(seed: int) -> Test:
    return recorded(smooth(), Setup(points=POINTS, elastic_share=0.1, noise_mpa=0.2, noise_strain=1e-6), seed)


def _stress(curve: Curve, specimen: Specimen) -> Series:
    return curve.load_n / (specimen.area_mm2 or math.nan)


def _strain(curve: Curve, specimen: Specimen) -> Series:
    return curve.displacement_mm / (specimen.gauge_length_mm or math.nan)


def _plain(curve: Curve, specimen: Specimen) -> tuple[float, float, float]:
    """Slope, Rp0.2 and Rm: a first regression in shares of Rm, a second in shares of the Rp0.2 that it gives."""
    stress, strain = _stress(curve, specimen), _strain(curve, specimen)
    top = int(stress.argmax())
    strength = reference = float(stress[top])
    stress, strain = stress[:top], strain[:top]
    slope = math.nan
    for _ in range(2):
        is_elastic = (stress >= 0.1 * reference) & (stress <= 0.4 * reference)
        slope, intercept = np.polyfit(strain[is_elastic], stress[is_elastic], 1)
        above = stress - (slope * (strain - 0.002) + intercept)
        at = int(np.argmax((above < 0.0) & (strain > 0.002)))
        share = above[at - 1] / (above[at - 1] - above[at])
        reference = float(stress[at - 1] + share * (stress[at] - stress[at - 1]))
    return float(slope), reference, strength


if __name__ == "__main__":
    print(report.table(figures(rounds=3)))
