"""The points of staged tests on their way into a table: one binary COPY that spans many tests."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from psycopg import sql
from sqlalchemy import Table

from meva_pipelines.domain.failures import Unavailable
from meva_pipelines.resources import tensile_points
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.tensile_batch import Transaction
from meva_pipelines.resources.tensile_points import COPY_HEADER, COPY_TRAILER, Rows


def copy(transaction: Transaction, table: Table, keys: Mapping[int | None, int | None]) -> int:
    """Write the points of staged tests, each under its key, the first column of the table. Returns how many rows.

    Memory is that of one object of the store and one block of rows.

    Raises:
        Unavailable: an object is gone, or is not the one that was judged.
    """
    if not keys or transaction.batch is None or transaction.store is None:
        return 0
    staged = transaction.connection.execute(
        sql.SQL(
            "SELECT n, object, at_byte, bytes, curve_sha256, started_at, points FROM {} WHERE n = ANY(%s)"
            " ORDER BY object, at_byte"
        ).format(transaction.batch.tests),
        [list(keys)],
    ).fetchall()
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        sql.Identifier(str(table.schema), table.name),
        sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns),
    )
    with transaction.connection.cursor() as cursor:
        with cursor.copy(statement) as stream:
            stream.write(COPY_HEADER)
            for rows in _tests(transaction.store, staged, keys):
                for block in rows.encoded():
                    stream.write(block)
            stream.write(COPY_TRAILER)
        return cursor.rowcount


def _tests(
    store: ObjectStore, staged: Sequence[tuple[Any, ...]], keys: Mapping[int | None, int | None]
) -> Iterator[Rows]:
    read, content = "", memoryview(b"")
    for n, key, first, size, sha256, started_at, points in staged:
        if key != read:
            read, content = key, memoryview(store.get(key))
        channels = tensile_points.unpack(content[first : first + size], sha256=sha256)
        rows = Rows(keys[n] or 0, started_at, channels)
        if len(rows) != points:
            raise Unavailable(f"{points:,} points were staged and {len(rows):,} lie in {key}: stage them again")
        yield rows
