"""Backups of a real server, and the way back to every moment of them."""

import re
import shutil
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from meva_pipelines.assets.backup import log_gaps
from meva_pipelines.domain.backup.vocabulary import Extent, Trigger
from meva_pipelines.domain.failures import Refused, Unavailable, Unusable
from meva_pipelines.quality import restored_copies
from meva_pipelines.resources import (
    backup_drill,
    backup_fingerprints,
    backup_logical,
    backup_physical,
    backup_restoring,
    backup_return,
    backup_server,
    backup_wal,
)
from meva_pipelines.resources.backup_restoring import Goal
from meva_pipelines.resources.backup_taking import Request
from meva_pipelines.resources.embedded_postgres import EmbeddedPostgres, Settings
from meva_pipelines.resources.failpoints import Injected, Point
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema import migrate
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.fixtures import backups
from meva_pipelines_tests.fixtures.backups import OTHER_KEY, REQUEST, History, Site


@contextmanager
def copy_at(site: Site, goal: Goal) -> Iterator[psycopg.Connection]:
    """Lend a connection to a copy restored to a goal."""
    with (
        backup_restoring.restored(site.vault, site.shelf, goal) as restored,
        psycopg.connect(restored.scratch.dsn(user="meva", database="meva"), autocommit=True) as connection,
    ):
        yield connection


def state(connection: psycopg.Connection) -> tuple[int, int, int]:
    """Rows of the table, rows that were changed, and the lowest number."""
    row = connection.execute(
        "SELECT count(*), count(*) FILTER (WHERE mark = 'changed'), min(n) FROM public.specimen"
    ).fetchone()
    assert row is not None
    return row


def test_the_moment_before_the_accident_comes_back(history: History) -> None:
    with copy_at(history.site, Goal(at=history.before_accident)) as copy:
        assert state(copy) == (1_001, 100, 0)


def test_the_latest_state_comes_back(history: History) -> None:
    with copy_at(history.site, Goal()) as copy:
        assert copy.execute("SELECT to_regclass('public.specimen')").fetchone() == (None,)


@pytest.mark.parametrize(
    ("which", "expected"), [("full", (2_000, 0, 1)), ("first", (2_000, 100, 1)), ("second", (2_001, 100, 0))]
)
def test_each_backup_comes_back_to_its_own_end(history: History, which: str, expected: tuple[int, int, int]) -> None:
    with copy_at(history.site, Goal(backup_id=getattr(history, which).id)) as copy:
        assert state(copy) == expected


def test_a_restore_point_is_the_state_of_its_fingerprints(history: History) -> None:
    expected = backup_logical.fingerprints(history.site.shelf, history.first)
    assert expected.is_exact
    with copy_at(history.site, Goal(restore_point=history.first.id)) as copy:
        assert backup_fingerprints.differences(expected, backup_fingerprints.taken(copy)) == []
        copy.execute("UPDATE public.specimen SET mark = 'x' WHERE n = 5")
        copy.execute("DELETE FROM ops.alembic_version")
        assert backup_fingerprints.differences(expected, backup_fingerprints.taken(copy)) == [
            "ops.alembic_version has 0 rows instead of 1",
            "public.specimen has other content",
        ]


def test_an_increment_holds_the_changed_blocks_only(history: History) -> None:
    assert history.first.extent is Extent.INCREMENTAL
    assert history.first.compressed_size < history.full.compressed_size / 2
    assert history.second.parent_id == history.first.id
    assert history.second.parent_digest == history.first.digest


def test_a_moment_after_the_log_is_refused_with_how_far_it_reaches(history: History) -> None:
    with pytest.raises(Refused, match="take `latest`"):
        backup_restoring.plan(history.site.shelf, Goal(at=history.log.covers_until + timedelta(hours=1)))
    with pytest.raises(Refused, match="oldest usable moment"):
        backup_restoring.plan(history.site.shelf, Goal(at=history.full.created_at - timedelta(days=1)))


def test_a_whole_server_is_laid_into_a_folder_without_asking_a_database(history: History, tmp_path: Path) -> None:
    """The day on which there is no database: targets and key are enough."""
    folder = tmp_path / "server"
    goal = Goal(at=history.before_accident)
    route = backup_restoring.into_folder(history.site.shelf, goal, folder)
    assert route.bases == (history.full, history.first, history.second)
    settings = (folder / "data" / "postgresql.auto.conf").read_text(encoding="utf-8")
    assert f"recovery_target_time = '{history.before_accident.astimezone(UTC).isoformat(sep=' ')}'" in settings
    assert 'restore_command = \'cp "../wal/%f" "%p"\'' in settings
    assert (folder / "data" / "recovery.signal").exists()
    assert {path.name for path in (folder / "wal").iterdir()} == {part.name for part in history.log.parts}
    with pytest.raises(Refused, match="new folder"):
        backup_restoring.into_folder(history.site.shelf, goal, folder)


