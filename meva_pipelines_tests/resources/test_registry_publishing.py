"""Publication writes what is newer, remembers what it replaced, refuses what is too much, and tracks who is absent."""

from datetime import date, datetime, timedelta, timezone
from itertools import pairwise
from random import Random

import pytest

from meva_pipelines.domain.failures import Rejected, Superseded
from meva_pipelines.domain.guards import Limit
from meva_pipelines.resources.ledger import Mode
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines_tests.resources.registry_desk import DAY, WORLD, Desk, item, items, open_item

KST = timezone(timedelta(hours=9))
LOOSE = Limit(pct=100.0, rows=10_000)


@pytest.fixture
def desk(postgres: Postgres) -> Desk:
    return Desk(postgres)


def at(hours: int) -> str:
    return (datetime(2026, 11, 1, tzinfo=KST) + timedelta(hours=hours)).isoformat()


def later(days: int) -> date:
    return DAY + timedelta(days=days)


def state(desk: Desk, number: int) -> tuple[object, ...]:
    (found,) = desk.rows(
        "SELECT data_status, consecutive_missing_days, last_seen_date, deletion_suspected_date FROM aed.aed_data"
        " WHERE source_id = %s",
        WORLD.device(number, DAY).equipment_serial,
    )
    return found


def twenty(**changes: object) -> list[dict[str, object]]:
    """The devices 1 to 21 without number 17, whose ship sails outside Korea."""
    return [item(n) | changes for n in range(1, 22) if n != 17]


# ---- what is written


def test_a_row_carries_its_source_its_day_and_the_attempt_that_wrote_it(desk: Desk) -> None:
    desk.deliver([item(1)])
    ((source, key, seen, last, status, batch, serial),) = desk.rows(
        "SELECT source, source_id, first_seen_date, last_seen_date, data_status, sync_batch_id, equipment_serial"
        " FROM aed.aed_data"
    )
    assert (source, key, serial) == ("egen", item(1)["equipment_serial"], item(1)["equipment_serial"])
    assert (seen, last, status, batch) == (DAY, None, "active", desk.newest())


def test_a_later_version_replaces_a_row_and_keeps_its_first_day(desk: Desk) -> None:
    desk.deliver([item(1, remarks="first", last_modified=at(0))])
    published = desk.deliver([item(1, remarks="second", last_modified=at(1))], day=later(3), mode=Mode.INCREMENTAL)
    assert (published.inserted_rows, published.updated_rows, published.live_rows) == (0, 1, 1)
    ((remarks, seen, batch, is_younger),) = desk.rows(
        "SELECT remarks, first_seen_date, sync_batch_id, updated_at > created_at FROM aed.aed_data"
    )
    assert (remarks, seen, batch, is_younger) == ("second", DAY, desk.newest(), True)


def test_the_history_holds_every_replaced_version_with_its_unbroken_period(desk: Desk) -> None:
    for hour in range(4):
        desk.deliver([item(1, remarks=f"v{hour}", last_modified=at(hour))], mode=Mode.INCREMENTAL)
    images = desk.rows("SELECT remarks, change, valid_from, valid_to FROM aed.aed_history ORDER BY history_id")
    ((current_from, created),) = desk.rows("SELECT updated_at, created_at FROM aed.aed_data")
    assert [(remarks, change) for remarks, change, *_ in images] == [(f"v{n}", "updated") for n in range(3)]
    periods = [(start, end) for *_, start, end in images]
    assert periods[0][0] == created
    assert all(end == start for (_, end), (start, _) in pairwise(periods))
    assert periods[-1][1] == current_from


def test_a_before_image_is_the_whole_row(desk: Desk) -> None:
    desk.deliver([item(1, last_modified=at(0))])
    before = desk.rows(IMAGE.format("aed.aed_data"))
    desk.deliver([item(1, remarks="x", last_modified=at(1))], mode=Mode.INCREMENTAL)
    assert desk.rows(IMAGE.format("aed.aed_history")) == before


