"""Generated tests whose properties are known in closed form: everything follows from stress over plastic strain."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from meva_pipelines.domain.tensile.recording import Curve, DisplacementSource, Series, Specimen

Hardening = Callable[[Series], Series]


@dataclass(frozen=True)
class Material:
    """An elastic line up to `first_mpa`, then `hardening` from plastic strain to stress, up to the break."""

    modulus_mpa: float
    first_mpa: float
    hardening: Hardening
    uniform: float  # plastic strain at maximum force
    breaking: float  # plastic strain at the break

    def stress(self, plastic: float) -> float:
        """Stress in MPa at a plastic strain: Rp of that offset, where stress rises."""
        return float(self.hardening(np.array([plastic]))[0])

    def total(self, plastic: float) -> float:
        """Total strain at a plastic strain."""
        return plastic + self.stress(plastic) / self.modulus_mpa

    def curve(self, strain: Series) -> Series:
        """Stress at total strains that begin at zero, by inversion on a dense grid."""
        return np.interp(strain, *_grid(self))


@cache
def _grid(material: Material) -> tuple[Series, Series]:
    """Total strain and stress on a dense grid of plastic strain, denser at the knee."""
    whole, knee = (np.linspace(0.0, end, 50_001) for end in (material.breaking, min(0.01, material.breaking)))
    plastic = np.unique(np.concatenate((whole, knee)))
    stress = material.hardening(plastic)
    strain = plastic + stress / material.modulus_mpa
    return np.concatenate(([0.0], strain)), np.concatenate(([0.0], stress))


def smooth(modulus_mpa: float = 70_000.0, first_mpa: float = 180.0, greatest_mpa: float = 300.0) -> Material:
    """A metal that yields smoothly: a parabola with its top at 12 % plastic strain."""
    uniform = 0.12

    def hardening(plastic: Series) -> Series:
        return greatest_mpa - (greatest_mpa - first_mpa) * (1.0 - plastic / uniform) ** 2

    return Material(modulus_mpa, first_mpa, hardening, uniform, 0.2)


@dataclass(frozen=True)
class Drop:
    """A yield point: from the upper down to the lower stress, a plateau, then straight hardening to the top."""

    upper_mpa: float = 320.0
    lower_mpa: float = 290.0
    fallen: float = 0.0005  # plastic strains
    plateau: float = 0.02
    rise_mpa: float = 1000.0
    modulus_mpa: float = 205_000.0

    def material(self) -> Material:
        """The metal."""
        uniform = 0.15

        def hardening(plastic: Series) -> Series:
            falling = self.upper_mpa - (self.upper_mpa - self.lower_mpa) * np.minimum(plastic / self.fallen, 1.0)
            rising = self.rise_mpa * (np.clip(plastic, self.plateau, uniform) - self.plateau)
            return falling + rising - 2 * self.rise_mpa * np.maximum(plastic - uniform, 0.0)

        return Material(self.modulus_mpa, self.upper_mpa, hardening, uniform, 0.2)


@dataclass(frozen=True)
class Errors:
    """Relative errors of the equipment and of the stated dimensions."""

    force: float = 0.0
    area: float = 0.0
    extension: float = 0.0
    length: float = 0.0


@dataclass(frozen=True)
class Setup:
    """How a material is recorded. Noises are standard deviations, `step_mpa` is the resolution of the force."""

    points: int = 5_000
    elastic_share: float = 0.2
    elastic_end: float = 0.006
    noise_mpa: float = 0.0
    noise_strain: float = 0.0
    step_mpa: float = 0.0
    slack: float = 0.0
    toe: float = 0.0
    toe_mpa: float = 2.0
    compliance_mm_per_n: float = 0.0
    breaks: bool = True
    area_mm2: float = 20.0
    length_mm: float = 50.0
    errors: Errors = Errors()
    source: DisplacementSource = DisplacementSource.EXTENSOMETER


def recorded(material: Material, how: Setup | None = None, seed: int = 0) -> tuple[Curve, Specimen]:
    """The record of a test and what is stated of its specimen.

    The break lies by chance between the last point of the test and the one that would follow.
    """
    how = how or Setup()
    random = np.random.default_rng(seed)
    strain = _sampled(material, how, random)
    stress = material.curve(strain)
    strain = how.slack + strain + how.toe * -np.expm1(-stress / how.toe_mpa)
    if how.slack:
        strain = np.concatenate((np.linspace(0.0, how.slack, 50, endpoint=False), strain))
        stress = np.concatenate((np.zeros(50), stress))
    if how.breaks:
        strain = np.concatenate((strain, strain[-1] + 1e-5 * np.arange(1, 21)))
        stress = np.concatenate((stress, np.zeros(20)))
    noise = random.normal(0.0, 1.0, (2, stress.size))
    force = (stress * (1.0 + how.errors.force) + how.noise_mpa * noise[0]) * how.area_mm2
    if how.step_mpa:
        step = how.step_mpa * how.area_mm2
        force = np.rint(force / step) * step
    travel = (strain * (1.0 + how.errors.extension) + how.noise_strain * noise[1]) * how.length_mm
    travel += how.compliance_mm_per_n * stress * how.area_mm2
    specimen = Specimen(
        "generated",
        area_mm2=how.area_mm2 * (1.0 + how.errors.area),
        gauge_length_mm=how.length_mm * (1.0 + how.errors.length),
    )
    return Curve(force, travel, how.source, elapsed_s=0.1 * np.arange(float(stress.size))), specimen


def _sampled(material: Material, how: Setup, random: np.random.Generator) -> Series:
    """Total strains: slow through the elastic part, faster afterwards, the last one before the break."""
    slow = int(how.points * how.elastic_share)
    end = material.total(material.breaking)
    step = (end - how.elastic_end) / (how.points - slow)
    last = end - step * random.uniform()
    return np.concatenate(
        (
            np.linspace(0.0, how.elastic_end, slow, endpoint=False),
            last - step * np.arange(how.points - slow - 1)[::-1],
        )
    )
