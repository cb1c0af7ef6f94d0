"""Files of testXpert: German text, `.TRA` in French and English, and workbooks in both languages.

Spelt after the recorded facts: latin-1, quoted texts, exponents of three digits, unknown values in words, and columns
whose order and number differ between the files of one laboratory.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from meva_pipelines.domain.tensile.evaluation.values import Symbol
from meva_pipelines.sandbox import laboratory_tables as tables
from meva_pipelines.sandbox import workbook
from meva_pipelines.sandbox.laboratory_forms import TextForm, dimensions, excel_serial, started
from meva_pipelines.sandbox.laboratory_measuring import Trial
from meva_pipelines.sandbox.laboratory_tables import EXTENSIONS, Channel, Heading, Style
from meva_pipelines.sandbox.workbook import Cell, RichText, Sheet

_GERMAN_DIMENSIONS: Final = {"d0": "Probendurchmesser d0", "a0": "Probendicke a0", "b0": "Probenbreite b0"}


def _german_head(trial: Trial, headings: Sequence[Heading]) -> str:
    truth = trial.truth
    lines = [
        f'"aktuelle Probe"\t"{trial.specimen.name}"',
        '"Einspannlänge"\t832.756\t"mm"',
        '"Messlänge"\t"nicht bekannt"',
        *(f'"{_GERMAN_DIMENSIONS[symbol]}"\t{value:.6g}\t"mm"' for symbol, value in dimensions(trial.specimen)),
        '"Prüfgeschwindigkeit"\t150\t"mm/min"',
        '"Vorkraft"\t0.2\t"N"',
        '"Weg nach Bruch"\t5\t"mm"',
        f'"E-Modul"\t{truth[Symbol.MODULUS]:.6g}\t"N/mm²"',
        f'"Dehnung bei Fmax"\t{truth[Symbol.AGT]:.6g}\t"%"',
        f'"Dehnung bei Bruch"\t{truth[Symbol.AT]:.6g}\t"%"',
        '"obere Streckgrenze"\t"nicht bekannt"',
        f'"Kraftmaximum"\t{truth[Symbol.RM]:.6g}\t"N/mm²"',
        '"Bruchkraft"\t"nicht bekannt"',
        '"Geschwindigkeit E-Modul"\t1\t"%L0/min"',
        f'"Datum"\t"{started(trial.specimen):%d.%m.%Y}"',
        "\t".join(f'"{heading.name}"' for heading in headings),
        "\t".join(f'"{heading.unit}"' for heading in headings),
    ]
    return "\n".join(lines) + "\n"


GERMAN_TEXT: Final = TextForm(
    suffix=".txt",
    encoding="latin-1",
    style=Style("\t", exponent_digits=3),
    variants=(
        (
            Heading("Prüfzeit", "s", Channel.TIME),
            Heading("Standardweg", "mm", Channel.EXTENSION),
            Heading("Standardkraft", "N", Channel.FORCE),
            Heading("Dehnung", "%", Channel.STRAIN),
            Heading("Traverse abs.", "mm", Channel.ABSOLUTE),
        ),
    ),
    head=_german_head,
    stated=frozenset({"diameter_mm", "thickness_mm", "width_mm", "area_mm2", "gauge_length_mm"}),
)
"""The gauge length is not written: it is the ratio of Standardweg and Dehnung."""


@dataclass(frozen=True, slots=True)
class _Words:
    """The words of a language in `.TRA` files and workbooks."""

    dimensions: Mapping[str, str]
    area: str
    gauge_length: str
    extensometer: str
    load_cell: str
    moment: str
    operator: str
    sheets: tuple[str, str, str]
    designation: str
    gauge_symbol: str
    parameters: tuple[str, ...]


_FRENCH: Final = _Words(
    {"d0": "Diamètre éprouvette", "a0": "Épaisseur éprouvette", "b0": "Largeur éprouvette"},
    "Section",
    "L0 - course standard",
    "Capteur de course",
    "Capteur de force",
    "Date/heure",
    "Opérateur",
    ("Paramètres", "Résultats", "Valeurs"),
    "Désignation éprouvette",
    "L0 SW",
    ("Norme d'essai", "Type et désignation", "Matériau", "Prélèvement éprouvette", "Type d'éprouvette"),
)
_ENGLISH: Final = _Words(
    {"d0": "Specimen diameter", "a0": "Specimen thickness", "b0": "Specimen width"},
    "Cross-section",
    "Gage length, standard travel",
    "Extensometer",
    "Load cell",
    "Date/Clock time",
    "Operator",
    ("Parameters", "Results", "Values"),
    "Specimen designation",
    "L0",
    ("Test standard", "Type and designation", "Material", "Specimen removal", "Specimen type"),
)


def _tra(words: _Words, variants: tuple[tuple[Heading, ...], ...]) -> TextForm:
    def head(trial: Trial, headings: Sequence[Heading]) -> str:
        specimen = trial.specimen
        has_extensometer = any(heading.channel in EXTENSIONS for heading in headings)
        lines = [
            *(f'"{words.dimensions[symbol]}",{value:.6g},"mm"' for symbol, value in dimensions(specimen)),
            f'"{words.area}",{specimen.area_mm2:.8g},"mm²"',
            f'"{words.gauge_length}",{specimen.gauge_length_mm:.6g},"mm"',
            f'"{words.extensometer}","{specimen.extensometer if has_extensometer else ""}"',
            f'"{words.load_cell}",""',
            f'"{words.moment}",{excel_serial(started(specimen)):.6g},""',
            f'"{words.operator}",""',
            '"v1",1,"mm/min"',
            '"v2",1,"mm/min"',
            ",".join(f'"{heading.name}"' for heading in headings),
            ",".join(f'"{heading.unit}"' for heading in headings),
        ]
        return "\n".join(lines) + "\n"

    stated = {"diameter_mm", "thickness_mm", "width_mm", "area_mm2", "gauge_length_mm", "extensometer"}
    return TextForm(".TRA", "latin-1", Style(",", exponent_digits=3), variants, head, frozenset(stated))


def _arrangements(time: str, absolute: str, force: str, travel: str) -> tuple[tuple[Heading, ...], ...]:
    """Return the orders and numbers of columns that are seen in `.TRA` files."""
    t, a = Heading(time, "s", Channel.TIME), Heading(absolute, "mm", Channel.ABSOLUTE, digits=8)
    f, e = Heading(force, "N", Channel.FORCE), Heading(travel, "mm", Channel.EXTENSION)
    return ((t, a, f, e), (f, t, e, a), (t, f, e), (e, a, f, t))


TRA_FRENCH: Final = _tra(_FRENCH, _arrangements("Temps", "Traverse absolue", "Force standard", "Course standard"))
TRA_ENGLISH: Final = _tra(_ENGLISH, _arrangements("Time", "Crosshead absolute", "Standard force", "Standard travel"))


@dataclass(frozen=True, slots=True)
class WorkbookForm:
    """A workbook of one test; every third variant has no sheet of parameters."""

    words: _Words
    variants: tuple[tuple[Heading, ...], ...]
    suffix: str = ".xlsx"

    def states(self, variant: int) -> frozenset[str]:
        """Return the dimensions, the moment, and the gauge length where an extensometer has one."""
        has_gauge = any(heading.channel in EXTENSIONS for heading in self.headings(variant))
        always = frozenset({"diameter_mm", "thickness_mm", "width_mm", "area_mm2", "started_at"})
        return always | {"gauge_length_mm"} if has_gauge else always

    def headings(self, variant: int) -> tuple[Heading, ...]:
        """Return the columns of a variant."""
        return self.variants[variant % len(self.variants)]

    def render(self, trials: Sequence[Trial], variant: int) -> Iterator[bytes]:
        """Yield the parts of a workbook that holds the one trial."""
        (trial,) = trials
        _, results, values = self.words.sheets
        sheets = [
            Sheet(
                f"{results} {trial.specimen.name}"[:31],
                self._results(trial, has_gauge="gauge_length_mm" in self.states(variant)),
            ),
            Sheet(f"{values} {trial.specimen.name}"[:31], self._values(trial, self.headings(variant))),
        ]
        if variant % 3:
            sheets.insert(0, Sheet(self.words.sheets[0], ((), *((name,) for name in self.words.parameters))))
        yield workbook.written(sheets)

    def _results(self, trial: Trial, *, has_gauge: bool) -> Sequence[Sequence[Cell]]:
        """Return names, units and values; the index of F_max is set low, as in the program's own sheets."""
        specimen = trial.specimen
        most = float(trial.measured.force_n.max())
        measured = dimensions(specimen)
        return (
            (
                None,
                self.words.designation,
                RichText(("F", "max")),
                *(symbol for symbol, _ in measured),
                self.words.gauge_symbol if has_gauge else None,
                "S0",
                self.words.moment,
            ),
            (None, None, "N", *("mm" for _ in measured), "mm" if has_gauge else None, "mm²", None),
            (
                None,
                specimen.name,
                most,
                *(value for _, value in measured),
                specimen.gauge_length_mm if has_gauge else None,
                specimen.area_mm2,
                excel_serial(started(specimen)),
            ),
        )

    @staticmethod
    def _values(trial: Trial, headings: Sequence[Heading]) -> Iterator[Sequence[Cell]]:
        yield [trial.specimen.name] * len(headings)
        yield [heading.name for heading in headings]
        yield [heading.unit for heading in headings]
        columns = [(tables.values_of(each.channel, trial) / tables.UNITS[each.unit]).tolist() for each in headings]
        yield from zip(*columns, strict=True)


