"""The control interface, the webhook receiver and the command line."""

import os
import re
import select
import stat
import subprocess
import sys
import threading
import time
from datetime import date
from pathlib import Path

import httpx
import pytest

from meva_pipelines.sandbox import server
from meva_pipelines.sandbox.faults import Fault
from meva_pipelines.sandbox.library import Format, Library
from meva_pipelines.sandbox.mutations import Mutation
from meva_pipelines.sandbox.registry import Registry
from meva_pipelines.sandbox.server import Running
from meva_pipelines.sandbox.world import World
from meva_pipelines_tests.sandbox.calls import FULL_DOWN, get


def test_the_world_is_read_and_changed(sandbox: Running, client: httpx.Client) -> None:
    url = sandbox.base_url + "/_sandbox/world"
    shown = client.get(url).json()
    assert shown["day"] == "2026-11-19"
    assert shown["quota"] == 1_000
    changes = {"day": "2026-12-01", "mutation": "half_the_rows", "quota": None, "key_expired": True}
    assert client.put(url, json=changes).json().items() >= changes.items()
    assert sandbox.world.state.day == date(2026, 12, 1)
    assert sandbox.world.state.mutation is Mutation.HALF_THE_ROWS
    assert client.put(url, json=shown).json() == shown


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"day": "2025-10-27"}, "begins on 2025-10-28"),
        ({"day": "tomorrow"}, "day cannot be 'tomorrow'"),
        ({"weather": "bad"}, "no 'weather'"),
        ({"quota": 0}, "quota cannot be 0"),
        ({"key_expired": "yes"}, "true or false"),
        ({"as_of": "2026-11-19T00:00:00"}, "offset"),
        (["day"], "JSON object"),
    ],
)
def test_a_wrong_change_is_refused_and_changes_nothing(
    sandbox: Running, client: httpx.Client, changes: object, message: str
) -> None:
    before = sandbox.world.state
    response = client.put(sandbox.base_url + "/_sandbox/world", json=changes)
    assert response.status_code == 400
    assert message in response.json()["error"]
    assert sandbox.world.state == before


def test_faults_are_put_listed_and_deleted(sandbox: Running, client: httpx.Client) -> None:
    url = sandbox.base_url + "/_sandbox/faults"
    rules = [{"fault": "status", "operation": FULL_DOWN, "page": 1, "times": 1, "parameters": {"status": 502}}]
    assert client.put(url, json=rules).json() == rules
    assert client.put(url, json=[{"fault": "earthquake"}]).status_code == 400
    assert client.put(url, content=b"not json").status_code == 400
    assert client.get(url).json() == rules
    assert get(client, sandbox).status_code == 502
    assert client.get(url).json() == []
    client.put(url, json=rules)
    assert client.delete(url).json() == []
    assert get(client, sandbox).status_code == 200


def test_requests_are_counted_without_keys(sandbox: Running, client: httpx.Client) -> None:
    get(client, sandbox, parameters={"pageNo": 2})
    sandbox.faults.add(Fault.STATUS)
    get(client, sandbox)
    client.get(sandbox.data_go_kr_url + "/elsewhere")
    response = client.get(sandbox.base_url + "/_sandbox/requests")
    counts = response.json()
    assert counts["operations"][FULL_DOWN]["requests"] == 2
    assert counts["operations"][FULL_DOWN]["bytes"] > 500
    assert counts["operations"]["unknown"]["requests"] == 1
    assert [(asked["page"], asked["status"], asked["fault"]) for asked in counts["recent"][:2]] == [
        (2, 200, None),
        (1, 503, "status"),
    ]
    assert sandbox.service_key not in response.text
    assert client.delete(sandbox.base_url + "/_sandbox/requests").json()["recent"] == []


def test_the_webhook_keeps_messages_and_can_fail(sandbox: Running, client: httpx.Client) -> None:
    message = {"text": "세 번 연속 실패", "blocks": []}
    sandbox.faults.add(Fault.STATUS, operation="webhook", status=500)
    assert client.post(sandbox.webhook_url, json=message).status_code == 500
    assert client.post(sandbox.webhook_url, content=b"{").status_code == 400
    answer = client.post(sandbox.webhook_url, json=message)
    assert (answer.status_code, answer.text) == (200, "ok")
    assert client.get(sandbox.webhook_url).json() == [message] == sandbox.messages
    assert client.delete(sandbox.webhook_url).json() == []


