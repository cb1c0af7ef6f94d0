"""The floor: the `copy` of psql into an UNLOGGED staging table and one distinct-only upsert into the indexed table.

The target has the very DDL of `aed.aed_data`, and lies in the same database as ours.
"""

from pathlib import Path

import psycopg

from meva_pipelines.resources.registry_staging import REGION_COLUMNS, declared_type
from meva_pipelines.schema.aed import SOURCED_COLUMNS
from meva_pipelines_tests.bench import report
from meva_pipelines_tests.bench.world import Warehouse

COLUMNS = ("source_id", *SOURCED_COLUMNS, *REGION_COLUMNS, "row_hash")
"""What is landed: the columns that the source fills, with regions resolved and digests taken beforehand."""

_CREATE = "CREATE SCHEMA floor; CREATE TABLE floor.aed_data (LIKE aed.aed_data INCLUDING ALL);"
_CONSTANTS = {
    "source": "'egen'",
    "data_status": "'active'",
    "first_seen_date": "current_date",
    "consecutive_missing_days": "0",
    "sync_batch_id": "1",
    "created_at": "now()",
    "updated_at": "now()",
}


def prepare(warehouse: Warehouse) -> None:
    """Make the empty target table."""
    warehouse.psql(_CREATE)


def load(warehouse: Warehouse, csv: Path) -> float:
    """Load a CSV file with a header, as fast as a script of four statements can. Returns seconds."""
    typed = ", ".join(f"{name} {declared_type(name)}" for name in COLUMNS)
    script = (
        f"DROP TABLE IF EXISTS floor.staged; CREATE UNLOGGED TABLE floor.staged ({typed});\n"
        f"\\copy floor.staged FROM '{csv}' WITH (FORMAT csv, HEADER)\n{upsert('floor.staged AS s')}"
    )
    warehouse.world.settle()
    return report.measured(lambda: warehouse.psql(script))


def upsert(rows: str, values: dict[str, str] | None = None) -> str:
    """The distinct-only upsert; `rows` is what follows FROM, `values` an expression for each filled column."""
    given = values or {name: f"s.{name}" for name in COLUMNS}
    changing = [name for name in given if name != "source_id"]
    changes = ", ".join(f"{name} = EXCLUDED.{name}" for name in (*changing, "updated_at"))
    before, after = (", ".join(f"{side}.{name}" for name in changing) for side in ("d", "EXCLUDED"))
    return (
        f"INSERT INTO floor.aed_data AS d ({', '.join((*given, *_CONSTANTS))})"
        f" SELECT {', '.join((*given.values(), *_CONSTANTS.values()))} FROM {rows}"
        f" ON CONFLICT (source, source_id) DO UPDATE SET {changes}"
        f" WHERE ({before}) IS DISTINCT FROM ({after});\n"
    )


def landed(warehouse: Warehouse) -> int:
    """How many rows the target table holds."""
    with psycopg.connect(warehouse.url) as connection:
        row = connection.execute("SELECT count(*) FROM floor.aed_data").fetchone()
    return int(row[0]) if row else 0
