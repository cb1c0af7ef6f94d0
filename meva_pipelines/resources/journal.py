"""What the log says: every event has a name, a level and facts, and stands on one line of `name=value` pairs.

Levels follow seed 001 §7.1. Lines go to the Python logger `meva_pipelines`, which Dagster carries into the log of the
run (`python_logs` in dagster.yaml). Facts are names that the code gives, numbers, days, keys of devices and messages
of our own errors: never a value of a personal column, an address with its query, or a password.
"""

import json
import logging
import re
from datetime import timedelta
from enum import StrEnum
from typing import Final

LOGGER: Final = logging.getLogger("meva_pipelines")
_BARE = re.compile(r"[^\s\"=\\]+")


class Event(StrEnum):
    """Everything that the log tells, from the most talkative level to the gravest."""

    RECORD_CHANGED = "record_changed"
    RECORD_REJECTED = "record_rejected"
    FIELD_MAPPED = "field_mapped"
    ROWS_WRITTEN = "rows_written"

    SYNC_STARTED = "sync_started"
    SYNC_FETCHED = "sync_fetched"
    SYNC_STAGED = "sync_staged"
    SYNC_PUBLISHED = "sync_published"
    ROWS_PUBLISHED = "rows_published"
    FILE_TAKEN = "file_taken"
    INCIDENT_RESOLVED = "incident_resolved"

    RECORDS_QUARANTINED = "records_quarantined"
    REQUEST_REPEATED = "request_repeated"
    FETCH_RELAUNCHED = "fetch_relaunched"
    DISTRICT_INCOMPLETE = "district_incomplete"
    ABSENCES_WITHHELD = "absences_withheld"
    FILE_REFUSED = "file_refused"
    SYNC_SLOW = "sync_slow"
    SYNC_OVERTAKEN = "sync_overtaken"

    SYNC_FAILED = "sync_failed"
    BATCH_REJECTED = "batch_rejected"

    INCIDENT_OPENED = "incident_opened"

    @property
    def level(self) -> int:
        """Return the level of the event, as `logging` counts it."""
        return next(level for level, events in _LEVELS.items() if self in events)


_LEVELS: Final = {
    logging.DEBUG: {Event.RECORD_CHANGED, Event.RECORD_REJECTED, Event.FIELD_MAPPED, Event.ROWS_WRITTEN},
    logging.WARNING: {
        Event.RECORDS_QUARANTINED,
        Event.REQUEST_REPEATED,
        Event.FETCH_RELAUNCHED,
        Event.DISTRICT_INCOMPLETE,
        Event.ABSENCES_WITHHELD,
        Event.FILE_REFUSED,
        Event.SYNC_SLOW,
        Event.SYNC_OVERTAKEN,
    },
    logging.ERROR: {Event.SYNC_FAILED, Event.BATCH_REJECTED},
    logging.CRITICAL: {Event.INCIDENT_OPENED},
    logging.INFO: set(Event),
}
"""The events of each level; what is named nowhere else is worth a line of information."""


def note(event: Event, **facts: object) -> None:
    """Write one line to the log. A fact that is None is left out, a duration is in seconds."""
    if LOGGER.isEnabledFor(event.level):
        LOGGER.log(event.level, "%s", line(event, **facts))


def is_heard(event: Event) -> bool:
    """Whether anybody listens to events of that level: asked before facts are gathered for every record."""
    return LOGGER.isEnabledFor(event.level)


def line(event: Event, **facts: object) -> str:
    """Return the line for an event; texts with blanks, quotes or line breaks are quoted as in JSON."""
    pairs = {"event": event.value, **{name: fact for name, fact in facts.items() if fact is not None}}
    return " ".join(f"{name}={_shown(fact)}" for name, fact in pairs.items())


def _shown(fact: object) -> str:
    text = f"{fact.total_seconds():.3f}" if isinstance(fact, timedelta) else str(fact)
    return (
        text if _BARE.fullmatch(text) and text.isprintable() else json.dumps(text, ensure_ascii=not text.isprintable())
    )
