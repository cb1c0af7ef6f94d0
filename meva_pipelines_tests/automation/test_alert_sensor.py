"""From a bad night to a message: what the sensor says each minute, and what its job does."""

from datetime import timedelta

import dagster as dg
import pytest

from meva_pipelines.automation.alerts import deliver_alerts
from meva_pipelines.automation.sensors import alerts_due
from meva_pipelines.domain.failures import Refused, Unavailable
from meva_pipelines.resources.alerts import Webhook
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.sandbox.faults import Fault
from meva_pipelines.sandbox.mutations import Mutation
from meva_pipelines.sandbox.server import Running
from meva_pipelines_tests.fixtures.attempts import Attempts
from meva_pipelines_tests.fixtures.location import FIRST_DAY, Location


@pytest.fixture
def webhook(sandbox: Running) -> Webhook:
    return Webhook(url=sandbox.webhook_url)


def look(postgres: Postgres, webhook: Webhook, instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    answer = alerts_due(dg.build_sensor_context(instance=instance), postgres=postgres, webhook=webhook)
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer


def deliver(postgres: Postgres, webhook: Webhook, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return deliver_alerts.execute_in_process(
        instance=instance, resources={"postgres": postgres, "webhook": webhook}, raise_on_error=False
    )


def reason(answer: dg.RunRequest | dg.SkipReason) -> str:
    assert isinstance(answer, dg.SkipReason)
    return str(answer.skip_message)


def key(answer: dg.RunRequest | dg.SkipReason) -> str:
    assert isinstance(answer, dg.RunRequest)
    assert answer.run_key
    return answer.run_key


def test_nothing_wrong_is_said_in_so_many_words(
    postgres: Postgres, webhook: Webhook, instance: dg.DagsterInstance
) -> None:
    assert reason(look(postgres, webhook, instance)) == "nothing is wrong, nothing waits"


def test_a_waiting_message_asks_for_one_delivery(
    attempts: Attempts, webhook: Webhook, sandbox: Running, instance: dg.DagsterInstance
) -> None:
    attempts.fail()
    asked = key(look(attempts.postgres, webhook, instance))
    assert deliver(attempts.postgres, webhook, instance).success
    assert len(sandbox.messages) == 1
    said = reason(look(attempts.postgres, webhook, instance))
    assert said == "everything is told; still open: source_unavailable of aed.aed_data"
    attempts.publish()
    assert key(look(attempts.postgres, webhook, instance)) != asked


def test_two_ticks_over_the_same_messages_ask_for_the_same_run(
    attempts: Attempts, webhook: Webhook, instance: dg.DagsterInstance
) -> None:
    attempts.fail()
    keys = {key(look(attempts.postgres, webhook, instance)) for _ in range(3)}
    assert len(keys) <= 2  # the ten minutes may end in between
    attempts.reject()
    assert key(look(attempts.postgres, webhook, instance)) not in keys


def test_a_receiver_that_does_not_accept_turns_the_run_red_and_is_asked_again(
    attempts: Attempts, webhook: Webhook, sandbox: Running, instance: dg.DagsterInstance
) -> None:
    attempts.fail()
    before = key(look(attempts.postgres, webhook, instance))
    sandbox.faults.add(Fault.STATUS, operation="webhook", status=503)
    assert not deliver(attempts.postgres, webhook, instance).success
    assert "tried again from" in reason(look(attempts.postgres, webhook, instance))
    attempts.execute("UPDATE ops.outbox SET due_at = now()")
    assert key(look(attempts.postgres, webhook, instance)) != before
    assert deliver(attempts.postgres, webhook, instance).success
    assert len(sandbox.messages) == 1


def test_without_a_webhook_messages_are_logged_once_and_wait(
    attempts: Attempts,
    webhook: Webhook,
    sandbox: Running,
    instance: dg.DagsterInstance,
) -> None:
    nowhere = Webhook()
    attempts.fail()
    assert key(look(attempts.postgres, nowhere, instance))
    assert deliver(attempts.postgres, nowhere, instance).success
    assert "MEVA_ALERT_WEBHOOK_URL is not set" in reason(look(attempts.postgres, nowhere, instance))
    (message,) = attempts.messages()
    assert (message["delivered_at"], message["last_error"]) == (None, "MEVA_ALERT_WEBHOOK_URL is not set")
    assert key(look(attempts.postgres, webhook, instance))
    assert deliver(attempts.postgres, webhook, instance).success
    assert len(sandbox.messages) == 1


def test_what_time_makes_true_is_noted_and_delivered(
    attempts: Attempts, webhook: Webhook, sandbox: Running, instance: dg.DagsterInstance
) -> None:
    attempts.open(taking=timedelta(hours=2))
    assert key(look(attempts.postgres, webhook, instance))
    assert attempts.told() == []
    assert deliver(attempts.postgres, webhook, instance).success
    assert ("opened", "sync_too_slow") in attempts.told()
    assert len(sandbox.messages) == len(attempts.told())
    assert "still open" in reason(look(attempts.postgres, webhook, instance))


def test_a_warehouse_that_does_not_answer_turns_the_tick_red(
    webhook: Webhook, instance: dg.DagsterInstance, tmp_path_factory: pytest.TempPathFactory
) -> None:
    nowhere = Postgres(url="postgresql://nobody@127.0.0.1:9/nothing", home=str(tmp_path_factory.mktemp("home")))
    with pytest.raises((Unavailable, Refused)):
        look(nowhere, webhook, instance)


def test_a_bad_day_of_the_registry_reaches_people_and_its_end_too(location: Location) -> None:
    assert location.sync(FIRST_DAY, mode="full").success
    day = FIRST_DAY + timedelta(days=1)
    location.sandbox.world.set(day=day, mutation=Mutation.ALL_COORDINATES_NULL)
    assert not location.job("aed_incremental_sync", day=day).success
    assert location.job("deliver_alerts").success
    location.sandbox.world.set(mutation=Mutation.NONE)
    assert location.job("aed_incremental_sync", day=day).success
    assert location.job("deliver_alerts").success
    about = [str(message) for message in location.sandbox.messages if "corrupt" in str(message)]
    assert len(about) == 2
    assert "docs/runbook/corruption_detected.md" in about[0]
    assert "resolved" in about[1]
