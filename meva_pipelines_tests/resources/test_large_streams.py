"""Streams that are larger than the memory they may take: sorted and joined exactly, and nothing is left on disk."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pytest

from meva_pipelines.domain.archive.queries import Sort
from meva_pipelines.domain.failures import Rejected
from meva_pipelines.resources import large_streams
from meva_pipelines.resources.large_streams import Stream

SCHEMA = pa.schema([("number", pa.int64()), ("text", pa.string())])
PIECE, PIECES = 50_000, 40


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which temporary folders are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def shuffled() -> Iterator[pa.RecordBatch]:
    """Every number from 0 to two million once, with 300 MB of text."""
    numbers = np.random.default_rng(7).permutation(PIECE * PIECES)
    text = pa.array(["한" * 50] * PIECE)
    for piece in numbers.reshape(PIECES, PIECE):
        yield pa.RecordBatch.from_arrays([pa.array(piece), text], schema=SCHEMA)


def test_more_rows_than_memory_are_sorted(scratch: Path) -> None:
    process = psutil.Process()
    expected, used = 0, 0
    before = process.memory_info().rss
    for batch in large_streams.ordered(Stream(SCHEMA, shuffled()), [Sort("number")], limit=None, offset=0):
        numbers = batch.column("number").to_numpy()
        assert (numbers == np.arange(expected, expected + len(numbers))).all()
        expected += len(numbers)
        used = max(used, process.memory_info().rss - before)
    assert expected == PIECE * PIECES
    assert used < 300_000_000
    assert list(scratch.iterdir()) == []


def test_rows_without_those_whose_keys_others_have() -> None:
    hidden = pa.schema([("number", pa.int64())])
    even = (
        pa.RecordBatch.from_arrays([pa.array(np.arange(start, start + 1_000, 2))], schema=hidden)
        for start in range(0, PIECE * PIECES, 1_000)
    )
    found = large_streams.without(Stream(SCHEMA, shuffled()), Stream(hidden, even), ["number"])
    numbers = np.concatenate([batch.column("number").to_numpy() for batch in found])
    assert (np.sort(numbers) == np.arange(1, PIECE * PIECES, 2)).all()


def test_an_error_of_a_stream_stays_what_it_is(scratch: Path) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield next(shuffled())
        raise Rejected("a page is damaged")

    with pytest.raises(Rejected, match="a page is damaged"):
        list(large_streams.ordered(Stream(SCHEMA, broken()), [Sort("number")], limit=3, offset=0))
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("copies", [1, 30_000])
@pytest.mark.parametrize(
    ("is_descending", "expected"), [(False, [("_", 1), ("b", 1), ("가", 0)]), (True, [("가", 0), ("b", 1), ("_", 1)])]
)
def test_few_rows_and_many_have_one_order(
    copies: int,
    is_descending: bool,  # noqa: FBT001 - a case
    expected: list[tuple[str, int]],
) -> None:
    """NULLs last whichever way is sorted, text by code point, rows left out and limited behind that."""
    rows = [{"number": 1, "text": "b"}, {"number": 2}, {"number": 0, "text": "가"}, {"number": 1, "text": "_"}]
    batch = pa.RecordBatch.from_pylist(rows, schema=SCHEMA)
    stream = Stream(SCHEMA, [batch] * copies)
    sort = [Sort("text", is_descending), Sort("number")]
    found = large_streams.ordered(stream, sort, limit=3 * copies, offset=copies)
    told = [(row["text"], row["number"]) for piece in found for row in piece.to_pylist()]
    assert told[::copies] == [*expected[1:], (None, 2)]
    assert len(told) == 3 * copies
