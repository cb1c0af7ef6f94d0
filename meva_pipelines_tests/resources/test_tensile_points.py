"""Points as bytes: what is packed is unpacked, and what is encoded for COPY says what an independent reader reads."""

import hashlib
import math
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.failures import Unavailable
from meva_pipelines.domain.tensile.recording import Curve, DisplacementSource
from meva_pipelines.resources import tensile_points
from meva_pipelines.resources.tensile_points import CHANNELS, Rows

START = datetime(2026, 11, 18, 3, 4, 5, 678901, tzinfo=UTC)
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def decoded(content: bytes) -> Iterator[list[bytes | None]]:
    """Read rows of a binary COPY as the documentation of PostgreSQL describes them, one field after another."""
    at = 0
    while at < len(content):
        (count,) = struct.unpack_from(">h", content, at)
        at, row = at + 2, list[bytes | None]()
        for _ in range(count):
            (size,) = struct.unpack_from(">i", content, at)
            at += 4
            row.append(None if size < 0 else content[at : at + size])
            at += max(size, 0)
        yield row


_VALUES = st.floats(allow_nan=True, allow_infinity=True)


@given(
    st.integers(1, 40).flatmap(
        lambda points: st.tuples(
            *[st.none() | st.lists(_VALUES, min_size=points, max_size=points) for _ in range(3)],
            *[st.lists(_VALUES, min_size=points, max_size=points) for _ in range(2)],
            st.lists(st.floats(0, 1e6), min_size=points, max_size=points),
        )
    )
)
def test_rows_say_what_the_channels_hold(lists: tuple[list[float] | None, ...]) -> None:
    crosshead, strain, timeless, load, displacement, elapsed = lists
    given = dict(
        zip(
            CHANNELS,
            (elapsed if timeless is None else None, load, displacement, crosshead, strain),
            strict=True,
        )
    )
    channels = {name: np.array(values) for name, values in given.items() if values is not None}
    rows = Rows(2**40, START, channels)
    found = list(decoded(b"".join(rows.encoded())))
    assert len(found) == len(rows) == len(load or ())
    for number, (key, point, moment, *values) in enumerate(found):
        assert (int.from_bytes(key or b""), int.from_bytes(point or b"")) == (2**40, number)
        offset_us = number if timeless is not None else round((elapsed or [])[number] * 1e6)
        assert int.from_bytes(moment or b"") == (START - EPOCH) // timedelta(microseconds=1) + offset_us
        for name, value in zip(CHANNELS, values, strict=True):
            expected = math.nan if given[name] is None else (given[name] or [])[number]
            assert (value is None) == math.isnan(expected)
            assert value is None or struct.unpack(">d", value) == (expected,)


def test_many_rows_come_in_blocks_and_keep_their_numbers() -> None:
    channels = {"load_n": np.zeros(40_000), "displacement_mm": np.zeros(40_000)}
    blocks = list(Rows(1, START, channels).encoded())
    assert len(blocks) == 3
    assert [int.from_bytes(row[1] or b"") for row in decoded(b"".join(blocks))] == list(range(40_000))


def test_what_is_packed_is_unpacked_bit_by_bit() -> None:
    values = np.array([0.1, -0.0, np.nan, 1e300])
    curve = Curve(values, values[::-1], DisplacementSource.CROSSHEAD, strain=values[::2].repeat(2))
    packed = tensile_points.pack(curve)
    found = tensile_points.unpack(packed, sha256=hashlib.sha256(packed).hexdigest())
    assert list(found) == ["load_n", "displacement_mm", "strain"]
    assert [series.tobytes() for series in found.values()] == [
        values.tobytes(),
        values[::-1].tobytes(),
        values[::2].repeat(2).tobytes(),
    ]


@pytest.mark.parametrize("at", [3, 70, -1])
def test_a_flipped_bit_is_seen(at: int) -> None:
    packed = bytearray(tensile_points.pack(Curve(np.arange(9.0), np.arange(9.0), DisplacementSource.CROSSHEAD)))
    sha256 = hashlib.sha256(packed).hexdigest()
    packed[at] ^= 1
    with pytest.raises(Unavailable, match="not those that were judged"):
        tensile_points.unpack(bytes(packed), sha256=sha256)
