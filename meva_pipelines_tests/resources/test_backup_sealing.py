"""Sealed streams: what was sealed comes back; whatever else lies there is refused, byte by byte."""

import base64
import io
import os
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meva_pipelines.domain.backup.records import Part
from meva_pipelines.domain.failures import Refused, Unusable
from meva_pipelines.resources import backup_keys, backup_sealing
from meva_pipelines.resources.backup_keys import NO_KEY, Keyring
from meva_pipelines_tests.fixtures.backups import KEY, OTHER_KEY

RING = backup_keys.keyring(KEY)
PLAIN = backup_keys.keyring("")
DATA = b"temperature,load\n" * 40_000 + Random(7).randbytes(3 << 20)


def sealed(data: bytes, ring: Keyring = RING, *, backup_id: str = "A", name: str = "p") -> tuple[bytes, Part]:
    out = io.BytesIO()
    with backup_sealing.sealed(out, ring, backup_id=backup_id, name=name) as sealing:
        for start in range(0, len(data), 300_000):
            sealing.write(data[start : start + 300_000])
    return out.getvalue(), sealing.finished()


def opened(content: bytes, part: Part, ring: Keyring = RING, *, backup_id: str = "A") -> bytes:
    with backup_sealing.opened(io.BytesIO(content), ring, backup_id=backup_id, part=part) as data:
        return data.read()


@pytest.mark.parametrize("ring", [RING, PLAIN], ids=["encrypted", "plain"])
@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=["nothing", "a byte", "several segments"])
def test_what_was_sealed_comes_back(ring: Keyring, data: bytes) -> None:
    content, part = sealed(data, ring)
    assert opened(content, part, ring) == data
    assert (part.data_bytes, part.stored_bytes) == (len(data), len(content))


def test_nothing_of_the_data_or_the_key_is_in_the_stream() -> None:
    content, _ = sealed(b"confidential " * 10)
    assert b"confidential" not in content
    assert base64.b64decode(KEY) not in content
    assert RING.sealing_id.encode() in content[:40]


@pytest.mark.parametrize("ring", [RING, PLAIN], ids=["encrypted", "plain"])
def test_no_flipped_bit_is_taken(ring: Keyring) -> None:
    """Three hundred seeded places, among them header, both ends, and the border of a segment."""
    content, part = sealed(DATA, ring)
    random = Random(11)
    places = [
        *range(40),
        len(content) - 1,
        len(content) - 17,
        1 << 20,
        *(random.randrange(len(content)) for _ in range(40)),
    ]
    for place in places:
        broken = bytearray(content)
        broken[place] ^= 1 << random.randrange(8)
        with pytest.raises(Unusable):
            opened(bytes(broken), part, ring)


@pytest.mark.parametrize("ring", [RING, PLAIN], ids=["encrypted", "plain"])
@pytest.mark.parametrize("length", [0, 10, 31, 1_000, 1 << 20, (1 << 20) + 31, -1, -16])
def test_a_stream_that_was_cut_is_refused(ring: Keyring, length: int) -> None:
    content, part = sealed(DATA, ring)
    with pytest.raises(Unusable):
        opened(content[:length], part, ring)


@pytest.mark.parametrize("ring", [RING, PLAIN], ids=["encrypted", "plain"])
def test_a_stream_that_grew_is_refused(ring: Keyring) -> None:
    content, part = sealed(DATA, ring)
    for more in (b"\0", content):
        with pytest.raises(Unusable):
            opened(content + more, part, ring)


def test_segments_that_were_exchanged_are_refused() -> None:
    content, part = sealed(DATA)
    size = 1 << 20
    swapped = content[:size] + content[2 * size : 3 * size] + content[size : 2 * size] + content[3 * size :]
    assert len(swapped) == len(content)
    with pytest.raises(Unusable):
        opened(swapped, part)


def test_a_sound_stream_at_another_place_is_refused() -> None:
    content, part = sealed(DATA)
    with pytest.raises(Unusable):
        opened(content, part, backup_id="B")
    other, _ = sealed(DATA, name="q")
    with pytest.raises(Unusable):
        opened(other, part)


def test_a_wrong_key_is_refused_and_named_by_its_id() -> None:
    content, part = sealed(DATA)
    with pytest.raises(Unusable, match=RING.sealing_id):
        opened(content, part, backup_keys.keyring(OTHER_KEY))
    with pytest.raises(Unusable, match="at hand: none"):
        opened(content, part, PLAIN)


def test_a_key_that_was_rotated_out_of_first_place_still_opens() -> None:
    content, part = sealed(b"old")
    rotated = backup_keys.keyring(f"{OTHER_KEY}, {KEY}")
    assert opened(content, part, rotated) == b"old"
    assert rotated.sealing_id != RING.sealing_id
    newer, newer_part = sealed(b"new", rotated)
    assert opened(newer, newer_part, backup_keys.keyring(OTHER_KEY)) == b"new"


