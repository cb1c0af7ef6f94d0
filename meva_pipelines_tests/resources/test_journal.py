"""The log: one line an event, a level for each as seed 001 §7.1 asks, and a whole night told in order."""

import json
import logging
import re
from datetime import timedelta

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.resources import journal
from meva_pipelines.resources.journal import Event
from meva_pipelines.sandbox.faults import Fault, Rule
from meva_pipelines_tests.fixtures.location import FIRST_DAY, Location

NEXT_DAY = FIRST_DAY + timedelta(days=1)
_PAIR = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|[^\s"]+)(?: |$)')


def parsed(line: str) -> dict[str, str]:
    """Read a line as a collector of logs does."""
    found = {name: json.loads(text) if text.startswith('"') else text for name, text in _PAIR.findall(line)}
    assert _PAIR.sub("", line) == ""
    return found


def heard(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [
        (record.levelno, parsed(record.getMessage())["event"])
        for record in caplog.records
        if record.name == "meva_pipelines"
    ]


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,12}", fullmatch=True), st.text() | st.integers() | st.none()))
def test_a_line_is_read_back_as_it_was_written(facts: dict[str, object]) -> None:
    facts.pop("event", None)
    line = journal.line(Event.SYNC_STARTED, **facts)
    assert len(line.splitlines()) == 1
    expected = {name: str(fact) for name, fact in facts.items() if fact is not None}
    assert parsed(line) == {"event": "sync_started", **expected}


def test_a_duration_is_in_seconds() -> None:
    line = journal.line(Event.SYNC_FETCHED, duration_s=timedelta(minutes=2, milliseconds=5), message="a b")
    assert line == 'event=sync_fetched duration_s=120.005 message="a b"'


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (Event.RECORD_CHANGED, logging.DEBUG),
        (Event.FIELD_MAPPED, logging.DEBUG),
        (Event.ROWS_WRITTEN, logging.DEBUG),
        (Event.SYNC_STARTED, logging.INFO),
        (Event.SYNC_PUBLISHED, logging.INFO),
        (Event.ROWS_PUBLISHED, logging.INFO),
        (Event.RECORDS_QUARANTINED, logging.WARNING),
        (Event.REQUEST_REPEATED, logging.WARNING),
        (Event.SYNC_SLOW, logging.WARNING),
        (Event.SYNC_FAILED, logging.ERROR),
        (Event.BATCH_REJECTED, logging.ERROR),
        (Event.INCIDENT_OPENED, logging.CRITICAL),
    ],
)
def test_events_have_the_levels_that_were_asked_for(event: Event, level: int) -> None:
    assert event.level == level


def test_a_good_night_is_told_from_start_to_end(location: Location, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "meva_pipelines"):
        assert location.sync(FIRST_DAY, mode="full").success
    events = [event for level, event in heard(caplog) if level == logging.INFO]
    assert events == ["sync_started", "sync_fetched", "sync_staged", "sync_published", "rows_published"]
    assert {event for level, event in heard(caplog) if level > logging.INFO} == {"records_quarantined"}


def test_every_record_is_told_of_where_somebody_listens(location: Location, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "meva_pipelines"):
        assert location.sync(FIRST_DAY, mode="full").success
    found = [event for level, event in heard(caplog) if level == logging.DEBUG]
    run = location.newest_run()
    assert found.count("record_changed") == run["received_rows"] - run["quarantined_rows"] + found.count(
        "record_rejected"
    )
    assert found.count("record_rejected") == run["quarantined_rows"]
    assert "field_mapped" in found
    assert "rows_written" in found


def test_trouble_is_told_by_its_gravity(location: Location, caplog: pytest.LogCaptureFixture) -> None:
    location.sandbox.faults.replace([Rule(Fault.STATUS, times=1), Rule(Fault.PROVIDER_CODE, parameters={"code": "99"})])
    config = {"aed__raw_records": {"config": {"relaunches": 0}}}
    assert not location.job("aed_incremental_sync", day=FIRST_DAY, config=config).success
    assert [(level, event) for level, event in heard(caplog) if level >= logging.WARNING] == [
        (logging.WARNING, "request_repeated"),
        (logging.ERROR, "sync_failed"),
        (logging.CRITICAL, "incident_opened"),
    ]
    assert location.sandbox.service_key not in caplog.text


def test_what_is_logged_stands_in_the_log_of_the_run(location: Location) -> None:
    settings = {"python_logs": {"managed_python_loggers": ["meva_pipelines"], "python_log_level": "INFO"}}
    with dg.DagsterInstance.ephemeral(settings=settings) as instance:
        location.sandbox.world.set(day=FIRST_DAY)
        job = location.definitions().resolve_job_def("aed_full_sync")
        result = job.execute_in_process(instance=instance, partition_key=FIRST_DAY.isoformat())
        messages = [entry.user_message for entry in instance.all_logs(result.run_id)]
    told = [message for message in messages if message.startswith("event=")]
    assert any(message.startswith("event=sync_published token=1 subject=aed.aed_data") for message in told)
