"""A published sync can be taken back byte for byte, and the taking back can be taken back."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from meva_pipelines.domain.failures import Refused
from meva_pipelines.domain.guards import Limit
from meva_pipelines.resources import registry_rollback
from meva_pipelines.resources.ledger import Mode
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.resources.registry_desk import DAY, Desk, item, items

LOOSE = Limit(pct=100.0, rows=10_000)
CHANGED_AT = "2026-11-03T09:00:00+09:00"


@pytest.fixture
def desk(postgres: Postgres) -> Desk:
    return Desk(postgres)


def day_one(desk: Desk) -> None:
    """Sixty devices, of which number 60 is absent afterwards."""
    desk.deliver([item(n) for n in range(20, 61)])
    desk.deliver([item(n) for n in range(20, 60)], day=DAY + timedelta(days=1))


def update_everything(desk: Desk) -> None:
    records = [item(n, remarks="x", last_modified=CHANGED_AT) for n in range(20, 61)]
    desk.deliver(records, day=DAY + timedelta(days=2), limit=LOOSE)


def bring_new_devices(desk: Desk) -> None:
    desk.deliver([item(n) for n in range(61, 70)], day=DAY + timedelta(days=2), mode=Mode.INCREMENTAL, limit=LOOSE)


def miss_some(desk: Desk) -> None:
    desk.deliver([item(n) for n in range(22, 60)], day=DAY + timedelta(days=2))


def see_the_missing_again(desk: Desk) -> None:
    desk.deliver([item(n) for n in range(20, 61)], day=DAY + timedelta(days=2))


def do_all_at_once(desk: Desk) -> None:
    records = [item(n, remarks="x", last_modified=CHANGED_AT) for n in range(25, 40)]
    records += [item(n) for n in range(40, 66)]
    desk.deliver(records, day=DAY + timedelta(days=2), limit=LOOSE)


SYNCS = [update_everything, bring_new_devices, miss_some, see_the_missing_again, do_all_at_once]


@pytest.mark.parametrize("sync", SYNCS, ids=lambda sync: sync.__name__)
def test_a_rollback_restores_every_byte_and_its_rollback_brings_every_byte_back(
    desk: Desk, sync: Callable[[Desk], None]
) -> None:
    day_one(desk)
    before = desk.digest()
    sync(desk)
    after, published = desk.digest(), desk.newest()
    assert after != before
    desk.undo(published)
    assert desk.digest() == before
    desk.undo(desk.newest())
    assert desk.digest() == after
    desk.undo(desk.newest())
    assert desk.digest() == before
    desk.undo(desk.newest())
    assert desk.digest() == after


def test_the_missing_are_missing_again_and_the_reappeared_gone_again(desk: Desk) -> None:
    day_one(desk)
    query = "SELECT source_id, data_status, consecutive_missing_days, last_seen_date FROM aed.aed_data ORDER BY 1"
    before = desk.rows(query)
    do_all_at_once(desk)
    assert desk.rows(query) != before
    desk.undo(desk.newest())
    assert desk.rows(query) == before
    assert ("missing", 1) in {row[1:3] for row in before}


def test_syncs_are_taken_back_one_after_the_other_and_only_the_newest_is_offered(desk: Desk) -> None:
    digests = [desk.digest()]
    tokens = []
    for sync in (day_one_alone, update_everything, miss_some):
        sync(desk)
        tokens.append(desk.newest())
        digests.append(desk.digest())
    for token, digest in zip(reversed(tokens), reversed(digests[:-1]), strict=True):
        assert token in desk.undoable()
        assert set(tokens) & desk.undoable() == {token}
        desk.undo(token)
        assert desk.digest() == digest
    assert desk.undoable() == {desk.newest()}


def day_one_alone(desk: Desk) -> None:
    desk.deliver([item(n) for n in range(20, 61)])


def test_older_syncs_and_older_rollbacks_are_not_offered(desk: Desk) -> None:
    day_one_alone(desk)
    first = desk.newest()
    update_everything(desk)
    second = desk.newest()
    assert desk.undoable() == {second}
    desk.undo(second)
    undone = desk.newest()
    assert desk.undoable() == {first, undone}
    bring_new_devices(desk)
    assert desk.undoable() == {desk.newest()}


def test_the_first_load_can_be_taken_back_to_nothing_and_done_again(desk: Desk) -> None:
    empty = desk.digest()
    desk.deliver(items())
    loaded, count = desk.digest(), desk.rows("SELECT count(*) FROM aed.aed_data")[0][0]
    undone = desk.undo(desk.newest())
    assert (undone.removed_rows, undone.restored_rows, undone.reinserted_rows) == (count, 0, 0)
    assert desk.digest() == empty
    redone = desk.undo(desk.newest())
    assert redone.reinserted_rows == count
    assert desk.digest() == loaded


def test_a_sync_after_a_rollback_finds_what_was_taken_back(desk: Desk) -> None:
    day_one(desk)
    update_everything(desk)
    content = "SELECT source_id, remarks, data_status, first_seen_date FROM aed.aed_data ORDER BY 1"
    expected = desk.rows(content)
    desk.undo(desk.newest())
    update_everything(desk)
    assert desk.rows(content) == expected


def test_row_numbers_survive_the_round_trip(desk: Desk) -> None:
    day_one(desk)
    bring_new_devices(desk)
    numbers = desk.rows("SELECT id, source_id FROM aed.aed_data ORDER BY 1")
    desk.undo(desk.newest())
    desk.undo(desk.newest())
    assert desk.rows("SELECT id, source_id FROM aed.aed_data ORDER BY 1") == numbers


def test_a_rollback_touches_exactly_what_its_plan_counts(desk: Desk) -> None:
    day_one(desk)
    do_all_at_once(desk)
    with desk.postgres.connect(Role.WRITER, work="plan") as connection:
        planned = registry_rollback.touched(connection, source="egen", target=desk.newest())
    undone = desk.undo(desk.newest())
    assert planned == undone.restored_rows + undone.removed_rows + undone.reinserted_rows
    assert planned > 0


def test_a_rollback_leaves_other_sources_alone(desk: Desk) -> None:
    other = Desk(desk.postgres, "export_like")
    day_one_alone(desk)
    desk.change(
        "INSERT INTO aed.aed_data (source, source_id, data_status, first_seen_date, consecutive_missing_days,"
        " row_hash, sync_batch_id, created_at, updated_at) SELECT 'export_like', source_id, data_status,"
        " first_seen_date, consecutive_missing_days, row_hash, sync_batch_id, created_at, updated_at FROM aed.aed_data"
    )
    before = other.digest()
    desk.undo(desk.newest())
    assert other.digest() == before
    assert desk.rows("SELECT count(*) FROM aed.aed_data WHERE source = 'egen'") == [(0,)]


def test_the_digest_sees_every_stored_column(desk: Desk) -> None:
    desk.deliver([item(20)])
    seen = {desk.digest()}
    changes = ["remarks = 'x'", "updated_at = now()", "id = id + 1", "latitude = latitude + 0.00000001"]
    changes += ["consecutive_missing_days = 3", "row_hash = 'x'", "manager = NULL", "region_status = 'x'"]
    for change in changes:
        desk.change(f"UPDATE aed.aed_data SET {change}")
        seen.add(desk.digest())
    assert len(seen) == 1 + len(changes)


def test_a_run_whose_before_images_are_in_the_archive_is_not_rolled_back(desk: Desk) -> None:
    day_one(desk)
    do_all_at_once(desk)
    target, before = desk.newest(), desk.digest()
    with desk.postgres.connect(Role.ARCHIVER, work="test") as connection:
        connection.execute(
            "INSERT INTO mgg.archive_batches (batch_name, table_name, period, start_date, end_date, status, row_count,"
            " parquet_file_path, checksum, digest, verified_at, archived_at) SELECT 'b', 'aed_history', '2026-Q4',"
            " finished_at - interval '1 day', finished_at + interval '1 day', 'committed', 1, 'p', 'c', '0', now(),"
            " now() FROM ops.sync_runs WHERE token = %s",
            [target],
        )
    with pytest.raises(Refused, match="in the archive since 2026-Q4 was released"):
        desk.undo(target)
    assert desk.digest() == before
