"""What a refused change looks like: a cause guessed from its figures, so that people know where to look first.

A guess is a sentence for people; nothing is decided by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

_MOST = 0.5
_MANY = 0.9


@dataclass(frozen=True, slots=True)
class ChangeFigures:
    """A batch in numbers: rows received and published, and per field how many rows changed or became empty."""

    published_rows: int
    received_rows: int
    absent_rows: int
    compared_rows: int
    changed: Mapping[str, int]
    emptied: Mapping[str, int]


def suspect(figures: ChangeFigures) -> str:
    """Return the likeliest cause of a change that an audit refused."""
    compared = max(figures.compared_rows, 1)
    emptied = sorted(name for name, count in figures.emptied.items() if count > _MOST * compared)
    swapped = sorted(
        name
        for name, count in figures.changed.items()
        if count > _MANY * compared and figures.emptied.get(name, 0) < _MOST * compared
    )
    if emptied:
        return f"the source sends {', '.join(emptied)} empty: a broken export, or the field was renamed"
    if len(swapped) > 1 and figures.compared_rows > _MOST * figures.published_rows:
        return f"nearly every row changed in {', '.join(swapped)}: the fields are shifted or mapped wrongly"
    if figures.absent_rows > _MOST * max(figures.published_rows, 1) / 2:
        return f"{figures.absent_rows:,} published devices did not come: the source left out part of the registry"
    if figures.published_rows and figures.received_rows > figures.published_rows * (1 + _MOST):
        return "far more records than devices came: another registry, or pages were repeated"
    return "no single cause stands out: compare the regions and fields below"
