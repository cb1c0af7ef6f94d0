"""An old SQLite database of the simulation system, read only and streamed. What its rows mean, `domain` says."""

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np

from meva_pipelines.domain.failures import Refused, Unusable
from meva_pipelines.domain.simulation import takeover
from meva_pipelines.domain.simulation.curves import StoredCurve
from meva_pipelines.domain.simulation.takeover import Old

_CHUNK: Final = 1 << 20
_MAGIC: Final = b"SQLite format 3\x00"

CURVES: Final[Mapping[str, str]] = {
    "simulation_time_series": "SELECT simulation_id, NULL, sequence_number, time_point, pressure"
    " FROM simulation_time_series WHERE simulation_id > ? ORDER BY simulation_id, sequence_number, id",
    "test_time_series": "SELECT test_result_id, file_id, sequence_number, time_point, pressure"
    " FROM test_time_series WHERE test_result_id > ? ORDER BY test_result_id, file_id, sequence_number, id",
}
"""How the series of each table are read, in the order of their parents."""


Series = tuple[int | None, StoredCurve | Unusable, int]
"""Old number of the file, the curve or what is wrong with it, and its rows."""


@dataclass(frozen=True, slots=True)
class Source:
    """An old database under its SHA-256; lent by `opened`."""

    sha256: str
    connection: sqlite3.Connection

    def has(self, table: str) -> bool:
        """Whether there is such a table."""
        row = self.connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", [table])
        return row.fetchone() is not None

    def rows(self, old: Old, *, after: int = 0, limit: int = -1) -> Iterator[tuple[int, dict[str, object]]]:
        """Yield the rows of a table behind an old number, each with its own."""
        if not self.has(old.name):
            return
        cursor = self.connection.execute(
            f'SELECT * FROM "{old.name}" WHERE id > ? ORDER BY id LIMIT ?',  # noqa: S608 - a name of our own list
            [after, limit],
        )
        names = [column[0] for column in cursor.description]
        for values in cursor:
            row = dict(zip(names, values, strict=True))
            yield int(row["id"]), row

    def names(self, table: str) -> dict[int, str]:
        """Return what the rows of a table are called after the takeover, by their old number."""
        old = next(old for old in takeover.TABLES if old.name == table)
        return {
            number: takeover.named(self.sha256, number) if old.key is None else str(row[old.key])
            for number, row in self.rows(old)
        }

    def places(self) -> dict[int, tuple[str, int]]:
        """Return the firing and the position of every file, by its old number."""
        if not self.has("test_result_files"):
            return {}
        rows = self.connection.execute(
            "SELECT id, test_result_id, row_number() OVER (PARTITION BY test_result_id ORDER BY id) - 1"
            " FROM test_result_files"
        )
        return {number: (takeover.named(self.sha256, firing), place) for number, firing, place in rows}

    def curves(self, table: str, *, after: int = 0) -> Iterator[tuple[int, list[Series]]]:
        """Yield, parent by parent behind an old number, its curves."""
        if not self.has(table):
            return
        rows = self.connection.execute(CURVES[table], [after])
        for parent, points in groupby(rows, key=lambda row: row[0]):
            found = []
            for file, part in groupby(points, key=lambda row: row[1]):
                lines = [row[2:] for row in part]
                found.append((file, _curve(lines), len(lines)))
            yield parent, found


def _curve(lines: list[tuple[object, object, object]]) -> StoredCurve | Unusable:
    """Return the curve of some rows; positions are numbered anew from 0."""
    positions = [position for position, *_ in lines]
    if None in positions or len(set(positions)) < len(positions):
        return Unusable("positions are missing or occur twice", rule="positions_occur_once", field="sequence_number")
    try:
        times, pressures = (
            np.array([int(takeover.decimal(line[column], 6).scaleb(6)) for line in lines], dtype=np.int64)
            for column in (1, 2)
        )
    except ArithmeticError:
        return Unusable("a time or a pressure is no number", rule="value_is_typed", field="pressure")
    return StoredCurve(times, pressures)


def _text(content: bytes) -> str | bytes:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """Lend a database, read only; text that is not in UTF-8 is returned as bytes.

    Raises:
        Refused: there is no such file, it is no SQLite database, or another program has not closed it.
    """
    for beside in (path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-journal")):
        if beside.exists() and beside.stat().st_size:
            raise Refused(f"{beside.name} holds changes that are not in the old database: close its program first")
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            first = file.read(len(_MAGIC))
            digest.update(first)
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise Refused(f"the old database cannot be read: {error.strerror}") from None
    if first != _MAGIC:
        raise Refused("the file is no SQLite database")
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    connection.text_factory = _text
    try:
        yield Source(digest.hexdigest(), connection)
    finally:
        connection.close()
