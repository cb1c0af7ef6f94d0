"""The words of backups: what is taken, how much of it, why, and how it stands. No dates, no files.

The seed has one list of six types (automatic, manual, scheduled, emergency, incremental, full), which answers two
questions at once. Here `Origin` says why a backup was taken and `Extent` how much it holds; `types` joins them again.
"""

from enum import StrEnum


class Method(StrEnum):
    """What is taken, and by which means."""

    PHYSICAL = "physical"
    WAL = "wal"
    LOGICAL = "logical"
    FILES = "files"

    @property
    def restores(self) -> str:
        """Return what a backup of this method can bring back."""
        match self:
            case Method.PHYSICAL:
                return "the whole server at its end, and with the log any moment after it"
            case Method.WAL:
                return "nothing alone: it carries a physical backup on to any moment that it covers"
            case Method.LOGICAL:
                return "one database at its own moment and no other: the log cannot be replayed on a dump"
            case Method.FILES:
                return "files as they were when they were read"


class Extent(StrEnum):
    """How much a backup holds: everything, or what changed since its parent."""

    FULL = "full"
    INCREMENTAL = "incremental"


class Origin(StrEnum):
    """Why a backup was taken."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"
    SCHEDULED = "scheduled"
    EMERGENCY = "emergency"


class Status(StrEnum):
    """How a backup stands in the catalogue."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CORRUPTED = "corrupted"
    EXPIRED = "expired"


class Trigger(StrEnum):
    """What made somebody take a backup."""

    TRAINING_START = "training_start"
    TRAINING_COMPLETE = "training_complete"
    CONFIG_CHANGE = "config_change"
    SYSTEM_SHUTDOWN = "system_shutdown"
    DATA_CORRUPTION = "data_corruption"
    MANUAL_REQUEST = "manual_request"
    SCHEDULED = "scheduled"

    @property
    def origin(self) -> Origin:
        """Return the origin of a backup that this trigger starts."""
        match self:
            case Trigger.MANUAL_REQUEST:
                return Origin.MANUAL
            case Trigger.SCHEDULED:
                return Origin.SCHEDULED
            case Trigger.DATA_CORRUPTION:
                return Origin.EMERGENCY
            case _:
                return Origin.AUTOMATIC


def types(origin: Origin, extent: Extent) -> tuple[str, str]:
    """Return the two of the seed's six types that a backup is of."""
    return origin.value, extent.value
