"""Whether a period may leave the database: policies, closed periods, holds. A decision, `now` given; never an act."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from meva_pipelines.domain.archive.declared import Archived
from meva_pipelines.domain.archive.periods import Period

GRACE: Final = timedelta(days=1)
"""How long a period is left alone after its rows have grown old enough (failure protocol §2, step 1)."""


@dataclass(frozen=True, slots=True)
class Retention:
    """What `mgg.retention_policies` says of a table. `file_period` is None where no files are written."""

    hot_days: int
    is_archived: bool
    is_deleted_afterwards: bool
    file_period: str | None
    age_column: str


def why_not_archived(
    table: Archived, period: Period, retention: Retention | None, *, now: datetime, held_until: datetime | None
) -> str | None:
    """Return why a period stays as it is, as a sentence for people; None: it is due.

    `now` is the clock of the database; `held_until` the end of a hold over the period. Without a policy, or with one
    that speaks of other files or another column than the declaration, nothing is due.
    """
    if retention is None:
        return "no retention policy names the table"
    if not retention.is_archived:
        return "its policy archives nothing"
    if (retention.file_period, retention.age_column) != (table.span.value, table.age_column):
        return (
            f"its policy speaks of files of a {retention.file_period} by {retention.age_column}, the table is declared"
            f" with files of a {table.span.value} by {table.age_column}"
        )
    if held_until is not None:
        return f"held until {held_until:%Y-%m-%d %H:%M} UTC"
    due_at = period.end + timedelta(days=retention.hot_days) + GRACE
    if now < due_at:
        return f"hot until {due_at:%Y-%m-%d %H:%M} UTC"
    return None


def why_not_released(
    table: Archived, period: Period, retention: Retention | None, *, now: datetime, held_until: datetime | None
) -> str | None:
    """Return why the hot rows of a period stay even with a proved cold copy; None: they may leave."""
    if retention is not None and retention.is_archived and not retention.is_deleted_afterwards:
        return "its policy keeps rows that are archived"
    return why_not_archived(table, period, retention, now=now, held_until=held_until)
