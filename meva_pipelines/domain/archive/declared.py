"""Which tables age into cold files, and what the archive has to know of each. How long rows stay hot is a policy.

A further table is declared here, gets its row in `mgg.retention_policies` and its registered schema; nothing else
knows tables by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from meva_pipelines.domain.archive.periods import FOLDER, Period, Span


class Release(StrEnum):
    """How hot rows leave once their cold copy is proved."""

    PARTITION = "partition"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class Archived:
    """A table that ages. `key` is its primary key in the order in which files are sorted.

    `personal` names columns that may tell of a person: readers do not see them, hot or cold. `curve` names the columns
    whose rows are one curve of a parent with published numbers; empty where there is no such thing.
    """

    schema: str
    name: str
    span: Span
    age_column: str
    key: tuple[str, ...]
    release: Release
    curve: tuple[str, ...] = ()
    personal: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        """Subject of its attempts in the ledgers."""
        return f"archive.{self.name}"

    def file_key(self, period: Period, generation: int) -> str:
        """Return the key of a cold file in the object store."""
        return f"{FOLDER}/{self.name}/{period.file_name(generation)}"


_TABLES: Final = (
    Archived(
        "mgg",
        "simulation_time_series",
        Span.QUARTER,
        "created_at",
        ("simulation_id", "sequence_number", "created_at"),
        Release.PARTITION,
        curve=("simulation_id",),
    ),
    Archived(
        "mgg",
        "test_time_series",
        Span.QUARTER,
        "test_date",
        ("test_result_id", "file_id", "sequence_number", "test_date"),
        Release.PARTITION,
        curve=("test_result_id", "file_id"),
    ),
    Archived(
        "mgg",
        "operation_logs",
        Span.MONTH,
        "created_at",
        ("id", "created_at"),
        Release.PARTITION,
        personal=("details", "ip_address", "user_agent", "chain_hash"),
    ),
    Archived(
        "aed",
        "aed_history",
        Span.QUARTER,
        "valid_to",
        ("history_id",),
        Release.KEY,
        personal=("manager", "institution_contact", "establisher", "remarks"),
    ),
)

TABLES: Final[Mapping[str, Archived]] = MappingProxyType({table.name: table for table in _TABLES})
"""Every archived table by name."""
