"""The made-up laboratory: which files its machines write on which day. A closed form of seed and day, without a clock.

Materials, recording, dialects and files have modules of their own (`laboratory_*`). Files are made one at a time.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from meva_pipelines.domain.tensile.evaluation.values import Symbol
from meva_pipelines.domain.tensile.moments import LABORATORY_ZONE
from meva_pipelines.domain.tensile.recording import Shape, Specimen
from meva_pipelines.sandbox import laboratory_files as files_module
from meva_pipelines.sandbox import laboratory_machines as machines
from meva_pipelines.sandbox.laboratory_dialects import FORMS, Dialect
from meva_pipelines.sandbox.laboratory_files import MachineFile
from meva_pipelines.sandbox.laboratory_machines import OWNERS
from meva_pipelines.sandbox.laboratory_materials import MATERIALS, Material
from meva_pipelines.sandbox.laboratory_measuring import measure

FIRST_TEST: Final = time(8, 30)
_BETWEEN_TESTS: Final = timedelta(seconds=30)
_SIDE_BY_SIDE: Final = 3
_DIALECTS: Final = tuple(Dialect)
_MATERIALS: Final = tuple(MATERIALS.values())


@dataclass(frozen=True, slots=True)
class Laboratory:
    """A laboratory that tests from `first_day` (a Korean day) onwards. Equal laboratories write equal bytes."""

    seed: int = 20_260_105
    first_day: date = date(2026, 1, 5)

    def files(self, count: int, *, points: int = 5_000, day: int = 0) -> Iterator[MachineFile]:
        """Yield sound files of one day: every dialect in turn, materials mixed, 30 s apart.

        Args:
            count: of files; more than about 1,800 reach into the next day.
            points: rows of each test.
            day: days since the first.
        """
        for number in range(count):
            yield self.file(number, points=points, day=day)

    def file(self, number: int, *, points: int = 5_000, day: int = 0, dialect: Dialect | None = None) -> MachineFile:
        """Return one sound file of a day by its number from 0; its dialect follows from the number unless given."""
        dialect = _DIALECTS[number % len(_DIALECTS)] if dialect is None else dialect
        machine, form = OWNERS[dialect], FORMS[dialect]
        variant = number // len(_DIALECTS)
        material = _MATERIALS[(number + variant) % len(_MATERIALS)]
        stem = f"LAB{day:03d}-{number:05d}"
        random = np.random.default_rng([self.seed, day, number])
        specimen = replace(
            _piece(material, random),
            name=stem,
            machine=machine.name,
            extensometer="clip-on" if files_module.has_extensometer(form, variant) else None,
            operator=f"operator {1 + number % 4}",
            temperature_c=23.0,
            started_at=self._moment(day, number),
        )
        greatest = material.law.truth()[Symbol.RM] * (specimen.area_mm2 or 0.0)
        conditions = machine.conditions.scaled(greatest / machines.RATED_N)
        sides = range(_SIDE_BY_SIDE if dialect is Dialect.SHIMADZU else 1)
        trials = tuple(
            measure(
                material.law.scaled(*(1.0 + random.normal(0.0, [0.004, 0.006])).tolist()),
                specimen if len(sides) == 1 else replace(specimen, name=f"{stem} #{side + 1}"),
                conditions,
                points=points,
                seed=int(random.integers(2**32)),
            )
            for side in sides
        )
        return MachineFile(stem, form, trials, variant)

    def day(self, day: int, *, count: int = 24, points: int = 5_000) -> Iterator[MachineFile]:
        """Yield a whole day: the sound files, then one of every flaw.

        The third and fourth file are uploaded again: one in conflict with the first upload, one as its correction.

        Raises:
            ValueError: fewer than four files, among which there may be none to upload again.
        """
        if count < 4:
            raise ValueError("a day has at least four sound files")
        yield from self.files(count, points=points, day=day)
        fresh = (
            self.file(number, points=points, day=day, dialect=Dialect.PARENTHESES) for number in range(count, count + 6)
        )
        yield files_module.truncated(next(fresh))
        yield files_module.with_time_going_back(next(fresh))
        yield files_module.on_machine(next(fresh), machines.UNCALIBRATED)
        yield files_module.compressed(next(fresh))
        yield files_module.ambiguous(next(fresh))
        yield files_module.unitless(next(fresh))
        yield files_module.conflicting(self.file(2, points=points, day=day))
        yield files_module.revised(self.file(3, points=points, day=day))

    def registers(self) -> dict[str, str]:
        """Return the registers by file name: testing machines, and standard values of the materials."""
        return {
            "testing_machines.csv": machines.testing_machines(self.first_day),
            "standard_properties.csv": machines.standard_properties(),
        }

    def write_day(self, day: int, folder: Path, *, count: int = 24, points: int = 5_000) -> list[Path]:
        """Write a day's files with their sidecars, one at a time, and return their paths without the sidecars."""
        return [each.write(folder) for each in self.day(day, count=count, points=points)]

    def _moment(self, day: int, number: int) -> datetime:
        first = datetime.combine(self.first_day, FIRST_TEST, tzinfo=LABORATORY_ZONE)
        return first + timedelta(days=day) + number * _BETWEEN_TESTS


def _piece(material: Material, random: np.random.Generator) -> Specimen:
    """Return a measured specimen: a strip of film or aluminium, a proportional round bar of anything else."""
    if material.name.startswith("Film"):
        return _strip(material, random, thickness=(0.2, 0.0), width=(11.4, 0.02), lengths=(80.0, 100.0))
    if material.name.startswith("Aluminum"):
        return _with_final_lengths(
            _strip(material, random, thickness=(2.0, 0.01), width=(12.5, 0.02), lengths=(50.0, 57.0)), material
        )
    diameter = round(float(random.choice([5.0, 6.0, 8.0])) + random.normal(0, 0.005), 3)
    bar = Specimen(
        "",
        material.name,
        material.condition,
        Shape.ROUND,
        diameter_mm=diameter,
        area_mm2=math.pi * diameter**2 / 4,
        gauge_length_mm=float(5 * round(diameter)),
        parallel_length_mm=float(6 * round(diameter)),
    )
    return _with_final_lengths(bar, material)


def _strip(
    material: Material,
    random: np.random.Generator,
    *,
    thickness: tuple[float, float],
    width: tuple[float, float],
    lengths: tuple[float, float],
) -> Specimen:
    """Return a strip; thickness and width are given by mean and standard deviation in mm."""
    a0, b0 = (round(float(random.normal(*size)), 3) for size in (thickness, width))
    return Specimen(
        "",
        material.name,
        material.condition,
        Shape.RECTANGULAR,
        thickness_mm=a0,
        width_mm=b0,
        area_mm2=a0 * b0,
        gauge_length_mm=lengths[0],
        parallel_length_mm=lengths[1],
    )


def _with_final_lengths(piece: Specimen, material: Material) -> Specimen:
    """Return the specimen with what is measured by hand after fracture: Lu to 0.01 mm, and Su."""
    elongation = material.law.truth()[Symbol.A] / 100
    return replace(
        piece,
        final_gauge_length_mm=round((piece.gauge_length_mm or 0.0) * (1 + elongation), 2),
        final_area_mm2=(piece.area_mm2 or 0.0) * (1 - material.reduction_of_area),
    )