@pytest.mark.parametrize("setting", ["no base64!", "c2hvcnQ=", f"{KEY},x", base64.b64encode(b"3" * 33).decode()])
def test_what_is_no_key_is_refused_and_not_quoted(setting: str) -> None:
    with pytest.raises(Refused) as refused:
        backup_keys.keyring(setting)
    assert setting not in str(refused.value)


def test_no_key_is_an_id_of_zeros() -> None:
    assert PLAIN.sealing_id == NO_KEY
    assert KEY not in repr(RING)


def _seal(sink: backup_sealing.Sink, ring: Keyring, *, error: BaseException | None = None) -> None:
    with backup_sealing.sealed(sink, ring, backup_id="A", name="p") as sealing:
        for start in range(0, len(DATA), 100_000):
            sealing.write(DATA[start : start + 100_000])
        if error is not None:
            raise error


class Full:
    """A disk that takes so many bytes and then is full."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, data: bytes, /) -> int:
        if len(data) > self.room:
            raise OSError(28, "No space left on device")
        self.room -= len(data)
        return len(data)


@pytest.mark.parametrize("ring", [RING, PLAIN], ids=["encrypted", "plain"])
@pytest.mark.parametrize("room", [0, 40, 1 << 20, 2 << 20])
def test_a_full_disk_is_said_as_what_it_is(ring: Keyring, room: int) -> None:
    with pytest.raises(OSError, match="No space left"):
        _seal(Full(room), ring)


def test_a_block_that_raises_leaves_a_stream_without_an_end() -> None:
    out = io.BytesIO()
    with pytest.raises(KeyboardInterrupt):
        _seal(out, RING, error=KeyboardInterrupt())
    _, part = sealed(DATA)
    with pytest.raises(Unusable):
        opened(out.getvalue(), part)


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=70_000), max_size=6), st.lists(st.integers(1, 50_000), min_size=1, max_size=5))
def test_however_it_is_cut_it_is_the_same(blocks: list[bytes], reads: list[int]) -> None:
    out = io.BytesIO()
    with backup_sealing.sealed(out, RING, backup_id="A", name="p") as sealing:
        for block in blocks:
            sealing.write(block)
    found = b""
    part = sealing.finished()
    with backup_sealing.opened(io.BytesIO(out.getvalue()), RING, backup_id="A", part=part) as data:
        for size in reads:
            found += data.read(size)
        found += data.read()
    assert found == b"".join(blocks)


def test_a_copy_is_compared_with_the_record() -> None:
    content, part = sealed(DATA)
    sink = io.BytesIO()
    backup_sealing.copied(io.BytesIO(content), sink, backup_id="A", part=part)
    assert sink.getvalue() == content
    for broken in (content[:-1], content + b"x", os.urandom(len(content))):
        with pytest.raises(Unusable):
            backup_sealing.copied(io.BytesIO(broken), io.BytesIO(), backup_id="A", part=part)


class Failing(io.BytesIO):
    """A source that gives so many bytes and then fails, as a disk with a bad sector or a connection that breaks."""

    room = 700_000

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() + (size or 0) > self.room:
            raise OSError(5, "Input/output error")
        return super().read(size)


@pytest.mark.parametrize("ring", [RING, PLAIN], ids=["encrypted", "plain"])
def test_a_source_that_fails_is_not_taken_for_a_stream_that_was_changed(ring: Keyring) -> None:
    content, part = sealed(DATA, ring)
    with (
        pytest.raises(OSError, match="Input/output error"),
        backup_sealing.opened(Failing(content), ring, backup_id="A", part=part) as data,
    ):
        data.read()


@pytest.mark.parametrize("ring", [RING, PLAIN], ids=["encrypted", "plain"])
def test_no_more_comes_out_than_the_record_says(ring: Keyring) -> None:
    """A small object that expands without end is stopped while it streams."""
    content, part = sealed(b"\0" * (200 << 20), ring)
    assert len(content) < 100_000
    told = replace(part, data_bytes=5 << 20)
    read: list[int] = []
    with pytest.raises(Unusable, match="more than"):
        _read_by_the_mebibyte(content, told, ring, read)
    assert sum(read) <= 6 << 20


def _read_by_the_mebibyte(content: bytes, part: Part, ring: Keyring, read: list[int]) -> None:
    with backup_sealing.opened(io.BytesIO(content), ring, backup_id="A", part=part) as data:
        while chunk := data.read(1 << 20):
            read.append(len(chunk))
