"""Alarms about backups and the archive, opened and closed in the outbox. Their words are in `domain/alarms`."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from meva_pipelines.domain import alarms
from meva_pipelines.domain.alarms import Alarm
from meva_pipelines.domain.days import korean_day
from meva_pipelines.domain.failures import MevaError
from meva_pipelines.resources import backup_server, outbox
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role


@contextmanager
def watched(postgres: Postgres, subject: str) -> Iterator[None]:
    """Tell people when the body fails, and that it is over when it succeeds. The error goes on."""
    try:
        yield
    except (MevaError, psycopg.Error) as error:
        with suppress(MevaError, psycopg.Error):  # the database itself may be what failed
            raise_alarm(postgres, Alarm.BACKUP_FAILED, subject, f"It failed with {type(error).__name__}.")
        raise
    end_alarm(postgres, Alarm.BACKUP_FAILED, subject)


def raise_alarm(postgres: Postgres, alarm: Alarm, subject: str, said: str) -> None:
    """Open an incident, or count it where it is open."""
    with postgres.connect(Role.WRITER, work="raise alarm") as connection:
        day = korean_day(backup_server.clock(connection))
        outbox.open_alarm(connection, alarm, alarms.opened(alarm, subject, said), subject=subject, day=day)


def end_alarm(postgres: Postgres, alarm: Alarm, subject: str) -> None:
    """Close an incident if one is open."""
    with postgres.connect(Role.WRITER, work="end alarm") as connection:
        day = korean_day(backup_server.clock(connection))
        outbox.close_alarm(connection, alarm, alarms.resolved(alarm, subject), subject=subject, day=day)


def set_alarm(postgres: Postgres, alarm: Alarm, subject: str, said: str) -> None:
    """Open an incident where there is something to say, and close it where there is nothing."""
    if said:
        raise_alarm(postgres, alarm, subject, said)
    else:
        end_alarm(postgres, alarm, subject)