def _column_sets(names: Mapping[Channel, str], elongation: str) -> tuple[tuple[Heading, ...], ...]:
    """Return the column sets of one laboratory: in some a strain in mm, in some no time, in some no extensometer.

    The standard travel is that of the crosshead, unless a strain beside it says that an extensometer was set.
    """
    time, force = Heading(names[Channel.TIME], "s", Channel.TIME), Heading(names[Channel.FORCE], "N", Channel.FORCE)
    grips = Heading(names[Channel.ABSOLUTE], "mm", Channel.ABSOLUTE)
    travel = Heading(names[Channel.CROSSHEAD], "mm", Channel.CROSSHEAD)
    gauge = replace(travel, channel=Channel.EXTENSION)
    strain = Heading(names[Channel.STRAIN], "%", Channel.STRAIN)
    longer = Heading(elongation, "mm", Channel.EXTENSION)
    return (
        (time, force, grips, travel),
        (time, grips, travel, force),
        (time, force, longer),
        (time, force, strain),
        (force, longer, time, grips),
        (strain, force),
        (time, strain, force, gauge),
        (time, grips, force, longer, strain),
    )


WORKBOOK_ENGLISH: Final = WorkbookForm(
    _ENGLISH,
    _column_sets(
        {
            Channel.TIME: "Time",
            Channel.FORCE: "Standard force",
            Channel.ABSOLUTE: "Grip to grip separation",
            Channel.CROSSHEAD: "Standard travel",
            Channel.STRAIN: "Nominal strain",
        },
        "Strain",
    ),
)
WORKBOOK_FRENCH: Final = WorkbookForm(
    _FRENCH,
    _column_sets(
        {
            Channel.TIME: "Temps d'essai",
            Channel.FORCE: "Force standard",
            Channel.ABSOLUTE: "Ecartement entre outils",
            Channel.CROSSHEAD: "Course standard",
            Channel.STRAIN: "Allongement relatif",
        },
        "Allongement",
    ),
)
