"""The testing machines of the made-up laboratory: how they record, when they were calibrated, and its two registers.

Registers are CSV texts with one header line, as a laboratory keeps them.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from meva_pipelines.sandbox.laboratory_dialects import Dialect
from meva_pipelines.sandbox.laboratory_materials import MATERIALS, Material
from meva_pipelines.sandbox.laboratory_measuring import Conditions


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine with its last calibration: `calibrated` days before the laboratory's first day, for `valid` days.

    `conditions` are those of a test that reaches `RATED_N`; `dialects` are what its programs write.
    """

    name: str
    maker: str
    capacity_n: int
    serial_number: str
    force_class: str
    calibrated: int
    valid: int
    conditions: Conditions
    dialects: tuple[Dialect, ...]


RATED_N: Final = 10_000.0
"""Greatest force of the test whose conditions a machine states."""

UNCALIBRATED: Final = "Zwick Z010"
"""The machine whose calibration ran out before the laboratory's first day."""

_MACHINES: Final = (
    Machine(
        "INSTRON 8852TT",
        "Instron",
        100_000,
        "8852-0417",
        "0.5",
        60,
        730,
        Conditions(
            preload_n=60,
            toe_mm=0.0006,
            toe_n=150,
            compliance_mm_per_n=7.5e-6,
            noise_n=2.5,
            noise_mm=4e-5,
            zero_mm=-4e-5,
        ),
        (Dialect.PMD, Dialect.LOGGER, Dialect.BLUEHILL, Dialect.BLUEHILL_UTF16),
    ),
    Machine(
        "Zwick Z100",
        "ZwickRoell",
        100_000,
        "Z100-182734",
        "0.5",
        110,
        730,
        Conditions(preload_n=25, compliance_mm_per_n=9e-6, noise_n=1.2, noise_mm=2e-5, start_s=5.5, tail=12, tail_n=-8),
        (
            Dialect.ZWICK_TEXT,
            Dialect.TRA_FRENCH,
            Dialect.TRA_ENGLISH,
            Dialect.WORKBOOK_ENGLISH,
            Dialect.WORKBOOK_FRENCH,
        ),
    ),
    Machine(
        "MTS Criterion 45",
        "MTS",
        100_000,
        "C45-5521",
        "1",
        200,
        730,
        Conditions(slack_mm=0.04, compliance_mm_per_n=1.1e-5, noise_n=3, noise_mm=5e-5, start_s=79.0),
        (Dialect.MTS_793, Dialect.MTS_TESTSUITE),
    ),
    Machine(
        "Shimadzu AG-X 50",
        "Shimadzu",
        50_000,
        "I30745-1121",
        "0.5",
        30,
        730,
        Conditions(slack_mm=0.08, compliance_mm_per_n=1.4e-5, noise_n=1.5, noise_mm=3e-5, quantum_n=0.5),
        (Dialect.SHIMADZU,),
    ),
    Machine(
        "Walter+Bai LFM-100",
        "walter+bai",
        100_000,
        "LFM-2207",
        "1",
        155,
        730,
        Conditions(preload_n=40, compliance_mm_per_n=1e-5, noise_n=2, noise_mm=4e-5, quantum_n=0.2, quantum_mm=1e-5),
        (Dialect.WALTER_BAI, Dialect.CATMAN),
    ),
    Machine(
        "KDU teaching frame",
        "KDU",
        20_000,
        "KDU-0003",
        "1",
        90,
        365,
        Conditions(tare_n=-6, compliance_mm_per_n=2e-5, noise_n=2, noise_mm=5e-5, repeated=1),
        (Dialect.PARENTHESES, Dialect.BRACKETS, Dialect.KOREAN, Dialect.UPLOAD_JSON, Dialect.UPLOAD_CSV),
    ),
    Machine(UNCALIBRATED, "ZwickRoell", 10_000, "Z010-90211", "1", 800, 730, Conditions(noise_n=1), ()),
)

MACHINES: Final[Mapping[str, Machine]] = {machine.name: machine for machine in _MACHINES}
"""The machines by name."""

OWNERS: Final[Mapping[Dialect, Machine]] = {dialect: each for each in _MACHINES for dialect in each.dialects}
"""Which machine writes a dialect."""


def testing_machines(first_day: date) -> str:
    """Return the register of testing machines as CSV, its dates counted from the laboratory's first day."""
    names = ("machine", "maker", "capacity_n", "calibrated_on", "valid_until", "class", "certificate")
    lines = []
    for each in _MACHINES:
        calibrated = first_day - timedelta(days=each.calibrated)
        until = calibrated + timedelta(days=each.valid)
        certificate = f"KC-{calibrated:%Y}-{each.serial_number}"
        lines.append((each.name, each.maker, each.capacity_n, calibrated, until, each.force_class, certificate))
    return _csv(names, lines)


def standard_properties() -> str:
    """Return standard values of the materials as CSV: each from two made-up sources that agree."""
    subject = ("material", "condition", "temperature_c")
    strengths = ("young_modulus_gpa", "yield_strength_mpa", "tensile_strength_mpa", "elongation_pct")
    names = (*subject, *strengths, "poisson_ratio", "density_kg_m3", "source", "publisher", "grade")
    sources = (("Sandbox handbook, table 1", "Sandbox institute", "A"), ("Mill sheet", "Sandbox mill", "D"))
    lines = [_standard(material, source) for material in MATERIALS.values() if material.handbook for source in sources]
    return _csv(names, lines)


def _standard(material: Material, source: tuple[str, str, str]) -> Sequence[object]:
    book = material.handbook
    if book is None:
        raise ValueError(f"no handbook publishes values of {material.name}")
    return (
        material.name,
        material.condition,
        25,
        book.young_modulus_gpa,
        book.yield_strength_mpa,
        book.tensile_strength_mpa,
        book.elongation_pct,
        book.poisson_ratio,
        book.density_kg_m3,
        *source,
    )


def _csv(names: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(lines)
    return text.getvalue()
