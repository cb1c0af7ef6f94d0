"""What machine files are measured beside: Arrow with psql's `copy`, pandas, and rows inserted one by one.

The floor's table has the very DDL of `meva.tensile_data`, partitions and rules included, in the same database as ours.
None of them detects, converts, checks or remembers anything.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import sqlalchemy as sa
from psycopg import sql

from meva_pipelines.resources.tensile_points import CHANNELS, COPY_HEADER, COPY_TRAILER, Rows
from meva_pipelines.schema.meva import TENSILE_DATA
from meva_pipelines_tests.bench import report
from meva_pipelines_tests.bench.tensile_files import Files, Plain
from meva_pipelines_tests.bench.world import Warehouse

_COLUMNS = tuple(column.name for column in TENSILE_DATA.columns)
_START = datetime(2026, 1, 5, tzinfo=UTC)


def export(warehouse: Warehouse, path: Path) -> int:
    """Write the published points as psql reads them back, test after test. Returns how many."""
    with (
        psycopg.connect(warehouse.url) as connection,
        path.open("wb") as file,
        connection.cursor() as cursor,
    ):
        query = "COPY (SELECT * FROM meva.tensile_data ORDER BY test_id, point) TO STDOUT"
        with cursor.copy(query) as copy:
            for chunk in copy:
                file.write(chunk)
        return cursor.rowcount


def twin(warehouse: Warehouse) -> None:
    """Make an empty table like `meva.tensile_data`, with as many partitions."""
    with psycopg.connect(warehouse.url) as connection:
        connection.execute("CREATE SCHEMA floor")
        connection.execute(
            "CREATE TABLE floor.tensile_data (LIKE meva.tensile_data INCLUDING ALL) PARTITION BY HASH (test_id)"
        )
        row = connection.execute(
            "SELECT count(*) FROM pg_inherits WHERE inhparent = 'meva.tensile_data'::regclass"
        ).fetchone()
        count = int(row[0]) if row else 0
        for number in range(count):
            connection.execute(
                sql.SQL(
                    "CREATE TABLE {} PARTITION OF floor.tensile_data FOR VALUES WITH (MODULUS {}, REMAINDER {})"
                ).format(sql.Identifier("floor", f"tensile_data_{number}"), sql.Literal(count), sql.Literal(number))
            )


def floor(warehouse: Warehouse, files: Files, rows: Path) -> dict[str, float]:
    """Parse the same bytes with Arrow and copy the same rows with psql into an identical table; seconds of both."""
    twin(warehouse)
    warehouse.world.settle()
    parsing = report.measured(lambda: [plain.parse() for plain in files.plain])
    copying = report.measured(lambda: warehouse.psql(f"\\copy floor.tensile_data FROM '{rows}'\n"))
    return {"Arrow + psql": parsing + copying, "Arrow": parsing, "psql": copying}


def with_pandas(warehouse: Warehouse, files: Files) -> dict[str, float]:
    """Load every file as a notebook does, `read_csv` and `to_sql`; seconds and rows.

    Columns keep their units: the first five are called load, displacement and so on, whatever they are, for nothing is
    detected. The twin's rules are taken away, so that rows pass that could not be published.
    """
    twin(warehouse)
    _without_rules(warehouse)
    engine = sa.create_engine(sa.make_url(warehouse.url).set(drivername="postgresql+psycopg"))
    warehouse.world.settle()
    rows = 0
    try:
        started = perf_counter()
        for number, plain in enumerate(files.plain):
            frame = _frame(plain, number)
            frame.to_sql("tensile_data", engine, schema="floor", if_exists="append", index=False)
            rows += len(frame)
        return {"pandas": perf_counter() - started, "rows": rows}
    finally:
        engine.dispose()


def _without_rules(warehouse: Warehouse) -> None:
    with psycopg.connect(warehouse.url) as connection:
        for (name,) in connection.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'floor.tensile_data'::regclass AND contype = 'c'"
        ).fetchall():
            connection.execute(
                sql.SQL("ALTER TABLE floor.tensile_data DROP CONSTRAINT {}").format(sql.Identifier(name))
            )


def _frame(plain: Plain, number: int) -> pd.DataFrame:
    """Read one file with what is told beforehand, and give it the columns of the table."""
    read = pd.read_csv(
        plain.path,
        skiprows=plain.skipped_rows,
        header=None,
        sep=plain.delimiter,
        decimal=plain.decimal,
        encoding=plain.encoding,
        thousands="," if (plain.delimiter, plain.decimal) == (",", ".") else None,
        on_bad_lines="skip",
    )
    channels = read.iloc[:, : len(CHANNELS)].set_axis(CHANNELS[: min(read.shape[1], len(CHANNELS))], axis=1)
    frame: pd.DataFrame = channels.apply(pd.to_numeric, errors="coerce")
    return frame.assign(
        load_n=lambda frame: frame["load_n"].fillna(0.0),
        displacement_mm=lambda frame: frame["displacement_mm"].fillna(0.0) if "displacement_mm" in frame else 0.0,
        test_id=number,
        point=range(len(read)),
        timestamp=_START,
    )


def ways_in(warehouse: Warehouse, *, tests: int, points: int) -> dict[str, Callable[[], Mapping[str, float]]]:
    """The ways to bring the same rows into `meva.tensile_data`: binary COPY, prepared rows in bulk, and one by one."""
    series = np.linspace(0.0, 1.0, points)
    curves = [
        Rows(
            key,
            _START,
            {name: series * scale for name, scale in zip(CHANNELS, (60.0, 5e4, 8.0, 9.0, 0.2), strict=True)},
        )
        for key in range(1, tests + 1)
    ]
    values = [row for rows in curves for row in _values(rows)]
    return {
        "COPY": lambda: {"COPY": _loaded(warehouse, lambda cursor: _copied(cursor, curves))},
        "executemany": lambda: {"executemany": _loaded(warehouse, lambda cursor: cursor.executemany(_INSERT, values))},
        "INSERT": lambda: {"INSERT": _loaded(warehouse, lambda cursor: _inserted(cursor, values))},
    }


_INSERT = sql.SQL("INSERT INTO meva.tensile_data ({}) VALUES ({})").format(
    sql.SQL(", ").join(map(sql.Identifier, _COLUMNS)), sql.SQL(", ").join([sql.Placeholder()] * len(_COLUMNS))
)


def _loaded(warehouse: Warehouse, load: Callable[[psycopg.Cursor], object]) -> float:
    """Seconds of one transaction into the empty table, its commit included."""
    with psycopg.connect(warehouse.url, autocommit=True) as connection:
        connection.execute("TRUNCATE meva.tensile_data")
    warehouse.world.settle()

    def run() -> None:
        with psycopg.connect(warehouse.url, prepare_threshold=0) as connection, connection.cursor() as cursor:
            load(cursor)

    return report.measured(run)


def _copied(cursor: psycopg.Cursor, curves: list[Rows]) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, _COLUMNS))
    with cursor.copy(sql.SQL("COPY meva.tensile_data ({}) FROM STDIN (FORMAT BINARY)").format(names)) as copy:
        copy.write(COPY_HEADER)
        for rows in curves:
            for block in rows.encoded():
                copy.write(block)
        copy.write(COPY_TRAILER)


def _inserted(cursor: psycopg.Cursor, values: list[tuple[Any, ...]]) -> None:
    for row in values:
        cursor.execute(_INSERT, row)


def _values(rows: Rows) -> list[tuple[Any, ...]]:
    series = [rows.channels[name].tolist() for name in CHANNELS]
    return [
        (rows.key, point, rows.started_at + timedelta(seconds=each[0]), *each)
        for point, each in enumerate(zip(*series, strict=True))
    ]