IMAGE = "SELECT to_jsonb(t) - '{{history_id,token,change,valid_from,valid_to,search_vector}}'::text[] FROM {} AS t"


def test_coordinates_are_published_rounded_to_eight_decimals_and_are_then_unchanged(desk: Desk) -> None:
    record = item(1, latitude=37.123456789123, longitude=127.000000004999)
    desk.deliver([record])
    assert [tuple(map(str, row)) for row in desk.rows("SELECT latitude, longitude FROM aed.aed_data")] == [
        ("37.12345679", "127.00000000")
    ]
    assert desk.deliver([record]).updated_rows == 0


def test_the_ledger_names_what_changed_where(desk: Desk) -> None:
    desk.deliver([item(1, last_modified=at(0)), item(2, last_modified=at(0))])
    desk.deliver(
        [item(1, remarks="x", category_3="y", last_modified=at(1)), item(2, remarks="z", last_modified=at(1))],
        mode=Mode.INCREMENTAL,
    )
    ((details, inserted, updated, live),) = desk.rows(
        "SELECT details, inserted_rows, updated_rows, live_rows FROM ops.sync_runs ORDER BY token DESC LIMIT 1"
    )
    assert (inserted, updated, live) == (0, 2, 2)
    assert details["changed_columns"] == {"remarks": 2, "category_3": 1, "source_modified_at": 2}
    assert sum(counts["updated"] for counts in details["per_sido"].values()) == 2


def test_two_sources_live_side_by_side(desk: Desk) -> None:
    other = Desk(desk.postgres, "data_go_kr")
    desk.deliver([item(n) for n in range(1, 4)])
    other.deliver([open_item(n) for n in range(1, 3)])
    assert desk.rows("SELECT source, count(*) FROM aed.aed_data GROUP BY 1 ORDER BY 1") == [
        ("data_go_kr", 2),
        ("egen", 3),
    ]
    assert {status for (status,) in desk.rows("SELECT data_status FROM aed.aed_data")} == {"active"}


# ---- newer


@pytest.mark.parametrize("seed", range(6))
def test_any_order_and_repetition_of_deliveries_leaves_the_newest_version_of_each_device(desk: Desk, seed: int) -> None:
    """S4: per device the live source timestamp is the maximum over all published deliveries."""
    random = Random(seed)
    versions = [(n, hour) for n in range(1, 6) for hour in range(4)]
    for _ in range(6):
        chosen = dict(random.choices(versions, k=6))
        records = [item(n, remarks=f"v{hour}", last_modified=at(hour)) for n, hour in chosen.items()]
        desk.deliver(records, mode=Mode.INCREMENTAL, limit=LOOSE)
        versions += list(chosen.items())
    delivered = dict(
        desk.rows(
            "SELECT source_id, max(source_modified_at) FROM (SELECT source_id, source_modified_at FROM aed.aed_data"
            " UNION ALL SELECT source_id, source_modified_at FROM aed.aed_history) AS every GROUP BY 1"
        )
    )
    live = dict(desk.rows("SELECT source_id, source_modified_at FROM aed.aed_data"))
    assert live == delivered
    for remarks, stamp in desk.rows("SELECT remarks, source_modified_at FROM aed.aed_data"):
        assert stamp == datetime.fromisoformat(at(int(remarks.removeprefix("v"))))


def test_the_live_version_is_the_maximum_of_everything_delivered(desk: Desk) -> None:
    random = Random(2026)
    newest: dict[int, int] = {}
    for _ in range(8):
        numbers = random.sample(range(1, 8), 4)
        hours = {n: random.randrange(6) for n in numbers}
        records = [item(n, remarks=f"v{hour}", last_modified=at(hour)) for n, hour in hours.items()]
        desk.deliver(records, mode=Mode.INCREMENTAL, limit=LOOSE)
        newest = {n: max(newest.get(n, 0), hours.get(n, 0)) for n in newest.keys() | hours.keys()}
        live = dict(desk.rows("SELECT source_id, remarks FROM aed.aed_data"))
        assert live == {item(n)["equipment_serial"]: f"v{hour}" for n, hour in newest.items()}


