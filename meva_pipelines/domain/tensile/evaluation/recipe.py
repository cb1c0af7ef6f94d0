"""How a test is to be evaluated: the choices a laboratory makes, with the defaults of the standards. No formulas."""

from dataclasses import dataclass, field
from enum import StrEnum


class SlopeMethod(StrEnum):
    """How the elastic line is found."""

    STRESS_BAND = "stress band"  # ISO 6892-1, annex on the modulus: 10 to 40 % of Rp0.2, found by iteration
    STRAIN_BAND = "strain band"  # ISO 527-1: 0.05 to 0.25 % strain
    RESIDUALS = "ASTM E3076"  # slope determination by analysis of residuals


class MaterialClass(StrEnum):
    """What ISO 6892-1 is asked about: it is a standard for metals."""

    METAL = "metal"
    OTHER = "other"
    BY_SLOPE = "by slope"  # a slope too low for any metal, on whatever frame, is none


@dataclass(frozen=True, slots=True)
class Machine:
    """Limits of error of the equipment; None takes the default and records it as an assumption.

    `force_class` is that of ISO 7500-1 (limit in %), `extensometer_class` that of ISO 9513 (limit in %, and three
    micrometres times the class where that is more). The others are limits in %.
    """

    force_class: float | None = None
    extensometer_class: float | None = None
    area_percent: float | None = None
    gauge_length_percent: float | None = None
    final_area_percent: float | None = None
    final_length_mm: float | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """Choices of an evaluation. Bands of stress in shares of Rp0.2, of strain as ratios.

    `min_fraction` is the shortest window of ASTM E3076 in shares of the searched part (0.2 in the standard; NIST
    TN 2050 advises 0.5 and more for noisy or hysteretic records), `most_points` the number of points to which that
    part is thinned out first. With `compliance_mm_per_n` (and its standard uncertainty) displacements of the
    crosshead are corrected for the frame. `hardening_band` is the range of plastic strain for n and K (ISO 10275),
    cut at Ag.
    """

    slope: SlopeMethod = SlopeMethod.STRESS_BAND
    stress_band: tuple[float, float] = (0.1, 0.4)
    strain_band: tuple[float, float] = (0.0005, 0.0025)
    least_points: int = 8
    min_fraction: float = 0.2
    most_points: int = 1_500
    material_class: MaterialClass = MaterialClass.BY_SLOPE
    compliance_mm_per_n: float | None = None
    compliance_uncertainty_mm_per_n: float = 0.0
    hardening_band: tuple[float, float] = (0.02, 0.20)
    machine: Machine = field(default_factory=Machine)

    def described(self) -> str:
        """One line for people and for the record of a result."""
        bands = {
            SlopeMethod.STRESS_BAND: "{:g}–{:g} % of Rp0.2 (Rm where there is none)".format(
                *(100 * share for share in self.stress_band)
            ),
            SlopeMethod.STRAIN_BAND: "{:g}–{:g} % strain".format(*(100 * strain for strain in self.strain_band)),
            SlopeMethod.RESIDUALS: f"windows of at least {100 * self.min_fraction:g} %",
        }
        return f"{self.slope}, {bands[self.slope]}"
