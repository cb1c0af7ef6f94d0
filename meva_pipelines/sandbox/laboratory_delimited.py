"""Tables in delimited text: the key-value table of published data, CSV of several languages, and Bluehill's exports.

Files of controllers and data loggers are in `laboratory_loggers`.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from meva_pipelines.domain.tensile.evaluation.values import Symbol
from meva_pipelines.sandbox.laboratory_forms import TextForm, dimensions, joined, started
from meva_pipelines.sandbox.laboratory_measuring import Trial
from meva_pipelines.sandbox.laboratory_tables import Channel, Column, Heading, Style


def _one_line(spelling: str, separator: str, newline: str = "\n") -> Callable[[Trial, Sequence[Heading]], str]:
    return lambda _trial, headings: joined(headings, spelling, separator) + newline


def _pmd_head(trial: Trial, headings: Sequence[Heading]) -> str:
    specimen, truth = trial.specimen, trial.truth
    sizes = {"d0": "Gauge diameter", "a0": "Thickness", "b0": "Width"}
    lines = [
        f"Specimen name:\tROLL_{specimen.name}",
        f"Specimen ID:\t{specimen.name}",
        f"Material:\t{specimen.material}",
        f"Specimen type:\t{(specimen.shape or '').capitalize()} Tensile Specimen",
        *(f"{sizes[symbol]}:\t{value!r}\tmm" for symbol, value in dimensions(specimen)),
        f"Gauge length:\t{specimen.gauge_length_mm!r}\tmm",
        f"Parallel length:\t{specimen.parallel_length_mm!r}\tmm",
        f"Original cross-section:\t{specimen.area_mm2!r}\tmm²",
        *([f"Cross-section after fracture:\t{specimen.final_area_mm2!r}\tmm²"] if specimen.final_area_mm2 else []),
        *(f"{name}:\t{truth[symbol]!r}\tMPa" for name, symbol in _PMD_RESULTS.items() if symbol in truth),
        f"Uniform elongation:\t{truth[Symbol.AG]!r}\t%",
        f"Elongation after fracture:\t{truth[Symbol.A]!r}\t%",
        "Strain rate:\t0.00025\ts-1",
        "Test temperature:\tRT\tCel",
        f"Machine type:\t{specimen.machine}",
        "Standard:\tDIN EN ISO 6892-1",
        f"Date:\t{started(specimen):%Y-%m-%d %H:%M:%S}",
        "\t".join(heading.name for heading in headings),
        "\t".join(heading.unit.replace("-", "") for heading in headings),
    ]
    return "\n".join(lines) + "\n"


_PMD_RESULTS: Final = {
    "Yield stress at 0.2% plastic strain": Symbol.RP02,
    "Yield stress at 1% plastic strain": Symbol.RP10,
    "Ultimate tensile strength": Symbol.RM,
    "Slope of linear-elastic region": Symbol.MODULUS,
}

PMD: Final = TextForm(
    ".csv",
    "utf-8",
    Style("\t"),
    (
        (
            Heading("Time", "s", Channel.TIME),
            Heading("Displacement", "mm", Channel.EXTENSION, digits=17),
            Heading("Force", "kN", Channel.FORCE, digits=17),
            Heading("Machine Displacement", "mm", Channel.CROSSHEAD, digits=17),
            Heading("Engineering Strain", "-", Channel.STRAIN, digits=17),
            Heading("Engineering Stress", "MPa", Channel.STRESS, digits=17),
            Heading("True Strain", "-", Channel.TRUE_STRAIN, digits=17),
            Heading("True Stress", "MPa", Channel.TRUE_STRESS, digits=17),
        ),
    ),
    _pmd_head,
    frozenset(
        {"material", "shape", "diameter_mm", "thickness_mm", "width_mm", "gauge_length_mm", "area_mm2"}
        | {"parallel_length_mm", "final_area_mm2", "machine", "started_at"}
    ),
)
"""Keys with values and units, then every channel; true values are `nan` from the maximum on."""


def _geometry_in_the_first_row(columns: list[Column], trial: Trial) -> list[Column]:
    blanks = [""] * (len(trial.measured.time_s) - 1)
    sizes = (trial.specimen.gauge_length_mm, trial.specimen.area_mm2)
    names = ("Gauge Length (mm)", "Area (mm^2)")
    extra = [
        Column(Heading(name, "", Channel.NOTHING), [f"{size:.9g}", *blanks], "%s")
        for name, size in zip(names, sizes, strict=True)
    ]
    return [*columns, *extra]


def _teaching_head(_trial: Trial, headings: Sequence[Heading]) -> str:
    return joined(headings, "{name} ({unit})", ",") + ",Gauge Length (mm),Area (mm^2)\n"


PARENTHESES: Final = TextForm(
    ".csv",
    "utf-8",
    Style(","),
    (
        (
            Heading("Time", "s", Channel.TIME),
            Heading("Extension", "mm", Channel.CROSSHEAD, digits=8),
            Heading("Load", "kN", Channel.FORCE, digits=8),
            Heading("Strain", "mm/mm", Channel.STRAIN, digits=8),
        ),
    ),
    _teaching_head,
    frozenset({"gauge_length_mm", "area_mm2"}),
    adorn=_geometry_in_the_first_row,
)
"""As teaching laboratories export: the geometry stands in the first row of the table alone."""

BRACKETS: Final = TextForm(
    ".csv",
    "utf-8",
    Style(";", decimal=","),
    (
        (
            Heading("Time", "sec", Channel.TIME),
            Heading("Load", "lbf", Channel.FORCE, digits=8),
            Heading("Extensometer", "in", Channel.EXTENSION, digits=8),
        ),
        (
            Heading("Extensometer", "µm", Channel.EXTENSION, digits=8),
            Heading("Stress", "kpsi", Channel.STRESS, digits=8),
            Heading("Force", "lbf", Channel.FORCE, digits=8),
            Heading("Crosshead", "in", Channel.CROSSHEAD, digits=8),
            Heading("Time", "s", Channel.TIME),
        ),
    ),
    _one_line("{name} [{unit}]", ";"),
)

KOREAN: Final = TextForm(
    ".csv",
    "cp949",
    Style(","),
    (
        (
            Heading("시간", "s", Channel.TIME),
            Heading("하중", "N", Channel.FORCE, digits=8),
            Heading("변위", "mm", Channel.CROSSHEAD, digits=8),
            Heading("변형률", "%", Channel.STRAIN, digits=8),
        ),
        (
            Heading("하중", "kN", Channel.FORCE, digits=8),
            Heading("스트로크", "mm", Channel.CROSSHEAD, digits=8),
            Heading("시간", "s", Channel.TIME),
        ),
    ),
    _one_line("{name}({unit})", ",", "\r\n"),
)


def _bluehill_head(separator: str, decimal: str) -> Callable[[Trial, Sequence[Heading]], str]:
    names = {"d0": "Diameter", "a0": "Thickness", "b0": "Width"}

    def head(trial: Trial, headings: Sequence[Heading]) -> str:
        sizes = [*((names[symbol], value) for symbol, value in dimensions(trial.specimen))]
        sizes.append(("Gauge length", trial.specimen.gauge_length_mm or 0.0))
        lines = [f'Specimen label{separator}"{trial.specimen.name}"']
        lines += [f'{name}{separator}"{value:.4f}"{separator}mm'.replace(".", decimal) for name, value in sizes]
        return "\r\n".join([*lines, "", joined(headings, "{name} ({unit})", separator), ""])

    return head


def _thousands_in_quotes(columns: list[Column], _trial: Trial) -> list[Column]:
    return [
        Column(each.heading, [f'"{value:,.5f}"' for value in np.asarray(each.values, dtype=float).tolist()], "%s")
        for each in columns
    ]


_BLUEHILL_STATES: Final = frozenset({"diameter_mm", "thickness_mm", "width_mm", "area_mm2", "gauge_length_mm"})
BLUEHILL: Final = TextForm(
    ".csv",
    "utf-8",
    Style(",", newline="\r\n"),
    (
        (
            Heading("Time", "s", Channel.TIME),
            Heading("Extension", "mm", Channel.CROSSHEAD),
            Heading("Load", "N", Channel.FORCE),
            Heading("Tensile strain", "%", Channel.STRAIN),
            Heading("Tensile stress", "MPa", Channel.STRESS),
        ),
    ),
    _bluehill_head(",", "."),
    _BLUEHILL_STATES,
    adorn=_thousands_in_quotes,
)
"""Key, value and unit, a blank line, and values in quotes because commas group their thousands."""

BLUEHILL_UTF16: Final = TextForm(
    ".csv",
    "utf-16-le",
    Style(";", decimal=",", newline="\r\n"),
    (
        (
            Heading("Time", "s", Channel.TIME),
            Heading("Load", "kN", Channel.FORCE, digits=9),
            Heading("Extension", "mm", Channel.CROSSHEAD, digits=9),
        ),
    ),
    _bluehill_head(";", ","),
    _BLUEHILL_STATES,
)
