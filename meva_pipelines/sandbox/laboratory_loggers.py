"""Files of controllers and data loggers: HBM loggers, catman, MTS and Walter+Bai, with what they are known to damage.

Delimited tables without such habits are in `laboratory_delimited`.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from meva_pipelines.domain.tensile.recording import Series
from meva_pipelines.sandbox.laboratory_forms import TextForm, excel_serial, joined, started
from meva_pipelines.sandbox.laboratory_measuring import Trial
from meva_pipelines.sandbox.laboratory_tables import Channel, Column, Heading, Style

OVERFLOW: Final = -1_000_000.0
"""What catman writes for a value beyond the range of its channel."""


def _logger_head(trial: Trial, headings: Sequence[Heading]) -> str:
    idle = {"Drehmoment": " [Nm]", "MX840A_0_CH 5": " [Â°C]", "MX840A_0_CH 6": " [mm]", "MX840A_0_CH 7": " [V]"}
    names = [f"{each.name} [{each.unit}]" if each.unit else each.name + idle.get(each.name, "") for each in headings]
    return f"Probe;{trial.specimen.name};INSTRON 8852TT;1605F;PMD;840749\n" + "\t".join(names) + "\n"


def _logger_headings() -> tuple[Heading, ...]:
    idle = ("Drehmoment", "MX840A_0_CH 5", "MX840A_0_CH 6", "MX840A_0_CH 7", "MX840A_0_CH 8")
    return (
        Heading("Maschine", "mm", Channel.CROSSHEAD, is_scientific=True),
        Heading("Kraft", "kN", Channel.FORCE, is_scientific=True),
        Heading("Clip-Gauge", "mm", Channel.EXTENSION, is_scientific=True),
        *(Heading(name, "", Channel.NOTHING, is_scientific=True) for name in idle),
        Heading("Zeit", "s", Channel.TIME),
        *(Heading(f"Kanal {number}", "", Channel.NOTHING, is_scientific=True) for number in range(10, 16)),
    )


LOGGER: Final = TextForm(".csv", "utf-8", Style("\t"), (_logger_headings(),), _logger_head)
"""Fifteen channels, of which eleven measure nothing; their units were damaged by a wrong encoding."""


def _mts_793_head(trial: Trial, headings: Sequence[Heading]) -> str:
    moment = started(trial.specimen)
    lines = [
        "MTS793|MPT|DEU|x|x|,|.|:|49|1|1|A",
        "",
        f"Bediener Information\t\t\t\t\t\tZeit:\t78,494141\ts\t{moment:%d.%m.%Y %H:%M:%S}",
        f"Datum : \t{moment.day}.{moment.month}.{moment.year}",
        "Pr�fer : \tXX",
        f"Probenbezeichnung :  \t{trial.specimen.name}",
        "Bediener Information Ende",
        "",
        f"Datenerfassung\t\t\t\t\t\tZeit:\t544,35547\ts\t{moment:%d.%m.%Y %H:%M:%S}",
        "\t".join(["Datum", "Ch 1 Kraft Sollwert", *(heading.name for heading in headings)]),
        "\t".join(["d", "kN", *(heading.unit for heading in headings)]),
    ]
    return "\n".join(lines) + "\n"


def _with_date_and_command(columns: list[Column], trial: Trial) -> list[Column]:
    rows = len(trial.measured.time_s)
    days: Series = np.full(rows, float(int(excel_serial(started(trial.specimen)))))
    date = Column(Heading("Datum", "", Channel.NOTHING), days, "%.0f")
    force = trial.measured.force_n / 1e3
    wanted: Series = np.linspace(float(force[0]), float(force.max()), rows)
    return [date, Column(Heading("Sollwert", "kN", Channel.NOTHING), wanted, "%.8g"), *columns]


MTS_793: Final = TextForm(
    ".txt",
    "utf-8",
    Style("\t", decimal=","),
    (
        (
            Heading("Laufzeit", "s", Channel.TIME),
            Heading("Ch 1 Kraft", "kN", Channel.FORCE, digits=8),
            Heading("Ch 1 Weg", "mm", Channel.CROSSHEAD, digits=8),
            Heading("Extensometer", "mm", Channel.EXTENSION, digits=8),
        ),
        (
            Heading("Laufzeit", "s", Channel.TIME),
            Heading("Ch 1 Kraft", "kN", Channel.FORCE, digits=8),
            Heading("Ch 1 Weg", "mm", Channel.CROSSHEAD, digits=8),
        ),
    ),
    _mts_793_head,
    foot="\nDatenerfassung\t\t\t\t\t\tZeit:\t999,5\ts\nLaufzeit\tCh 1 Weg\ns\tmm\n",
    adorn=_with_date_and_command,
)
"""Blocks, the last of them empty; both marks are declared in the first line, umlauts were lost."""


def _testsuite_head(trial: Trial, headings: Sequence[Heading]) -> str:
    lines = [
        "C:\\MTS TestSuite\\Projects\\Tensile.Project\\Tests",
        f"Test:\t{trial.specimen.name}",
        "Run:\tTest Run 1",
        f"Date:\t{started(trial.specimen):%d.%m.%Y %H:%M:%S}",
        "",
        "\t".join(heading.name for heading in headings),
        "\t".join(heading.unit for heading in headings),
    ]
    return "\n".join(lines) + "\n"


MTS_TESTSUITE: Final = TextForm(
    ".txt",
    "utf-8-sig",
    Style("\t", decimal=","),
    (
        (
            Heading("_Extension", "mm", Channel.CROSSHEAD, digits=9),
            Heading("_Load", "kN", Channel.FORCE, digits=9),
            Heading("_Time", "sec", Channel.TIME),
            Heading("_Strain1", "mm", Channel.EXTENSION, digits=9),
        ),
    ),
    _testsuite_head,
)


def _counted_in_tens(columns: list[Column], trial: Trial) -> list[Column]:
    numbers: Series = 10.0 * np.arange(1, len(trial.measured.time_s) + 1, dtype=float)
    return [Column(Heading("Sample", "", Channel.NOTHING), numbers, "%.0f"), *columns]


def _walter_bai_head(trial: Trial, headings: Sequence[Heading]) -> str:
    return f"Pr�fung;{trial.specimen.name}\nSample;{joined(headings, '{name}[{unit}]', ';')}\n"


WALTER_BAI: Final = TextForm(
    ".csv",
    "utf-8",
    Style(";"),
    (
        (
            Heading("Time", "s", Channel.TIME),
            Heading("C_1_Force", "kN", Channel.FORCE, digits=8),
            Heading("C_1_Stroke", "mm", Channel.CROSSHEAD, digits=8),
            Heading("C_2_Extensometer", "mm", Channel.EXTENSION, digits=8),
        ),
    ),
    _walter_bai_head,
    adorn=_counted_in_tens,
)
"""Samples are counted in tens; the umlauts of the title were lost."""


def _overflowing(columns: list[Column], _trial: Trial) -> list[Column]:
    """Let the temperature channel overflow, and the crosshead in three rows."""
    *rest, crosshead, _ = columns
    values = np.array(crosshead.values, dtype=float)
    values[10:13] = OVERFLOW
    idle = Column(Heading("Temperatur", "", Channel.NOTHING), np.full(len(values), OVERFLOW), "%.0f")
    return [*rest, Column(crosshead.heading, values, crosshead.spelling), idle]


CATMAN: Final = TextForm(
    ".ASC",
    "latin-1",
    Style("\t", trailing="\t", newline="\r\n"),
    (
        (
            Heading("Zeit", "s", Channel.TIME),
            Heading("Kraft", "N", Channel.FORCE, digits=9),
            Heading("Längenänderung", "mm", Channel.EXTENSION, digits=9),
            Heading("Kolbenweg", "mm", Channel.CROSSHEAD, digits=9),
            Heading("Temperatur", "", Channel.NOTHING),
        ),
    ),
    lambda _trial, headings: (
        "HBM_CATMAN_DATAFILE_42\r\n\r\n" + joined(headings, "{name} [{unit}]", "\t") + " [°C]\t\r\n"
    ),
    adorn=_overflowing,
)
