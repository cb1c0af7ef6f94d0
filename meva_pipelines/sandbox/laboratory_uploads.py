"""Files that hold more than one table of one machine: Trapezium's specimens side by side, and the project's uploads.

The uploads follow `docs/tensile-uploads.md`.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import zip_longest
from typing import Final

from meva_pipelines.domain.tensile.recording import Specimen
from meva_pipelines.sandbox import laboratory_tables as tables
from meva_pipelines.sandbox.laboratory_forms import TextForm
from meva_pipelines.sandbox.laboratory_measuring import Trial
from meva_pipelines.sandbox.laboratory_tables import Channel, Heading, Style

_UPLOADED: Final = (
    Heading("time", "s", Channel.TIME, digits=17),
    Heading("load", "N", Channel.FORCE, digits=17),
    Heading("extension", "mm", Channel.EXTENSION, digits=17),
    Heading("crosshead", "mm", Channel.CROSSHEAD, digits=17),
)
_ALL_FIELDS: Final = frozenset(each.name for each in fields(Specimen))


def statements(specimen: Specimen) -> dict[str, str | float]:
    """Return what is known of a specimen under the keys of an upload and of a sidecar."""
    found: dict[str, str | float] = {}
    for each in fields(specimen):
        value = getattr(specimen, each.name)
        if value is not None:
            key = "test" if each.name == "name" else each.name
            found[key] = value.isoformat() if isinstance(value, datetime) else value
    return found


@dataclass(frozen=True, slots=True)
class SideBySideForm:
    """Specimens beside one another as repeated triples, everything quoted, with empty columns at the end."""

    suffix: str = ".csv"

    def states(self, _variant: int) -> frozenset[str]:
        """Return the name: that of the file and the label of the specimen."""
        return frozenset({"name"})

    def headings(self, variant: int) -> tuple[Heading, ...]:
        """Return the columns of one specimen."""
        time, force = Heading("Temps", "sec", Channel.TIME), Heading("Force", "N", Channel.FORCE)
        stroke = Heading("Stroke", "mm", Channel.CROSSHEAD)
        return (time, force, stroke) if variant % 2 else (time, stroke, force)

    def render(self, trials: Sequence[Trial], variant: int) -> Iterator[bytes]:
        """Yield the parts of a file that holds the trials; the shorter ones end in empty cells."""
        headings = self.headings(variant)
        names = [
            cell for trial in trials for cell in (trial.specimen.name.split("#")[-1], *([""] * (len(headings) - 1)))
        ]
        yield _quoted(names)
        yield _quoted([heading.name for heading in headings] * len(trials))
        yield _quoted([heading.unit for heading in headings] * len(trials))
        columns = [
            [each.spelling % value for value in each.values] for t in trials for each in tables.columns(headings, t)
        ]
        for cells in zip_longest(*columns, fillvalue=""):
            yield _quoted(cells)


def _quoted(cells: Sequence[str]) -> bytes:
    return (",".join(f'"{cell}"' for cell in (*cells, "", "")) + "\r\n").encode()


@dataclass(frozen=True, slots=True)
class JsonForm:
    """The upload in JSON: one test, or a list of `tests`; channels as lists of numbers."""

    suffix: str = ".json"

    def states(self, _variant: int) -> frozenset[str]:
        """Return every field."""
        return _ALL_FIELDS

    def headings(self, variant: int) -> tuple[Heading, ...]:
        """Return the columns of a variant: half of them have no channel of the crosshead."""
        return _UPLOADED[: 3 + variant % 2]

    def render(self, trials: Sequence[Trial], variant: int) -> Iterator[bytes]:
        """Yield the parts of a file that holds the trials."""
        tests = [self._test(trial, variant) for trial in trials]
        yield json.dumps(tests[0] if len(tests) == 1 else {"tests": tests}, ensure_ascii=False).encode()

    def _test(self, trial: Trial, variant: int) -> dict[str, object]:
        columns = {
            each.name: {"unit": each.unit, "values": tables.values_of(each.channel, trial).tolist()}
            for each in self.headings(variant)
        }
        return {**statements(trial.specimen), "columns": columns}


def _upload_head(trial: Trial, headings: Sequence[Heading]) -> str:
    stated = "".join(f"# {key}: {value}\n" for key, value in statements(trial.specimen).items())
    return stated + ",".join(f"{heading.name}_{heading.unit}" for heading in headings) + "\n"


SIDE_BY_SIDE: Final = SideBySideForm()
JSON_UPLOAD: Final = JsonForm()
CSV_UPLOAD: Final = TextForm(".csv", "utf-8", Style(","), (_UPLOADED, _UPLOADED[:3]), _upload_head, _ALL_FIELDS)
