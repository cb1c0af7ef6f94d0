"""The files that are taken: the made-up laboratory's, every dialect in turn, and their tables as Arrow parses them.

Arrow parses delimited text only. Of a workbook or a JSON upload the floor gets its table as CSV, which says less for us
than any reader of workbooks would.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from meva_pipelines.resources import machine_files
from meva_pipelines.resources.machine_files import read_sidecar
from meva_pipelines.resources.tensile_points import CHANNELS
from meva_pipelines.sandbox.laboratory import Laboratory
from meva_pipelines.sandbox.laboratory_dialects import Dialect
from meva_pipelines.sandbox.laboratory_files import MachineFile

SIDECAR = ".meta.yaml"
_LABORATORY = Laboratory()
_NO_TEXT = (".xlsx", ".xls", ".json")
_ROW = re.compile(r'^[\s"]*[-+]?[\d.]')
_CERTAIN = 5
_MARKS = {"tab": "\t", "semicolon": ";", "comma": ",", "space": " ", "bar": "|"}


@dataclass(frozen=True, slots=True)
class Plain:
    """One file as Arrow is asked to parse it: where its numbers begin, and its marks, are told beforehand."""

    path: Path
    encoding: str
    skipped_rows: int
    delimiter: str
    decimal: str

    def parse(self) -> int:
        """Parse the bytes and return how many rows there are; rows that are not whole are passed over."""
        table = csv.read_csv(
            pa.BufferReader(self.path.read_bytes()),
            read_options=csv.ReadOptions(
                skip_rows=self.skipped_rows, autogenerate_column_names=True, encoding=self.encoding
            ),
            parse_options=csv.ParseOptions(delimiter=self.delimiter, invalid_row_handler=lambda _: "skip"),
            convert_options=csv.ConvertOptions(decimal_point=self.decimal),
        )
        return int(table.num_rows)


@dataclass(frozen=True, slots=True)
class Files:
    """Files in one folder, ready to be dropped, and as the floor parses them."""

    folder: Path
    plain: tuple[Plain, ...]
    points: int

    @property
    def size(self) -> int:
        """Bytes of all files, sidecars included."""
        return sum(path.stat().st_size for path in self._paths())

    def drop(self, landing: Path) -> None:
        """Link every file into a landing zone, in the order of their numbers: what is taken is moved, not changed."""
        landing.mkdir(parents=True)
        for path in self._paths():
            os.link(path, landing / path.name)

    def _paths(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if path.is_file())


def mixed(folder: Path, count: int, *, points: int) -> Files:
    """Write files of every dialect in turn."""
    return _written(folder, _LABORATORY.files(count, points=points))


def single(folder: Path, dialect: Dialect, *, points: int) -> Files:
    """Write one long file."""
    return _written(folder, iter([_LABORATORY.file(0, points=points, dialect=dialect)]))


def _written(folder: Path, files: Iterator[MachineFile]) -> Files:
    tables = folder / "as-csv"
    tables.mkdir(parents=True)
    plain, points = [], 0
    for file in files:
        path = file.write(folder)
        beside = path.with_name(path.name + SIDECAR)
        stated = read_sidecar(beside.read_bytes()) if beside.exists() else None
        reading = machine_files.read(path.read_bytes(), name=path.name, sidecar=stated)
        if reading.refusals:
            raise RuntimeError(f"{path.name} is not sound: {reading.refusals[0].reason}")
        points += sum(len(recording.curve.load_n) for recording in reading.recordings)
        detection = reading.recordings[0].detection
        if path.suffix in _NO_TEXT:
            curve = reading.recordings[0].curve
            columns = {name: getattr(curve, name) for name in CHANNELS if getattr(curve, name) is not None}
            csv.write_csv(pa.table(columns), tables / f"{path.name}.csv")
            plain.append(Plain(tables / f"{path.name}.csv", "utf-8", 1, ",", "."))
        else:
            encoding = _codec(detection.encoding)
            lines = path.read_bytes()[: 1 << 16].decode(encoding, "replace").splitlines()
            plain.append(Plain(path, encoding, _first_row(lines), _MARKS[detection.separator], detection.decimal))
    return Files(folder, tuple(plain), points)


def _codec(encoding: str) -> str:
    """The name of an encoding for Python, from the words in which it is shown."""
    return encoding.split(maxsplit=1)[0].rstrip(",").lower()


def _first_row(lines: Sequence[str]) -> int:
    """The number of lines before the numbers begin."""
    return next(
        number for number in range(len(lines)) if all(_ROW.match(line) for line in lines[number : number + _CERTAIN])
    )
