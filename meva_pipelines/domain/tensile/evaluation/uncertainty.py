"""The budget behind every value, after the Guide to the expression of uncertainty and CWA 15261-2.

Limits of error are taken as rectangular: a limit a gives the standard uncertainty a/√3. Contributions are independent
and add in squares; the expanded uncertainty is twice their sum (k = 2).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from meva_pipelines.domain.tensile.evaluation.recipe import Machine
from meva_pipelines.domain.tensile.evaluation.values import Contribution, Flag, Symbol, Value

COVERAGE_FACTOR = 2.0
_DEFAULT_FORCE_CLASS = 1.0  # ISO 7500-1, asked for by ISO 6892-1
_DEFAULT_EXTENSOMETER_CLASS = 1.0  # ISO 9513, asked for by ISO 6892-1 for proof strengths
_DEFAULT_AREA_PERCENT = 1.0  # ISO 6892-1 on the original cross-section
_DEFAULT_GAUGE_LENGTH_PERCENT = 0.5  # ISO 6892-1: marked to ± 1 %; a calibrated extensometer is set to ± 0.5 %
_DEFAULT_FINAL_AREA_PERCENT = 2.0  # ISO 6892-1 on the reduction of area
_DEFAULT_FINAL_LENGTH_MM = 0.25  # ISO 6892-1 on the elongation after fracture
_FLOOR_MM = 0.003  # ISO 9513: per class, where it is more than the share
_CROSSHEAD_FACTOR = 2.0  # travel of a machine is not calibrated as an extensometer is


@dataclass(frozen=True, slots=True)
class Equipment:
    """Limits of error for one test. `length_mm` is the length of the strain, `is_crosshead` what measured it."""

    machine: Machine
    length_mm: float | None
    is_crosshead: bool

    def stress(self, amount: float) -> tuple[Contribution, ...]:
        """Force and area, for a value that changes by `amount` times their relative error."""
        machine = self.machine
        return (
            _limit("force", machine.force_class, _DEFAULT_FORCE_CLASS, amount / 100),
            _limit("cross-section", machine.area_percent, _DEFAULT_AREA_PERCENT, amount / 100),
        )

    def strain(self, amount: float, extension: float) -> tuple[Contribution, ...]:
        """Displacement and length, for a value that changes by `amount` times their relative error.

        `extension` is the strain over which the displacement was measured: small ones meet the absolute limit.
        """
        stated = self.machine.extensometer_class
        share = 1.0
        if self.length_mm is not None and extension > 0.0:
            share = max(share, 100 * _FLOOR_MM / (extension * self.length_mm))
        if self.is_crosshead:
            share *= _CROSSHEAD_FACTOR
        source = "displacement of the crosshead" if self.is_crosshead else "extensometer"
        return (
            _limit(source, stated, _DEFAULT_EXTENSOMETER_CLASS, share * amount / 100),
            self.gauge_length(amount),
        )

    def gauge_length(self, amount: float) -> Contribution:
        """Original gauge length, for a value that changes by `amount` times its relative error."""
        stated = self.machine.gauge_length_percent
        return _limit("gauge length", stated, _DEFAULT_GAUGE_LENGTH_PERCENT, amount / 100)

    def final_area(self, amount: float) -> Contribution:
        """Cross-section after fracture, for a value that changes by `amount` times its relative error."""
        stated = self.machine.final_area_percent
        return _limit("cross-section after fracture", stated, _DEFAULT_FINAL_AREA_PERCENT, amount / 100)

    def original_area(self, amount: float) -> Contribution:
        """Original cross-section alone, for a value that changes by `amount` times its relative error."""
        return _limit("cross-section", self.machine.area_percent, _DEFAULT_AREA_PERCENT, amount / 100)

    def final_length(self, amount_per_mm: float) -> Contribution:
        """Gauge length after fracture, for a value that changes by `amount_per_mm` with each millimetre."""
        stated = self.machine.final_length_mm
        return _limit("gauge length after fracture", stated, _DEFAULT_FINAL_LENGTH_MM, amount_per_mm)

    def assumptions(self) -> tuple[str, ...]:
        """The limits that nobody stated."""
        machine = self.machine
        taken = (
            (machine.force_class, f"force of class {_DEFAULT_FORCE_CLASS:g} (ISO 7500-1)"),
            (machine.extensometer_class, f"extensometer of class {_DEFAULT_EXTENSOMETER_CLASS:g} (ISO 9513)"),
            (machine.area_percent, f"cross-section within {_DEFAULT_AREA_PERCENT:g} %"),
            (machine.gauge_length_percent, f"gauge length within {_DEFAULT_GAUGE_LENGTH_PERCENT:g} %"),
            (machine.final_area_percent, f"cross-section after fracture within {_DEFAULT_FINAL_AREA_PERCENT:g} %"),
            (machine.final_length_mm, f"length after fracture within {_DEFAULT_FINAL_LENGTH_MM:g} mm"),
        )
        return tuple(sentence for stated, sentence in taken if stated is None)


def normal(source: str, standard_uncertainty: float) -> Contribution:
    """A contribution that was estimated from scatter."""
    return Contribution(source, "normal", abs(float(standard_uncertainty)))


def rectangular(source: str, half_width: float) -> Contribution:
    """A contribution known by its limits alone."""
    return Contribution(source, "rectangular", abs(half_width) / math.sqrt(3.0))


def triangular(source: str, half_width: float) -> Contribution:
    """A contribution known by its limits, and more likely in their middle."""
    return Contribution(source, "triangular", abs(half_width) / math.sqrt(6.0))


def value(
    symbol: Symbol,
    amount: float,
    unit: str,
    *,
    method: str,
    clause: str,
    budget: Iterable[Contribution],
    flags: Iterable[Flag] = (),
) -> Value:
    """A value with its expanded uncertainty."""
    contributions = tuple(one for one in budget if one.standard_uncertainty > 0.0)
    expanded = COVERAGE_FACTOR * math.hypot(*(one.standard_uncertainty for one in contributions))
    return Value(symbol, float(amount), unit, method, clause, expanded, contributions, tuple(flags))


def _limit(source: str, stated: float | None, default: float, factor: float) -> Contribution:
    half_width = abs((default if stated is None else stated) * factor)
    return Contribution(source, "rectangular", half_width / math.sqrt(3.0), is_assumed=stated is None)
