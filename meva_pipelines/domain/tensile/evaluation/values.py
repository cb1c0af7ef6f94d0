"""What an evaluation says: values with method and uncertainty, what is withheld and why, marks for a picture.

No formulas here. Stresses in MPa, strains as ratios; values of elongation in %.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from meva_pipelines.domain.tensile.recording import Series


class Symbol(StrEnum):
    """The properties, in the symbols of ISO 6892-1 where it has one."""

    SLOPE = "mE"
    MODULUS = "E"
    RP01 = "Rp0.1"
    RP02 = "Rp0.2"
    RP10 = "Rp1.0"
    RT05 = "Rt0.5"
    REH = "ReH"
    REL = "ReL"
    RM = "Rm"
    AG = "Ag"
    AGT = "Agt"
    A = "A"
    AT = "At"
    Z = "Z"
    AE = "Ae"
    N = "n"
    K = "K"
    TOUGHNESS = "W"
    RESILIENCE = "Ur"


class Flag(StrEnum):
    """What a reader of a value has to know beside its uncertainty."""

    CROSSHEAD = "strain from the crosshead"
    COMPLIANCE = "crosshead corrected by the compliance of the frame"
    TOE = "zero of strain moved along the elastic line"
    DATA_QUALITY = "noise or resolution misses ASTM E3076"
    FIT_QUALITY = "linear part misses ASTM E3076"
    ANNEX = "slope misses R² > 0.9995 or S_m,rel < 1 %"
    PLATEAU = "read on a yield plateau"
    BY_HAND = "from lengths measured after fracture"
    DISAGREES = "the length measured by hand and the curve disagree"


@dataclass(frozen=True, slots=True)
class Contribution:
    """One line of an uncertainty budget: a standard uncertainty in the unit of the value.

    `is_assumed` where neither the recipe nor the record states the limit behind it.
    """

    source: str
    distribution: str
    standard_uncertainty: float
    is_assumed: bool = False


@dataclass(frozen=True, slots=True)
class Value:
    """A property, unrounded. `expanded_uncertainty` is that of the budget with k = 2, in `unit`."""

    symbol: Symbol
    value: float
    unit: str
    method: str
    clause: str
    expanded_uncertainty: float
    budget: tuple[Contribution, ...]
    flags: tuple[Flag, ...] = ()


@dataclass(frozen=True, slots=True)
class Withheld:
    """A property that the record cannot support, and why."""

    symbol: Symbol
    reason: str


@dataclass(frozen=True, slots=True)
class Line:
    """A straight part fitted by ordinary least squares: stress = slope_mpa · strain + intercept_mpa.

    It holds `points` points between the indices `start` and `stop` (exclusive) of the record; the band is the
    smallest and largest strain and stress among them. `residual_mpa` is the standard deviation about the line.
    """

    slope_mpa: float
    intercept_mpa: float
    start: int
    stop: int
    points: int
    strain_band: tuple[float, float]
    stress_band_mpa: tuple[float, float]
    mean_strain: float
    mean_stress_mpa: float
    slope_error_mpa: float
    residual_mpa: float
    r_squared: float

    @property
    def zero_strain(self) -> float:
        """Strain at which the line meets zero stress: slack and toe end here."""
        return -self.intercept_mpa / self.slope_mpa

    @property
    def relative_error(self) -> float:
        """S_m,rel, the standard error of the slope over the slope."""
        return abs(self.slope_error_mpa / self.slope_mpa)

    def stress_at(self, strain: float) -> float:
        """Stress of the line in MPa at a strain."""
        return self.slope_mpa * strain + self.intercept_mpa


@dataclass(frozen=True, slots=True)
class Measure:
    """One quality figure of ASTM E3076: it is good up to 1, with the exception that `is_good` may hold for more."""

    value: float
    is_good: bool


@dataclass(frozen=True, slots=True)
class Quality:
    """The four quality figures of ASTM E3076, each relative to its limit; the worse of the axes, of the quarters."""

    noise: Measure
    resolution: Measure
    curvature: Measure
    fit_range: Measure

    @property
    def is_data_good(self) -> bool:
        """Whether the record is fine and quiet enough for a slope."""
        return self.noise.is_good and self.resolution.is_good

    @property
    def is_fit_good(self) -> bool:
        """Whether the fitted part is straight and long enough."""
        return self.curvature.is_good and self.fit_range.is_good


@dataclass(frozen=True, slots=True, eq=False)
class Residuals:
    """The picture of ASTM E3076: normalised strains and residuals of the searched part, and the fitted band of x."""

    x: Series
    y: Series
    band: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Mark:
    """A point to be drawn on the curve."""

    symbol: Symbol
    strain: float
    stress_mpa: float


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """What a picture of the test draws; `strain` and `stress_mpa` of shape (points,) end at the last point used."""

    strain: Series
    stress_mpa: Series
    line: Line | None
    offsets: Mapping[Symbol, float]
    points: tuple[Mark, ...]
    residuals: Residuals | None


@dataclass(frozen=True, slots=True, eq=False)
class TrueCurve:
    """True strain and true stress from the zero of strain to maximum force, shape (points,), and the plastic part."""

    strain: Series
    stress_mpa: Series
    plastic_strain: Series


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """One test evaluated: every symbol of `Symbol` is either a value or withheld.

    `assumptions` names what was taken for granted about the machine. `is_metal` tells by the elastic line whether what
    ISO 6892-1 defines for metals applies; without a line it is None, as is `true_curve`.
    """

    evaluator_version: str
    recipe: str
    results: Mapping[Symbol, Value | Withheld]
    line: Line | None
    quality: Quality | None
    is_metal: bool | None
    is_discontinuous: bool | None
    marks: Marks | None
    true_curve: TrueCurve | None
    assumptions: tuple[str, ...]

    @property
    def values(self) -> tuple[Value, ...]:
        """What could be determined."""
        return tuple(result for result in self.results.values() if isinstance(result, Value))

    @property
    def withheld(self) -> tuple[Withheld, ...]:
        """What could not, with the reasons."""
        return tuple(result for result in self.results.values() if isinstance(result, Withheld))
