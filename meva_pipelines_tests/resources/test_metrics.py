"""The metrics of seed 001 §7.2: computed from the ledger, well formed, and read by a real Prometheus."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from meva_pipelines.domain.failures import Superseded
from meva_pipelines.resources import metrics
from meva_pipelines.resources.ledger import Mode
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines_tests.fixtures.attempts import Attempts

Labels = tuple[tuple[str, str], ...]
MINUTES = timedelta(minutes=1)


def scrape(postgres: Postgres) -> dict[tuple[str, Labels], float]:
    """Every sample of one scrape by name and labels."""
    with metrics.serving(postgres, port=0) as port:
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60)
    assert answer.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def of(samples: dict[tuple[str, Labels], float], name: str, **labels: str) -> float | None:
    return samples.get((name, tuple(sorted(labels.items()))))


def test_a_new_warehouse_counts_from_zero_and_claims_no_success(postgres: Postgres) -> None:
    samples = scrape(postgres)
    for status in ("inserted", "updated", "unchanged", "quarantined", "missing"):
        assert of(samples, "edgen_sync_records_total", status=status) == 0
    assert of(samples, "edgen_sync_errors_total", type="Unavailable") == 0
    assert of(samples, "edgen_sync_duration_seconds_count") == 0
    assert of(samples, "edgen_sync_last_success_timestamp") is None


def test_records_are_added_up_over_published_syncs(attempts: Attempts) -> None:
    attempts.publish({"inserted_rows": 600, "quarantined_rows": 2})
    attempts.publish({"updated_rows": 7, "unchanged_rows": 590, "missing_rows": 1, "quarantined_rows": 1})
    attempts.reject()
    samples = scrape(attempts.postgres)
    found = {
        status: of(samples, "edgen_sync_records_total", status=status)
        for status in ("inserted", "updated", "unchanged", "quarantined", "missing")
    }
    assert found == {"inserted": 600, "updated": 7, "unchanged": 590, "quarantined": 3, "missing": 1}


def test_durations_fall_into_the_buckets_of_the_promises(attempts: Attempts) -> None:
    for minutes in (29, 44, 59, 119, 180):
        attempts.publish(taking=minutes * MINUTES)
    attempts.fail(taking=10 * MINUTES)
    samples = scrape(attempts.postgres)
    below = {
        bound: of(samples, "edgen_sync_duration_seconds_bucket", le=bound)
        for bound in ("1200.0", "1800.0", "2700.0", "3600.0", "7200.0", "+Inf")
    }
    assert below == {"1200.0": 0, "1800.0": 1, "2700.0": 2, "3600.0": 3, "7200.0": 4, "+Inf": 5}
    assert of(samples, "edgen_sync_duration_seconds_count") == 5
    total_s = of(samples, "edgen_sync_duration_seconds_sum")
    assert total_s == pytest.approx((29 + 44 + 59 + 119 + 180) * 60, abs=30)


def test_errors_are_counted_by_type(attempts: Attempts) -> None:
    attempts.fail()
    attempts.fail()
    attempts.reject()
    attempts.fail(RuntimeError())
    attempts.fail(Superseded("by another"))
    samples = scrape(attempts.postgres)
    found = {
        labels[0][1]: value for (name, labels), value in samples.items() if name == "edgen_sync_errors_total" and value
    }
    assert found == {"Unavailable": 2, "Rejected": 1, "RuntimeError": 1, "Superseded": 1}


def test_the_last_success_is_that_of_the_newest_publication(attempts: Attempts) -> None:
    moment = datetime(2026, 11, 19, 4, 7, tzinfo=UTC)
    attempts.end_at(attempts.publish(), moment - timedelta(days=1))
    attempts.end_at(attempts.publish(mode=Mode.REPLAY), moment)
    attempts.fail()
    assert of(scrape(attempts.postgres), "edgen_sync_last_success_timestamp") == moment.timestamp()


def test_another_subject_and_a_rollback_are_not_counted(attempts: Attempts) -> None:
    published = attempts.publish({"inserted_rows": 5})
    before = scrape(attempts.postgres)
    Attempts(attempts.postgres, subject="meva.tensile_test").publish({"inserted_rows": 99})
    attempts.execute(
        "INSERT INTO ops.sync_runs (subject, source, mode, day, dagster_run_id, status, target_token, finished_at,"
        " inserted_rows) SELECT subject, source, 'rollback', day, 'r', 'published', token, now(), 99"
        " FROM ops.sync_runs WHERE token = %s",
        published.token,
    )
    assert scrape(attempts.postgres) == before


def test_counters_do_not_fall_when_the_process_starts_anew(attempts: Attempts) -> None:
    seen: list[dict[tuple[str, Labels], float]] = []
    for end in (attempts.publish, attempts.fail, attempts.reject, attempts.publish):
        end()
        seen.append(scrape(attempts.postgres))
    for before, after in pairwise(seen):
        assert not [key for key, value in before.items() if after[key] < value]


def test_a_ledger_that_cannot_be_read_gives_no_figures_at_all(tmp_path: Path) -> None:
    nowhere = Postgres(url="postgresql://meva:hush@127.0.0.1:9/nothing", home=str(tmp_path))
    with metrics.serving(nowhere, port=0) as port:
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60)
    assert answer.status_code == 503
    assert "edgen_sync" not in answer.text
    assert "hush" not in answer.text


def test_the_figures_are_served_to_this_machine_only(postgres: Postgres) -> None:
    with metrics.serving(postgres, port=0) as port:
        listening = [
            connection.laddr
            for connection in psutil.Process().net_connections(kind="tcp")
            if connection.status == psutil.CONN_LISTEN
        ]
    assert [address.ip for address in listening if address.port == port] == ["127.0.0.1"]


@pytest.mark.debian
def test_promtool_has_nothing_to_say_against_the_figures(attempts: Attempts) -> None:
    attempts.publish({"inserted_rows": 600})
    attempts.fail()
    with metrics.serving(attempts.postgres, port=0) as port:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60).content
    said = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=300, check=False)  # noqa: S607
    assert (said.returncode, said.stdout + said.stderr) == (0, b"")


@contextmanager
def prometheus(folder: Path, target_port: int) -> Iterator[str]:
    """A Prometheus that scrapes one target each second, with its data in a folder; lends its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    target = {"job_name": "meva", "static_configs": [{"targets": [f"127.0.0.1:{target_port}"]}]}
    config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [target]}
    (folder / "prometheus.yml").write_text(json.dumps(config), encoding="utf-8")
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(120)


def asked(address: str, query: str) -> float:
    """The value of a query as soon as Prometheus has one; fails after 120 s."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            answer = httpx.get(f"{address}/api/v1/query", params={"query": query}, timeout=5)
            result = answer.json()["data"]["result"] if answer.is_success else []
        except httpx.TransportError:
            result = []
        if result:
            return float(result[0]["value"][1])
        time.sleep(0.2)
    raise AssertionError(f"Prometheus has no value for {query}")


@pytest.mark.debian
def test_a_real_prometheus_reads_the_figures(attempts: Attempts, tmp_path: Path) -> None:
    attempts.publish({"inserted_rows": 600}, taking=40 * MINUTES)
    attempts.fail()
    with metrics.serving(attempts.postgres, port=0) as port, prometheus(tmp_path, port) as address:
        assert asked(address, 'edgen_sync_records_total{status="inserted"}') == 600
        assert asked(address, 'up{job="meva"}') == 1
        assert asked(address, 'edgen_sync_errors_total{type="Unavailable"}') == 1
        assert asked(address, "time() - edgen_sync_last_success_timestamp") < 60
        median_s = asked(address, "histogram_quantile(0.5, edgen_sync_duration_seconds_bucket)")
        assert 1_800 < median_s <= 2_700
