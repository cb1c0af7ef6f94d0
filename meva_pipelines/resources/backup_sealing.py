r"""A sealed stream: compressed, encrypted in authenticated segments, digested on the way. No file is named here.

    header    "MEVA-BACKUP-1\\n", id of the key (16 hexadecimal digits), "\\n"
    body      zstd, inside AES-256-GCM segments (Tink); without a key: zstd alone

Header and place (backup and part) are bound into every segment: a stream that lies under another name does not open.
"""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Protocol

import zstandard

from meva_pipelines.domain.backup.records import Part
from meva_pipelines.domain.failures import Unusable
from meva_pipelines.resources.backup_keys import Keyring

if TYPE_CHECKING:
    from collections.abc import Callable

LEVEL = 3
CHUNK_BYTES = 1 << 20
_MAGIC = b"MEVA-BACKUP-1\n"
_HEADER_BYTES = len(_MAGIC) + 17


class Sink(Protocol):
    """Where sealed bytes go."""

    def write(self, data: bytes, /) -> object:
        """Take bytes."""


@dataclass(slots=True)
class Sealing:
    """A part being sealed; `part` is complete when the block that lends it has ended."""

    name: str
    write: "Callable[[bytes], object]"
    data_bytes: int = 0
    part: Part | None = None

    def finished(self) -> Part:
        """Return the facts of the sealed part.

        Raises:
            Unusable: it was never finished.
        """
        if self.part is None:
            raise Unusable(f"part {self.name} was not finished", rule="backup_sealed")
        return self.part


@contextmanager
def sealed(sink: Sink, keyring: Keyring, *, backup_id: str, name: str, level: int = LEVEL) -> Iterator[Sealing]:
    """Lend a writer whose data end sealed in `sink`. When the body raises, the stream is left without an end."""
    key_id = keyring.sealing_id
    header = _header(key_id)
    outlet = _Outlet(sink)
    outlet.write(header)
    cipher = keyring.cipher(key_id)
    # Tink hands over segments of any size; without it, small blocks would each cost two digests and a write.
    stored: IO[bytes] = io.BufferedWriter(outlet, CHUNK_BYTES)
    encrypting: Any = cipher.new_encrypting_stream(stored, _bound(header, backup_id, name)) if cipher else stored
    # One thread of its own: compression goes on while the next chunk is read, encrypted and digested here.
    compressor = zstandard.ZstdCompressor(level=level, write_checksum=True, threads=1).compressobj()

    def write(data: bytes) -> None:
        sealing.data_bytes += len(data)
        if compressed := compressor.compress(data):
            outlet.pass_on(encrypting, compressed)

    sealing = Sealing(name, write)
    try:
        yield sealing
        outlet.pass_on(encrypting, compressor.flush())
        outlet.finish(encrypting)
    except BaseException:
        outlet.discard()
        raise
    sealing.part = outlet.part(name, sealing.data_bytes)


@contextmanager
def opened(source: IO[bytes], keyring: Keyring, *, backup_id: str, part: Part) -> Iterator[IO[bytes]]:
    """Lend the data of a sealed part as a stream. What is read was authenticated segment by segment.

    Whoever reads to the end and leaves the block without an error has read exactly what was sealed. No more comes out
    than the record says.

    Raises:
        Unusable: a wrong key, a changed, cut, exchanged or foreign stream.
        OSError: the source failed.
    """
    inlet = _Inlet(source, part)
    try:
        header = _read_header(inlet, backup_id, part)
        cipher = keyring.cipher(header[len(_MAGIC) : -1].decode("ascii", "replace"))
        bound = _bound(header, backup_id, part.name)
        decrypted: Any = cipher.new_decrypting_stream(inlet, bound) if cipher else inlet
        reader = zstandard.ZstdDecompressor().stream_reader(decrypted, read_size=CHUNK_BYTES, read_across_frames=False)
        counted = _Counted(reader, part, backup_id)
        yield io.BufferedReader(counted, CHUNK_BYTES)
        if counted.is_at_end():
            _demand_whole(inlet, counted, decrypted, backup_id, part)
    except (zstandard.ZstdError, EOFError) as error:
        raise _corrupt(backup_id, part, "it does not decompress") from error
    except Exception as error:
        if inlet.error is not None:  # Tink only says that it could not read
            raise inlet.error from None
        if type(error).__module__.startswith("tink"):
            raise _corrupt(backup_id, part, "it does not open: changed, cut off, exchanged or a wrong key") from None
        raise


def checked(source: IO[bytes], keyring: Keyring, *, backup_id: str, part: Part) -> None:
    """Read a sealed part to its end and throw the data away.

    Raises:
        Unusable: as in `opened`.
    """
    with opened(source, keyring, backup_id=backup_id, part=part) as data:
        while data.read(CHUNK_BYTES):
            pass


