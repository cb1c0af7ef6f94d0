"""What is looked at all the time. A look is cheap and writes nothing; what is found is acted on by a job."""

import hashlib
from collections.abc import Sequence
from datetime import datetime

import dagster as dg

from meva_pipelines.automation.alerts import deliver_alerts
from meva_pipelines.domain.days import SEOUL
from meva_pipelines.resources import ledger, outbox
from meva_pipelines.resources.alerts import NO_WEBHOOK, Webhook
from meva_pipelines.resources.outbox import Due, Waiting
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role

_ASKED_AGAIN_AFTER_S = 600


@dg.sensor(
    job=deliver_alerts,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every minute: asks for a delivery when a message waits, a deadline was missed, a sync takes too long "
    "or the daily digest is due.",
)
def alerts_due(postgres: Postgres, webhook: Webhook) -> dg.RunRequest | dg.SkipReason:
    """Compare the ledgers with the clock of the database."""
    with postgres.connect(Role.READER, work="look for alerts") as connection:
        now = ledger.now(connection)
        due, waiting = outbox.due(connection), outbox.waiting(connection)
        incidents = outbox.open_incidents(connection)
    ready = [message for message in waiting if _is_ready(message, webhook, now)]
    if due or ready:
        return dg.RunRequest(run_key=_run_key(due, ready, now))
    if waiting and not webhook.is_set:
        return dg.SkipReason(f"{NO_WEBHOOK}: {len(waiting)} messages wait in ops.outbox and stand in the log")
    if waiting:
        again = min(message.due_at for message in waiting).astimezone(SEOUL)
        return dg.SkipReason(f"{len(waiting)} messages were not accepted; tried again from {again:%H:%M:%S} KST")
    still = ", ".join(f"{incident.kind} of {incident.subject}" for incident in incidents)
    return dg.SkipReason(f"everything is told; still open: {still}" if still else "nothing is wrong, nothing waits")


def _is_ready(message: Waiting, webhook: Webhook, now: datetime) -> bool:
    return message.due_at <= now if webhook.is_set else message.last_error is None


def _run_key(due: Due, ready: Sequence[Waiting], now: datetime) -> str:
    """Ask once for the same things, and once more every ten minutes in case the run that was asked for died."""
    names = [*due.names, *(f"{message.id}/{message.attempts}" for message in ready)]
    names.append(str(int(now.timestamp()) // _ASKED_AGAIN_AFTER_S))
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


SENSORS = (alerts_due,)
