"""Hot rows of a period on their way into one Parquet file, ordered by key, a bounded number at a time.

The server packs each column of some ten thousand rows into one value: a message per row would cost more than
everything else. While it packs the next rows, those that came are hashed, encoded and written. Nothing is deleted here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import psycopg
import pyarrow as pa
from psycopg import sql
from pyarrow import parquet

from meva_pipelines.domain.archive.declared import Archived
from meva_pipelines.domain.archive.periods import Period
from meva_pipelines.domain.failures import Rejected
from meva_pipelines.resources import archive_columns, archive_digests, archive_packing, archive_schemas, failpoints
from meva_pipelines.resources.archive_columns import ColdColumn, Kind
from meva_pipelines.resources.archive_digests import Extent, Folded
from meva_pipelines.resources.cold_files import ColdFiles, Manifest, Part
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role

ROW_GROUP_ROWS: Final = 65_536
"""Rows of a row group: few enough for a lookup to read little, enough for statistics to cost little."""

_ROW_GROUP_BYTES: Final = 64 * 1024 * 1024
_ROWS_AT_ONCE: Final = 65_536
_TEXT_ROWS_AT_ONCE: Final = 8_192
_PLANS: Final = {"enable_seqscan": "off", "enable_bitmapscan": "off", "enable_sort": "off", "jit": "off"}
"""Each piece is read through the primary key; a plan that sorts would sort the whole period for each."""

_COMPRESSION: Final = "zstd"
_LEVEL: Final = 3


@dataclass(frozen=True, slots=True)
class Written:
    """A file that lies under its name: what was folded in on the way, its SHA-256, its size in bytes."""

    extent: Extent
    schema_version: int
    sha256: str
    size: int

    @property
    def rows(self) -> int:
        """Rows of the file."""
        return self.extent.rows

    @property
    def digest(self) -> str:
        """Digest of the rows, of our own making."""
        return self.extent.digest


def write(postgres: Postgres, files: ColdFiles, part: Part, expected: Extent) -> Written:
    """Write the hot rows of a part's period into its file, from one snapshot, and the manifest beside it.

    Writing the same rows again is a no-op.

    Raises:
        Rejected: the rows are not those that were planned; no file appears.
        Refused: a file of the name is there with other content.
        StoreUnavailable: the store cannot take it, or the warehouse does not answer.
    """
    registered = archive_schemas.current(part.table)
    folded = Folded(part.table)
    with files.creating(part.key) as creation:
        with (
            postgres.connect(Role.ARCHIVER, work=f"archive {part.name}") as connection,
            parquet.ParquetWriter(creation, _labelled(part), **_options(registered.columns, part.table)) as writer,
        ):
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            for group in _groups(rows(connection, part.table, part.period), folded):
                writer.write_table(group, ROW_GROUP_ROWS)
        if folded.extent() != expected:
            raise Rejected(
                f"{part.name}: {expected.rows:,} rows were planned and {folded.extent().rows:,} were read, or their"
                " digests differ: they changed in between. Nothing was written; plan again."
            )
        failpoints.reach(Point.ARCHIVE_PARTIAL_WRITTEN)
    failpoints.reach(Point.ARCHIVE_OBJECT_WRITTEN)
    written = Written(folded.extent(), registered.version, creation.sha256, creation.size)
    files.write_manifest(part, _manifest(part, written))
    failpoints.reach(Point.ARCHIVE_MANIFEST_WRITTEN)
    return written


def rows(connection: psycopg.Connection, table: Archived, period: Period) -> Iterator[pa.RecordBatch]:
    """Yield the hot rows of a period in the order of their keys, in the newest schema, from the session's snapshot.

    The connection is used by a thread of its own until the last rows have been yielded.

    Raises:
        Rejected: a value is none that a file holds, such as a decimal that is no number.
    """
    schema, columns = archive_schemas.current(table).schema, archive_columns.columns(table)
    at_once = _TEXT_ROWS_AT_ONCE if any(column.kind is Kind.TEXT for column in columns) else _ROWS_AT_ONCE
    connection.execute(
        sql.SQL("SELECT {}").format(
            sql.SQL(", ").join(
                sql.SQL("set_config({}, {}, true)").format(name, setting) for name, setting in _PLANS.items()
            )
        )
    )
    with ThreadPoolExecutor(1, thread_name_prefix="archive") as pool:
        fetched: Future[tuple[Any, ...]] | None = pool.submit(_fetched, connection, table, period, at_once, None)
        while fetched is not None:
            batch = archive_packing.unpacked(fetched.result(), columns, schema)
            fetched = None
            if batch.num_rows == at_once:
                last = [batch.column(name)[-1].as_py() for name in table.key]
                fetched = pool.submit(_fetched, connection, table, period, at_once, last)
            if batch.num_rows:
                yield batch


def _fetched(
    connection: psycopg.Connection, table: Archived, period: Period, at_once: int, after: Sequence[object] | None
) -> tuple[Any, ...]:
    """Return one row with the packed columns of the next rows after a key, or of the first ones."""
    key = sql.SQL(", ").join(map(sql.Identifier, table.key))
    beyond: sql.Composable = sql.SQL("")
    if after is not None:
        names = sql.SQL(", ").join(sql.Placeholder(f"key_{place}") for place in range(len(after)))
        beyond = sql.SQL("AND ({}) > ({})").format(key, names)
    statement = sql.SQL(
        "SELECT {packed} FROM (SELECT * FROM {table} WHERE {within} {beyond} ORDER BY {key} LIMIT {limit}) AS r"
    ).format(
        packed=archive_packing.packed(archive_columns.columns(table)),
        table=sql.Identifier(table.schema, table.name),
        within=archive_digests.within(table),
        beyond=beyond,
        key=key,
        limit=sql.Literal(at_once),
    )
    parameters = archive_digests.bounds(table, period) | {f"key_{n}": value for n, value in enumerate(after or ())}
    try:
        with connection.cursor(binary=True) as cursor:
            found = cursor.execute(statement, parameters, prepare=False).fetchone()
    except psycopg.errors.FeatureNotSupported as error:  # "cannot convert NaN to bigint"
        raise Rejected(f"{table.name}: a decimal of {period.name} is no finite number") from error
    return found or ()


def _groups(batches: Iterable[pa.RecordBatch], folded: Folded) -> Iterator[pa.Table]:
    """Yield rows in groups as large as a row group, folding each batch in on the way."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        folded.add(batch)
        waiting.append(batch)
        if sum(b.num_rows for b in waiting) >= ROW_GROUP_ROWS or sum(b.nbytes for b in waiting) >= _ROW_GROUP_BYTES:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)


