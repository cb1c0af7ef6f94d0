"""Laws of the made-up laboratory: stress-extension curves in closed form, with their properties beside them.

Formulas only: which material follows which law is in `laboratory_materials`, how a machine distorts what it records
in `laboratory_measuring`. Extensions and plastic extensions are ratios of the gauge length, stresses are in MPa. Most
laws are written over the *plastic* extension p = e - R/E, so
that the proof strength at p, Ag and A are what they are by definition and not by evaluation.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Self, TypeAlias

import numpy as np

from meva_pipelines.domain.tensile.evaluation.values import Symbol
from meva_pipelines.domain.tensile.recording import Series

Truth: TypeAlias = Mapping[Symbol, float]
"""True properties: stresses and moduli in MPa, elongations in %. What a curve does not have is missing."""

_POLISHING_STEPS: Final = 6
_HALVINGS: Final = 200


class Law(ABC):
    """A stress-extension curve from zero to fracture, exactly linear with `modulus_mpa` at its beginning.

    Laws are frozen dataclasses; every field that ends in `_mpa` is a stress or the modulus.
    """

    modulus_mpa: float

    @property
    @abstractmethod
    def break_extension(self) -> float:
        """Total extension at fracture."""

    @abstractmethod
    def stress_mpa(self, extension: Series) -> Series:
        """Return the stresses at total extensions up to that of fracture; both of shape (points,)."""

    @abstractmethod
    def truth(self) -> Truth:
        """Return the true properties."""

    def scaled(self, stiffness: float, strength: float) -> Self:
        """Return the law of another specimen: its modulus multiplied by one factor, its stresses by the other."""
        stresses = {each: getattr(self, each) * strength for each in vars(self) if each.endswith("_mpa")}
        return replace(self, **stresses | {"modulus_mpa": self.modulus_mpa * stiffness})  # type: ignore[type-var]  # every law is a dataclass


class PlasticLaw(Law):
    """A law written as stress over plastic extension; its total extension never goes back. `elongation` is A."""

    elongation: float

    @abstractmethod
    def hardening_mpa(self, plastic: Series) -> Series:
        """Return the stresses at plastic extensions from 0 to `elongation`."""

    def corners(self) -> tuple[float, ...]:
        """Return the plastic extensions at which the slope jumps."""
        return ()

    @property
    def break_extension(self) -> float:
        """Total extension at fracture."""
        return self.elongation + float(self.hardening_mpa(np.array([self.elongation]))[0]) / self.modulus_mpa

    def stress_mpa(self, extension: Series) -> Series:
        """Return the stresses at total extensions: the plastic part from a table, polished to machine precision.

        Raises:
            ValueError: the law's stress falls so steeply that the total extension would go back.
        """
        plastic, total = _table(self)
        wanted = np.clip(extension, total[0], total[-1])
        cell = np.clip(np.searchsorted(total, wanted, side="right") - 1, 0, len(total) - 2)
        slope = (total[cell + 1] - total[cell]) / (plastic[cell + 1] - plastic[cell])
        found = plastic[cell] + (wanted - total[cell]) / slope
        for _ in range(_POLISHING_STEPS):
            found += (wanted - found - self.hardening_mpa(found) / self.modulus_mpa) / slope
            found = np.clip(found, plastic[cell], plastic[cell + 1])
        return np.where(extension <= total[0], self.modulus_mpa * extension, self.hardening_mpa(found))


@dataclass(frozen=True)
class Smooth(PlasticLaw):
    """A metal that yields gradually: linear up to `limit_mpa`, a knee, a broad hill to Rm, then necking.

    R(p) = R0 + (R1 - R0)(1 - exp(-p/c)) + (Rm - R1)(1 - (1 - p/Ag)²) up to Ag; R1 follows from Rp0.2 in closed form.
    `uniform` is Ag and `elongation` A, both as ratios. Ag must be far above the knee c, or Rm is missed by exp(-Ag/c).
    """

    modulus_mpa: float
    limit_mpa: float
    proof_mpa: float
    strength_mpa: float
    uniform: float
    elongation: float
    break_mpa: float
    knee: float = 0.0008

    def hardening_mpa(self, plastic: Series) -> Series:
        """Return the stresses at plastic extensions."""
        at_proof, bend = 1.0 - (1.0 - 0.002 / self.uniform) ** 2, math.exp(-0.002 / self.knee)
        level = (self.proof_mpa - self.limit_mpa * bend - self.strength_mpa * at_proof) / (1.0 - bend - at_proof)
        hill: Series = 1.0 - (1.0 - np.minimum(plastic / self.uniform, 1.0)) ** 2
        risen: Series = self.limit_mpa + (level - self.limit_mpa) * -np.expm1(-plastic / self.knee)
        return risen + (self.strength_mpa - level) * hill - _necking(self, plastic)

    def truth(self) -> Truth:
        """Return the true properties."""
        return {**_proof_strengths(self), **_elongations(self), Symbol.RT05: _stress_at(self, 0.005)}


@dataclass(frozen=True)
class YieldDrop(PlasticLaw):
    """A metal with an upper yield point: it drops through a transient to a plateau, and then hardens to Rm.

    `upper_mpa` is ReH, `lower_mpa` the plateau and so ReL; the transient goes down to `transient_mpa`, which is not
    ReL (ISO 6892-1 ignores it), and is over after the plastic extension `drop` twice. The plateau ends at the plastic
    extension `plateau`. Ae is the distance between the extension at ReH and the end of the plateau.
    """

    modulus_mpa: float
    upper_mpa: float
    transient_mpa: float
    lower_mpa: float
    strength_mpa: float
    plateau: float
    uniform: float
    elongation: float
    break_mpa: float
    drop: float = 0.0004

    def hardening_mpa(self, plastic: Series) -> Series:
        """Return the stresses at plastic extensions."""
        knots = [0.0, self.drop, 2 * self.drop, self.plateau]
        yielding = np.interp(plastic, knots, [self.upper_mpa, self.transient_mpa, self.lower_mpa, self.lower_mpa])
        share = np.clip((plastic - self.plateau) / (self.uniform - self.plateau), 0.0, 1.0)
        hill = 1.0 - (1.0 - share) ** 2
        return yielding + (self.strength_mpa - self.lower_mpa) * hill - _necking(self, plastic)

    def corners(self) -> tuple[float, ...]:
        """Return the plastic extensions at which the slope jumps."""
        return (self.drop, 2 * self.drop, self.plateau)

    def truth(self) -> Truth:
        """Return the true properties; proof strengths lie on the plateau where they are below it in extension."""
        yielded = self.plateau + (self.lower_mpa - self.upper_mpa) / self.modulus_mpa
        return {
            **_proof_strengths(self),
            **_elongations(self),
            Symbol.RT05: _stress_at(self, 0.005),
            Symbol.REH: self.upper_mpa,
            Symbol.REL: self.lower_mpa,
            Symbol.AE: 100.0 * yielded,
        }


@dataclass(frozen=True)
class Film(PlasticLaw):
    """A polymer film: linear up to `limit_mpa`, a wide bend, then drawing and stiffening until it breaks at Rm."""

    modulus_mpa: float
    limit_mpa: float
    draw_mpa: float
    strength_mpa: float
    elongation: float
    knee: float = 0.02

    def hardening_mpa(self, plastic: Series) -> Series:
        """Return the stresses at plastic extensions."""
        bent = self.limit_mpa + (self.draw_mpa - self.limit_mpa) * -np.expm1(-plastic / self.knee)
        return bent + (self.strength_mpa - self.draw_mpa) * (plastic / self.elongation) ** 1.5

    def truth(self) -> Truth:
        """Return the true properties: no proof strength, because a film has none."""
        return {
            Symbol.MODULUS: self.modulus_mpa,
            Symbol.RM: self.strength_mpa,
            Symbol.AG: 100.0 * self.elongation,
            Symbol.AGT: 100.0 * self.break_extension,
            Symbol.A: 100.0 * self.elongation,
            Symbol.AT: 100.0 * self.break_extension,
        }


@dataclass(frozen=True)
class Hollomon(Law):
    """A metal whose true stress is K·ε^n from the end of the elastic line until fracture (Hollomon 1945).

    In engineering values R = K·ln(1+e)^n/(1+e), with its maximum where ln(1+e) = n (Considère). The end of the
    elastic line and the proof strengths are roots, found to machine precision.
    """

    modulus_mpa: float
    strength_mpa: float
    exponent: float
    fracture: float

    @property
    def break_extension(self) -> float:
        """Total extension at fracture."""
        return self.fracture

    @property
    def coefficient_mpa(self) -> float:
        """K, from Rm and n."""
        return self.strength_mpa * math.pow(math.e / self.exponent, self.exponent)

    @property
    def limit_extension(self) -> float:
        """Extension at the end of the elastic line, where both curves meet."""
        return _root(lambda e: self._hardened(e) - self.modulus_mpa * e, 1e-9, math.expm1(self.exponent))

    def stress_mpa(self, extension: Series) -> Series:
        """Return the stresses at total extensions."""
        limit = self.limit_extension
        true: Series = np.log1p(np.maximum(extension, limit))
        hardened = self.coefficient_mpa * true**self.exponent * np.exp(-true)
        return np.where(extension < limit, self.modulus_mpa * extension, hardened)

    def truth(self) -> Truth:
        """Return the true properties."""
        most = math.expm1(self.exponent)
        last = self._hardened(self.break_extension)
        return {
            Symbol.MODULUS: self.modulus_mpa,
            Symbol.RP01: self._proof(0.001),
            Symbol.RP02: self._proof(0.002),
            Symbol.RP10: self._proof(0.01),
            Symbol.RT05: self._hardened(0.005),
            Symbol.RM: self.strength_mpa,
            Symbol.AG: 100.0 * (most - self.strength_mpa / self.modulus_mpa),
            Symbol.AGT: 100.0 * most,
            Symbol.A: 100.0 * (self.break_extension - last / self.modulus_mpa),
            Symbol.AT: 100.0 * self.break_extension,
        }

    def _hardened(self, extension: float) -> float:
        true = math.log1p(extension)
        return self.coefficient_mpa * math.pow(true, self.exponent) * math.exp(-true)

    def _proof(self, plastic: float) -> float:
        low, high = self.limit_extension, math.expm1(self.exponent)
        return self._hardened(_root(lambda e: self._hardened(e) - self.modulus_mpa * (e - plastic), low, high))


def _necking(law: Smooth | YieldDrop, plastic: Series) -> Series:
    """Stress lost since the maximum: a parabola that reaches the stress at break at fracture."""
    share = np.maximum(plastic - law.uniform, 0.0) / (law.elongation - law.uniform)
    return (law.strength_mpa - law.break_mpa) * share**2


def _proof_strengths(law: Smooth | YieldDrop) -> Truth:
    stresses = law.hardening_mpa(np.array([0.001, 0.002, 0.01]))
    return dict(zip((Symbol.RP01, Symbol.RP02, Symbol.RP10), stresses.tolist(), strict=True))


def _elongations(law: Smooth | YieldDrop) -> Truth:
    return {
        Symbol.MODULUS: law.modulus_mpa,
        Symbol.RM: law.strength_mpa,
        Symbol.AG: 100.0 * law.uniform,
        Symbol.AGT: 100.0 * (law.uniform + law.strength_mpa / law.modulus_mpa),
        Symbol.A: 100.0 * law.elongation,
        Symbol.AT: 100.0 * law.break_extension,
    }


def _stress_at(law: Law, extension: float) -> float:
    return float(law.stress_mpa(np.array([extension]))[0])


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Root of a function that is positive at `low` and negative at `high`, by halving."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if function(middle) > 0 else (low, middle)
    return low


@lru_cache(maxsize=16)
def _table(law: PlasticLaw) -> tuple[Series, Series]:
    """Plastic extensions and the total ones that belong to them, dense enough to start an iteration from."""
    plastic = np.union1d(np.linspace(0.0, law.elongation, 4_000), np.geomspace(1e-7, law.elongation, 4_000))
    plastic = np.union1d(np.minimum(plastic, law.elongation), law.corners())
    total = plastic + law.hardening_mpa(plastic) / law.modulus_mpa
    if not (np.diff(total) > 0).all():
        raise ValueError("the stress falls faster than the specimen unloads: total extension would go back")
    return plastic, total
