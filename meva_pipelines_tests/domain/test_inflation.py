"""A compressed body counts only when its stream ended and stayed within its bounds."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.failures import Refused, Unavailable
from meva_pipelines.domain.inflation import Inflater

TEXT = "심장충격기 ".encode() * 5_000


def inflate(body: bytes, encoding: str = "gzip", *, step: int = 1000, max_bytes: int = 10_000_000) -> bytes:
    inflater = Inflater(encoding, max_bytes=max_bytes)
    for start in range(0, len(body), step):
        inflater.feed(body[start : start + step])
    assert bytes(inflater.received) == body
    return inflater.finish()


@given(data=st.binary(max_size=5_000), repeat=st.integers(1, 2_000), step=st.sampled_from([1_000, 7_919, 10**9]))
def test_what_was_compressed_comes_back(data: bytes, repeat: int, step: int) -> None:
    whole = data * repeat

    assert inflate(zlib_with_header(whole), step=step, max_bytes=11_000_000) == whole
    assert inflate(data, "identity", step=step) == data


def zlib_with_header(whole: bytes) -> bytes:
    """Gzip with stored blocks, so that no honest data trip over the ratio."""
    stream = zlib.compressobj(level=0, wbits=zlib.MAX_WBITS | 16)
    return stream.compress(whole) + stream.flush()


def test_well_compressed_pages_pass_whatever_the_chunks() -> None:
    body = gzip.compress(TEXT * 10)

    assert inflate(body, step=10**9) == inflate(body, step=7) == TEXT * 10


def test_a_stream_of_several_members_is_read_to_its_end() -> None:
    assert inflate(gzip.compress(TEXT) + gzip.compress(b"end")) == TEXT + b"end"


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.999])
def test_a_stream_that_was_cut_off_is_no_body(keep: float) -> None:
    body = gzip.compress(TEXT)

    with pytest.raises(Unavailable, match="cut off"):
        inflate(body[: int(len(body) * keep)], step=10)


def test_damage_and_trailing_rubbish_are_found() -> None:
    body = gzip.compress(TEXT)

    with pytest.raises(Unavailable, match="damaged"):
        inflate(body[:-8] + b"\0" * 8)
    with pytest.raises(Unavailable, match="damaged"):
        inflate(body + b"rubbish")
    with pytest.raises(Unavailable, match="only gzip"):
        Inflater("br", max_bytes=1)


def test_a_bomb_is_stopped_while_it_grows() -> None:
    with pytest.raises(Refused, match="300 times"):
        inflate(gzip.compress(bytes(50_000_000)), max_bytes=10**9)
    with pytest.raises(Refused, match="more than 1000 bytes"):
        inflate(gzip.compress(TEXT), max_bytes=1_000)
    with pytest.raises(Refused, match="more than 1000 bytes"):
        inflate(TEXT, "identity", max_bytes=1_000)
