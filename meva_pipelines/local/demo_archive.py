"""The demo's years: old curves and logs leave the database quarter by quarter, are asked for cold, and come back."""

import json
from datetime import date, datetime
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import psycopg

from meva_pipelines.domain.archive.declared import TABLES, Archived
from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.domain.days import SEOUL
from meva_pipelines.local.demo_firings import drop
from meva_pipelines.local.telling import Demo, demand, step
from meva_pipelines.sandbox import firing_files
from meva_pipelines.sandbox.firings import Season

_POINTS, _ORDERS, _SPACING_DAYS = 20_000, 24, 15
_LOGS = 3_000
_SIMULATED, _MEASURED = TABLES["simulation_time_series"], TABLES["test_time_series"]
_LOGGED = TABLES["operation_logs"]


def tell(demo: Demo, *, millions: int) -> None:
    """Let a year of history arrive, age, be asked for and come back; about `millions` of simulated points.

    Raises:
        SystemExit: a step did not end as it should.
    """
    year = datetime.now(SEOUL).year - 2
    quarters = [f"{year}-Q{number}" for number in range(1, 5)]
    _history(demo, year, millions)
    _backfill(demo, quarters)
    _ask(demo, quarters[0])
    _return(demo, quarters[1])


def _history(demo: Demo, year: int, millions: int) -> None:
    season = Season(
        orders=_ORDERS,
        repeats=1,
        first_day=date(year, 1, 9),
        spacing_days=_SPACING_DAYS,
        simulated_points=_POINTS * millions,
    )
    today, landing = datetime.now(SEOUL).date(), demo.prepared.home / "landing"
    with step(f"the year {year}: {_ORDERS} work orders, simulated and fired, and what an application logged") as say:
        models = (file for file in firing_files.simulation_files(season) if not file[0].startswith("model-"))
        drop(models, landing / "simulations")
        demand(demo.job("simulation_intake", day=today), "the intake of old simulations failed")
        drop(firing_files.firing_files(season), landing / "firings")
        demand(demo.job("firing_intake", day=today), "the intake of old firings failed")
        with psycopg.connect(demo.prepared.database_url) as connection:
            connection.execute("SET ROLE meva_writer")
            connection.execute("SELECT mgg.ensure_partition('operation_logs', %s)", [date(year, 3, 1)])
            connection.execute(_LOG, {"month": date(year, 3, 1), "logs": _LOGS})
        simulated, measured, logs = (_hot(demo, table) for table in (_SIMULATED, _MEASURED, _LOGGED))
        say(f"{simulated:,} simulated and {measured:,} measured points, {logs:,} logs, each chained to the one before")


def _backfill(demo: Demo, quarters: list[str]) -> None:
    with step(f"what is old enough leaves the database: a backfill over {quarters[0]} to {quarters[-1]}") as say:
        demand(demo.job("archive_nightly"), "the plan failed")
        rows, size = demo.ask(_WEIGHT)
        is_dead = not demo.job(
            "archive_simulation_time_series", partitions=quarters, failpoints="archive.rows_gone:kill@2"
        )
        gone, left = demo.ask(_STATES)
        demand(is_dead and (gone, left) == (1, 1), "the process did not die in the middle of the second quarter")
        say("the process was killed while it deleted the second quarter: its rows are all there, hot")
        demand(demo.job("archive_simulation_time_series", partitions=quarters), "the second try failed")
        demand(demo.job("archive_test_time_series", partitions=quarters[:1]), "the firings did not leave")
        demand(demo.job("archive_operation_logs", partitions=[f"{quarters[0][:4]}-03"]), "the logs did not leave")
        count, cold_rows, cold_size = demo.ask(_COLD)
        say(f"{cold_rows:,} of {rows:,} rows ({_mb(size)} with their indexes) lie in {count} files of {_mb(cold_size)}")
        say(f"{demo.ask(_PROOFS)[0]} releases in the deletion ledger, each with digest, SHA-256 and verdict")