def test_a_restore_leaves_nothing_behind(history: History) -> None:
    with copy_at(history.site, Goal(backup_id=history.full.id)):
        pass
    assert not list(history.site.vault.folder("restore").iterdir())


def test_backups_are_for_their_owner_only(history: History) -> None:
    root = history.site.folder / "local"
    for path in root.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_the_wrong_key_restores_nothing(history: History) -> None:
    vault = history.site.keyed(OTHER_KEY)
    with pytest.raises(Unusable, match="not at hand"), backup_restoring.restored(vault, vault.shelf("local"), Goal()):
        pytest.fail("a copy was opened without its key")


def test_the_catalogue_tells_what_was_taken(history: History) -> None:
    rows = history.site.rows(
        "SELECT method, extent, backup_types, status, file_size > compressed_size, compression_ratio > 50, parent_id,"
        " checksum FROM backup.catalog ORDER BY sequence"
    )
    assert [row[:2] for row in rows] == [
        ("physical", "full"),
        ("physical", "incremental"),
        ("wal", "full"),
        ("physical", "incremental"),
        ("wal", "full"),
    ]
    assert all(row[3:6] == ("completed", True, True) for row in rows)
    assert rows[0][2] == ["manual", "full"]
    assert rows[1][6] == history.full.id
    assert rows[1][7] == history.first.digest


def test_a_table_is_brought_back_into_the_live_database(backed_up: Site) -> None:
    backed_up.full()
    at = backed_up.now()
    backed_up.execute("DROP TABLE public.specimen")
    backed_up.log()
    live = backed_up.postgres.dsn()
    with backup_restoring.restored(backed_up.vault, backed_up.shelf, Goal(at=at)) as copy:
        dsn = copy.scratch.dsn(user="meva", database="meva")
        backup_return.tables(dsn, live, ["public.specimen"], programs=copy.programs)
        with pytest.raises(Refused, match="exists"):
            backup_return.tables(dsn, live, ["public.specimen"], programs=copy.programs)
    assert backed_up.rows("SELECT count(*), sum(n) FROM public.specimen") == [(2_000, 2_001_000)]


def test_a_database_takes_the_place_of_the_live_one_when_told(backed_up: Site) -> None:
    backed_up.full()
    at = backed_up.now()
    backed_up.execute("UPDATE public.specimen SET mark = 'wrong'")
    backed_up.log()
    live = backed_up.postgres.dsn()
    with backup_restoring.restored(backed_up.vault, backed_up.shelf, Goal(at=at)) as copy:
        dsn = copy.scratch.dsn(user="meva", database="meva")
        name = backup_return.beside(dsn, live, at=at, programs=copy.programs)
        assert backed_up.rows("SELECT DISTINCT mark FROM public.specimen") == [("wrong",)]
        with pytest.raises(Refused, match="exists"):
            backup_return.beside(dsn, live, at=at, programs=copy.programs)
        with psycopg.connect(live) as busy:
            returned = backup_return.instead(dsn, live, programs=copy.programs)
            with pytest.raises(psycopg.OperationalError):
                busy.execute("SELECT 1")
    assert backed_up.rows("SELECT count(DISTINCT mark) FROM public.specimen") == [(2_000,)]
    names = "SELECT datname FROM pg_database WHERE datname LIKE 'meva\\_%%' ORDER BY 1"
    assert backed_up.rows(names) == [(returned.kept_as,), (name,)]
    for made in (returned.kept_as, name):
        backed_up.execute(f'DROP DATABASE "{made}" WITH (FORCE)')


def test_a_dump_is_proved_in_a_database_of_its_own(backed_up: Site) -> None:
    dump = backup_logical.take(backed_up.postgres, backed_up.vault, REQUEST)
    drill = backup_drill.run(backed_up.postgres, backed_up.vault, backed_up.shelf, dump, judge=restored_copies.breaches)
    assert drill.is_passed
    assert drill.tables > 10
    assert not backed_up.rows("SELECT FROM pg_database WHERE starts_with(datname, %s)", backup_return.UNFINISHED)


