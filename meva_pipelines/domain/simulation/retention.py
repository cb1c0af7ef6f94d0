"""How long rows stay hot: the table of seed 004, and the history of the registry beside it, as data.

Nothing here deletes anything.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Policy:
    """A table, the days that its rows stay hot, what one cold file holds (None: no files), and what makes rows old.

    What is archived leaves the table afterwards; what is not archived never leaves.
    """

    table: str
    hot_days: int
    file_period: str | None
    age_column: str

    @property
    def is_archived(self) -> bool:
        """Whether older rows are written to cold files."""
        return self.file_period is not None


POLICIES: Final = (
    Policy("operation_logs", 90, "month", "created_at"),
    Policy("simulation_time_series", 180, "quarter", "created_at"),
    Policy("test_time_series", 365, "quarter", "test_date"),
    Policy("forward_simulations", 365, None, "created_at"),
    Policy("reverse_simulations", 365, None, "created_at"),
    Policy("test_results", 730, None, "test_date"),
    Policy("aed_history", 365, "quarter", "valid_to"),
)
