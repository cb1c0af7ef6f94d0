"""A record with its elastic line and its manner of yielding: what every property that needs them starts from."""

import math
from dataclasses import dataclass

from meva_pipelines.domain.tensile.evaluation import uncertainty, yielding
from meva_pipelines.domain.tensile.evaluation.record import Record
from meva_pipelines.domain.tensile.evaluation.uncertainty import Equipment
from meva_pipelines.domain.tensile.evaluation.values import Contribution, Flag, Line
from meva_pipelines.domain.tensile.evaluation.yielding import Yielding
from meva_pipelines.domain.tensile.recording import Series

OF_THE_FRAME = "the strain is from the crosshead and holds the frame: it takes an extensometer or its compliance"
_MOVED = 0.00005  # strain by which the zero has to move before it is worth a word


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """`strain` is that of the record; `yielding` is None where it yields smoothly or where that is not asked.

    `peak` is the index of Fm: the greatest force, after the yield point where there is one.
    """

    record: Record
    strain: Series
    line: Line
    is_metal: bool
    yielding: Yielding | None
    peak: int
    equipment: Equipment
    flags: tuple[Flag, ...]

    @property
    def noise_about_line_mpa(self) -> float:
        """Standard deviation of stress about a point of the curve, the noise of the strain included."""
        return math.hypot(self.record.noise_mpa, self.line.slope_mpa * self.record.noise_strain)

    def total(self, index: int) -> float:
        """Total extension at an index, from the toe-compensated zero, as a ratio."""
        return float(self.strain[index]) - self.line.zero_strain

    def plastic(self, index: int) -> float:
        """Plastic extension at an index, as a ratio."""
        return self.total(index) - float(self.record.stress_mpa[index]) / self.line.slope_mpa

    def line_errors(self, stress_mpa: float, factor: float) -> tuple[Contribution, ...]:
        """Errors of the line for a value that moves by `factor` times the strain of the line at a stress."""
        line = self.line
        lever = (stress_mpa - line.mean_stress_mpa) / line.slope_mpa
        middle = line.residual_mpa / (line.slope_mpa * math.sqrt(line.points))
        return (
            uncertainty.normal("slope of the elastic line", factor * lever * line.relative_error),
            uncertainty.normal("position of the elastic line", factor * middle),
        )


def fitted(record: Record, strain: Series, line: Line, equipment: Equipment, *, is_metal: bool) -> Fitted:
    """Look for a yield point (of metals only) and for Fm."""
    yields = yielding.found(record, strain, line) if is_metal else None
    peak = record.top
    if yields is not None:
        peak = yields.lower + int(record.stress_mpa[yields.lower :].argmax())
    flags = []
    if record.is_of_crosshead:
        flags.append(Flag.CROSSHEAD)
    elif record.is_corrected:
        flags.append(Flag.COMPLIANCE)
    if abs(line.zero_strain) > _MOVED:
        flags.append(Flag.TOE)
    return Fitted(record, strain, line, is_metal, yields, peak, equipment, tuple(flags))
