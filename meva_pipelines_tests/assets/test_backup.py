"""The rounds of backups as Dagster runs them: everything in one night, an hour in between, and what checks say."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from meva_pipelines.assets import backup, backup_custody
from meva_pipelines.assets.backup import FULL, WAL
from meva_pipelines.automation import backup_jobs, restore_jobs
from meva_pipelines.checks import backups
from meva_pipelines.domain.days import SEOUL
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.fixtures.backups import Site

DAY = (datetime.now(SEOUL) - timedelta(days=1)).date().isoformat()
HOUR = f"{datetime.now(SEOUL) - timedelta(hours=1):%Y-%m-%d-%H:00}"


def assembled(site: Site) -> dg.Definitions:
    """Everything about backups that is deployed, on the parts of a site."""
    return dg.Definitions(
        assets=dg.load_assets_from_modules([backup, backup_custody]),
        asset_checks=dg.load_asset_checks_from_modules([backups]),
        jobs=[*backup_jobs.JOBS, *restore_jobs.JOBS],
        resources={"postgres": site.postgres, "vault": site.vault},
        executor=dg.in_process_executor,
    )


def run(
    site: Site, instance: dg.DagsterInstance, job: str, *, partition: str | None = None, config: Any = None
) -> dg.ExecuteInProcessResult:
    return (
        assembled(site)
        .resolve_job_def(job)
        .execute_in_process(instance=instance, partition_key=partition, run_config=config, raise_on_error=False)
    )


def shown(result: dg.ExecuteInProcessResult, asset: dg.AssetKey) -> dict[str, Any]:
    (found,) = [event for event in result.get_asset_materialization_events() if event.asset_key == asset]
    return {name: value.value for name, value in found.materialization.metadata.items()}


def verdicts(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {evaluation.check_name: evaluation.passed for evaluation in result.get_asset_check_evaluations()}


def op(name: str, **config: Any) -> dict[str, Any]:
    return {"ops": {name: {"config": config}}}


def messages(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance) -> str:
    return "\n".join(entry.user_message for entry in instance.all_logs(result.run_id))


def test_a_night_takes_copies_reads_and_proves(backed_up: Site, instance: dg.DagsterInstance) -> None:
    (backed_up.files / "curve.csv").write_text("0,1\n", encoding="utf-8")
    taken = run(backed_up, instance, "backup_nightly", partition=DAY)
    assert taken.success
    assert verdicts(taken) == {"server_is_ready": True, "backups_are_encrypted": True, "log_has_no_gap": True}
    full = shown(taken, FULL)
    assert full["backup_types"] == "scheduled, full"
    assert full["compression_ratio_pct"] > 50
    result = run(backed_up, instance, "backup_proof")
    assert result.success
    assert verdicts(result) == {
        "records_can_be_read": True,
        "every_backup_was_read_lately": True,
        "proof_is_fresh": True,
        "enough_chains_are_verified": False,  # after one night there is one chain
    }
    catalog = shown(result, backup_custody.CATALOG)
    assert (catalog["completed"], catalog["copied"], catalog["targets_answering"]) == (4, 4, 2)
    assert shown(result, backup_custody.VERIFICATION)["read_backups"] == 8
    drill = shown(result, backup_custody.DRILL)
    assert drill["is_passed"]
    assert drill["differing_tables"] == 0
    assert drill["rto_s"] > 0
    expiry = shown(result, backup_custody.EXPIRY)
    assert (expiry["dry_run"], expiry["expired"]) == (False, 0)
    report = shown(result, backup_custody.REPORT)
    assert report["backups"] == 4
    assert report["chains"].startswith("![Backups by time, size and duration](data:image/png;base64,")
    assert backed_up.rows("SELECT count(*) FROM backup.copies WHERE verified_at IS NOT NULL") == [(8,)]


def test_a_kind_that_fails_costs_the_night_no_proof(backed_up: Site, instance: dg.DagsterInstance) -> None:
    backed_up.files.rmdir()
    assert not run(backed_up, instance, "backup_nightly", partition=DAY).success
    result = run(backed_up, instance, "backup_proof")
    assert result.success
    assert shown(result, backup_custody.DRILL)["is_passed"]
    assert backed_up.rows("SELECT kind FROM ops.incidents WHERE resolved_at IS NULL") == [("backup_failed",)]


def test_an_hour_adds_an_increment_and_the_log(backed_up: Site, instance: dg.DagsterInstance) -> None:
    backed_up.full()
    result = run(backed_up, instance, "backup_hourly", partition=HOUR)
    assert result.success
    assert shown(result, WAL)["gaps"] == 0
    assert backed_up.rows("SELECT method, extent FROM backup.catalog ORDER BY sequence") == [
        ("physical", "full"),
        ("physical", "incremental"),
        ("wal", "full"),
    ]


def test_files_are_whole_first_and_then_what_changed(backed_up: Site, instance: dg.DagsterInstance) -> None:
    (backed_up.files / "a").write_text("a", encoding="utf-8")
    for extent in ("auto", "incremental"):
        assert run(backed_up, instance, "backup_files_round", config=op("backup__files", extent=extent)).success
    assert backed_up.rows("SELECT extent FROM backup.catalog ORDER BY sequence") == [("full",), ("incremental",)]


def test_a_failure_is_told_and_its_end_too(backed_up: Site, instance: dg.DagsterInstance) -> None:
    backed_up.files.rename(backed_up.folder / "elsewhere")
    assert not run(backed_up, instance, "backup_files_round").success
    assert backed_up.rows("SELECT kind, subject, resolved_at FROM ops.incidents") == [
        ("backup_failed", "backup.files", None)
    ]
    (backed_up.folder / "elsewhere").rename(backed_up.files)
    assert run(backed_up, instance, "backup_files_round").success
    assert backed_up.rows("SELECT kind, severity FROM ops.outbox ORDER BY id") == [
        ("opened", "critical"),
        ("resolved", "info"),
    ]


def test_a_target_that_is_down_stops_nothing_and_is_made_up_for(backed_up: Site, instance: dg.DagsterInstance) -> None:
    backed_up.full()
    archive = backed_up.folder / "archive"
    archive.write_text("a file where the folder of the target should be", encoding="utf-8")
    first = run(backed_up, instance, "backup_hourly", partition=HOUR)
    assert first.success
    assert shown(first, backup_custody.CATALOG)["targets_silent"] == 1
    assert backed_up.rows("SELECT kind FROM ops.incidents WHERE resolved_at IS NULL") == [("backup_target_silent",)]
    archive.unlink()
    second = run(backed_up, instance, "backup_hourly", partition=HOUR)
    assert shown(second, backup_custody.CATALOG)["copied"] == 5
    assert backed_up.rows("SELECT FROM ops.incidents WHERE resolved_at IS NULL") == []


def test_a_target_that_is_not_mounted_is_silent_and_not_empty(backed_up: Site, instance: dg.DagsterInstance) -> None:
    """An empty folder where a disk should be must not look as if every backup had expired, nor be written to."""
    backed_up.full()
    assert run(backed_up, instance, "backup_hourly", partition=HOUR).success
    for name in ("archive", "local"):
        (backed_up.folder / name).rename(backed_up.folder / f"{name}-unmounted")
        (backed_up.folder / name).mkdir()
        result = run(backed_up, instance, "backup_hourly", partition=HOUR)
        assert result.success == (name == "archive")
        assert not list((backed_up.folder / name).iterdir())
        assert backed_up.rows("SELECT FROM backup.copies WHERE status = 'expired'") == []


def test_a_flipped_bit_is_found_told_and_counts_no_more(backed_up: Site, instance: dg.DagsterInstance) -> None:
    full = backed_up.full()
    path = backed_up.stored(full)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    result = run(backed_up, instance, "backup_proof")
    assert not verdicts(result)["every_backup_was_read_lately"]
    assert shown(result, backup_custody.VERIFICATION)["corrupted"] == 1
    assert backed_up.rows("SELECT target, status FROM backup.copies WHERE backup_id = %s ORDER BY target", full.id) == [
        ("local", "corrupted")
    ], "a corrupted copy is copied nowhere"
    assert ("backup_corrupted",) in backed_up.rows("SELECT kind FROM ops.incidents WHERE resolved_at IS NULL")


def test_backup_now_says_why(backed_up: Site, instance: dg.DagsterInstance) -> None:
    config = op("take_backup", kinds=["full", "wal", "logical"], trigger="system_shutdown", description="maintenance")
    assert run(backed_up, instance, "backup_now", config=config).success
    assert backed_up.rows("SELECT DISTINCT trigger, description, backup_types[1] FROM backup.catalog") == [
        ("system_shutdown", "maintenance", "automatic")
    ]
    assert not run(backed_up, instance, "backup_now", config=op("take_backup", kinds=["everything"])).success


def test_a_dropped_table_comes_back_by_one_job(backed_up: Site, instance: dg.DagsterInstance) -> None:
    backed_up.full()
    at = backed_up.now().isoformat()
    backed_up.execute("DROP TABLE public.specimen")
    backed_up.log()
    wanted: dict[str, Any] = {"at": at, "into": "tables", "tables": ["public.specimen"]}
    dry = run(backed_up, instance, "restore_database", config=op("bring_database_back", **wanted))
    assert dry.success
    assert "dry run" in messages(dry, instance)
    with pytest.raises(psycopg.errors.UndefinedTable):
        backed_up.rows("SELECT FROM public.specimen")
    result = run(backed_up, instance, "restore_database", config=op("bring_database_back", dry_run=False, **wanted))
    assert result.success
    assert backed_up.rows("SELECT count(*) FROM public.specimen") == [(2_000,)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"at": "yesterday"},
        {"at": "2026-11-19T14:59:59"},
        {"into": "elsewhere"},
        {"into": "tables"},
        {"backup_id": "MEVA_BACKUP_20261119_000000_00000001_00000000"},
    ],
)
def test_a_restore_that_cannot_be_meant_is_refused(
    backed_up: Site, instance: dg.DagsterInstance, wrong: dict[str, Any]
) -> None:
    assert not run(backed_up, instance, "restore_database", config=op("bring_database_back", **wrong)).success


def test_files_come_back_by_one_job(backed_up: Site, instance: dg.DagsterInstance) -> None:
    (backed_up.files / "시편").mkdir()
    (backed_up.files / "시편" / "a.csv").write_text("1,2\n", encoding="utf-8")
    assert run(backed_up, instance, "backup_files_round").success
    ((name,),) = backed_up.rows("SELECT backup_id FROM backup.catalog")
    into = backed_up.folder / "back"
    wanted: dict[str, Any] = {"backup_id": name, "paths": ["*.csv"], "into": str(into)}
    assert run(backed_up, instance, "restore_files", config=op("bring_files_back", **wanted)).success
    assert not into.exists()
    result = run(backed_up, instance, "restore_files", config=op("bring_files_back", dry_run=False, **wanted))
    assert result.success
    assert (into / "files" / "시편" / "a.csv").read_text(encoding="utf-8") == "1,2\n"


def test_a_person_verifies_holds_and_lets_go(backed_up: Site, instance: dg.DagsterInstance) -> None:
    fulls = [backed_up.full() for _ in range(4)]
    for full in fulls:
        assert run(backed_up, instance, "verify_backup", config=op("read_backup", backup_id=full.id)).success
    hold = op("set_hold", backup_id=fulls[0].id, reason="audit", by="auditor")
    assert run(backed_up, instance, "hold_backup", config=hold).success
    assert backed_up.rows("SELECT hold_reason FROM backup.copies WHERE hold_reason IS NOT NULL") == [("audit",)]
    later = {"daily": 0, "weekly": 0, "monthly": 0, "target": "local"}
    assert run(backed_up, instance, "expire_backups", config=op("expire", **later)).success
    assert len(backed_up.shelf.inventory().backups) == 4
    lift = op("set_hold", backup_id=fulls[0].id, by="auditor")
    assert run(backed_up, instance, "hold_backup", config=lift).success
    assert backed_up.rows("SELECT FROM backup.copies WHERE hold_reason IS NOT NULL") == []


def test_a_dump_comes_back_by_the_same_job(backed_up: Site, instance: dg.DagsterInstance) -> None:
    """A managed server has nothing else: the newest dump is what `latest` means there."""
    assert run(backed_up, instance, "backup_now", config=op("take_backup", kinds=["logical"])).success
    backed_up.execute("DROP TABLE public.specimen")
    tables: dict[str, Any] = {"into": "tables", "tables": ["public.specimen"], "dry_run": False}
    assert run(backed_up, instance, "restore_database", config=op("bring_database_back", **tables)).success
    assert backed_up.rows("SELECT count(*) FROM public.specimen") == [(2_000,)]
    backed_up.execute("UPDATE public.specimen SET mark = 'wrong'")
    ((name,),) = backed_up.rows("SELECT backup_id FROM backup.catalog")
    live = op("bring_database_back", backup_id=name, into="live", dry_run=False)
    assert run(backed_up, instance, "restore_database", config=live).success
    assert backed_up.rows("SELECT count(*) FROM public.specimen WHERE mark = 'wrong'") == [(0,)]
    ((kept,),) = backed_up.rows("SELECT datname FROM pg_database WHERE datname LIKE 'meva\\_%%'")
    backed_up.execute(f'DROP DATABASE "{kept}"')


@pytest.fixture
def managed(backed_up: Site) -> Iterator[Site]:
    """The site as a managed server shows it: a user who may do much, but not replicate."""
    roles = ", ".join(role.value for role in Role)
    backed_up.execute("CREATE ROLE managed LOGIN CREATEDB PASSWORD 'managed'")
    backed_up.execute(f"GRANT {roles}, pg_read_all_data, pg_signal_backend TO managed")
    backed_up.execute("ALTER TABLE public.specimen OWNER TO managed")
    parts = conninfo_to_dict(backed_up.postgres.dsn())
    url = f"postgresql://managed:managed@{parts['host']}:{parts['port']}/{parts['dbname']}"
    yield Site(Postgres(url=url, home=backed_up.postgres.home), backed_up.vault, backed_up.folder)
    backed_up.execute("DROP OWNED BY managed CASCADE")
    backed_up.execute("DROP ROLE managed")


def test_a_managed_server_gets_dumps_and_their_proof(managed: Site, instance: dg.DagsterInstance) -> None:
    (managed.files / "curve.csv").write_text("0,1\n", encoding="utf-8")
    taken = run(managed, instance, "backup_nightly", partition=DAY)
    assert taken.success
    for asset in (FULL, WAL):
        assert "dumps only" in shown(taken, asset)["not_taken"]
    assert "no other" in shown(taken, backup.LOGICAL)["restores"]
    assert not verdicts(taken)["server_is_ready"]
    assert shown(run(managed, instance, "backup_proof"), backup_custody.DRILL)["is_passed"]
    assert managed.rows("SELECT method FROM backup.catalog ORDER BY 1") == [("files",), ("logical",)]
    assert managed.rows("SELECT FROM ops.incidents") == []
    emergency = op("take_backup", kinds=["full", "wal"], trigger="data_corruption", description="of a table")
    assert run(managed, instance, "backup_now", config=emergency).success
    assert managed.rows("SELECT method, backup_types[1] FROM backup.catalog ORDER BY sequence DESC LIMIT 1") == [
        ("logical", "emergency")
    ]
