"""Documents of the simulation system: results, firings, model versions and registers, as typed values.

A document is one JSON object with its `kind`. Curves lie in it, or in files that it names. Reading bytes belongs to
`resources`; whether the work order or the user of a document exists, the warehouse knows. Units stand in the names.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import numpy as np

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.pressure.trace import Series
from meva_pipelines.domain.simulation import curves, registers
from meva_pipelines.domain.simulation.fields import DECIMAL_10_4, Fields, Plain
from meva_pipelines.domain.simulation.registers import Register
from meva_pipelines.domain.simulation.sheets import LONGEST_NOTE

MOST_FILES: Final = 20
"""Most files of one firing."""

_STATUS: Final = ("running", "completed", "failed")


class Kind(StrEnum):
    """What a document is."""

    FORWARD = "forward_simulation"
    REVERSE = "reverse_simulation"
    MODEL = "model_version"
    REGISTER = "register"
    FIRING = "firing"


@dataclass(frozen=True, slots=True)
class Named:
    """A file that a document names; its SHA-256, and the note in its header, where they are stated."""

    name: str
    sha256: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Inline:
    """A curve that lies in its document."""

    time_ms: Series
    pressure_mpa: Series


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is simulated. Codes are those of the catalogues."""

    shell_height_mm: float | None = None
    current_a: float | None = None
    igniter_type: str | None = None
    nc_type: str | None = None
    nc_amount_mg: float | None = None
    gp_type: str | None = None
    gp_amount_mg: float | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """What every simulation states."""

    name: str
    work_order: str | None
    user: str = field(repr=False)
    created_at: datetime
    inputs: Inputs
    model_version: str | None
    status: str
    execution_time_s: float | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Forward:
    """A forward simulation: from amounts to a curve, which only a completed one has."""

    run: Run
    num_models: int | None
    r_squared: float | None
    curve: Named | Inline | None


@dataclass(frozen=True, slots=True)
class Reverse:
    """A reverse simulation: from a curve to amounts."""

    run: Run
    device: str | None
    pressure_data_file: str | None
    nc_type: str | None
    nc_amount_mg: float | None
    gp_type: str | None
    gp_amount_mg: float | None
    confidence_pct: float | None


@dataclass(frozen=True, slots=True)
class Model:
    """A version of a model; whether it is active is never stated by a file."""

    name: str
    model_type: str
    file_path: str
    num_models: int | None
    training_date: date | None
    r_squared: float | None
    description: str | None


@dataclass(frozen=True, slots=True)
class Firing:
    """A firing: its record, and the files of its curves, one for each sensor."""

    name: str
    work_order: str | None
    user: str = field(repr=False)
    tester_id: str | None = field(repr=False)
    device: str | None
    test_date: date
    notes: str | None = field(repr=False)
    status: str
    recorded_at: datetime
    files: tuple[Named, ...]


Document = Forward | Reverse | Model | Firing | Register


def parse(plain: Plain) -> Document:
    """Return the document of a JSON value.

    Raises:
        Unusable: `document_is_known` for another kind, or a rule of `Fields` with the field at fault.
    """
    if not isinstance(plain, dict):
        raise Unusable("the document is no JSON object", rule="document_is_known")
    fields = Fields(plain)
    parser = _PARSERS.get(fields.maybe_text("kind") or "")
    if parser is None:
        raise Unusable(f"the kind of the document is none of {', '.join(_PARSERS)}", rule="document_is_known")
    document = parser(fields)
    fields.demand_no_others()
    return document


def companions(document: Document) -> tuple[Named, ...]:
    """Return the files that a document names."""
    match document:
        case Firing():
            return document.files
        case Forward(curve=Named() as named):
            return (named,)
        case _:
            return ()


def _forward(fields: Fields) -> Forward:
    model = fields.object("model")
    series = fields.object("series")
    run = _run(fields, model)
    num_models = model.whole("num_models", least=1, most=1_000_000)
    r_squared = model.number("r_squared", least=-99.0, most=1.0)
    model.demand_no_others()
    curve = _curve(series)
    if (run.status == "completed") != (curve is not None):
        raise Unusable("a completed simulation has a series, any other has none", rule="field_is_given", field="series")
    return Forward(run, num_models=num_models, r_squared=r_squared, curve=curve)