def test_warm_pages_are_not_rendered_again_and_two_sandboxes_do_not_disturb_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = Registry(size=3_000), Registry(size=50, seed=7)
    with server.running(first) as one, server.running(second) as two, httpx.Client() as client:
        one.world.set(rate_per_s=None)
        assert one.warm(Format.XML, 1_000) == 3
        assert one.warm(Format.EGEN, 1_000) == 3
        assert one.service_key != two.service_key
        assert "<totalCount>50<" in get(client, two).text
        monkeypatch.delattr(Library, "_render")
        for page in (1, 2, 3):
            assert get(client, one, parameters={"pageNo": page, "numOfRows": 1_000}).status_code == 200
        assert get(client, two, parameters={"pageNo": 2}).status_code == 500


def test_pages_are_warmed_over_http_too(sandbox: Running, client: httpx.Client) -> None:
    url = sandbox.base_url + "/_sandbox/warm"
    total = sandbox.registry.count(sandbox.world.state.day)
    assert client.post(url, json={"format": "egen", "size": 100}).json() == {"pages": -(-total // 100)}
    wrongs: list[object] = [{"format": "yaml", "size": 1}, {"format": "xml", "size": 0}, {"size": 1}, []]
    for wrong in wrongs:
        assert client.post(url, json=wrong).status_code == 400


def test_a_stopped_sandbox_leaves_no_thread_even_while_a_request_stalls(registry: Registry) -> None:
    failures: list[type[Exception]] = []
    stall_s = 60

    def ask(running: Running) -> None:
        try:
            with httpx.Client(timeout=2 * stall_s) as patient:
                get(patient, running)
        except httpx.HTTPError as failed:
            failures.append(type(failed))

    began, before = time.monotonic(), set(threading.enumerate())
    with server.running(registry) as running:
        running.faults.add(Fault.STALL, seconds=stall_s)
        asking = threading.Thread(target=ask, args=(running,))
        asking.start()
        while running.faults.pending():
            time.sleep(0.01)
    asking.join(stall_s)
    assert time.monotonic() - began < stall_s
    assert not asking.is_alive()
    assert {thread for thread in threading.enumerate() if thread.name == "sandbox"} <= before


def test_a_world_before_the_registry_is_refused(registry: Registry) -> None:
    with (
        pytest.raises(ValueError, match="before that day"),
        server.running(registry, world=World(date(2020, 1, 1))),
    ):
        pass


def first_line(process: subprocess.Popen[str]) -> str:
    """The first line a process prints, waited for at most 20 s."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], 20)
    return process.stdout.readline() if ready else ""


def test_the_command_serves_and_writes_its_key_for_the_owner_only(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    command = [sys.executable, "-m", "meva_pipelines.sandbox", "registry", "--port", "0", "--size", "100"]
    command += ["--day", "2026-11-19", "--service-key-file", str(key_file), "--warm", "xml"]
    project = Path(__file__).parent.parent.parent
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=project, env=os.environ
    ) as process:
        try:
            found = re.fullmatch(r"sandbox registry on (http://127\.0\.0\.1:\d+)\n", first_line(process))
            assert found
            assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
            key = key_file.read_text(encoding="utf-8").strip()
            url = f"{found[1]}/B552657/AEDInfoInqireService/{FULL_DOWN}"
            answer = httpx.get(url, params={"serviceKey": key, "_type": "json"}, timeout=10).json()
            assert answer["response"]["body"]["totalCount"] == Registry(size=100).count(date(2026, 11, 19))
        finally:
            process.terminate()
            process.wait(120)


def test_a_key_made_for_one_run_ends_with_it() -> None:
    command = [sys.executable, "-m", "meva_pipelines.sandbox", "registry", "--port", "0", "--size", "10"]
    project = Path(__file__).parent.parent.parent
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=project, env=os.environ
    ) as process:
        try:
            assert first_line(process).startswith("sandbox registry on http://127.0.0.1:")
            assert process.stderr is not None
            found = re.fullmatch(r"service key written to (\S+) until this server ends\n", process.stderr.readline())
            assert found
            key_file = Path(found[1])
            assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
        finally:
            process.terminate()
            assert process.wait(120) == 0
    assert not key_file.exists()
