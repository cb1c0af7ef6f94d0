"""The rows that are loaded: two days of the sandbox's registry, 2 % of whose devices change in between.

Pages of decoded records feed our way; files of the very rows that we would publish feed the floor and the peers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import orjson
import psycopg
from psycopg import sql

from meva_pipelines.domain.aed import Record
from meva_pipelines.sandbox import wire_egen
from meva_pipelines.sandbox.registry import Registry
from meva_pipelines_tests.bench import publish
from meva_pipelines_tests.bench.floor import COLUMNS
from meva_pipelines_tests.bench.world import World

FIRST = Registry().epoch
DAYS = (FIRST, FIRST + timedelta(days=1))
PAGE_SIZE = 1_000


@dataclass(frozen=True, slots=True)
class Dataset:
    """Files of both days below one folder."""

    folder: Path
    size: int

    def pages(self, day: date) -> Iterator[list[Record]]:
        """Yield the pages of a day, decoded."""
        for path in sorted((self.folder / day.isoformat()).glob("page-*.json")):
            yield orjson.loads(path.read_bytes())

    def page(self, day: date, number: int) -> list[Record]:
        """Return one page of a day, counted from 1."""
        found: list[Record] = orjson.loads(self._page(day, number).read_bytes())
        return found

    def csv(self, day: date) -> Path:
        """The publishable rows of a day as CSV with a header."""
        return self.folder / f"{day}.csv"

    def jsonl(self, day: date) -> Path:
        """The same rows as JSON lines."""
        return self.folder / f"{day}.jsonl"

    def rows(self, day: date) -> int:
        """How many publishable rows a day has."""
        return int((self.folder / f"{day}.rows").read_text())

    def _page(self, day: date, number: int) -> Path:
        return self.folder / day.isoformat() / f"page-{number:05d}.json"

    def write(self, world: World) -> None:
        """Make the pages, stage each day against an empty registry, and export what is left after the row rules."""
        registry = Registry(size=self.size)
        for day in DAYS:
            (self.folder / day.isoformat()).mkdir(parents=True)
            items: list[dict[str, object]] = []
            number = 0
            for device in registry.devices(day):
                items.append(wire_egen.item(device, is_reformed=False))
                if len(items) == PAGE_SIZE:
                    number += 1
                    self._page(day, number).write_bytes(orjson.dumps(items))
                    items = []
            if items:
                self._page(day, number + 1).write_bytes(orjson.dumps(items))
            self._export(world, day)

    def _export(self, world: World, day: date) -> None:
        with world.warehouse() as warehouse:
            batch = publish.staged(warehouse, self, day).batch
            columns = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
            rows = sql.SQL("SELECT {} FROM {}").format(columns, batch.records)
            with psycopg.connect(warehouse.url) as connection:
                found = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(batch.records)).fetchone()
                (self.folder / f"{day}.rows").write_text(str(found[0] if found else 0))
                _copy(connection, self.csv(day), sql.SQL("COPY ({}) TO STDOUT (FORMAT CSV, HEADER)").format(rows))
                lines = sql.SQL("COPY (SELECT row_to_json(r) FROM ({}) AS r) TO STDOUT (FORMAT CSV, {})").format(
                    rows, sql.SQL("QUOTE E'\\x01', DELIMITER E'\\x02'")
                )
                _copy(connection, self.jsonl(day), lines)


def _copy(connection: psycopg.Connection, path: Path, statement: sql.Composed) -> None:
    with path.open("wb") as file, connection.cursor() as cursor, cursor.copy(statement) as copy:
        for chunk in copy:
            file.write(chunk)


def made(world: World, size: int) -> Dataset:
    """Return the data set of a size, made when it is not there yet."""
    found = Dataset(world.home / f"rows-{size}", size)
    if not found.folder.exists():
        found.folder.mkdir()
        found.write(world)
    return found