def _reverse(fields: Fields) -> Reverse:
    model, result = fields.object("model"), fields.object("result")
    run = _run(fields, model)
    model.demand_no_others()
    reverse = Reverse(
        run,
        device=fields.maybe_text("device", at_most=20),
        pressure_data_file=fields.maybe_text("pressure_data_file", at_most=255),
        nc_type=result.maybe_text("nc_type", at_most=20),
        nc_amount_mg=_amount(result, "nc_amount_mg"),
        gp_type=result.maybe_text("gp_type", at_most=20),
        gp_amount_mg=_amount(result, "gp_amount_mg"),
        confidence_pct=result.number("confidence_pct", least=0.0, most=100.0),
    )
    result.demand_no_others()
    return reverse


def _run(fields: Fields, model: Fields) -> Run:
    inputs = fields.object("inputs")
    run = Run(
        name=fields.text("name", at_most=100),
        work_order=fields.maybe_text("work_order", at_most=50),
        user=fields.text("user", at_most=50),
        created_at=fields.moment("created_at"),
        inputs=Inputs(
            shell_height_mm=_amount(inputs, "shell_height_mm"),
            current_a=inputs.number("current_a", least=-DECIMAL_10_4, most=DECIMAL_10_4),
            igniter_type=inputs.maybe_text("igniter_type", at_most=20),
            nc_type=inputs.maybe_text("nc_type", at_most=20),
            nc_amount_mg=_amount(inputs, "nc_amount_mg"),
            gp_type=inputs.maybe_text("gp_type", at_most=20),
            gp_amount_mg=_amount(inputs, "gp_amount_mg"),
        ),
        model_version=model.maybe_text("version", at_most=50),
        status=fields.one_of("status", _STATUS, default="completed"),
        execution_time_s=_amount(fields, "execution_time_s"),
        error=fields.maybe_text("error"),
    )
    inputs.demand_no_others()
    if run.status == "failed" and run.error is None:
        raise Unusable("a failed simulation says why", rule="field_is_given", field="error")
    return run


def _amount(fields: Fields, name: str) -> float | None:
    return fields.number(name, least=0.0, most=DECIMAL_10_4)


def _curve(series: Fields) -> Named | Inline | None:
    if not series.values:
        return None
    if "file" in series.values:
        named = _named(series)
        series.demand_no_others()
        return named
    time_ms = series.numbers("time_ms", at_most=curves.MOST_POINTS)
    pressure_mpa = series.numbers("pressure_mpa", at_most=curves.MOST_POINTS)
    series.demand_no_others()
    return Inline(np.array(time_ms, dtype=np.float64), np.array(pressure_mpa, dtype=np.float64))


def _named(fields: Fields) -> Named:
    sha256 = fields.maybe_text("sha256", at_most=64)
    note = fields.maybe_text("note", at_most=LONGEST_NOTE)
    return Named(fields.text("file", at_most=220), sha256.lower() if sha256 else None, note)


def _model(fields: Fields) -> Model:
    return Model(
        name=fields.text("name", at_most=50),
        model_type=fields.one_of("model_type", ("forward", "reverse")),
        file_path=fields.text("file_path", at_most=500),
        num_models=fields.whole("num_models", least=1, most=1_000_000),
        training_date=fields.maybe_day("training_date"),
        r_squared=fields.number("r_squared", least=-99.0, most=1.0),
        description=fields.maybe_text("description"),
    )


def _firing(fields: Fields) -> Firing:
    listed = fields.objects("files", at_most=MOST_FILES)
    files = tuple(_named(item) for item in listed)
    for item in listed:
        item.demand_no_others()
    if not files or len({named.name for named in files}) < len(files):
        raise Unusable("a firing names its files, each once", rule="field_is_given", field="files")
    return Firing(
        name=fields.text("name", at_most=100),
        work_order=fields.maybe_text("work_order", at_most=50),
        user=fields.text("user", at_most=50),
        tester_id=fields.maybe_text("tester_id", at_most=50),
        device=fields.maybe_text("device", at_most=20),
        test_date=fields.day("test_date"),
        notes=fields.maybe_text("notes"),
        status=fields.one_of("status", ("submitted", "validated", "archived"), default="submitted"),
        recorded_at=fields.moment("recorded_at"),
        files=files,
    )


_PARSERS: Final[Mapping[str, Callable[[Fields], Document]]] = MappingProxyType(
    {
        Kind.FORWARD: _forward,
        Kind.REVERSE: _reverse,
        Kind.MODEL: _model,
        Kind.FIRING: _firing,
        Kind.REGISTER: registers.register,
    }
)
