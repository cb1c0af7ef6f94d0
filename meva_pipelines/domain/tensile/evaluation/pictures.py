"""What a picture of an evaluated test marks: data only. Drawing happens elsewhere."""

from collections.abc import Mapping

from meva_pipelines.domain.tensile.evaluation import sdar_quality, strengths
from meva_pipelines.domain.tensile.evaluation.fitted import Fitted
from meva_pipelines.domain.tensile.evaluation.proof import Crossing
from meva_pipelines.domain.tensile.evaluation.sdar import Region
from meva_pipelines.domain.tensile.evaluation.values import Mark, Marks, Symbol, Value, Withheld


def marks(
    test: Fitted,
    results: Mapping[Symbol, Value | Withheld],
    crossings: Mapping[Symbol, Crossing],
    part: Region | None,
) -> Marks:
    """The elastic line, the lines moved by an offset, the points of the properties and the residuals of E3076."""
    stress = test.record.stress_mpa
    points = [Mark(symbol, found.strain, found.stress_mpa) for symbol, found in crossings.items()]
    points.append(Mark(Symbol.RM, float(test.strain[test.peak]), float(stress[test.peak])))
    if test.yielding is not None:
        for symbol, index in ((Symbol.REH, test.yielding.upper), (Symbol.REL, test.yielding.lower)):
            points.append(Mark(symbol, float(test.strain[index]), float(stress[index])))
    plastic = results[Symbol.AG]
    if isinstance(plastic, Value):
        points.append(Mark(Symbol.AG, *_at_maximum(test, plastic.value / 100)))
    if isinstance(results[Symbol.AT], Value):
        points.append(Mark(Symbol.AT, float(test.strain[-1]), float(stress[-1])))
    return Marks(
        strain=test.strain,
        stress_mpa=stress,
        line=test.line,
        offsets={symbol: strengths.PROOF_OFFSETS[symbol] for symbol in crossings if symbol in strengths.PROOF_OFFSETS},
        points=tuple(points),
        residuals=None if part is None else sdar_quality.residuals(part, test.line),
    )


def _at_maximum(test: Fitted, plastic: float) -> tuple[float, float]:
    """The point of the curve that has a plastic extension at maximum stress."""
    stress = float(test.record.stress_mpa[test.peak])
    return test.line.zero_strain + plastic + stress / test.line.slope_mpa, stress