def test_a_version_of_the_same_moment_is_taken_because_ties_are_normal(desk: Desk) -> None:
    desk.deliver([item(1, remarks="a", last_modified=at(0))])
    assert desk.deliver([item(1, remarks="b", last_modified=at(0))], mode=Mode.INCREMENTAL).updated_rows == 1


def test_an_outdated_record_is_accounted_for_as_unchanged(desk: Desk) -> None:
    """A replay of older pages stages rows that may not be published; the books must balance all the same."""
    desk.deliver([item(1, remarks="new", last_modified=at(5))])
    published = desk.deliver([item(1, remarks="old", last_modified=at(1)), item(2)], mode=Mode.INCREMENTAL)
    assert (published.inserted_rows, published.updated_rows, published.outdated_rows) == (1, 0, 1)
    ((received, inserted, updated, unchanged, quarantined),) = desk.rows(
        "SELECT received_rows, inserted_rows, updated_rows, unchanged_rows, quarantined_rows FROM ops.sync_runs"
        " ORDER BY token DESC LIMIT 1"
    )
    assert received == inserted + updated + unchanged + quarantined


# ---- too much at once


def test_a_change_beyond_ten_percent_is_refused_inside_the_transaction(desk: Desk) -> None:
    desk.deliver(items())
    staged = desk.stage(items()[:250], day=later(1))
    before = desk.digest(), desk.rows("SELECT * FROM aed.aed_history"), desk.rows("SELECT * FROM aed.quarantine")
    with pytest.raises(Rejected, match=r"more than ±10 %: all: \d+ → \d+ \(-1\d\.\d %\)|more than ±10 %: \d+"):
        desk.publish(staged)
    after = desk.digest(), desk.rows("SELECT * FROM aed.aed_history"), desk.rows("SELECT * FROM aed.quarantine")
    assert after == before
    assert desk.rows("SELECT status FROM ops.sync_runs WHERE token = %s", staged.token) == [("staged",)]
    assert desk.publish(staged, limit=Limit(pct=50.0, rows=10)).missing_rows > 0