def test_what_a_killed_restore_left_on_the_live_server_is_dropped_by_the_next(backed_up: Site) -> None:
    dump = backup_logical.take(backed_up.postgres, backed_up.vault, REQUEST)
    live = backed_up.postgres.dsn()
    backed_up.execute(f"CREATE DATABASE {backup_return.UNFINISHED}dead")
    names = "SELECT count(*) FROM pg_database WHERE starts_with(datname, %s)"
    with backup_logical.restored(live, backed_up.shelf, dump), backup_logical.restored(live, backed_up.shelf, dump):
        assert backed_up.rows(names, backup_return.UNFINISHED) == [(2,)], "the one under way is not dropped"
    assert backed_up.rows(names, backup_return.UNFINISHED) == [(0,)]


def test_a_drill_restores_compares_and_writes_evidence(backed_up: Site) -> None:
    full = backed_up.full()
    backed_up.log()
    drill = backup_drill.run(backed_up.postgres, backed_up.vault, backed_up.shelf, full, judge=restored_copies.breaches)
    assert drill.is_passed, drill
    assert drill.is_comparable
    assert drill.differences == ()
    assert drill.rto_s > 0
    assert drill.rpo_s >= 0
    assert backed_up.rows("SELECT kind, is_passed FROM backup.proofs") == [("drill", True)]
    assert backed_up.rows("SELECT proven_at IS NOT NULL FROM backup.copies WHERE backup_id = %s", full.id) == [(True,)]


def test_fingerprints_are_those_of_the_restore_point_while_others_write(backed_up: Site) -> None:
    """Points used to be marked until one fell into a quiet moment, and recovery stopped at the first of them."""
    stop = threading.Event()

    def write(first: int) -> int:
        written = 0
        with psycopg.connect(backed_up.postgres.dsn(), autocommit=True) as connection:
            while not stop.is_set():
                connection.execute("INSERT INTO public.specimen VALUES (%s, 'meanwhile')", [first + written])
                written += 1
        return written

    with ThreadPoolExecutor(3) as pool:
        writing = [pool.submit(write, number * 1_000_000) for number in (1, 2, 3)]
        try:
            backup = backed_up.full()
        finally:
            stop.set()
        assert all(writer.result() for writer in writing)
    backed_up.log()
    drill = backup_drill.run(
        backed_up.postgres, backed_up.vault, backed_up.shelf, backup, judge=restored_copies.breaches
    )
    assert (drill.is_comparable, drill.differences) == (True, ())


def test_who_writes_for_long_is_not_waited_for(backed_up: Site) -> None:
    with (
        psycopg.connect(backed_up.postgres.dsn()) as writer,
        backup_server.session(backed_up.postgres.dsn(), work="test") as connection,
    ):
        writer.execute("INSERT INTO public.specimen VALUES (0, 'not committed')")
        prints = backup_fingerprints.at_restore_point(connection, name="busy")
        assert (prints.is_exact, prints.tables["public.specimen"].rows) == (False, 2_000)
        writer.execute("INSERT INTO public.specimen VALUES (0, 'goes on')")
    assert backed_up.rows("SELECT count(*) FROM public.specimen") == [(2_002,)]


def test_a_drill_that_finds_a_broken_invariant_does_not_pass(backed_up: Site) -> None:
    backed_up.execute("DELETE FROM ops.alembic_version")
    full = backed_up.full()
    drill = backup_drill.run(backed_up.postgres, backed_up.vault, backed_up.shelf, full, judge=restored_copies.breaches)
    assert not drill.is_passed
    assert drill.breaches["schema_has_one_revision"] == 1
    assert backed_up.rows("SELECT proven_at FROM backup.copies") == [(None,)]


def test_nothing_is_lost_when_a_fetch_of_the_log_was_not_stored(backed_up: Site) -> None:
    """The server forgets what was received; the spool keeps it until a record says that it is stored."""
    backed_up.full()
    backed_up.execute("INSERT INTO public.specimen VALUES (-1, 'in the lost round')")
    (backed_up.folder / "local" / "backups").chmod(0o700)
    nowhere = backed_up.vault.model_copy(update={"url": "local=file:///proc/nowhere"})
    with pytest.raises(Unavailable):
        backup_wal.take(backed_up.postgres, nowhere, REQUEST)
    backed_up.log()
    backed_up.execute("INSERT INTO public.specimen VALUES (-2, 'in the next round')")
    backed_up.log()
    assert backup_wal.spool_bytes(backed_up.vault) <= 16 << 20, "only the segment under way"
    with copy_at(backed_up, Goal()) as copy:
        assert copy.execute("SELECT count(*) FROM public.specimen WHERE n < 0").fetchone() == (2,)