def copied(source: IO[bytes], sink: Sink, *, backup_id: str, part: Part) -> None:
    """Copy a sealed part as it is, without opening it.

    Raises:
        Unusable: it is not what was written.
    """
    inlet = _Inlet(source, part)
    while chunk := inlet.read(CHUNK_BYTES):
        sink.write(chunk)
    if inlet.bytes_read != part.stored_bytes or inlet.sha256.hexdigest() != part.sha256:
        raise _corrupt(backup_id, part, "its SHA-256 is not the one that was written down")


def _demand_whole(inlet: "_Inlet", counted: "_Counted", decrypted: Any, backup_id: str, part: Part) -> None:
    while decrypted.read(CHUNK_BYTES):
        raise _corrupt(backup_id, part, "something follows its end")
    while inlet.read(CHUNK_BYTES):
        raise _corrupt(backup_id, part, "something follows its end")
    if counted.bytes_read != part.data_bytes:
        raise _corrupt(backup_id, part, f"{counted.bytes_read:,} bytes came instead of {part.data_bytes:,}")
    if inlet.bytes_read != part.stored_bytes or inlet.sha256.hexdigest() != part.sha256:
        raise _corrupt(backup_id, part, "its SHA-256 is not the one that was written down")


def _corrupt(backup_id: str, part: Part, what: str) -> Unusable:
    return Unusable(f"part {part.name} of backup {backup_id} cannot be used: {what}", rule="backup_sealed")


def _read_header(inlet: "_Inlet", backup_id: str, part: Part) -> bytes:
    header = inlet.read(_HEADER_BYTES)
    if len(header) != _HEADER_BYTES or not header.startswith(_MAGIC) or not header.endswith(b"\n"):
        raise _corrupt(backup_id, part, "it has no header of a backup")
    return header


def _header(key_id: str) -> bytes:
    return _MAGIC + key_id.encode("ascii") + b"\n"


def _bound(header: bytes, backup_id: str, name: str) -> bytes:
    return b"\0".join((header, backup_id.encode(), name.encode()))


@dataclass(slots=True)
class _Facts:
    stored_bytes: int = 0
    sha256: Any = field(default_factory=hashlib.sha256)
    md5: Any = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))


class _Outlet(io.RawIOBase):
    """Counts and digests what goes to the sink. An error of the sink is kept, because Tink only says that it failed."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._sink = sink
        self._facts = _Facts()
        self._error: Exception | None = None
        self._is_discarded = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        size = len(data)
        if self._is_discarded:
            return size
        content = bytes(data)
        try:
            self._sink.write(content)
        except Exception as error:
            self._error = error
            raise
        self._facts.stored_bytes += size
        self._facts.sha256.update(content)
        self._facts.md5.update(content)
        return size

    def pass_on(self, stream: Any, data: bytes) -> None:
        """Write all of `data` to the stream that ends here."""
        view = memoryview(data)
        while view:
            with self._blamed():
                view = view[stream.write(view) :]

    def finish(self, stream: Any) -> None:
        """Write the end of the stream."""
        with self._blamed():
            stream.close()

    @contextmanager
    def _blamed(self) -> Iterator[None]:
        """Let the error of the sink be the one that is seen, whatever the stream on top of it makes of it."""
        try:
            yield
        finally:
            if self._error is not None:
                raise self._error

    def discard(self) -> None:
        """Let nothing more through, such as the end that a stream writes when it is thrown away."""
        self._is_discarded = True

    def part(self, name: str, data_bytes: int) -> Part:
        facts = self._facts
        return Part(
            name=name,
            data_bytes=data_bytes,
            stored_bytes=facts.stored_bytes,
            sha256=facts.sha256.hexdigest(),
            md5=facts.md5.hexdigest(),
        )


class _Inlet(io.RawIOBase):
    """Counts and digests what comes from the store, and stops a stream that is longer than it may be."""

    def __init__(self, source: IO[bytes], part: Part) -> None:
        super().__init__()
        self._source = source
        self._limit = part.stored_bytes + 1
        self.bytes_read = 0
        self.sha256 = hashlib.sha256()
        self.error: OSError | None = None

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        left = self._limit - self.bytes_read
        try:
            content = self._source.read(left if size < 0 else min(size, left))
        except OSError as error:
            self.error = error
            raise
        self.bytes_read += len(content)
        self.sha256.update(content)
        return content


class _Counted(io.RawIOBase):
    """Counts the data that were read, stops at more than there may be, and knows whether their end was seen."""

    def __init__(self, reader: Any, part: Part, backup_id: str) -> None:
        super().__init__()
        self._reader = reader
        self._part = part
        self._backup_id = backup_id
        self._has_ended = False
        self.bytes_read = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        content: bytes = self._reader.read(size)
        self.bytes_read += len(content)
        if self.bytes_read > self._part.data_bytes:
            raise _corrupt(self._backup_id, self._part, f"more than {self._part.data_bytes:,} bytes come out of it")
        self._has_ended = self._has_ended or (not content and size != 0) or size < 0
        return content

    def readinto(self, buffer: Any, /) -> int:
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def is_at_end(self) -> bool:
        """Whether the data were read to their end; looks for one more byte in case they were read exactly."""
        return self._has_ended or not self.read(1)