def _ask(demo: Demo, quarter: str) -> None:
    import duckdb  # noqa: PLC0415 - heavy: only for those who ask
    import pandas as pd  # noqa: PLC0415

    with step(f"{quarter} asked as anybody would, from its file alone") as say:
        file = str(_store(demo) / _SIMULATED.file_key(Period.named(quarter), 1))
        found = duckdb.execute(
            "SELECT simulation_id, max(pressure) FROM read_parquet(?) GROUP BY 1 ORDER BY 1 LIMIT 1", [file]
        ).fetchone()
        demand(found is not None, "DuckDB found no row")
        number, peak = found or (0, 0)
        say(f"DuckDB: simulation {number} peaks at {peak} MPa")
        frame = pd.read_parquet(file, filters=[("simulation_id", "==", number)])
        with psycopg.connect(demo.prepared.database_url) as connection:
            published = connection.execute(_PUBLISHED, [number]).fetchone()
        demand(published is not None and published[0] == round(frame["pressure"].max(), 4), "the peak is another one")
        say(f"pandas: {len(frame):,} points, and the peak that was published")


def _return(demo: Demo, quarter: str) -> None:
    with step(f"{quarter} brought back, and held for a month") as say:
        wish = {"table": _SIMULATED.name, "period": quarter, "held_by": "demo", "dry_run": False}
        config = json.dumps({"ops": {"bring_rows_back": {"config": wish}}})
        demand(demo.job("archive_restore", run_config=config), "the quarter did not come back")
        rows, is_proved = demo.ask(_RETURNED)
        demand(bool(is_proved), "what came back is not what left")
        say(f"{rows:,} rows are hot again, with the digest with which they left; tonight leaves them alone")
        demand(demo.job("archive_nightly"), "the report failed")


def _hot(demo: Demo, table: Archived) -> int:
    return int(demo.ask(f"SELECT count(*) FROM {table.schema}.{table.name}")[0])  # noqa: S608 - declared names


def _store(demo: Demo) -> Path:
    url = demo.prepared.variables.get("MEVA_STORE_URL") or (demo.prepared.home / "store").as_uri()
    return Path(url2pathname(urlsplit(url).path))


def _mb(count: object) -> str:
    return f"{int(str(count)) / 1e6:.1f} MB"


_LOG = """
INSERT INTO mgg.operation_logs (log_type, action, created_at)
SELECT 'navigation', 'page ' || n %% 40, %(month)s::timestamptz + n * interval '10 minutes'
  FROM generate_series(1, %(logs)s) AS n
"""
_WEIGHT = (
    "SELECT (SELECT count(*) FROM mgg.simulation_time_series) + (SELECT count(*) FROM mgg.test_time_series)"
    " + (SELECT count(*) FROM mgg.operation_logs), (SELECT sum(pg_total_relation_size(relid))"
    " FROM (VALUES ('mgg.simulation_time_series'), ('mgg.test_time_series'), ('mgg.operation_logs')) AS t (name),"
    " pg_partition_tree(name::regclass))"
)
_STATES = (
    "SELECT count(*) FILTER (WHERE status = 'committed'), count(*) FILTER (WHERE status = 'verified')"
    " FROM mgg.archive_batches"
)
_COLD = "SELECT count(*), sum(row_count), sum(parquet_file_size) FROM mgg.archive_batches WHERE status = 'committed'"
_PROOFS = "SELECT count(*) FROM ops.deletion_ledger WHERE kind = 'archive' AND executed_at IS NOT NULL"
_PUBLISHED = "SELECT peak_pressure FROM mgg.forward_simulations WHERE id = %s"
_RETURNED = (
    "SELECT restored_rows, restored_rows = (SELECT row_count FROM mgg.archive_batches AS b"
    " WHERE (b.table_name, b.start_date) = (h.table_name, h.start_date)) FROM mgg.archive_holds AS h"
    " ORDER BY id DESC LIMIT 1"
)