def test_without_a_full_backup_there_is_neither_log_nor_increment(backed_up: Site) -> None:
    with pytest.raises(Refused, match="full backup first"):
        backed_up.log()
    with pytest.raises(Refused, match="full one first"):
        backed_up.increment()


def test_two_backups_at_once_are_one_after_the_other(backed_up: Site) -> None:
    with (
        backup_server.session(backed_up.postgres.dsn(), work="test") as other,
        backup_server.exclusively(other, patience_s=0),
        pytest.raises(Unavailable, match="another backup"),
    ):
        backed_up.full()
    assert backed_up.rows("SELECT FROM backup.catalog") == []
    assert backed_up.full().sequence == 1


def test_what_made_somebody_ask_is_written_down(backed_up: Site) -> None:
    request = Request(trigger=Trigger.DATA_CORRUPTION, description="system_error_detected", tags=("night",))
    taken = backup_physical.take_full(backed_up.postgres, backed_up.vault, request)
    assert taken.types == ("emergency", "full")
    assert backed_up.rows("SELECT trigger, description, tags FROM backup.catalog") == [
        ("data_corruption", "system_error_detected", ["night"])
    ]


def test_no_password_and_no_key_is_in_any_file_or_row(backed_up: Site) -> None:
    backed_up.full()
    password = backed_up.postgres.dsn().split(":")[2].split("@")[0]
    for path in (backed_up.folder / "local").rglob("backup.json"):
        text = path.read_text(encoding="utf-8")
        assert password not in text
        assert backed_up.vault.key not in text
    (row,) = backed_up.rows("SELECT c::text FROM backup.catalog AS c")
    assert password not in row[0]


def test_a_slot_that_was_lost_is_made_anew_and_the_log_goes_on(backed_up: Site) -> None:
    """The segment under way in the spool belongs to a log that the server has let go of: it must not be asked for."""
    backed_up.full()
    backed_up.log()
    backed_up.execute("SELECT pg_drop_replication_slot('meva_backup')")
    with pytest.raises(Refused, match="full backup"):
        backed_up.log()
    for _ in range(3):
        backed_up.execute("SELECT pg_switch_wal(), pg_logical_emit_message(false, 'test', 'test')")
    backed_up.execute("CHECKPOINT")
    backed_up.execute("CHECKPOINT")
    full = backed_up.full()
    backed_up.execute("INSERT INTO public.specimen VALUES (-1, 'after the gap')")
    backed_up.log()
    assert backup_restoring.plan(backed_up.shelf, Goal()).bases == (full,)
    assert len(log_gaps(backed_up.vault)) == 1
    with copy_at(backed_up, Goal()) as copy:
        assert copy.execute("SELECT count(*) FROM public.specimen WHERE n < 0").fetchone() == (1,)


