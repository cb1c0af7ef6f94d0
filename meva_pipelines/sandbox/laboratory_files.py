"""One file of the made-up laboratory, with what stands beside it and the trials it holds; and files that are flawed.

Which files a day has is for `laboratory` to say.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from meva_pipelines.sandbox import laboratory_uploads as uploads
from meva_pipelines.sandbox.laboratory_dialects import FORMS, Dialect
from meva_pipelines.sandbox.laboratory_forms import Form, TextForm, joined
from meva_pipelines.sandbox.laboratory_measuring import Trial
from meva_pipelines.sandbox.laboratory_tables import EXTENSIONS, Channel, Heading, Style


class Flaw(StrEnum):
    """What is wrong with a file, or with what it says."""

    TRUNCATED = "its second half is missing"
    TIME_BACKWARDS = "its time goes back"
    CONFLICTING = "another geometry for a known test"
    REVISED = "a corrected version of a known test, with its time"
    UNCALIBRATED = "a machine whose calibration had run out"
    COMPRESSION = "a compression test"
    AMBIGUOUS = "two columns of force"
    UNITLESS = "no unit anywhere"


@dataclass(frozen=True, slots=True, eq=False)
class MachineFile:
    """A file with its trials. A flawed one holds the trials as it shows them, right or wrong.

    `kept` is the share of the bytes that arrived.
    """

    stem: str
    form: Form
    trials: tuple[Trial, ...]
    variant: int = 0
    flaw: Flaw | None = None
    kept: float = 1.0

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.stem + self.form.suffix

    def parts(self) -> Iterator[bytes]:
        """Yield the file's bytes in parts."""
        if self.kept >= 1.0:
            yield from self.form.render(self.trials, self.variant)
        else:
            whole = self.content()
            yield whole[: round(len(whole) * self.kept)]

    def content(self) -> bytes:
        """Return the bytes of the undamaged file."""
        return b"".join(self.form.render(self.trials, self.variant))

    def sidecar(self) -> Mapping[str, str | float]:
        """Return what the file does not say of its specimens and people state beside it; empty when nothing is left."""
        stated = uploads.statements(self.trials[0].specimen)
        known = {"test" if field == "name" else field for field in self.form.states(self.variant)}
        return {key: value for key, value in stated.items() if key not in known}

    def write(self, folder: Path) -> Path:
        """Write the sidecar, where there is one, and then the file; return the path of the file."""
        path = folder / self.name
        if stated := self.sidecar():
            lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in stated.items()]
            path.with_name(path.name + ".meta.yaml").write_text("".join(lines), encoding="utf-8")
        with path.open("wb") as stream:
            stream.writelines(self.parts())
        return path


def has_extensometer(form: Form, variant: int) -> bool:
    """Tell whether a variant of a form shows what an extensometer measured."""
    return any(heading.channel in EXTENSIONS for heading in form.headings(variant))


_TIME: Final = Heading("Time", "s", Channel.TIME)


def _delimited(headings: Sequence[Heading], spelling: str) -> TextForm:
    return TextForm(
        ".csv",
        "utf-8",
        Style(","),
        (tuple(headings),),
        lambda _trial, columns: joined(columns, spelling, ",") + "\n",
    )


_AMBIGUOUS: Final = _delimited(
    [
        _TIME,
        Heading("Force 1", "kN", Channel.FORCE),
        Heading("Force 2", "kN", Channel.STRESS),
        Heading("Extensometer", "mm", Channel.EXTENSION),
    ],
    "{name} ({unit})",
)
"""The second load cell is made up: it shows the stress in GPa, a number of its own."""

_UNITLESS: Final = _delimited(
    [
        _TIME,
        Heading("Standard force", "N", Channel.FORCE),
        Heading("Crosshead", "mm", Channel.CROSSHEAD),
        Heading("Extensometer", "mm", Channel.EXTENSION),
    ],
    "{name}",
)


def truncated(good: MachineFile) -> MachineFile:
    """Return a workbook of which the second half did not arrive."""
    return replace(good, form=FORMS[Dialect.WORKBOOK_ENGLISH], kept=0.5, flaw=Flaw.TRUNCATED)


def with_time_going_back(good: MachineFile) -> MachineFile:
    """Return a file in which the clock was set back in the middle of the test."""
    measured = good.trials[0].measured
    time = measured.time_s.copy()
    middle = len(time) // 2
    time[middle:] -= time[middle] - time[middle // 2]
    trial = replace(good.trials[0], measured=replace(measured, time_s=time))
    return replace(good, form=FORMS[Dialect.BRACKETS], trials=(trial,), flaw=Flaw.TIME_BACKWARDS)


def conflicting(good: MachineFile) -> MachineFile:
    """Return the same test with another area, and nobody says which is right."""
    specimen = good.trials[0].specimen
    other = replace(
        specimen,
        shape=None,
        diameter_mm=None,
        thickness_mm=None,
        width_mm=None,
        area_mm2=round(1.06 * (specimen.area_mm2 or 0.0), 4),
    )
    trial = replace(good.trials[0], specimen=other)
    return replace(good, stem=f"{good.stem} (2)", trials=(trial,), flaw=Flaw.CONFLICTING)


def revised(good: MachineFile) -> MachineFile:
    """Return the same test as its laboratory corrected it six hours later: the load cell had read 0.2 % too low."""
    (trial,) = good.trials
    started = trial.specimen.started_at
    if started is None:
        raise ValueError(f"{trial.specimen.name} has no moment at which its test began")
    corrected = replace(trial.measured, force_n=1.002 * trial.measured.force_n)
    specimen = replace(trial.specimen, revised_at=started + timedelta(hours=6), remarks="load cell corrected by +0.2 %")
    trial = replace(trial, specimen=specimen, measured=corrected, truth={})
    return replace(good, stem=f"{good.stem} corrected", trials=(trial,), flaw=Flaw.REVISED)


def on_machine(good: MachineFile, machine: str) -> MachineFile:
    """Return the test as made on a machine whose calibration had run out."""
    trial = replace(good.trials[0], specimen=replace(good.trials[0].specimen, machine=machine))
    return replace(good, trials=(trial,), flaw=Flaw.UNCALIBRATED)


def compressed(good: MachineFile) -> MachineFile:
    """Return a compression test, as the controller of a concrete laboratory writes it."""
    measured = good.trials[0].measured
    pressed = replace(
        measured,
        force_n=-measured.force_n,
        crosshead_mm=-measured.crosshead_mm,
        extension_mm=-measured.extension_mm,
    )
    trial = replace(good.trials[0], measured=pressed, truth={})
    return replace(good, form=FORMS[Dialect.MTS_793], trials=(trial,), flaw=Flaw.COMPRESSION)


def ambiguous(good: MachineFile) -> MachineFile:
    """Return a file with the force of two load cells."""
    return replace(good, form=_AMBIGUOUS, flaw=Flaw.AMBIGUOUS)


def unitless(good: MachineFile) -> MachineFile:
    """Return a file that says nowhere in which units its columns are."""
    return replace(good, form=_UNITLESS, flaw=Flaw.UNITLESS)
