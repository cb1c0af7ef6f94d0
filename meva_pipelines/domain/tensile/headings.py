"""The headings of a table: what each column may be, in which unit, and why. Its values are not asked.

Names and units come from `quantities` and `units`; which of several candidates is taken is for `columns` to say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.tensile import quantities, units
from meva_pipelines.domain.tensile.quantities import Kind, Meaning
from meva_pipelines.domain.tensile.recording import Quantity
from meva_pipelines.domain.tensile.sidecar import ColumnChoice
from meva_pipelines.domain.tensile.units import Dimension, Unit

KIND_OF: Mapping[Quantity, Kind] = {
    Quantity.TIME: Kind.TIME,
    Quantity.FORCE: Kind.FORCE,
    Quantity.EXTENSION: Kind.GAUGE,
    Quantity.CROSSHEAD: Kind.CROSSHEAD,
    Quantity.STRAIN: Kind.STRAIN,
    Quantity.STRESS: Kind.STRESS,
}
QUANTITY_OF: Mapping[Kind, Quantity] = {kind: quantity for quantity, kind in KIND_OF.items()} | {
    Kind.POSITION: Quantity.CROSSHEAD,
}
_LONGEST_LIST = 20


@dataclass(frozen=True, slots=True)
class Schema:
    """What a documented schema, or a dialect, says of headings: kinds by name, and units where none is written."""

    names: Mapping[str, Kind] = field(default_factory=dict)
    units: Mapping[Kind, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Heading:
    """One column by its name: what it may be. `kind` is None where the name says nothing."""

    position: int
    name: str
    kind: Kind | None
    unit_text: str
    unit: Unit | None
    why: str
    is_stated: bool = False


def read(
    names: Sequence[str],
    units_row: Sequence[str],
    stated: Mapping[Quantity, ColumnChoice],
    *,
    schema: Schema | None = None,
) -> tuple[Heading, ...]:
    """Read the headings of a table; what a sidecar states goes before names, a unit in the name before the row.

    Args:
        names: heading of each column.
        units_row: the row of units below them, empty where there is none.
        stated: which columns the sidecar names, by heading or by number from 1.
        schema: what a documented schema says of names and units.

    Raises:
        Unusable: `sidecar_column_exists`; a stated column is not in the table.
    """
    chosen = {_position(names, choice, quantity): quantity for quantity, choice in stated.items()}
    return tuple(
        _stated(position, name, units_row, chosen[position], stated[chosen[position]])
        if position in chosen
        else _heading(position, name, units_row, set(stated), schema or Schema())
        for position, name in enumerate(names)
    )


def _position(names: Sequence[str], choice: ColumnChoice, quantity: Quantity) -> int:
    wanted = choice.name.casefold()
    for spelling in (lambda name: name, lambda name: quantities.split(name)[0]):
        hits = [position for position, name in enumerate(names) if spelling(name).strip().casefold() == wanted]
        if len(hits) == 1:
            return hits[0]
    if choice.name.isdecimal() and 1 <= int(choice.name) <= len(names):
        return int(choice.name) - 1
    raise Unusable(
        f"the sidecar names the column {choice.name!r} for {quantity}; the table has {listed(names)}",
        rule="sidecar_column_exists",
        field=choice.name,
    )


def _stated(position: int, name: str, units_row: Sequence[str], quantity: Quantity, choice: ColumnChoice) -> Heading:
    _, written = _unit_text(position, name, units_row)
    text = choice.unit or written or ""
    return Heading(position, name, KIND_OF[quantity], text, units.unit(text), "stated in the sidecar", is_stated=True)


def _heading(position: int, name: str, units_row: Sequence[str], taken: set[Quantity], schema: Schema) -> Heading:
    bare, text = _unit_text(position, name, units_row)
    found = quantities.meaning(bare)
    if bare.casefold() in schema.names:
        found = Meaning(schema.names[bare.casefold()], bare.casefold())
    if found is None:
        return Heading(position, name, None, text or "", None, "the name says nothing of a tensile test")
    if found.kind is Kind.NOT_MEASURED:
        return Heading(position, name, None, text or "", None, f"commanded, calculated or sideways ({found.words!r})")
    kind: Kind = found.kind
    why = f"named {found.words!r}"
    if text is None and kind in schema.units:
        text, why = schema.units[kind], f"{why}, unit of the documented schema"
    elif text is None and kind is Kind.TIME:
        text, why = "s", f"{why}, no unit written: seconds"
    unit = units.unit(text) if text else None
    if text == "" and Dimension.RATIO in quantities.DIMENSIONS[kind]:
        unit, why = Unit(Dimension.RATIO, 1.0), f"{why}, without a unit among units"
    if unit is not None and unit.dimension not in quantities.DIMENSIONS[kind]:
        return Heading(position, name, None, text or "", None, f"{why}, but measured in {text}")
    if unit is not None:
        kind, why = _by_unit(kind, unit, why)
    if QUANTITY_OF.get(kind) in taken:
        return Heading(position, name, None, text or "", None, f"{why}, but the sidecar names another column")
    return Heading(position, name, kind, text or "", unit, why)


def _unit_text(position: int, name: str, units_row: Sequence[str]) -> tuple[str, str | None]:
    """Return the name without its unit, and the unit: None where none is written, "" for a blank one in a row."""
    bare, text = quantities.split(name)
    if text is None and units_row:
        text = units_row[position].strip().strip("()[]{}<>").strip() if position < len(units_row) else ""
    return bare, text


def _by_unit(kind: Kind, unit: Unit, why: str) -> tuple[Kind, str]:
    if kind is Kind.STRAIN and unit.dimension is Dimension.LENGTH:
        return Kind.GAUGE, f"{why}, in a unit of length: an elongation"
    if kind in {Kind.GAUGE, Kind.DISPLACEMENT} and unit.dimension is Dimension.RATIO:
        return Kind.STRAIN, f"{why}, as a ratio: a strain"
    return kind, why


def listed(names: Sequence[str]) -> str:
    """Return names for a message: quoted, and not too many."""
    shown = ", ".join(repr(name) for name in names[:_LONGEST_LIST])
    return shown + (f" and {len(names) - _LONGEST_LIST} more" if len(names) > _LONGEST_LIST else "") or "no columns"


def has_force(names: Sequence[str], units_row: Sequence[str]) -> bool:
    """Tell whether the headings of a table name a force."""
    return any(each.kind is Kind.FORCE for each in read(names, units_row, {}))
