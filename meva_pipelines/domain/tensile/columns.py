"""Which column of a table is force, displacement, strain and time, in which unit, and why.

A choice between two channels that say the same of themselves is not made here but asked of a person: an error names
the candidates. Reading the values is `resources`' business.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.tensile import quantities, units
from meva_pipelines.domain.tensile.quantities import Kind
from meva_pipelines.domain.tensile.recording import Column, DisplacementSource, Quantity, Series
from meva_pipelines.domain.tensile.sidecar import ColumnChoice
from meva_pipelines.domain.tensile.units import Dimension, Unit

_KIND_OF: Mapping[Quantity, Kind] = {
    Quantity.TIME: Kind.TIME,
    Quantity.FORCE: Kind.FORCE,
    Quantity.EXTENSION: Kind.GAUGE,
    Quantity.CROSSHEAD: Kind.CROSSHEAD,
    Quantity.STRAIN: Kind.STRAIN,
    Quantity.STRESS: Kind.STRESS,
}
_QUANTITY_OF: Mapping[Kind, Quantity] = {kind: quantity for quantity, kind in _KIND_OF.items()} | {
    Kind.POSITION: Quantity.CROSSHEAD,
}
_SAME = 1e-3
_LONGEST_LIST = 20


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


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """The channels of a test in N, mm, s and ratios, all of shape (rows,), and how each column was understood."""

    force: Series
    displacement: Series
    source: DisplacementSource
    is_position: bool
    time: Series | None
    crosshead: Series | None
    strain: Series | None
    gauge_length_mm: float | None
    columns: tuple[Column, ...]
    warnings: tuple[str, ...]


def headings(
    names: Sequence[str],
    units_row: Sequence[str],
    stated: Mapping[Quantity, ColumnChoice],
    *,
    defaults: Mapping[Kind, str] | None = None,
) -> tuple[Heading, ...]:
    """Read the headings of a table; what a sidecar states goes before names, a unit in the name before the row.

    Args:
        names: heading of each column.
        units_row: the row of units below them, empty where there is none.
        stated: which columns the sidecar names, by heading or by number from 1.
        defaults: units of a documented schema for headings without any.

    Raises:
        Unusable: `sidecar_column_exists`; a stated column is not in the table.
    """
    chosen = {_position(names, choice, quantity): quantity for quantity, choice in stated.items()}
    return tuple(
        _stated(position, name, units_row, chosen[position], stated[chosen[position]])
        if position in chosen
        else _heading(position, name, units_row, taken=set(stated), defaults=defaults or {})
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


def _stated(
    position: int, name: str, units_row: Sequence[str], quantity: Quantity, choice: ColumnChoice
) -> Heading:
    _, written = _unit_text(position, name, units_row)
    text = choice.unit or written or ""
    return Heading(position, name, _KIND_OF[quantity], text, units.unit(text), "stated in the sidecar", is_stated=True)


def _heading(
    position: int, name: str, units_row: Sequence[str], *, taken: set[Quantity], defaults: Mapping[Kind, str]
) -> Heading:
    bare, text = _unit_text(position, name, units_row)
    found = quantities.meaning(bare)
    if found is None:
        return Heading(position, name, None, text or "", None, "the name says nothing of a tensile test")
    if found.kind is Kind.NOT_MEASURED:
        return Heading(position, name, None, text or "", None, f"commanded, calculated or sideways ({found.words!r})")
    kind, why = found.kind, f"named {found.words!r}"
    if text is None and kind in defaults:
        text, why = defaults[kind], f"{why}, unit of the documented schema"
    elif text is None and kind is Kind.TIME:
        text, why = "s", f"{why}, no unit written: seconds"
    unit = units.unit(text) if text else None
    if text == "" and Dimension.RATIO in quantities.DIMENSIONS[kind]:
        unit, why = Unit(Dimension.RATIO, 1.0), f"{why}, without a unit among units"
    if unit is not None and unit.dimension not in quantities.DIMENSIONS[kind]:
        return Heading(position, name, None, text or "", None, f"{why}, but measured in {text}")
    if unit is not None:
        kind, why = _by_unit(kind, unit, why)
    if _QUANTITY_OF.get(kind) in taken:
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


@dataclass(slots=True)
class _Choice:
    """The choice under way: what is left of the candidates, and what has been decided."""

    headings: Sequence[Heading]
    values: Mapping[int, Series]
    taken: dict[int, tuple[Quantity, str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def candidates(self, *kinds: Kind) -> list[Heading]:
        """Columns of these kinds that hold something; stated ones put the others aside."""
        found = [each for each in self.headings if each.kind in kinds and each.position in self.values]
        live = [each for each in found if each.is_stated or np.any(np.nan_to_num(self.values[each.position]))]
        stated = [each for each in live if each.is_stated]
        return stated or live

    def one(self, quantity: Quantity, *kinds: Kind) -> Heading | None:
        """The column of these kinds, None when there is none; two that do not agree are an error."""
        found = self.candidates(*kinds)
        if not found:
            return None
        first = found[0]
        same = [each for each in found[1:] if self._agree(first, each)]
        if len(same) + 1 < len(found):
            raise Unusable(
                f"{len(found)} columns can be the {quantity}: {listed([each.name for each in found])}; "
                "name the right one in the sidecar",
                rule="column_is_unambiguous",
                field=str(quantity),
            )
        return first

    def _agree(self, one: Heading, other: Heading) -> bool:
        left, right = self.series(one), self.series(other)
        return _differ(left, right) <= _SAME

    def series(self, heading: Heading) -> Series:
        """The values of a column in our unit."""
        if heading.unit is None:
            raise Unusable(
                f"the column {heading.name!r} has no unit that is known ({heading.unit_text or 'none'}); "
                "state it in the sidecar",
                rule="unit_is_known",
                field=heading.name,
            )
        return self.values[heading.position] * heading.unit.factor

    def take(self, heading: Heading, quantity: Quantity, why: str = "") -> Series:
        """Use a column, and remember as what and why."""
        self.taken[heading.position] = (quantity, f"{heading.why}{why}")
        return self.series(heading)


def _differ(left: Series, right: Series) -> float:
    """Greatest difference of two channels from their first rows on, as a share of the span of the first."""
    both = np.isfinite(left) & np.isfinite(right)
    if both.sum() < 2:
        return np.inf
    one, other = left[both] - left[both][0], right[both] - right[both][0]
    span = float(np.ptp(one))
    return float(np.max(np.abs(one - other))) / span if span > 0 else np.inf


def select(
    found: Sequence[Heading], values: Mapping[int, Series], *, gauge_length_mm: float | None
) -> Selection:
    """Choose the channels of a test.

    Args:
        found: the headings of the table.
        values: by position, the columns that headings give a kind, as written, shape (rows,), NaN for blanks.
        gauge_length_mm: L0 where header or sidecar give it.

    Raises:
        Unusable: `force_is_found`, `displacement_is_found`, `column_is_unambiguous` or `unit_is_known`; the message
            names the columns.
    """
    choice = _Choice(found, values)
    force = choice.one(Quantity.FORCE, Kind.FORCE)
    if force is None:
        raise missing("force", found)
    load = choice.take(force, Quantity.FORCE)
    time = choice.one(Quantity.TIME, Kind.TIME)
    elapsed = None if time is None else choice.take(time, Quantity.TIME)
    strain = _strain(choice)
    displaced = _displacement(choice, gauge_length_mm)
    if displaced is None and strain is not None and gauge_length_mm is not None:
        choice.warnings.append(f"no column in mm: displacement = strain · L0 ({gauge_length_mm:g} mm)")
        length = strain * gauge_length_mm
        displaced = _Displaced(length, DisplacementSource.EXTENSOMETER, is_position=False, crosshead=None)
    if displaced is None:
        raise missing("displacement", found)
    return Selection(
        force=load,
        displacement=displaced.series,
        source=displaced.source,
        is_position=displaced.is_position,
        time=elapsed,
        crosshead=displaced.crosshead,
        strain=strain,
        gauge_length_mm=gauge_length_mm or _gauge_length(displaced.series, strain),
        columns=_explained(choice),
        warnings=tuple(choice.warnings),
    )


def has_force(names: Sequence[str], units_row: Sequence[str]) -> bool:
    """Tell whether the headings of a table name a force."""
    return any(each.kind is Kind.FORCE for each in headings(names, units_row, {}))


def missing(what: str, found: Sequence[Heading]) -> Unusable:
    """Return the error that says what was not found among which columns."""
    blank = [each.name for each in found if each.kind is not None]
    hint = f" ({listed(blank)} are not it, or hold nothing)" if blank else ""
    return Unusable(
        f"no {what} was found among the columns {listed([each.name for each in found])}{hint}; "
        f"name it in the sidecar under `columns`",
        rule=f"{what}_is_found",
        field=what,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Displaced:
    series: Series
    source: DisplacementSource
    is_position: bool
    crosshead: Series | None


def _strain(choice: _Choice) -> Series | None:
    """The strain where exactly one column gives it; a strain is never worth refusing a test."""
    try:
        strain = choice.one(Quantity.STRAIN, Kind.STRAIN)
        return None if strain is None else choice.take(strain, Quantity.STRAIN)
    except Unusable as error:
        choice.warnings.append(f"strain left out: {error}")
        return None


def _displacement(choice: _Choice, gauge_length_mm: float | None) -> _Displaced | None:
    """Choose the displacement: an extensometer's where there is one, else the crosshead's."""
    crosshead = choice.one(Quantity.CROSSHEAD, Kind.CROSSHEAD) or choice.one(Quantity.CROSSHEAD, Kind.POSITION)
    gauge, why = choice.one(Quantity.EXTENSION, Kind.GAUGE), ""
    if gauge is None and not (crosshead and crosshead.is_stated):
        gauge, why = _following(choice, crosshead, gauge_length_mm)
    others = [each for each in choice.candidates(Kind.TRAVEL, Kind.DISPLACEMENT) if each is not gauge]
    if gauge is not None:
        crosshead = crosshead or next(iter(others), None)
        travel = None if crosshead is None else choice.take(crosshead, Quantity.CROSSHEAD)
        extension = choice.take(gauge, Quantity.EXTENSION, why)
        return _Displaced(extension, DisplacementSource.EXTENSOMETER, is_position=False, crosshead=travel)
    if not (crosshead and crosshead.is_stated):
        standard = choice.one(Quantity.CROSSHEAD, Kind.TRAVEL)
        own = standard or crosshead or choice.one(Quantity.CROSSHEAD, Kind.DISPLACEMENT)
    else:
        own = crosshead
    if own is None:
        return None
    travel = choice.take(own, Quantity.CROSSHEAD, "" if own is crosshead else ", no extensometer is stated")
    return _Displaced(travel, DisplacementSource.CROSSHEAD, is_position=own.kind is Kind.POSITION, crosshead=travel)


def _following(
    choice: _Choice, crosshead: Heading | None, gauge_length_mm: float | None
) -> tuple[Heading | None, str]:
    """Find the channel that is an extensometer's by what stands beside it: a gauge length, or the crosshead."""
    travel = choice.one(Quantity.EXTENSION, Kind.TRAVEL)
    own = travel or choice.one(Quantity.EXTENSION, Kind.DISPLACEMENT)
    if own is None or (crosshead is not None and _differ(choice.series(own), choice.series(crosshead)) <= _SAME):
        return None, ""
    if own is travel:
        is_set = gauge_length_mm is not None
        return (own, f", with a gauge length of {gauge_length_mm} mm") if is_set else (None, "")
    return (None, "") if crosshead is None else (own, f", and {crosshead.name!r} is the crosshead's")


def _gauge_length(displacement: Series, strain: Series | None) -> float | None:
    """L0 in mm as displacement / strain, when that is one number for the whole test; six digits as files give."""
    if strain is None:
        return None
    both = np.isfinite(displacement) & np.isfinite(strain)
    one, other = displacement[both], strain[both]
    if not np.any(other):
        return None
    length = float(one @ other / (other @ other))
    is_one = length > 0 and float(np.max(np.abs(one - length * other))) <= _SAME * float(np.ptp(one))
    return float(f"{length:.6g}") if is_one else None


def _explained(choice: _Choice) -> tuple[Column, ...]:
    columns = []
    for each in choice.headings:
        quantity, why = choice.taken.get(each.position, (None, each.why))
        if quantity is None and each.kind is Kind.STRESS:
            quantity = Quantity.STRESS
        if quantity is None and each.kind is not None:
            is_zero = each.position in choice.values and not np.any(np.nan_to_num(choice.values[each.position]))
            why = f"{why}; not used: {'zero throughout' if is_zero else 'another column serves'}"
        columns.append(Column(each.name, quantity, each.unit_text, each.unit.factor if each.unit else 1.0, why))
    return tuple(columns)
