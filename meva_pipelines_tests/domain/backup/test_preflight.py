"""What is said of a server before anything is taken of it."""

from dataclasses import replace

from meva_pipelines.domain.backup import preflight
from meva_pipelines.domain.backup.preflight import ServerFacts
from meva_pipelines.domain.backup.vocabulary import Extent

READY = ServerFacts(
    version=180006,
    tools=18,
    may_replicate=True,
    withheld_functions=(),
    unreadable_tables=0,
    tables=100,
    max_locks=64,
    lockers=100,
    wal_level="replica",
    summarizes_wal=True,
    max_wal_senders=10,
    free_slots=10,
    tablespaces=0,
    data_bytes=1_000_000_000,
)


def missing(facts: ServerFacts) -> dict[str, str]:
    return {finding.name: finding.said for finding in preflight.server(facts) if not finding.is_met}


def test_a_ready_server_is_ready() -> None:
    assert missing(READY) == {}
    assert preflight.can_be_physical(READY)
    assert preflight.can_be_incremental(READY)


def test_what_is_missing_comes_with_the_command() -> None:
    assert "ALTER SYSTEM SET wal_level = 'replica'" in missing(replace(READY, wal_level="minimal"))["wal_level"]
    said = missing(replace(READY, summarizes_wal=False))
    assert "ALTER SYSTEM SET summarize_wal = on; SELECT pg_reload_conf();" in said["summarize_wal"]
    assert "ALTER ROLE" in missing(replace(READY, may_replicate=False))["replication_right"]
    said = missing(replace(READY, withheld_functions=("a()", "b(text)"), unreadable_tables=3))
    assert said["functions"].endswith("GRANT EXECUTE ON FUNCTION a(), b(text) TO <user>")
    assert said["reading_right"].startswith("3 tables")


def test_room_for_locks_is_asked_for_in_twice_the_tables() -> None:
    assert missing(replace(READY, tables=6_400)) == {}
    assert missing(replace(READY, tables=6_401)) == {
        "locks": "a backup locks 6,401 tables at once; max_locks_per_transaction is 64, room for 6,400; "
        "it is set with: ALTER SYSTEM SET max_locks_per_transaction = 129; and a restart"
    }


def test_an_older_server_gets_full_backups_and_the_log() -> None:
    debian = replace(READY, version=150014, summarizes_wal=False)
    assert preflight.can_be_physical(debian)
    assert not preflight.can_be_incremental(debian)


def test_a_managed_server_gets_dumps_only() -> None:
    assert not preflight.can_be_physical(replace(READY, may_replicate=False))


def test_a_server_that_never_gave_a_physical_backup_is_told_from_one_that_gives_none_any_more() -> None:
    managed = replace(READY, may_replicate=False)
    assert "dumps only" in preflight.never(managed, Extent.FULL, had_slot=False)
    assert preflight.never(managed, Extent.FULL, had_slot=True) == "", "a right that was lost is a fault"
    older = replace(READY, version=160004)
    assert preflight.never(older, Extent.FULL, had_slot=True) == ""
    assert "version 16" in preflight.never(older, Extent.INCREMENTAL, had_slot=True)
    assert preflight.never(READY, Extent.INCREMENTAL, had_slot=False) == ""


def test_room_is_asked_for_with_numbers() -> None:
    found = preflight.space(data_bytes=10_000_000_000, free_bytes=19_000_000_000)
    assert not found.is_met
    assert found.said == "19.0 GB free, 20.0 GB wanted (2 × 10.0 GB of data)"
    found = preflight.space(data_bytes=60_000_000, free_bytes=4_200_000)
    assert found.said == "4.2 MB free, 120.0 MB wanted (2 × 60.0 MB of data)"
    assert preflight.space(data_bytes=10, free_bytes=20).is_met
    assert preflight.space(data_bytes=10**15, free_bytes=None).is_met