def test_the_growth_of_one_sido_alone_can_stop_a_publication(desk: Desk) -> None:
    every = items()
    in_seoul = [record for record in every if record["sido"] == "서울"]
    assert 20 < len(in_seoul) < 300 * 0.2
    later_ones = in_seoul[: len(in_seoul) // 3]
    desk.deliver([record for record in every if record not in later_ones])
    with pytest.raises(Rejected, match=r"%: 11: \d+ → \d+"):
        desk.deliver(every, day=later(1))


def test_a_small_sido_never_stops_the_country(desk: Desk) -> None:
    every = items()
    in_sejong = [record for record in every if record["sido"] == "세종"]
    assert 0 < len(in_sejong) <= 10
    desk.deliver(every)
    published = desk.deliver([record for record in every if record["sido"] != "세종"], day=later(1))
    assert published.missing_rows == len(in_sejong)


def test_growth_beyond_ten_percent_is_refused_too(desk: Desk) -> None:
    desk.deliver(items()[:250])
    with pytest.raises(Rejected, match=r"\+"):
        desk.deliver(items(), day=later(1))


@pytest.mark.parametrize("source", ["egen", "data_go_kr"])
def test_a_reform_renames_devices_and_changes_no_count(desk: Desk, source: str) -> None:
    """2026-07-01: 광주 and 전남 became one sido; every device there changes names and none is lost."""
    clerk = Desk(desk.postgres, source)
    make = item if source == "egen" else open_item
    numbers = [n for n in range(1, 301) if WORLD.device(n, DAY).site.district.sido.is_merged]
    others = [n for n in range(18, 301) if n not in numbers][:100]
    assert len(numbers) > 20
    clerk.deliver([make(n, is_reformed=False) for n in numbers + others], day=date(2026, 6, 30))
    published = clerk.deliver([make(n, is_reformed=True) for n in numbers + others], day=date(2026, 7, 1))
    districts = {n: WORLD.device(n, DAY).site.district for n in others}
    also = sum(district.is_renamed for district in districts.values())
    assert published.renamed_rows == len(numbers) + also
    assert (published.updated_rows, published.inserted_rows, published.missing_rows) == (0, 0, 0)
    assert {c for (c,) in clerk.rows("SELECT DISTINCT change FROM aed.aed_history")} == {"renamed"}


def test_a_device_that_is_renamed_and_changed_counts_as_updated(desk: Desk) -> None:
    number = next(n for n in range(1, 301) if WORLD.device(n, DAY).site.district.sido.is_merged)
    desk.deliver([item(number, is_reformed=False)], day=date(2026, 6, 30))
    published = desk.deliver([item(number, is_reformed=True, remarks="x")], day=date(2026, 7, 1))
    assert (published.renamed_rows, published.updated_rows) == (0, 1)


# ---- who is absent


def test_a_device_absent_from_full_syncs_is_missing_then_suspected_then_back(desk: Desk) -> None:
    every = twenty()
    desk.deliver(every)
    assert desk.deliver(every[1:], day=later(1)).missing_rows == 1
    assert state(desk, 1) == ("missing", 1, DAY, None)
    desk.deliver(every[1:], day=later(6))
    assert state(desk, 1) == ("missing", 6, DAY, None)
    desk.deliver(every[1:], day=later(7))
    assert state(desk, 1) == ("deletion_suspected", 7, DAY, later(7))
    desk.deliver(every[1:], day=later(9))
    assert state(desk, 1) == ("deletion_suspected", 9, DAY, later(7))
    published = desk.deliver(every, day=later(10))
    assert (published.reappeared_rows, published.updated_rows, published.live_rows) == (1, 0, 20)
    assert state(desk, 1) == ("active", 0, None, None)
    changes = [change for (change,) in desk.rows("SELECT change FROM aed.aed_history ORDER BY history_id")]
    assert changes == ["missing"] * 4 + ["reappeared"]


def test_the_first_absence_is_missing_even_when_a_week_passed_since_the_last_full_sync(desk: Desk) -> None:
    every = twenty()
    desk.deliver(every)
    desk.deliver(every[1:], day=later(7))
    assert state(desk, 1)[0] == "missing"
    desk.deliver(every[1:], day=later(14))
    assert state(desk, 1)[0] == "deletion_suspected"


def test_nobody_is_missing_after_an_incremental_sync(desk: Desk) -> None:
    every = twenty()
    desk.deliver(every)
    published = desk.deliver(every[:1], day=later(1), mode=Mode.INCREMENTAL)
    assert (published.missing_rows, published.live_rows) == (0, 20)


def test_an_incremental_sync_brings_a_missing_device_back(desk: Desk) -> None:
    every = twenty()
    desk.deliver(every)
    desk.deliver(every[1:], day=later(1))
    published = desk.deliver(every[:1], day=later(2), mode=Mode.INCREMENTAL)
    assert (published.reappeared_rows, state(desk, 1)[0]) == (1, "active")


def test_a_device_that_comes_back_changed_is_updated_and_active(desk: Desk) -> None:
    every = twenty(last_modified=at(0))
    desk.deliver(every)
    desk.deliver(every[1:], day=later(1))
    published = desk.deliver([item(1, remarks="x", last_modified=at(1)), *every[1:]], day=later(2))
    assert (published.reappeared_rows, published.updated_rows) == (0, 1)
    assert state(desk, 1) == ("active", 0, None, None)


def test_replaying_an_older_full_delivery_makes_nobody_missing_and_nobody_return(desk: Desk) -> None:
    """Devices born since are not in it; devices gone since still are."""
    every = twenty()
    older = every[:18] + every[19:]
    desk.deliver(older, day=later(0))
    desk.deliver([*every[:4], *every[5:]], day=later(1))
    before = desk.digest()
    ((fetch,),) = desk.rows("SELECT min(fetch_id) FROM ops.ingest_ledger")
    staged = desk.stage(older, day=later(0))
    desk.change("UPDATE ops.sync_runs SET fetch_id = %s WHERE token = %s", fetch, staged.token)
    published = desk.publish(desk.again(staged))
    assert (published.missing_rows, published.reappeared_rows) == (0, 0)
    assert desk.digest() == before


def test_a_full_sync_that_was_rolled_back_saw_nobody(desk: Desk) -> None:
    every = twenty()
    desk.deliver(every)
    desk.deliver(every, day=later(3))
    desk.undo(desk.newest())
    desk.deliver(every[1:], day=later(5))
    assert state(desk, 1) == ("missing", 5, DAY, None)


def test_a_quarantined_device_is_not_absent(desk: Desk) -> None:
    every = twenty()
    desk.deliver(every)
    published = desk.deliver([item(1, latitude=0.0, longitude=0.0), *every[1:]], day=later(1))
    assert (published.missing_rows, state(desk, 1)[0]) == (0, "active")


# ---- quarantine and release


@pytest.mark.parametrize("mended", [item(1), item(1, remarks="mended")], ids=["as before", "changed"])
def test_a_quarantined_record_is_released_when_its_device_is_accepted(desk: Desk, mended: dict[str, object]) -> None:
    desk.deliver(twenty())
    desk.deliver([item(1, latitude=0.0, longitude=0.0)], day=later(1), mode=Mode.INCREMENTAL)
    assert desk.rows("SELECT released_at FROM aed.quarantine") == [(None,)]
    desk.deliver([item(2)], day=later(2), mode=Mode.INCREMENTAL)
    assert desk.rows("SELECT released_at FROM aed.quarantine") == [(None,)]
    desk.deliver([mended], day=later(3), mode=Mode.INCREMENTAL)
    ((released,),) = desk.rows("SELECT released_at FROM aed.quarantine")
    assert released is not None


def test_a_released_record_that_comes_again_waits_again(desk: Desk) -> None:
    broken = item(1, latitude=0.0, longitude=0.0)
    for records in ([broken, item(2)], [item(1), item(2)], [broken, item(2)]):
        desk.deliver(records, mode=Mode.INCREMENTAL)
    assert desk.rows("SELECT released_at, times_seen FROM aed.quarantine") == [(None, 2)]


# ---- fencing and verdicts


def test_nothing_is_published_without_the_judge(desk: Desk) -> None:
    staged = desk.stage([item(1)], is_judged=False)
    with pytest.raises(Rejected, match="was not judged by"):
        desk.publish(staged)
    assert desk.rows("SELECT count(*) FROM aed.aed_data") == [(0,)]


def test_rows_that_changed_after_the_verdict_are_not_published(desk: Desk) -> None:
    staged = desk.stage([item(1)])
    desk.change(f"UPDATE staging.{staged.batch.name('records')} SET remarks = 'smuggled'")
    with pytest.raises(Rejected, match="changed since it was judged"):
        desk.publish(staged)
    assert desk.rows("SELECT count(*) FROM aed.aed_data") == [(0,)]


def test_a_failed_verdict_publishes_nothing(desk: Desk) -> None:
    staged = desk.stage([item(1)])
    desk.change("UPDATE ops.audit_verdicts SET is_passed = false WHERE suite = 'records_make_sense'")
    with pytest.raises(Rejected, match=r"failed: records_make_sense\."):
        desk.publish(staged)


def test_an_attempt_that_was_overtaken_publishes_nothing(desk: Desk) -> None:
    older = desk.stage([item(1)])
    newer = desk.stage([item(2)])
    with pytest.raises(Superseded, match=f"overtaken by attempt {newer.token}"):
        desk.publish(older)
    assert desk.publish(newer).inserted_rows == 1
