"""Delivery to a Slack-compatible receiver: at least once, in order, and without ever showing its address."""

import logging
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from meva_pipelines.domain.failures import Refused, Unavailable
from meva_pipelines.resources import alerts
from meva_pipelines.resources.alerts import Delivery, Webhook
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.sandbox.faults import Fault
from meva_pipelines.sandbox.server import Running
from meva_pipelines_tests.fixtures.attempts import Attempts

PROJECT = Path(__file__).parent.parent.parent
SECRET = "T000/B000/hush-hush"


@pytest.fixture
def webhook(sandbox: Running) -> Webhook:
    return Webhook(url=sandbox.webhook_url, timeout_s=30)


def titles(sandbox: Running) -> list[str]:
    return [message["blocks"][0]["text"]["text"] for message in received(sandbox)]


def received(sandbox: Running) -> list[Any]:
    return sandbox.messages


def deliver_when_due(attempts: Attempts, webhook: Webhook) -> Delivery:
    """Deliver as if the time of every message had come."""
    attempts.execute("UPDATE ops.outbox SET due_at = now()")
    return alerts.deliver(attempts.postgres, webhook)


def test_messages_are_delivered_in_order_and_only_once(attempts: Attempts, webhook: Webhook, sandbox: Running) -> None:
    attempts.fail()
    attempts.reject()
    attempts.publish()
    assert alerts.deliver(attempts.postgres, webhook) == Delivery(4, None)
    assert titles(sandbox) == [
        "aed.aed_data: the source could not be read",
        "aed.aed_data: a batch was rejected as corrupt",
        "aed.aed_data: the source could not be read – resolved",
        "aed.aed_data: a batch was rejected as corrupt – resolved",
    ]
    assert alerts.deliver(attempts.postgres, webhook) == Delivery(0, None)
    assert {message["attempts"] for message in attempts.messages()} == {1}


@pytest.mark.parametrize(
    ("fault", "parameters", "reason"),
    [
        (Fault.STATUS, {"status": 500}, "HTTP 500"),
        (Fault.TOO_MANY_REQUESTS, {"retry_after_s": 240}, "HTTP 429"),
        (Fault.CUT_CONNECTION, {"keep": 0.0}, "does not answer"),
    ],
)
def test_a_receiver_in_trouble_is_tried_again_later(
    attempts: Attempts, webhook: Webhook, sandbox: Running, fault: Fault, parameters: dict[str, Any], reason: str
) -> None:
    attempts.fail()
    sandbox.faults.add(fault, operation="webhook", **parameters)
    delivery = alerts.deliver(attempts.postgres, webhook)
    assert isinstance(delivery.error, Unavailable)
    (message,) = attempts.messages()
    assert reason in message["last_error"]
    assert (message["attempts"], message["delivered_at"]) == (1, None)
    wait_s = (message["due_at"] - message["created_at"]).total_seconds()
    assert wait_s >= parameters.get("retry_after_s", 60)
    assert alerts.deliver(attempts.postgres, webhook) == Delivery(0, None)
    assert deliver_when_due(attempts, webhook) == Delivery(1, None)
    assert attempts.messages()[0]["last_error"] is None


def test_a_revoked_webhook_is_refused_and_the_message_waits(
    attempts: Attempts, webhook: Webhook, sandbox: Running
) -> None:
    attempts.fail()
    sandbox.faults.add(Fault.STATUS, operation="webhook", status=404)
    assert isinstance(alerts.deliver(attempts.postgres, webhook).error, Refused)
    assert deliver_when_due(attempts, webhook) == Delivery(1, None)


def test_a_redirect_is_not_an_acceptance(attempts: Attempts, webhook: Webhook, sandbox: Running) -> None:
    attempts.fail()
    sandbox.faults.add(Fault.LOGIN_REDIRECT, operation="webhook")
    assert isinstance(alerts.deliver(attempts.postgres, webhook).error, Refused)
    assert received(sandbox) == []


def test_a_silent_receiver_is_given_up_in_time(attempts: Attempts, sandbox: Running) -> None:
    attempts.fail()
    sandbox.faults.add(Fault.STALL, operation="webhook", seconds=5.0)
    delivery = alerts.deliver(attempts.postgres, Webhook(url=sandbox.webhook_url, timeout_s=0.3))
    assert isinstance(delivery.error, Unavailable)


def test_an_end_never_overtakes_its_beginning(attempts: Attempts, webhook: Webhook, sandbox: Running) -> None:
    attempts.fail()
    sandbox.faults.add(Fault.STATUS, operation="webhook", status=503)
    assert alerts.deliver(attempts.postgres, webhook).delivered == 0
    attempts.publish()
    assert alerts.deliver(attempts.postgres, webhook) == Delivery(0, None)
    assert deliver_when_due(attempts, webhook) == Delivery(2, None)
    assert titles(sandbox)[-1].endswith("resolved")


