"""The days of this project are Korean days: partitions, schedules, deadlines, what people read. Storage is in UTC."""

from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

SEOUL: Final = ZoneInfo("Asia/Seoul")
"""The zone of days, and of times that name none."""


def korean_day(moment: datetime) -> date:
    """Return the Korean day of a moment with a time zone."""
    return moment.astimezone(SEOUL).date()
