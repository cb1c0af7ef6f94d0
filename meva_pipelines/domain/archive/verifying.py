"""Which cold parts are read tonight: a share of them every night, every one within a month. A decision, `now` given."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

EVERY: Final = timedelta(days=30)
"""Every part is read to its end once in this time."""

OVERDUE: Final = timedelta(days=7)
"""How long rows may stay hot after they were due before somebody is told."""


def due(read_at: Mapping[int, datetime | None], *, now: datetime) -> frozenset[int]:
    """Return the parts to be read, of all parts with the moment of their last reading.

    Those that were not read within a month or were not sound then, and of the others the thirtieth that was read
    longest ago.
    """
    overdue = {part for part, moment in read_at.items() if moment is None or moment <= now - EVERY}
    others = sorted((moment, part) for part, moment in read_at.items() if moment is not None and part not in overdue)
    share = -(-len(read_at) // EVERY.days)
    return frozenset(overdue | {part for _, part in others[:share]})
