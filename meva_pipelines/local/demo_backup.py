"""The demo's night: everything backed up and restored for proof; then a table is dropped, and comes back."""

import json
from datetime import date, datetime

import psycopg

from meva_pipelines.local.telling import Demo, demand, step

_STORED = (
    "SELECT count(*), sum(file_size), sum(compressed_size), bool_and(key_id <> repeat('0', 16)) FROM backup.catalog"
    " WHERE status = 'completed'"
)
_PROOF = (
    "SELECT is_passed, rto_s, rpo_s, (details ->> 'tables')::int FROM backup.proofs WHERE kind = 'drill'"
    " ORDER BY id DESC LIMIT 1"
)
_DIGEST = "SELECT count(*), sum(hashtextextended(d::text, 0)) FROM aed.aed_data AS d"


def tell(demo: Demo, day: date) -> None:
    """Back everything up for a day, prove it, lose the registry and bring back the second before.

    Raises:
        SystemExit: a step did not end as it should.
    """
    with step("the night's backup: server, log, dump and folders; read again and restored for proof") as report:
        demand(demo.job("backup_nightly", day=day), "the backup failed")
        demand(demo.job("backup_proof"), "the backup could not be proved")
        count, size, stored, is_encrypted = demo.ask(_STORED)
        how = "encrypted" if is_encrypted else "not encrypted: MEVA_BACKUP_KEY is not set"
        report(f"{count} backups, {_mb(size)} stored in {_mb(stored)}, {how}")
        is_passed, rto_s, rpo_s, tables = demo.ask(_PROOF)
        demand(bool(is_passed), "the restore was not proven")
        report(f"restored in {float(str(rto_s)):.1f} s, {tables} tables equal; {float(str(rpo_s)):.0f} s would be lost")
    before = demo.ask(_DIGEST)
    with step('a table dropped "by accident": the registry') as report:
        moment = _drop(demo)
        demand(demo.ask("SELECT to_regclass('aed.aed_data') IS NULL") == (True,), "the table is still there")
        report("aed.aed_data is gone")
    with step(f"the second before, {moment:%H:%M:%S} UTC, restored") as report:
        log = json.dumps({"ops": {"take_backup": {"config": {"kinds": ["wal"], "description": "after the accident"}}}})
        demand(demo.job("backup_now", run_config=log), "the log was not fetched")
        wanted = {"at": moment.isoformat(), "into": "tables", "tables": ["aed.aed_data"], "dry_run": False}
        config = json.dumps({"ops": {"bring_database_back": {"config": wanted}}})
        demand(demo.job("restore_database", run_config=config), "the restore failed")
        demand(demo.ask(_DIGEST) == before, "the restored registry is not what it was")
        report(f"{int(str(before[0])):,} devices are back, byte for byte what they were")


def _drop(demo: Demo) -> datetime:
    """Drop the registry and return the moment one second before."""
    with psycopg.connect(demo.prepared.database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_sleep(1.5)")
        ((moment,),) = connection.execute("SELECT clock_timestamp() - interval '1 second'").fetchall()
        connection.execute("DROP TABLE aed.aed_data")
    return moment  # type: ignore[no-any-return]


def _mb(count: object) -> str:
    return f"{int(str(count)) / 1e6:.0f} MB"
