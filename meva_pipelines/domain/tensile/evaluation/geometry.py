"""From a specimen and its curve to lengths, areas, stress and strain. Nothing here looks for properties.

Stress is force over the original cross-section, strain displacement over the length that the displacement belongs to:
the gauge length for an extensometer, the parallel length for the crosshead (the gauge length where no other is known).
"""

import math

from meva_pipelines.domain.tensile.recording import Curve, DisplacementSource, Series, Shape, Specimen


def area_mm2(specimen: Specimen) -> float | None:
    """Original cross-section S0 in mm²: as stated, otherwise from the dimensions; None where neither is complete.

    Round π d²/4, rectangular a·b, tube π a (D − a) with wall a and outer diameter D (ISO 6892-1, annex on tubes).
    """
    if specimen.area_mm2 is not None:
        return _positive(specimen.area_mm2)
    diameter, thickness, width = specimen.diameter_mm, specimen.thickness_mm, specimen.width_mm
    match specimen.shape:
        case Shape.ROUND if diameter is not None:
            return _positive(0.25 * math.pi * diameter**2)
        case Shape.RECTANGULAR if thickness is not None and width is not None:
            return _positive(thickness * width)
        case Shape.TUBE if diameter is not None and thickness is not None:
            return _positive(math.pi * thickness * (diameter - thickness))
        case _:
            return None


def length_mm(specimen: Specimen, source: DisplacementSource) -> float | None:
    """The length in mm over which the displacement of a curve is spread; None where the specimen states none."""
    if source is DisplacementSource.CROSSHEAD and specimen.parallel_length_mm is not None:
        return _positive(specimen.parallel_length_mm)
    return None if specimen.gauge_length_mm is None else _positive(specimen.gauge_length_mm)


def stress_mpa(curve: Curve, area: float) -> Series:
    """Engineering stress in MPa, shape (points,), for an area in mm²."""
    return curve.load_n / area


def strain(curve: Curve, length: float | None, compliance_mm_per_n: float | None) -> Series | None:
    """Engineering strain as a ratio, shape (points,); None where neither a length in mm nor a strain is known.

    Of a displacement of the crosshead the part of the frame is taken away first where its compliance is given.
    """
    if length is None:
        return curve.strain
    if compliance_mm_per_n is None or not is_corrected(curve, length, compliance_mm_per_n):
        return curve.displacement_mm / length
    return (curve.displacement_mm - compliance_mm_per_n * curve.load_n) / length


def is_corrected(curve: Curve, length: float | None, compliance_mm_per_n: float | None) -> bool:
    """Whether `strain` takes the part of the frame away: a displacement of the crosshead, and a known compliance."""
    is_crosshead = curve.displacement_source is DisplacementSource.CROSSHEAD
    return is_crosshead and length is not None and compliance_mm_per_n is not None


def _positive(number: float) -> float | None:
    return number if math.isfinite(number) and number > 0.0 else None
