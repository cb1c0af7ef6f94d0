"""One tensile test as it was recorded: curve, specimen, and how the file was understood. Values only, no decisions.

Units are fixed by the names: forces in N, lengths in mm, times in s, strains as ratios, stresses in MPa.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Series: TypeAlias = npt.NDArray[np.float64]
"""Values of one channel, shape (points,); NaN where the machine gave none."""


class Quantity(StrEnum):
    """What a column of a machine file measures."""

    TIME = "time"
    FORCE = "force"
    EXTENSION = "extension"  # of the gauge length, by an extensometer
    CROSSHEAD = "crosshead"  # travel of the machine
    STRAIN = "strain"
    STRESS = "stress"


class DisplacementSource(StrEnum):
    """What measured the displacement: strains from the crosshead hold the frame's compliance as well."""

    EXTENSOMETER = "extensometer"
    CROSSHEAD = "crosshead"


class Shape(StrEnum):
    """Cross-section of a specimen."""

    ROUND = "round"
    RECTANGULAR = "rectangular"
    TUBE = "tube"


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """The measured series of one test, all of shape (points,), in the order of measurement.

    `displacement_mm` is that of the extensometer where there is one and of the crosshead otherwise
    (`displacement_source`); `crosshead_mm` and `strain` are given beside it where the machine wrote them.
    `elapsed_s` strictly increases from 0; None where the file has no time.
    """

    load_n: Series
    displacement_mm: Series
    displacement_source: DisplacementSource
    elapsed_s: Series | None = None
    crosshead_mm: Series | None = None
    strain: Series | None = None


@dataclass(frozen=True, slots=True)
class Specimen:
    """What file and sidecar state of a test; None where neither does. Symbols are those of ISO 6892-1.

    `name` identifies the test: a second file with the same name is a new version of it, or in conflict with it.
    """

    name: str
    material: str | None = None
    condition: str | None = None
    shape: Shape | None = None
    diameter_mm: float | None = None  # d0; outer diameter of a tube
    thickness_mm: float | None = None  # a0; wall of a tube
    width_mm: float | None = None  # b0
    area_mm2: float | None = None  # S0, given or computed from the dimensions
    gauge_length_mm: float | None = None  # L0
    parallel_length_mm: float | None = None  # Lc
    final_gauge_length_mm: float | None = None  # Lu, after fracture
    final_area_mm2: float | None = None  # Su, after fracture
    machine: str | None = None
    extensometer: str | None = None
    operator: str | None = field(default=None, repr=False)
    temperature_c: float | None = None
    started_at: datetime | None = None
    revised_at: datetime | None = None  # stated time of this version of the record
    remarks: str | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a file: what it was taken for, and why. `quantity` is None for a column that is not used."""

    name: str
    quantity: Quantity | None
    unit: str
    factor: float
    why: str


@dataclass(frozen=True, slots=True)
class Detection:
    """How a file was understood: shown to people, never guessed silently."""

    dialect: str
    encoding: str
    separator: str
    decimal: str
    columns: tuple[Column, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Repairs:
    """What was taken away or shifted before the curve was stored: rows read = points stored + the rows counted here.

    `zero_mm` was subtracted from the displacement, `time_offset_s` from the time. `tare_n` is the lowest force where it
    lies below zero and within the zero band: it is recorded, and loads stay as they were measured.
    """

    rows_read: int
    rows_blank: int = 0
    rows_repeated: int = 0
    rows_after_break: int = 0
    tare_n: float = 0.0
    zero_mm: float = 0.0
    time_offset_s: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """One test of a file. `header` holds, as text, what the file states beyond the specimen, names as written."""

    specimen: Specimen
    curve: Curve
    detection: Detection
    repairs: Repairs
    header: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refusal:
    """One test of a file that is not taken: `rule` is its stable name, `field` the column and `row` the line at fault.

    `row` counts the lines of the file (of the sheet) from 1.
    """

    specimen: str
    rule: str
    reason: str
    field: str | None = None
    row: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that one file holds: tests that can be taken, and tests that cannot."""

    recordings: tuple[Recording, ...]
    refusals: tuple[Refusal, ...] = ()
