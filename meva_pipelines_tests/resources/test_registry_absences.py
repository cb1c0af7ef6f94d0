"""Absences count sido by sido: only where everything came, and only where not too much is gone."""

from collections.abc import Sequence
from datetime import date, timedelta

import pytest

from meva_pipelines.domain.failures import Rejected
from meva_pipelines.domain.guards import Limit
from meva_pipelines.resources import ledger, publishing, reference, registry_absences, registry_deletion
from meva_pipelines.resources.ledger import Mode
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.registry_absences import Proof
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.resources.registry_desk import DAY, SUBJECT, USUAL, Desk, items

Record = dict[str, object]
SEOUL, BUSAN, GYEONGGI = "11", "26", "41"
SHORT = {SEOUL: "서울", BUSAN: "부산", GYEONGGI: "경기"}


@pytest.fixture
def desk(postgres: Postgres) -> Desk:
    return Desk(postgres)


def later(days: int) -> date:
    return DAY + timedelta(days=days)


def of(sido: str) -> list[Record]:
    return [record for record in items() if record["sido"] == SHORT[sido]]


def without(*gone: Sequence[Record]) -> list[Record]:
    lost = {str(record["equipment_serial"]) for records in gone for record in records}
    return [record for record in items() if record["equipment_serial"] not in lost]


def missing(desk: Desk) -> set[str]:
    return {key for (key,) in desk.rows("SELECT source_id FROM aed.aed_data WHERE data_status <> 'active'")}


def keys(records: Sequence[Record]) -> set[str]:
    return {str(record["equipment_serial"]) for record in records}


def verdicts(desk: Desk) -> dict[str, str]:
    return dict(desk.rows("SELECT part, verdict FROM ops.sync_parts WHERE token = %s", desk.newest()))


def test_a_sido_that_loses_too_much_is_withheld_while_the_others_count(desk: Desk) -> None:
    desk.deliver(items())
    half, two = of(SEOUL)[: len(of(SEOUL)) // 2], of(BUSAN)[:2]
    published = desk.deliver(without(half, two), day=later(1))
    assert missing(desk) == keys(two)
    assert published.missing_rows == 2
    said = verdicts(desk)
    assert said.pop(SEOUL) == "withheld"
    assert set(said.values()) == {"counted"}
    assert desk.rows("SELECT absent_rows FROM ops.sync_parts WHERE token = %s AND part = '11'", desk.newest()) == [
        (len(half),)
    ]


def test_a_loss_that_is_approved_counts(desk: Desk) -> None:
    desk.deliver(items())
    half = of(SEOUL)[: len(of(SEOUL)) // 2]
    assert desk.deliver(without(half), day=later(1), limit=Limit(pct=60.0)).missing_rows == len(half)


def test_what_is_withheld_everywhere_is_refused_as_a_whole(desk: Desk) -> None:
    """Otherwise half a registry would be published as one of which nothing is known."""
    desk.deliver(items())
    before = desk.digest()
    staged = desk.stage(items()[::2], day=later(1))
    with pytest.raises(Rejected, match=r"more than ±10 %: all: \d+ → \d+"):
        desk.publish(staged)
    assert desk.digest() == before
    assert desk.rows("SELECT * FROM ops.sync_parts WHERE token = %s", staged.token) == []


def test_only_the_sido_that_came_completely_loses_anybody(desk: Desk) -> None:
    desk.deliver(items())
    gone = of(SEOUL)[:3]
    delivery = [record for record in of(SEOUL) if record not in gone] + of(BUSAN)[:5]
    published = desk.publish(desk.stage(delivery, day=later(1), complete=[SEOUL]))
    assert missing(desk) == keys(gone)
    assert published.live_rows == len(items()) - 1 - 3  # a ship waits in quarantine
    assert verdicts(desk).pop(SEOUL) == "counted"
    assert {verdict for sido, verdict in verdicts(desk).items() if sido != SEOUL} == {"incomplete"}


def test_a_device_of_a_district_that_was_not_proved_is_not_absent(desk: Desk) -> None:
    desk.deliver(items())
    first, second = of(SEOUL)[:2]
    desk.change("UPDATE aed.aed_data SET region_code = NULL WHERE source_id = %s", first["equipment_serial"])
    desk.publish(desk.stage(of(SEOUL)[2:], day=later(1), complete=[SEOUL]))
    assert missing(desk) == keys([second])


def test_absence_begins_on_the_day_on_which_the_sido_was_last_proved(desk: Desk) -> None:
    desk.deliver(items())
    desk.publish(desk.stage(of(SEOUL), day=later(3), complete=[SEOUL]))
    desk.deliver(without(of(SEOUL)[:1], of(BUSAN)[:1]), day=later(5))
    days = dict(desk.rows("SELECT sido_code, last_seen_date FROM aed.aed_data WHERE data_status = 'missing'"))
    assert days == {SEOUL: later(3), BUSAN: DAY}


def test_an_incremental_delivery_proves_nothing_about_any_sido(desk: Desk) -> None:
    desk.deliver(items())
    desk.deliver(of(SEOUL)[:1], day=later(1), mode=Mode.INCREMENTAL)
    assert verdicts(desk) == {}


def test_a_proof_that_was_rolled_back_or_withheld_is_none(desk: Desk) -> None:
    groups = reference.regions().sido_groups(DAY)

    def proof() -> Proof:
        with desk.postgres.connect(Role.WRITER, work="test") as connection:
            return registry_absences.proofs(connection, subject=SUBJECT, source="egen", sido_groups=groups)[SEOUL]

    desk.deliver(items())
    first = proof()
    assert first == Proof(desk.newest(), DAY)
    desk.deliver(without(of(SEOUL)[: len(of(SEOUL)) // 2]), day=later(1))
    assert proof() == first
    desk.deliver(items(), day=later(2))
    assert proof() == Proof(desk.newest(), later(2))
    desk.undo(desk.newest())
    assert proof() == first


def test_nobody_is_tombstoned_in_a_sido_of_which_nothing_is_proved(desk: Desk) -> None:
    desk.deliver(items())
    desk.change(
        "UPDATE aed.aed_data SET data_status = 'deletion_suspected' WHERE source_id = ANY(%s)",
        [str(of(SEOUL)[0]["equipment_serial"]), str(of(BUSAN)[0]["equipment_serial"])],
    )
    desk.change("UPDATE ops.sync_parts SET verdict = 'withheld' WHERE part = %s", BUSAN)
    with desk.postgres.connect(Role.WRITER, work="test") as connection:
        attempt = ledger.open_attempt(
            connection, subject=SUBJECT, source="egen", mode=Mode.DELETION, day=DAY, dagster_run_id="test"
        )
    with (
        pytest.raises(Rejected, match="stands behind the absences in 26"),
        publishing.locked(desk.postgres, attempt) as connection,
    ):
        registry_deletion.execute(connection, attempt, ceiling=10, approved_by="test", now=ledger.now(connection))
    assert desk.rows("SELECT FROM aed.aed_data WHERE data_status = 'deleted'") == []


def test_the_limit_of_a_survey_is_that_of_the_publication() -> None:
    assert (USUAL.pct, USUAL.rows) == (10.0, 10)
