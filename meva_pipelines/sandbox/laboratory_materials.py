"""Which materials the made-up laboratory tests, the law that each follows, and what a handbook says of them.

Most laws keep to the handbook within its tolerances; those that do not are marked as off, so that a comparison with
standard values has something to find. Strengths in MPa, elongations in %.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from meva_pipelines.sandbox.laboratory_laws import Film, Hollomon, Law, Smooth, YieldDrop


@dataclass(frozen=True, slots=True)
class Handbook:
    """Standard values of a material in its condition at 25 °C."""

    young_modulus_gpa: float
    yield_strength_mpa: float
    tensile_strength_mpa: float
    elongation_pct: float
    poisson_ratio: float
    density_kg_m3: float


@dataclass(frozen=True, slots=True)
class Material:
    """A material in one condition. `handbook` is None where nobody publishes values.

    `reduction_of_area` is Z as a ratio. `is_off` where the laboratory's stock misses the handbook's tolerances.
    """

    name: str
    condition: str
    law: Law
    reduction_of_area: float
    handbook: Handbook | None = None
    is_off: bool = False


_ALL: Final = (
    Material(
        "Steel_AISI1020",
        "hot rolled",
        YieldDrop(201_500, 254, 240, 247, 402, plateau=0.018, uniform=0.185, elongation=0.252, break_mpa=310),
        0.58,
        Handbook(200, 250, 400, 25, 0.29, 7850),
    ),
    Material(
        "Steel_AISI4140",
        "annealed",
        Smooth(206_000, 300, 417, 658, uniform=0.155, elongation=0.255, break_mpa=480),
        0.55,
        Handbook(205, 415, 655, 25.7, 0.29, 7850),
    ),
    Material(
        "Aluminum_6061T6",
        "T6",
        Hollomon(69_200, 308, exponent=0.0715, fracture=0.1245),
        0.42,
        Handbook(69, 276, 310, 12, 0.33, 2700),
    ),
    Material(
        "StainlessSteel_316",
        "annealed",
        Smooth(197_500, 130, 206, 517, uniform=0.46, elongation=0.61, break_mpa=400),
        0.71,
        Handbook(200, 205, 515, 60, 0.30, 8000),
    ),
    Material(
        "Titanium_Ti6Al4V",
        "annealed",
        Smooth(114_500, 760, 885, 953, uniform=0.088, elongation=0.141, break_mpa=800),
        0.33,
        Handbook(114, 880, 950, 14, 0.32, 4430),
    ),
    Material(
        "Aluminum_7075T6",
        "T6",
        Smooth(71_700, 400, 461, 534, uniform=0.085, elongation=0.112, break_mpa=490),
        0.25,
        Handbook(72, 503, 572, 11, 0.33, 2810),
        is_off=True,
    ),
    Material(
        "Brass_C360",
        "half hard",
        Smooth(105_500, 80, 124, 339, uniform=0.40, elongation=0.527, break_mpa=300),
        0.48,
        Handbook(97, 124, 338, 53, 0.31, 8500),
        is_off=True,
    ),
    Material("Film_LDPE", "blown", Film(1127.12, 6, 17, 38, elongation=3.05), 0.6),
)

MATERIALS: Final[Mapping[str, Material]] = {material.name: material for material in _ALL}
"""The materials by name."""