def test_one_message_that_is_not_accepted_does_not_hold_up_the_others(
    attempts: Attempts, webhook: Webhook, sandbox: Running
) -> None:
    attempts.fail()
    attempts.reject()
    sandbox.faults.add(Fault.STATUS, operation="webhook", status=400)
    assert alerts.deliver(attempts.postgres, webhook).error is not None
    assert alerts.deliver(attempts.postgres, webhook) == Delivery(1, None)
    assert titles(sandbox) == ["aed.aed_data: a batch was rejected as corrupt"]


DELIVER = """
import sys
from meva_pipelines.resources import alerts
from meva_pipelines.resources.postgres import Postgres
url, home, webhook = sys.stdin.read().split()
print(alerts.deliver(Postgres(url=url, home=home), alerts.Webhook(url=webhook)).delivered)
"""


@pytest.mark.parametrize(
    ("point", "action", "code"),
    [
        (Point.ALERTS_BEFORE_SEND, "kill", -signal.SIGKILL),
        (Point.ALERTS_AFTER_SEND, "kill", -signal.SIGKILL),
        (Point.ALERTS_AFTER_SEND, "raise", 1),
    ],
)
def test_a_delivery_that_breaks_off_loses_nothing(
    attempts: Attempts, webhook: Webhook, sandbox: Running, point: Point, action: str, code: int
) -> None:
    attempts.fail()
    process = subprocess.run(
        [sys.executable, "-c", DELIVER],
        input=f"{attempts.postgres.dsn()} {attempts.postgres.home} {webhook.url}",
        cwd=PROJECT,
        env={**os.environ, "MEVA_FAILPOINTS": f"{point.value}:{action}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == code, process.stderr
    assert len(received(sandbox)) == (1 if point is Point.ALERTS_AFTER_SEND else 0)
    assert alerts.deliver(attempts.postgres, webhook) == Delivery(1, None)
    assert attempts.messages()[0]["delivered_at"] is not None


def test_two_deliverers_share_the_work(attempts: Attempts, webhook: Webhook, sandbox: Running) -> None:
    for number in range(12):
        Attempts(attempts.postgres, subject=f"aed.subject_{number}").fail()
    barrier = threading.Barrier(3)

    def deliver(postgres: Postgres) -> int:
        barrier.wait(120)
        return alerts.deliver(postgres, webhook).delivered

    with ThreadPoolExecutor(3) as pool:
        shares = list(pool.map(deliver, [attempts.postgres] * 3))
    assert sum(shares) == 12
    assert len(set(titles(sandbox))) == len(received(sandbox)) == 12


@pytest.mark.parametrize(
    "url", ["http://hooks.example.com/x", "hooks.example.com/x", "https://", "ftp://127.0.0.1/x", "http://[", "a b"]
)
def test_an_unusable_address_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(Refused) as caught:
        Webhook(url=f"{url}{SECRET}" if url.endswith("/x") else url).send({"text": "x"})
    assert "MEVA_ALERT_WEBHOOK_URL" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_the_address_is_in_no_log_error_or_representation(
    attempts: Attempts, sandbox: Running, caplog: pytest.LogCaptureFixture
) -> None:
    webhook = Webhook(url=f"{sandbox.webhook_url}?{SECRET}", timeout_s=30)
    caplog.set_level(logging.DEBUG)
    logging.getLogger("httpx").setLevel(logging.DEBUG)
    for fault in ({"status": 500}, {"status": 404}):
        attempts.fail()
        sandbox.faults.add(Fault.STATUS, operation="webhook", **fault)
        assert deliver_when_due(attempts, webhook).error is not None
    sandbox.faults.add(Fault.CUT_CONNECTION, operation="webhook", keep=0.0)
    assert deliver_when_due(attempts, webhook).error is not None
    assert deliver_when_due(attempts, webhook) == Delivery(1, None)
    shown = f"{webhook!r} {caplog.text} {attempts.messages()}"
    assert SECRET not in shown
    assert "_sandbox/webhook" not in shown


def test_waiting_grows_with_every_refusal(attempts: Attempts, webhook: Webhook, sandbox: Running) -> None:
    attempts.fail()
    waits = []
    for _ in range(3):
        sandbox.faults.add(Fault.STATUS, operation="webhook", status=500)
        deliver_when_due(attempts, webhook)
        waits.append(attempts.rows("SELECT due_at - clock_timestamp() AS wait FROM ops.outbox")[0]["wait"])
    assert waits[0] > timedelta(seconds=50)
    assert waits[1] > timedelta(seconds=110)
    assert waits[2] > timedelta(seconds=230)
