"""The job that tells people: it notes what time made true and delivers what waits. When it runs is in `sensors`."""

import dagster as dg

from meva_pipelines.resources import alerts, outbox
from meva_pipelines.resources.alerts import NO_WEBHOOK, Webhook
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role


@dg.op
def tell(context: dg.OpExecutionContext, postgres: Postgres, webhook: Webhook) -> None:
    """Write down missed deadlines, syncs that take too long and the digest; then deliver every message that waits."""
    with postgres.connect(Role.WRITER, work="note what is due") as connection:
        for name in outbox.note_due(connection).names:
            context.log.info(f"due: {name}")
    if not webhook.is_set:
        _log(context, postgres)
        return
    delivery = alerts.deliver(postgres, webhook)
    context.log.info(f"{delivery.delivered} messages delivered")
    if delivery.error is not None:
        raise delivery.error


def _log(context: dg.OpExecutionContext, postgres: Postgres) -> None:
    """Write messages to the log in place of a receiver, each once; they go on waiting for one."""
    with postgres.connect(Role.WRITER, work="log alerts") as connection:
        fresh = [message for message in outbox.waiting(connection) if message.last_error is None]
        for message in fresh:
            context.log.warning(f"{message.severity}: {message.title}\n{message.body}")
        outbox.mark_logged(connection, [message.id for message in fresh], reason=NO_WEBHOOK)
    context.log.warning(f"{NO_WEBHOOK}: nothing was sent; the messages wait in ops.outbox and stand in this log")


@dg.job(description="Deliver the alerts that wait to the Slack-compatible webhook, at least once. Safe at any time.")
def deliver_alerts() -> None:
    """Tell people what is worth telling."""
    tell()


JOBS = (deliver_alerts,)
