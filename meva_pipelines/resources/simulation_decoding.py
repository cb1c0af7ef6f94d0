"""Bundles decoded into results: a typed document with its curves as they are stored, and its row as it is published.

What is wrong with a bundle is raised as Unusable with its rule; what becomes of it is the business of staging.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime

import orjson

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.simulation import curves, documents
from meva_pipelines.domain.simulation.curves import StoredCurve
from meva_pipelines.domain.simulation.documents import (
    Document,
    Firing,
    Forward,
    Inline,
    Inputs,
    Kind,
    Model,
    Named,
    Reverse,
    Run,
)
from meva_pipelines.domain.simulation.registers import Register
from meva_pipelines.resources import firing_files, simulation_bundles, simulation_files
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.simulation_bundles import Bundle, Part

_LONGEST_PAYLOAD = 100_000


@dataclass(frozen=True, slots=True)
class Result:
    """A bundle that could be decoded: what it states, and its curves with the files that they come from."""

    bundle: Bundle
    document: Document = field(repr=False)
    curves: tuple[StoredCurve, ...]

    @property
    def kind(self) -> Kind:
        """What the document is."""
        return _KINDS[type(self.document)]

    @property
    def name(self) -> str:
        """Name of the result; that of its file for a register."""
        match self.document:
            case Forward(run=run) | Reverse(run=run):
                return run.name
            case Firing(name=name) | Model(name=name):
                return name
            case _:
                return self.bundle.name

    @property
    def stated_at(self) -> datetime | None:
        """Stated time of this version; None where versions are none."""
        match self.document:
            case Forward(run=run) | Reverse(run=run):
                return run.created_at
            case Firing(recorded_at=recorded_at):
                return recorded_at
            case _:
                return None

    @property
    def model_version(self) -> str | None:
        """Model that a simulation names."""
        match self.document:
            case Forward(run=run) | Reverse(run=run):
                return run.model_version
            case _:
                return None


_KINDS: Mapping[type, Kind] = {
    Forward: Kind.FORWARD,
    Reverse: Kind.REVERSE,
    Model: Kind.MODEL,
    Register: Kind.REGISTER,
    Firing: Kind.FIRING,
}


def reference(store: ObjectStore, bundle: Bundle, *, kinds: Sequence[Kind]) -> Register | Model | None:
    """Return what a bundle brings for others to refer to; None for a result, and for what `decode` refuses."""
    if len(bundle.parts) > 1:
        return None
    try:
        document = simulation_files.document(simulation_bundles.content(store, bundle.parts[0]))
    except Unusable:
        return None
    return document if isinstance(document, Register | Model) and _KINDS[type(document)] in kinds else None


def decode(store: ObjectStore, bundle: Bundle, *, kinds: Sequence[Kind]) -> Result:
    """Read a bundle.

    Raises:
        Unusable: a rule of the readers, `document_belongs_here` for a kind that is none of `kinds`,
            `file_is_the_stated_one` where a stated SHA-256 differs, `note_is_the_stated_one` where the note of a
            workbook does.
    """
    head, *others = bundle.parts
    document = simulation_files.document(simulation_bundles.content(store, head))
    named = documents.companions(document)
    found = [(part, simulation_bundles.content(store, part)) for part in others]
    for statement, (part, _) in zip(named, found, strict=True):
        if statement.sha256 is not None and statement.sha256 != part.sha256:
            raise Unusable(f"{part.name} is not the file that the document means", rule="file_is_the_stated_one")
    result = Result(bundle, document, tuple(_curves(document, found)))
    if result.kind not in kinds:
        raise Unusable(f"a {result.kind} does not belong here", rule="document_belongs_here", field="kind")
    return result


def _curves(document: Document, found: Sequence[tuple[Part, bytes]]) -> list[StoredCurve]:
    match document:
        case Forward(curve=Inline(time_ms=time_ms, pressure_mpa=pressure_mpa)):
            return [curves.stored(time_ms, pressure_mpa)]
        case Forward(curve=Named()):
            return [curves.stored(*simulation_files.series(content)) for _, content in found]
        case Firing():
            return [_measured(named, content) for named, (_, content) in zip(document.files, found, strict=True)]
        case _:
            return []


def _measured(named: Named, content: bytes) -> StoredCurve:
    sheet = firing_files.read(content)
    if named.note is not None and named.note != sheet.header.note:
        raise Unusable(
            f"{named.name} is not the file that the record means: its note is another",
            rule="note_is_the_stated_one",
            field="files",
        )
    return curves.stored(sheet.time_ms, sheet.pressure_mpa)


def row(result: Result) -> dict[str, object]:
    """Return the result as a JSON object: columns of its table, and names in place of the numbers of other rows."""
    plain: dict[str, object] = orjson.loads(orjson.dumps(_columns(result)))
    return plain


def _columns(result: Result) -> dict[str, object]:
    match result.document:
        case Forward() as document:
            return _forward(result, document)
        case Reverse() as document:
            return _reverse(document)
        case Firing() as document:
            return _firing(result, document)
        case Model() as model:
            return {
                "version_name": model.name,
                "model_type": model.model_type,
                "file_path": model.file_path,
                "num_models": model.num_models,
                "training_date": model.training_date,
                "r_squared": model.r_squared,
                "description": model.description,
            }
        case Register() as register:
            return {field.name: list(getattr(register, field.name)) for field in fields(register)}


def _run(run: Run) -> dict[str, object]:
    return {
        "name": run.name,
        "work_order": run.work_order,
        "user": run.user,
        "created_at": run.created_at,
        "model_version": run.model_version,
        "status": run.status,
        "execution_time": run.execution_time_s,
        "error_message": run.error,
        **_inputs(run.inputs),
    }


def _inputs(inputs: Inputs) -> dict[str, object]:
    return {
        "shell_height": inputs.shell_height_mm,
        "current_condition": inputs.current_a,
        "igniter_type": inputs.igniter_type,
        "nc_type": inputs.nc_type,
        "nc_amount": inputs.nc_amount_mg,
        "gp_type": inputs.gp_type,
        "gp_amount": inputs.gp_amount_mg,
    }


def _forward(result: Result, document: Forward) -> dict[str, object]:
    found = {"num_models": document.num_models, "r_squared": document.r_squared}
    return {**_run(document.run), **found, **(_figures(result.curves[0]) if result.curves else {})}


def _figures(curve: StoredCurve) -> dict[str, object]:
    peak_ms, peak_mpa = curve.peak
    return {
        "num_data_points": curve.points,
        "peak_pressure": peak_mpa,
        "peak_time": peak_ms,
        "curve_sha256": curve.sha256,
    }


def _reverse(document: Reverse) -> dict[str, object]:
    return {
        **_run(document.run),
        "device": document.device,
        "pressure_data_file": document.pressure_data_file,
        "predicted_nc_type": document.nc_type,
        "predicted_nc_amount": document.nc_amount_mg,
        "predicted_gp_type": document.gp_type,
        "predicted_gp_amount": document.gp_amount_mg,
        "confidence_score": document.confidence_pct,
    }


def _firing(result: Result, document: Firing) -> dict[str, object]:
    return {
        "name": document.name,
        "work_order": document.work_order,
        "user": document.user,
        "tester_id": document.tester_id,
        "device": document.device,
        "test_date": document.test_date,
        "notes": document.notes,
        "status": document.status,
        "recorded_at": document.recorded_at,
        "files": [
            {
                "position": position,
                "file_name": part.name,
                "file_path": part.key,
                "file_size": part.size,
                "file_type": "xlsx",
                "content_sha256": part.sha256,
                **_figures(curve),
            }
            for position, (part, curve) in enumerate(zip(result.bundle.parts[1:], result.curves, strict=True))
        ],
    }


def as_received(store: ObjectStore, bundle: Bundle) -> tuple[dict[str, object], bytes]:
    """Return what waits in quarantine of a bundle: its document without the series, and the digest of the bundle."""
    kept: dict[str, object] = {"files": [part.name for part in bundle.parts]}
    content = simulation_bundles.content(store, bundle.parts[0])
    try:
        plain = simulation_files.plain(content)
    except Unusable:
        plain = None
    if isinstance(plain, dict):
        stated = {name: value for name, value in plain.items() if name != "series"}
        if _is_storable(stated):
            kept["document"] = stated
    return kept, hashlib.sha256(bundle.sha256.encode()).digest()


def _is_storable(document: Mapping[str, object]) -> bool:
    """Whether a document can be kept as jsonb: not too long, not nested too deeply, without NUL."""
    try:
        text = orjson.dumps(document)
    except TypeError:
        return False
    return len(text) <= _LONGEST_PAYLOAD and rb"\u0000" not in text
