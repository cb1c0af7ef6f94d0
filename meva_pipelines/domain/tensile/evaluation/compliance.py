"""The compliance of a frame from tests of known modulus, so that a crosshead can stand in for an extensometer.

In the elastic range the travel is d = F · (C + L / (E S0)): with E known, every test gives C in mm/N.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scipy import special

from meva_pipelines.domain.failures import Rejected
from meva_pipelines.domain.tensile.evaluation import record, slope
from meva_pipelines.domain.tensile.evaluation.recipe import Recipe
from meva_pipelines.domain.tensile.recording import Curve, DisplacementSource, Specimen

LEAST_TESTS = 3
_UPPER = 0.977249868051821  # of a normal distribution below two standard deviations


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceTest:
    """A test by crosshead of a specimen whose modulus in MPa is known, with its standard uncertainty."""

    curve: Curve
    specimen: Specimen
    modulus_mpa: float
    modulus_uncertainty_mpa: float = 0.0


@dataclass(frozen=True, slots=True)
class Compliance:
    """Compliance of a frame in mm/N and its standard uncertainty; `each` holds the result of every test."""

    mm_per_n: float
    uncertainty_mm_per_n: float
    each: tuple[float, ...]


def fit_compliance(tests: Sequence[ReferenceTest], recipe: Recipe | None = None) -> Compliance:
    """The mean compliance of at least three reference tests on one frame.

    Its standard uncertainty is the scatter of the mean, widened by Student's t for so few tests (the half of a 95.45 %
    interval), and the uncertainty of the moduli, which the tests share. Raises Rejected for fewer tests, an
    extensometer, a missing length or area, no elastic part, or a frame that comes out stiffer than rigid.
    """
    if len(tests) < LEAST_TESTS:
        raise Rejected(f"{len(tests)} reference tests: the compliance of a frame takes at least {LEAST_TESTS}")
    each = [_of_one(test, recipe or Recipe()) for test in tests]
    mean = statistics.fmean(one for one, _ in each)
    if mean <= 0.0:
        raise Rejected(f"the compliance comes out as {mean:.3g} mm/N: moduli, lengths or areas of the tests are wrong")
    freedom = len(each) - 1
    widening = float(special.stdtrit(freedom, _UPPER)) / 2.0
    scatter = widening * statistics.stdev(one for one, _ in each) / math.sqrt(len(each))
    shared = statistics.fmean(error for _, error in each)
    return Compliance(mean, math.hypot(scatter, shared), tuple(one for one, _ in each))


def _of_one(test: ReferenceTest, recipe: Recipe) -> tuple[float, float]:
    """Compliance in mm/N from one test, and what the uncertainty of its modulus makes of it."""
    name = test.specimen.name
    if test.curve.displacement_source is not DisplacementSource.CROSSHEAD:
        raise Rejected(f"reference test {name} was measured by an extensometer, which does not see the frame")
    found = record.prepared(test.curve, test.specimen, replace(recipe, compliance_mm_per_n=None), 0)
    if isinstance(found, str) or found.strain is None or found.length_mm is None:
        raise Rejected(f"reference test {name}: {found if isinstance(found, str) else 'no length is stated'}")
    line = slope.elastic(found, found.strain, recipe)
    if isinstance(line, str):
        raise Rejected(f"reference test {name} has no elastic line: {line}")
    stiffness = found.area_mm2 / found.length_mm
    own = 1.0 / (test.modulus_mpa * stiffness)
    return 1.0 / (line.slope_mpa * stiffness) - own, own * test.modulus_uncertainty_mpa / test.modulus_mpa
