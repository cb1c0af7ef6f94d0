"""A test ready to be evaluated: stress over strain to the break, with its noise. Nothing here looks for properties."""

import math
from dataclasses import dataclass

import numpy as np

from meva_pipelines.domain.tensile.evaluation import fracture, geometry, noise
from meva_pipelines.domain.tensile.evaluation.recipe import Recipe
from meva_pipelines.domain.tensile.recording import Curve, DisplacementSource, Series, Specimen


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """Stress in MPa and strain as a ratio, shape (points,), up to the last point before the break.

    `strain` is None where no length is known. `top` is the index of the greatest force, `noise_mpa` and
    `noise_strain` are standard deviations, `step_mpa` is the resolution of the force, 0 where none is seen.
    `evidence` says what proves the break; None where nothing does.
    """

    stress_mpa: Series
    strain: Series | None
    top: int
    noise_mpa: float
    noise_strain: float
    step_mpa: float
    evidence: str | None
    area_mm2: float
    length_mm: float | None
    source: DisplacementSource
    is_corrected: bool

    @property
    def is_of_crosshead(self) -> bool:
        """Whether the strain holds the deformation of the frame as well."""
        return self.source is DisplacementSource.CROSSHEAD and not self.is_corrected


def prepared(curve: Curve, specimen: Specimen, recipe: Recipe, rows_after_break: int) -> Record | str:
    """The record of a curve, or the reason why there is none: no area, no force, a compression test."""
    area = geometry.area_mm2(specimen)
    if area is None:
        return "no cross-section S0: neither an area nor the dimensions of a known shape are stated"
    length = geometry.length_mm(specimen, curve.displacement_source)
    stress, strain = geometry.stress_mpa(curve, area), geometry.strain(curve, length, recipe.compliance_mm_per_n)
    elapsed = curve.elapsed_s
    is_whole = np.isfinite(stress) if strain is None else np.isfinite(stress) & np.isfinite(strain)
    if not is_whole.all():
        stress = stress[is_whole]
        strain = None if strain is None else strain[is_whole]
        elapsed = None if elapsed is None else elapsed[is_whole]
    if stress.size < 3:
        return f"only {stress.size} points hold a force"
    top = int(stress.argmax())
    if stress[top] <= 0.0 or stress[top] < -stress.min():
        return "no tension: the greatest force is not a pulling one"
    step_mpa = noise.resolution(stress)
    noise_mpa = _noise(stress, elapsed, step_mpa)
    end = fracture.ending(stress, top, noise_mpa, specimen, rows_after_break)
    kept = slice(end.last + 1)
    if strain is not None:
        strain = strain[kept]
    if elapsed is not None:
        elapsed = elapsed[kept]
    return Record(
        stress_mpa=stress[kept],
        strain=strain,
        top=top,
        noise_mpa=noise_mpa,
        noise_strain=0.0 if strain is None else _noise(strain, elapsed, noise.resolution(strain)),
        step_mpa=step_mpa,
        evidence=end.evidence,
        area_mm2=area,
        length_mm=length,
        source=curve.displacement_source,
        is_corrected=geometry.is_corrected(curve, length, recipe.compliance_mm_per_n),
    )


def _noise(values: Series, elapsed_s: Series | None, step: float) -> float:
    """What scatters a channel: its noise, or the step in which it was written where that is coarser."""
    return max(noise.noise(values, elapsed_s), step / math.sqrt(12.0))
