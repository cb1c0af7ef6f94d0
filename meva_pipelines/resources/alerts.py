"""Delivery of messages to a Slack-compatible incoming webhook, at least once.

Which messages there are and when they are tried again is in `outbox` and `domain/alerts`. The address of the webhook
is a secret: it stands in no log, no error and no representation.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import dagster as dg
import httpx
from pydantic import Field

from meva_pipelines.domain import alert_messages, alerts, egen_verdicts
from meva_pipelines.domain.failures import MevaError, Refused, Unavailable
from meva_pipelines.resources import failpoints, http_logs, outbox
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.outbox import Waiting
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role

NO_WEBHOOK = "MEVA_ALERT_WEBHOOK_URL is not set"
_SLACK_ERROR = re.compile(r"[a-z_]{1,40}")
_CONNECT_TIMEOUT_S = 5.0


class Webhook(dg.ConfigurableResource[None]):
    """A Slack-compatible incoming webhook; without an address, messages stay in the outbox and the log."""

    url: str = Field(
        default="",
        repr=False,
        description="Address of the incoming webhook; empty: nothing is sent",
        json_schema_extra={"dagster__is_secret": True},
    )
    timeout_s: float = Field(default=10.0, gt=0, description="Longest silence of the receiver, seconds")

    @property
    def is_set(self) -> bool:
        """Whether there is an address to send to."""
        return bool(self.url.strip())

    def send(self, payload: Mapping[str, object]) -> None:
        """Send one message and return when the receiver has accepted it.

        Raises:
            Unavailable: no answer, 429 or 5xx; trying again later helps.
            Refused: the address is unusable, or the receiver refuses it or the message.
        """
        http_logs.keep_addresses_out()
        try:
            response = httpx.post(
                self._address(),
                json=dict(payload),
                timeout=httpx.Timeout(self.timeout_s, connect=min(_CONNECT_TIMEOUT_S, self.timeout_s)),
                follow_redirects=False,
            )
        except httpx.TransportError as error:
            raise Unavailable(f"the alert webhook does not answer: {type(error).__name__}") from None
        _demand_accepted(response)

    def _address(self) -> httpx.URL:
        unusable = Refused("MEVA_ALERT_WEBHOOK_URL is not an https:// address (http:// is for this machine only)")
        try:
            address = httpx.URL(self.url.strip())
        except httpx.InvalidURL:
            raise unusable from None
        is_safe = address.scheme == "https" or (address.scheme == "http" and _is_loopback(address.host))
        if not (is_safe and address.host):
            raise unusable
        return address


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _demand_accepted(response: httpx.Response) -> None:
    if response.is_success:
        return
    said = response.text.strip() if _SLACK_ERROR.fullmatch(response.text.strip()) else ""
    answer = f"the alert webhook answered HTTP {response.status_code}{f' ({said})' if said else ''}"
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error:
        asked = egen_verdicts.retry_after_s(response.headers.get("Retry-After"), now=datetime.now(UTC))
        raise Unavailable(answer, retry_after_s=asked)
    raise Refused(f"{answer}: check MEVA_ALERT_WEBHOOK_URL, it may have been revoked")


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of the messages that waited: how many were accepted, and the error that ended the delivery."""

    delivered: int
    error: MevaError | None


def deliver(postgres: Postgres, webhook: Webhook) -> Delivery:
    """Send every message whose time has come, oldest first, until none is left or one is not accepted.

    A message is marked in the transaction that holds it locked, after the receiver accepted it: a process that dies
    in between sends it again, and two deliverers share the work.
    """
    delivered = 0
    while True:
        with postgres.connect(Role.WRITER, work="deliver alerts") as connection:
            message = outbox.take(connection)
            if message is None:
                return Delivery(delivered, None)
            failpoints.reach(Point.ALERTS_BEFORE_SEND)
            error = _sent(webhook, message)
            failpoints.reach(Point.ALERTS_AFTER_SEND)
            if error is None:
                outbox.mark_delivered(connection, message.id)
                delivered += 1
            else:
                outbox.postpone(connection, message.id, reason=str(error), wait=_wait(message, error))
        if error is not None:
            return Delivery(delivered, error)


def _sent(webhook: Webhook, message: Waiting) -> MevaError | None:
    try:
        webhook.send(alert_messages.payload(message.id, message.message))
    except MevaError as error:
        return error
    return None


def _wait(message: Waiting, error: MevaError) -> timedelta:
    asked_s = error.retry_after_s if isinstance(error, Unavailable) else None
    asked = None if asked_s is None else timedelta(seconds=asked_s)
    return alerts.retry_in(message.attempts + 1, asked=asked)