def _labelled(part: Part) -> pa.Schema:
    registered = archive_schemas.current(part.table)
    return registered.schema.with_metadata(labels(part, registered.version))


def labels(part: Part, version: int) -> dict[str, str]:
    """Return what binds a file to its part: the key-value metadata by name."""
    return {
        "meva.part": part.name,
        "meva.table": part.table.name,
        "meva.period": part.period.name,
        "meva.generation": str(part.generation),
        archive_schemas.VERSION_KEY: str(version),
    }


_ENCODINGS: Final[Mapping[Kind, str]] = {
    Kind.SMALL: "DELTA_BINARY_PACKED",
    Kind.INTEGER: "DELTA_BINARY_PACKED",
    Kind.BIG: "DELTA_BINARY_PACKED",
    Kind.DECIMAL: "DELTA_BINARY_PACKED",
    Kind.MOMENT: "DELTA_BINARY_PACKED",
    Kind.DAY: "DELTA_BINARY_PACKED",
    Kind.BYTES: "DELTA_LENGTH_BYTE_ARRAY",
}
"""Encodings by measurement: curves take a sixth of what dictionaries leave of them. Texts have a dictionary."""


def _options(columns: Sequence[ColdColumn], table: Archived) -> dict[str, Any]:
    schema = archive_schemas.current(table).schema
    return {
        "version": "2.6",
        "compression": _COMPRESSION,
        "compression_level": _LEVEL,
        "use_dictionary": [column.name for column in columns if column.kind not in _ENCODINGS],
        "column_encoding": {c.name: _ENCODINGS[c.kind] for c in columns if c.kind in _ENCODINGS},
        "store_decimal_as_integer": True,
        "write_page_checksum": True,
        "sorting_columns": parquet.SortingColumn.from_ordering(schema, [(name, "ascending") for name in table.key]),
    }


def _manifest(part: Part, written: Written) -> Manifest:
    return Manifest(
        name=part.name,
        table=part.table.name,
        period=part.period.name,
        generation=part.generation,
        schema_version=written.schema_version,
        rows=written.rows,
        digest=written.digest,
        sha256=written.sha256,
        size=written.size,
        min_key=written.extent.min_key or (),
        max_key=written.extent.max_key or (),
    )
