"""Which column of a table is force, displacement, strain and time, in which unit, and why.

A choice between two channels that say the same of themselves is not made here but asked of a person: an error names
the candidates. Reading the values is `resources`' business.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.tensile.headings import Heading, listed
from meva_pipelines.domain.tensile.quantities import Kind
from meva_pipelines.domain.tensile.recording import Column, DisplacementSource, Quantity, Series

_SAME = 1e-3
_COMPARED = 10_000


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
        live = [each for each in found if each.is_stated or _holds_something(self.values[each.position])]
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
        values, factor = self.values[heading.position], heading.unit.factor
        return values if factor == 1.0 else values * factor

    def take(self, heading: Heading, quantity: Quantity, why: str = "") -> Series:
        """Use a column, and remember as what and why."""
        self.taken[heading.position] = (quantity, f"{heading.why}{why}")
        return self.series(heading)


def _holds_something(values: Series) -> bool:
    """Tell whether any value is neither zero nor blank."""
    return bool(len(values)) and bool(np.fmax.reduce(values) > 0 or np.fmin.reduce(values) < 0)


def _thinned(values: Series) -> Series:
    """Some values from all over a channel: enough to compare it with another."""
    return values[:: max(1, len(values) // _COMPARED)]


def _differ(left: Series, right: Series) -> float:
    """Greatest difference of two channels from their first rows on, as a share of the span of the first."""
    left, right = _thinned(left), _thinned(right)
    both = np.isfinite(left) & np.isfinite(right)
    if both.sum() < 2:
        return np.inf
    one, other = left[both] - left[both][0], right[both] - right[both][0]
    span = float(np.ptp(one))
    return float(np.max(np.abs(one - other))) / span if span > 0 else np.inf


def select(found: Sequence[Heading], values: Mapping[int, Series], *, gauge_length_mm: float | None) -> Selection:
    """Choose the channels of a test.

    Args:
        found: the headings of the table.
        values: by position, the columns that headings give a kind (a stress is not needed), as written, shape (rows,),
            NaN for blanks.
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
    displaced = _displacement(choice, gauge_length_mm, strain)
    if displaced is None and strain is not None and gauge_length_mm is not None:
        choice.warnings.append(f"no column in mm: displacement = strain · L0 ({gauge_length_mm:g} mm)")
        length = strain * gauge_length_mm
        displaced = _Displaced(length, DisplacementSource.EXTENSOMETER, is_position=False, crosshead=None)
    if displaced is None and strain is not None:
        raise Unusable(
            "the table has a strain and no displacement: state `gauge_length_mm` in the sidecar",
            rule="displacement_is_found",
            field="displacement",
        )
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


def _displacement(choice: _Choice, gauge_length_mm: float | None, strain: Series | None) -> _Displaced | None:
    """Choose the displacement: an extensometer's where there is one, else the crosshead's."""
    crosshead = choice.one(Quantity.CROSSHEAD, Kind.CROSSHEAD) or choice.one(Quantity.CROSSHEAD, Kind.POSITION)
    gauge, why = choice.one(Quantity.EXTENSION, Kind.GAUGE), ""
    if gauge is None and not (crosshead and crosshead.is_stated):
        gauge, why = _following(choice, crosshead, gauge_length_mm, strain)
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
    choice: _Choice, crosshead: Heading | None, gauge_length_mm: float | None, strain: Series | None
) -> tuple[Heading | None, str]:
    """Find the channel that is an extensometer's by what stands beside it: a gauge length, or the crosshead."""
    travel = choice.one(Quantity.EXTENSION, Kind.TRAVEL)
    if travel is not None and gauge_length_mm is None and crosshead is not None:
        gauge_length_mm = _gauge_length(choice.series(travel), strain)
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
    displacement, strain = _thinned(displacement), _thinned(strain)
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
            is_zero = each.position in choice.values and not _holds_something(choice.values[each.position])
            why = f"{why}; not used: {'zero throughout' if is_zero else 'another column serves'}"
        columns.append(Column(each.name, quantity, each.unit_text, each.unit.factor if each.unit else 1.0, why))
    return tuple(columns)
