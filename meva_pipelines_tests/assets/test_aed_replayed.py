"""Quarantined records tried again: what passes now is published, what still fails goes on waiting."""

from datetime import timedelta

from meva_pipelines.sandbox.mutations import Mutation
from meva_pipelines_tests.fixtures.location import FIRST_DAY, Location

NEXT_DAY = FIRST_DAY + timedelta(days=1)


def waiting(location: Location) -> dict[str, int]:
    return dict(location.rows("SELECT rule, count(*) FROM aed.quarantine WHERE released_at IS NULL GROUP BY 1"))


def replay(location: Location, **config: object) -> bool:
    return location.job(
        "aed_replay_quarantine", day=NEXT_DAY, config={"aed__replayed_records": {"config": config}}
    ).success


def quarantine_one(location: Location) -> str:
    """Publish a registry of which one device waits in quarantine although nothing is wrong with it any more."""
    assert location.sync(FIRST_DAY, mode="full").success
    ((key,),) = location.rows("SELECT source_id FROM aed.aed_data ORDER BY source_id LIMIT 1")
    ((token,),) = location.rows("SELECT max(token) FROM ops.sync_runs")
    location.execute(
        "INSERT INTO aed.quarantine (source, source_id, rule, reason, payload, payload_hash, copy, fetch_id,"
        " page, line,"
        " first_token, last_token) SELECT source, source_id, 'region_exists', 'a name that is known by now',"
        " jsonb_build_object('serialSeq', source_id, 'org', 'Town hall', 'buildAddress', '1', 'sido', sido,"
        " 'gugun', gugun), row_hash, 0, 'before', 1, 0, %s, %s FROM aed.aed_data WHERE source_id = %s",
        token,
        token,
        key,
    )
    return str(key)


def test_a_record_that_passes_now_is_published_and_released(location: Location) -> None:
    key = quarantine_one(location)
    before = waiting(location)
    assert replay(location, rules=["region_exists"])
    assert location.rows("SELECT installation_institution FROM aed.aed_data WHERE source_id = %s", key) == [
        ("Town hall",)
    ]
    assert waiting(location) == {rule: count for rule, count in before.items() if rule != "region_exists"}


def test_a_record_that_still_fails_goes_on_waiting(location: Location) -> None:
    location.sandbox.world.set(mutation=Mutation.COORDINATES_0_0)
    assert not location.sync(FIRST_DAY, mode="full").success
    before = waiting(location)
    assert before["coordinates_are_not_zero"] > 0
    location.sandbox.world.set(mutation=Mutation.NONE)
    assert location.sync(FIRST_DAY, mode="full").success
    still = waiting(location)
    replay(location)
    assert waiting(location) == still


def test_a_device_that_was_published_meanwhile_is_left_alone(location: Location) -> None:
    key = quarantine_one(location)
    location.execute("UPDATE aed.aed_data SET sync_batch_id = sync_batch_id + 1 WHERE source_id = %s", key)
    assert replay(location)
    assert location.rows("SELECT installation_institution FROM aed.aed_data WHERE source_id = %s", key) != [
        ("Town hall",)
    ]


def test_a_replay_of_nothing_changes_nothing(location: Location) -> None:
    assert location.sync(FIRST_DAY, mode="full").success
    assert replay(location, rules=["no_such_rule"])
    run = location.newest_run()
    assert (run["status"], run["received_rows"], run["inserted_rows"], run["updated_rows"]) == ("published", 0, 0, 0)
