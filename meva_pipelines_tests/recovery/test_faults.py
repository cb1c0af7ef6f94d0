"""Everything that a source can do wrong: either one clear refusal and an unchanged registry, or bad rows in quarantine.

The messages say what to do, people are told, and neither key nor query stands anywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pytest

from meva_pipelines.sandbox.mutations import DUPLICATE_EVERY
from meva_pipelines_tests.recovery import invariants, registries, theatre
from meva_pipelines_tests.recovery.conftest import SERVICE_KEY
from meva_pipelines_tests.recovery.registries import FIRST_DAY
from meva_pipelines_tests.recovery.theatre import Base, Outcome, Scene, Theatre

SECOND_DAY = FIRST_DAY + timedelta(days=1)


def rule(fault: str, *, page: int | None = None, times: int | None = None, **parameters: object) -> dict[str, object]:
    return {"fault": fault, "page": page, "times": times, "parameters": parameters}


def twins(day: date) -> set[int]:
    """The devices that bear the serial of their predecessor under `duplicate_serials`, both present."""
    present = set(registries.world().numbers(day).tolist())
    return {number for number in present if number % DUPLICATE_EVERY == 0 and number - 1 in present}


@dataclass(frozen=True)
class Case:
    """What is wrong with the second day, and what the run must say of it."""

    world: Mapping[str, object] = field(default_factory=dict)
    faults: tuple[dict[str, object], ...] = ()
    key: str = ""
    patience_s: float | None = None
    dialect: str = "data_go_kr"
    error: str = ""
    says: str = ""
    quarantined: Mapping[str, int] = field(default_factory=dict)


REFUSED: Mapping[str, Case] = {
    "wrong key": Case(key="nobody's", error="Refused", says="check the service key"),
    "no key": Case(key=" ", error="Refused", says="set MEVA_EGEN_SERVICE_KEY"),
    "expired key": Case({"key_expired": True}, error="Refused", says="renew it"),
    "expired key, plain": Case({"key_expired": True, "gateway": "text"}, error="Refused", says="check the service key"),
    "quota": Case({"quota": 1}, error="QuotaExhausted", says="reset at"),
    "quota, plain": Case({"quota": 1, "gateway": "text"}, error="QuotaExhausted", says="reset at"),
    "html": Case(faults=(rule("html"),), error="Unavailable", says="HTML_PAGE"),
    "login page": Case(faults=(rule("login_redirect"),), error="Refused", says="correct the base URL"),
    "firewall": Case(faults=(rule("blocked"),), error="Refused", says="check the User-Agent and the address"),
    "empty body": Case(faults=(rule("empty"),), error="Unavailable", says="EMPTY_BODY"),
    "truncated gzip": Case(faults=(rule("truncated_gzip", page=2),), error="Unavailable", says="NOT_WHOLE"),
    "truncated gzip, no length": Case(
        faults=(rule("truncated_gzip", page=2, is_chunked=True),), error="Unavailable", says="NOT_WHOLE"
    ),
    "truncated body": Case(faults=(rule("truncated_body", page=3),), error="Unavailable", says="NOT_WHOLE"),
    "cut connection": Case(faults=(rule("cut_connection", page=3),), error="Unavailable", says="try again"),
    "changing total": Case(faults=(rule("total_changes", page=2),), error="Incomplete", says="the total changed"),
    "missing last page": Case(faults=(rule("missing_last_page"),), error="Incomplete", says="rows where"),
    "duplicate page": Case(faults=(rule("wrong_page_number", page=2, by=-1),), error="Incomplete", says="page 1 came"),
    "short page": Case(faults=(rule("short_page", page=2),), error="Incomplete", says="has 99 rows where 100"),
    "cp949": Case(faults=(rule("cp949"),), error="Unavailable", says="NOT_WHOLE"),
    "cp949 json": Case(faults=(rule("cp949"),), dialect="egen", error="Unavailable", says="NOT_WHOLE"),
    "nan in json": Case(faults=(rule("nan", page=2),), dialect="egen", error="Unavailable", says="strict JSON"),
    "clock ahead": Case(
        faults=(rule("clock_ahead", hours=24 * 365 * 20),), dialect="egen", error="Rejected", says="few_records"
    ),
    "huge field": Case(faults=(rule("huge_field", page=2),), error="Refused", says="expands more than 300 times"),
    "silence": Case(
        faults=(rule("stall", page=2, seconds=60.0),), patience_s=4.0, error="Unavailable", says="ReadTimeout"
    ),
    "slow loris": Case(
        faults=(rule("slow_body", page=2, seconds=60.0, chunks=60),),
        patience_s=4.0,
        error="Unavailable",
        says="BUDGET_SPENT",
    ),
    "too many requests": Case(faults=(rule("too_many_requests"),), error="Unavailable", says="too many requests"),
    "500": Case(faults=(rule("status", status=500),), error="Unavailable", says="HTTP_500"),
    "503": Case(faults=(rule("status", status=503),), error="Unavailable", says="HTTP_503"),
    "provider's error": Case(faults=(rule("provider_code", code="99"),), error="Unavailable", says="UNKNOWN_ERROR"),
    "all coordinates null": Case({"mutation": "all_coordinates_null"}, error="Rejected", says="coordinates"),
    "half the rows": Case({"mutation": "half_the_rows"}, error="Rejected", says="devices did not come"),
    "shifted mapping": Case({"mutation": "shifted_mapping"}, error="Rejected", says="numbers"),
    "swapped coordinates": Case({"mutation": "swapped_lat_lon"}, error="Rejected", says="quarantined"),
    "all at 0/0": Case({"mutation": "coordinates_0_0"}, error="Rejected", says="quarantined"),
    "no keys": Case(faults=(rule("missing_field"),), error="Rejected", says="quarantined"),
    "half the rows, direct": Case(
        {"mutation": "half_the_rows"}, dialect="egen", error="Rejected", says="devices did not come"
    ),
}

MENDED: Mapping[str, Case] = {
    "byte order mark": Case(faults=(rule("bom"),)),
    "byte order mark in json": Case(faults=(rule("bom"),), dialect="egen"),
    "unknown field": Case(faults=(rule("unknown_field"),)),
    "nan in xml": Case(faults=(rule("nan", page=2),)),
    "long field": Case(
        faults=(rule("huge_field", page=2, times=1, bytes=6_000),), quarantined={"text_has_its_length": 1}
    ),
    "long field, direct": Case(faults=(rule("huge_field", page=2, times=1, bytes=6_000),), dialect="egen"),
    "a row twice": Case(faults=(rule("duplicate_row", page=2, times=1),), quarantined={"key_occurs_once": 1}),
    "serials twice": Case(
        {"mutation": "duplicate_serials"}, quarantined={"copies_of_a_key_agree": 2 * len(twins(SECOND_DAY))}
    ),
    "two bad answers": Case(faults=(rule("status", status=500, times=2),)),
    "a total that changed once": Case(faults=(rule("total_changes", page=2, times=1),)),
}


def second_day(scene: Scene, case: Case, **arguments: Any) -> Outcome:
    """Play a case; whatever it is, no key and no query is ever told."""
    scene.registry.set(day=SECOND_DAY, **case.world)
    scene.registry.break_by(*case.faults)
    if case.key:
        scene.overrides["MEVA_EGEN_SERVICE_KEY"] = case.key
    if case.patience_s:
        scene.overrides["PATIENCE_S"] = str(case.patience_s)
    outcome = scene.sync(SECOND_DAY, **arguments)
    told = outcome.errors + outcome.output
    for secret in (SERVICE_KEY, SERVICE_KEY.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D"), "serviceKey="):
        assert secret not in told
    assert invariants.breaches(scene.url, scene.store, secrets=[SERVICE_KEY, "serviceKey=", "numOfRows"]) == []
    return outcome


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_believed_is_refused_with_one_clear_message(
    stage: Theatre, bases: Mapping[str, Base], name: str
) -> None:
    case = REFUSED[name]
    with stage.scene(bases[case.dialect]) as scene:
        before = invariants.image(scene.url)
        outcome = second_day(scene, case)
        assert not outcome.is_success
        assert invariants.image(scene.url) == before
        run = scene.newest()
        assert (run["status"], run["error_type"]) == (
            "rejected" if case.error == "Rejected" else "failed",
            case.error,
        ), run["error"]
        assert case.says in run["error"]
        if case.error != "Rejected":
            assert case.says in outcome.errors
        kind = "corruption_detected" if case.error == "Rejected" else "source_unavailable"
        assert scene.rows(
            "SELECT i.kind, o.severity FROM ops.outbox AS o JOIN ops.incidents AS i ON i.id = o.incident_id"
            " WHERE o.kind = 'opened' AND i.resolved_at IS NULL"
        ) == [(kind, "critical")]


@pytest.mark.parametrize("name", MENDED)
def test_what_can_be_mended_is_published_without_the_bad_rows(
    stage: Theatre, bases: Mapping[str, Base], name: str
) -> None:
    case = MENDED[name]
    with stage.scene(bases[case.dialect]) as scene:
        outcome = second_day(scene, case)
        assert outcome.is_success, outcome.errors
        run = scene.newest()
        found = dict(
            scene.rows("SELECT rule, count(*) FROM aed.quarantine WHERE last_token = %s GROUP BY 1", run["token"])
        )
        found.pop("coordinates_lie_in_korea", None)
        assert found == dict(case.quarantined)
        assert invariants.leftovers(scene.url, scene.store) == []


def test_a_device_that_is_wrong_waits_in_quarantine_alone(
    stage: Theatre, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("flawed")
    with theatre.registry(stage.nursery, folder, service_key=SERVICE_KEY, character="flawed") as flawed:
        world = Theatre(stage.nursery, flawed, stage.server_url, stage.template, folder)
        with world.scene() as scene:
            assert scene.sync(FIRST_DAY).is_success
            before = dict(scene.rows("SELECT source_id, row_hash FROM aed.aed_data"))
            assert second_day(scene, Case()).is_success
            (token, quarantined) = scene.newest()["token"], scene.newest()["quarantined_rows"]
            rows = scene.rows("SELECT rule, source_id FROM aed.quarantine WHERE last_token = %s ORDER BY 1", token)
            assert len(rows) == quarantined
            rules = sorted(rule for rule, _ in rows)
            assert rules == sorted(
                [
                    "text_has_its_length",
                    "region_exists",
                    "coordinates_are_not_zero",
                    "coordinates_are_not_swapped",
                    "coordinates_lie_in_korea",
                    "coordinates_lie_in_korea",
                    "coordinates_come_in_pairs",
                    "field_has_its_type",
                    "field_has_its_type",
                ]
            )
            after = dict(scene.rows("SELECT source_id, row_hash FROM aed.aed_data"))
            for _, key in rows:
                assert before.get(key) == after.get(key)


@pytest.mark.parametrize("as_http_date", [False, True])
def test_a_source_that_asks_for_patience_gets_it(
    stage: Theatre, bases: Mapping[str, Base], *, as_http_date: bool
) -> None:
    fault = rule("too_many_requests", page=2, times=1, retry_after_s=3, as_http_date=as_http_date)
    with stage.scene(bases["data_go_kr"]) as scene:
        outcome = second_day(scene, Case(faults=(fault,)))
        assert outcome.is_success
        assert max(outcome.said["waits"], default=0.0) > 1.9


# ---- slow relaunches


def test_a_source_that_is_away_is_asked_again_within_the_hour(stage: Theatre, bases: Mapping[str, Base]) -> None:
    """Two launches of four requests each fail; the third finds the source, and nobody is woken up."""
    with stage.scene(bases["data_go_kr"]) as scene:
        outcome = second_day(scene, Case(faults=(rule("status", status=503, times=8),)), relaunches=3)
        assert outcome.is_success
        assert outcome.said["relaunches"] == 2
        statuses = scene.rows("SELECT status, error_type FROM ops.sync_runs WHERE day = %s ORDER BY token", SECOND_DAY)
        assert statuses == [("failed", "Unavailable"), ("failed", "Unavailable"), ("published", None)]
        assert scene.rows("SELECT title FROM ops.outbox") == []
        assert invariants.leftovers(scene.url, scene.store) == []


def test_a_source_that_stays_away_leaves_yesterday_and_wakes_people_once(
    stage: Theatre, bases: Mapping[str, Base]
) -> None:
    with stage.scene(bases["data_go_kr"]) as scene:
        before = invariants.image(scene.url)
        outcome = second_day(scene, Case(faults=(rule("status", status=503),)), relaunches=2)
        assert not outcome.is_success
        assert outcome.said["relaunches"] == 2
        assert invariants.image(scene.url) == before
        assert "It was fetched 3 times within the hour. What was published before stays; run the sync" in outcome.errors
        assert scene.newest()["error"] in outcome.errors
        opened = scene.rows("SELECT kind, occurrences FROM ops.incidents WHERE resolved_at IS NULL ORDER BY 1")
        assert ("source_unavailable", 1) in opened


@pytest.mark.parametrize("name", ["wrong key", "quota", "half the rows"])
def test_nothing_is_asked_again_where_that_cannot_help(stage: Theatre, bases: Mapping[str, Base], name: str) -> None:
    case = REFUSED[name]
    with stage.scene(bases[case.dialect]) as scene:
        outcome = second_day(scene, case, relaunches=3)
        assert not outcome.is_success
        assert outcome.said["relaunches"] == 0
        assert scene.rows("SELECT count(*) FROM ops.sync_runs WHERE day = %s", SECOND_DAY) == [(1,)]
