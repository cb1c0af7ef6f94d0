"""Pictures of tensile tests: the evaluated curve with its lines and marks, the residuals of its slope, materials."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np

from meva_pipelines.assets import pictures
from meva_pipelines.domain.tensile.evaluation.values import Evaluation, Marks, Symbol
from meva_pipelines.domain.tensile.population import Representative

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_POINTS = 1_200
_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd")
_LINE, _OFFSET = "#555555", "#ff7f0e"
_HEAD = 1.15
_ON_THE_WHOLE = frozenset({Symbol.REH, Symbol.RM, Symbol.AT})
"""What can be told apart at the scale of the whole curve."""


def evaluated(name: str, evaluation: Evaluation) -> dg.MarkdownMetadataValue | None:
    """Draw one test: the whole curve, its beginning with elastic and offset line, and the residuals of ASTM E3076.

    None where the record supports no picture.
    """
    marks = evaluation.marks
    if marks is None or marks.line is None:
        return None

    def draw(axes: "Sequence[Axes]") -> None:
        whole, beginning, residuals = axes
        _curve(whole, marks, _ON_THE_WHOLE)
        whole.set(title=pictures.label(name, "test"), xlabel="e, %", ylabel="R, MPa")
        _curve(beginning, marks, frozenset(Symbol))
        _lines(beginning, marks)
        _residuals(residuals, marks)

    return pictures.drawn(f"evaluation of {name}", draw, size=(11.5, 3.6), columns=3)


def _curve(axes: "Axes", marks: Marks, shown: frozenset[Symbol]) -> None:
    step = max(1, len(marks.strain) // _MOST_POINTS)
    axes.plot(100 * marks.strain[::step], marks.stress_mpa[::step], color=_COLOURS[0], linewidth=1.2)
    for mark in marks.points:
        if mark.symbol not in shown:
            continue
        axes.plot(100 * mark.strain, mark.stress_mpa, "o", markersize=4, color=_COLOURS[1])
        axes.annotate(
            str(mark.symbol),
            (100 * mark.strain, mark.stress_mpa),
            textcoords="offset points",
            xytext=(5, -9),
            fontsize=7,
        )


def _lines(axes: "Axes", marks: Marks) -> None:
    """Draw the elastic line, and the parallel ones of the proof strengths, over the beginning of the curve."""
    line = marks.line
    if line is None:
        return
    proof = next((mark for mark in marks.points if mark.symbol in {Symbol.RP02, Symbol.REH}), None)
    top = proof.stress_mpa if proof else line.stress_band_mpa[1] * 2
    stress = np.array([0.0, _HEAD * top])
    elastic = (stress - line.intercept_mpa) / line.slope_mpa
    axes.plot(100 * elastic, stress, color=_LINE, linewidth=0.9, label=f"m = {line.slope_mpa / 1000:.1f} GPa")
    for symbol, offset in marks.offsets.items():
        axes.plot(100 * (elastic + offset), stress, "--", color=_OFFSET, linewidth=0.9, label=f"{symbol}")
    low, high = line.stress_band_mpa
    axes.axhspan(low, high, color=_LINE, alpha=0.12, label="window")
    right = 100 * (elastic[1] + max(marks.offsets.values(), default=0.0) + 0.002)
    axes.set(xlim=(100 * elastic[0] - 0.02, right), ylim=(0, _HEAD * _HEAD * top), xlabel="e, %", title="elastic line")
    axes.legend(frameon=False, fontsize=7, loc="lower right")


def _residuals(axes: "Axes", marks: Marks) -> None:
    found = marks.residuals
    axes.set(title="residuals, ASTM E3076", xlabel="normalised strain")
    if found is None:
        axes.text(0.5, 0.5, "no search region", ha="center", transform=axes.transAxes)
        return
    axes.axhline(0.0, color=_LINE, linewidth=0.7)
    axes.plot(found.x, found.y, ".", markersize=2, color=_COLOURS[0])
    axes.axvspan(*found.band, color=_OFFSET, alpha=0.15)


def materials(found: Mapping[str, Representative]) -> dg.MarkdownMetadataValue:
    """Draw, for each material, the median curve with its quartiles."""

    def draw(axes: "Sequence[Axes]") -> None:
        (plane,) = axes
        for number, (material, curve) in enumerate(found.items()):
            colour = _COLOURS[number % len(_COLOURS)]
            percent = 100 * curve.strain
            plane.plot(percent, curve.median_mpa, color=colour, label=pictures.label(material, f"material {number}"))
            plane.fill_between(percent, curve.low_mpa, curve.high_mpa, color=colour, alpha=0.25, linewidth=0)
        plane.set(xlabel="e, %", ylabel="R, MPa", title="median curves with quartiles")
        plane.legend(frameon=False, fontsize=7)

    return pictures.drawn("median curves", draw, size=(7.5, 4.0))