def test_a_log_that_was_stored_stays_stored_whatever_fails_afterwards(
    backed_up: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Segments leave the spool one by one once the record is written: taking the record back would lose them."""
    backed_up.full()
    monkeypatch.setenv("MEVA_FAILPOINTS", f"{Point.BACKUP_AFTER_RECORD.value}:raise")
    with pytest.raises(Injected):
        backed_up.log()
    monkeypatch.delenv("MEVA_FAILPOINTS")
    assert backed_up.rows("SELECT method, status FROM backup.catalog ORDER BY sequence") == [
        ("physical", "completed"),
        ("wal", "completed"),
    ]
    backed_up.log()
    assert log_gaps(backed_up.vault) == ()


def test_the_log_carries_on_over_a_promotion(tmp_path: Path) -> None:
    """A server that was promoted writes on a new timeline: bases of the old one reach its moments all the same."""
    embedded = EmbeddedPostgres(home=tmp_path / "server", settings=Settings(databases=("backup_template",)))
    server = embedded.ensure_running()
    try:
        migrate.upgrade(server.url("backup_template"))
        made = backups.site(server.url("postgres"), tmp_path / "site")
        full = made.full()
        made.execute("INSERT INTO public.specimen VALUES (-1, 'on the first timeline')")
        made.log()
        _promote(embedded, made)
        made.execute("INSERT INTO public.specimen VALUES (-2, 'on the second')")
        log, child = made.log(), made.increment()
        assert log.server is not None
        assert child.server is not None
        assert (log.server.timeline, child.server.timeline) == (2, 2)
        made.execute("INSERT INTO public.specimen VALUES (-3, 'after the increment')")
        at = made.now()
        made.execute("DELETE FROM public.specimen")
        made.log()
        assert log_gaps(made.vault) == ()
        for goal, bases in ((Goal(at=at), (full, child)), (Goal(at=at, without=(child.id,)), (full,))):
            assert backup_restoring.plan(made.shelf, goal).bases == bases
            with copy_at(made, goal) as copy:
                assert copy.execute("SELECT array_agg(n ORDER BY n) FROM public.specimen WHERE n < 0").fetchone() == (
                    [-3, -2, -1],
                )
    finally:
        embedded.stop()


def _promote(embedded: EmbeddedPostgres, site: Site) -> None:
    """Let the server come up as a standby and promote it: what a failover leaves behind."""
    ((data,),) = site.rows("SELECT current_setting('data_directory')")
    port = site.rows("SHOW port")[0][0]
    embedded.stop()
    (Path(data) / "standby.signal").touch()
    shutil.chown(Path(data) / "standby.signal", user=Path(data).stat().st_uid)
    embedded.ensure_running()
    assert site.rows("SHOW port")[0][0] == port
    assert site.rows("SELECT pg_promote()") == [(True,)]
    assert site.rows("SELECT pg_is_in_recovery()") == [(False,)]


def test_more_tables_than_can_be_locked_are_refused_with_what_makes_room(tmp_path: Path) -> None:
    """PostgreSQL said "out of shared memory" after the whole base had been streamed."""
    tight = {"max_locks_per_transaction": "10", "max_connections": "10", "max_wal_senders": "2", "fsync": "off"}
    embedded = EmbeddedPostgres(home=tmp_path / "server", settings=Settings(databases=("meva",), server=tight))
    server = embedded.ensure_running()
    try:
        made = backups.located(server.url("meva"), tmp_path / "site")
        made.execute(
            "DO $$ BEGIN FOR n IN 1..1500 LOOP EXECUTE format('CREATE TABLE t%%s ()', n); COMMIT; END LOOP; END $$"
        )
        with (
            backup_server.session(server.url("meva"), work="test") as connection,
            pytest.raises(psycopg.errors.OutOfMemory),
        ):
            backup_fingerprints.at_restore_point(connection, name="without asking")
        with pytest.raises(Refused, match="locks 1,500 tables at once; max_locks_per_transaction is 10") as refused:
            made.full()
        command = re.search("ALTER SYSTEM SET max_locks_per_transaction = [0-9]+", str(refused.value))
        assert command
        made.execute(command[0])
        embedded.stop()
        embedded.ensure_running()
        with backup_server.session(server.url("meva"), work="test") as connection:
            backup_server.demand_physical(backup_server.facts(connection, tools=18))
            assert backup_fingerprints.at_restore_point(connection, name="with room").is_exact
    finally:
        embedded.stop()


def test_fingerprints_hold_no_table_longer_than_they_read_it(backed_up: Site) -> None:
    """Locks on thousands of tables and their indexes, held to the end, took the room that others need."""
    held = "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND relation >= 16384"
    backed_up.execute("CREATE TABLE public.hashless (content json)")
    with psycopg.connect(backed_up.postgres.dsn()) as connection:
        assert backup_fingerprints.in_transaction(connection).tables["public.specimen"].rows == 2_000
        assert connection.execute(held).fetchone() == (0,)


def test_a_way_around_a_bad_base_is_told_to_be_taken(backed_up: Site) -> None:
    backed_up.full()
    bad = backed_up.full()
    backed_up.log()
    path = backed_up.stored(bad)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Unusable) as said, copy_at(backed_up, Goal()):
        pytest.fail("a bad base was restored")
    assert str(said.value).startswith(f"target local: part base.tar of backup {bad.id} cannot be used: ")
    assert str(said.value).endswith("restore from another target, or `without` this backup")
    with copy_at(backed_up, Goal(without=(bad.id,))) as copy:
        assert state(copy) == (2_000, 0, 1)


def test_a_target_with_backups_of_several_servers_is_asked_for_one(history: History) -> None:
    stranger = replace(history.full, id=history.full.id.replace("_00000001_", "_00000099_"), sequence=99, subject="7")
    shelf = Site(history.site.postgres, history.site.vault, history.site.folder).shelf
    shelf.finish(stranger)
    try:
        with pytest.raises(Refused, match="say which: 7, "):
            backup_restoring.plan(shelf, Goal())
        assert backup_restoring.plan(shelf, Goal(), system_id=history.full.subject).bases[0] == history.full
    finally:
        shelf.remove(stranger.id)


def test_a_folder_that_could_not_be_filled_is_not_there(backed_up: Site) -> None:
    full = backed_up.full()
    path = backed_up.stored(full)
    path.write_bytes(path.read_bytes()[:-1])
    folder = backed_up.folder / "server"
    with pytest.raises(Unusable):
        backup_restoring.into_folder(backed_up.shelf, Goal(), folder)
    assert not list(backed_up.folder.glob("*server*"))


def test_no_disk_is_filled_by_a_restore(backed_up: Site) -> None:
    """The copy may lie on the disk of the live server: what has no room is not begun."""
    full = backed_up.full()
    huge = replace(full.part("base.tar"), data_bytes=1 << 50)
    record = replace(full, parts=tuple(huge if part.name == huge.name else part for part in full.parts))
    backed_up.shelf.finish(record)
    with pytest.raises(Unavailable, match="no room"), copy_at(backed_up, Goal()):
        pytest.fail("a disk was filled")


def test_a_column_of_any_name_leaves_the_whole_row_in_the_fingerprint(backed_up: Site) -> None:
    """`t` would otherwise be the column, and `json` has no hash of its own."""
    backed_up.execute("CREATE TABLE public.odd (t json, other int)")
    backed_up.execute("INSERT INTO public.odd VALUES ('1', 1)")
    with psycopg.connect(backed_up.postgres.dsn(), autocommit=True) as connection:
        before = backup_fingerprints.taken(connection)
        connection.execute("UPDATE public.odd SET other = 2")
        assert backup_fingerprints.differences(before, backup_fingerprints.taken(connection)) == [
            "public.odd has other content"
        ]


def test_a_copy_from_before_a_migration_can_be_asked(backed_up: Site) -> None:
    with psycopg.connect(backed_up.postgres.dsn(), autocommit=True) as connection:
        connection.execute("DROP TABLE ops.outbox CASCADE")
        found = restored_copies.breaches(connection)
    assert found["messages_have_incidents"] == -1
    assert found["schema_has_one_revision"] == 0


def test_a_drill_whose_questions_fail_is_written_down_as_well(backed_up: Site) -> None:
    def judge(copy: psycopg.Connection) -> dict[str, int]:
        copy.execute("SELECT 1 / 0")
        return {}

    full = backed_up.full()
    with pytest.raises(psycopg.errors.DivisionByZero):
        backup_drill.run(backed_up.postgres, backed_up.vault, backed_up.shelf, full, judge=judge)
    assert backed_up.rows("SELECT is_passed, details ->> 'error' FROM backup.proofs") == [(False, "DivisionByZero")]


@pytest.fixture
def keeper(backed_up: Site) -> Iterator[Site]:
    """The site as a user finds it who is no superuser: member of the roles, and allowed to replicate."""
    roles = ", ".join(role.value for role in Role)
    backed_up.execute("CREATE ROLE keeper LOGIN REPLICATION PASSWORD 'keeper'")
    backed_up.execute(f"GRANT {roles} TO keeper")
    parts = conninfo_to_dict(backed_up.postgres.dsn())
    url = f"postgresql://keeper:keeper@{parts['host']}:{parts['port']}/{parts['dbname']}"
    yield Site(Postgres(url=url, home=backed_up.postgres.home), backed_up.vault, backed_up.folder)
    backed_up.execute("DROP OWNED BY keeper CASCADE")
    backed_up.execute("DROP ROLE keeper")


def test_a_user_with_a_few_rights_backs_up_and_proves(backed_up: Site, keeper: Site) -> None:
    with pytest.raises(Refused) as refused:
        keeper.full()
    assert "1 tables that the user may not read; GRANT pg_read_all_data" in str(refused.value)
    grant = re.search(r"GRANT EXECUTE ON FUNCTION .*? TO", str(refused.value))
    assert grant
    backed_up.execute(f"{grant[0]} keeper")
    backed_up.execute("GRANT pg_read_all_data TO keeper")
    backed_up.execute("ALTER TABLE public.specimen OWNER TO meva_owner")
    full = keeper.full()
    keeper.log()
    drill = backup_drill.run(keeper.postgres, keeper.vault, keeper.shelf, full, judge=restored_copies.breaches)
    assert (drill.is_passed, drill.is_comparable) == (True, True), drill
