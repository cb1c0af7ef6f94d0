"""The members of a tar stream while it passes: names, sizes, and the content of the few that are wanted.

`pg_basebackup` ends its stream with the manifest that the next increment needs; it is caught here without a second
pass. Reading archives back is in `backup_extraction`.
"""

from collections.abc import Collection, Iterator

_BLOCK = 512
_LARGEST_CAUGHT = 512 << 20


class Tap:
    """Fed with the chunks of a ustar stream, in order; `caught` holds the wanted members by name."""

    def __init__(self, wanted: Collection[str]) -> None:
        self._wanted = frozenset(wanted)
        self._header = b""
        self._left = 0
        self._padding = 0
        self._name = ""
        self.caught: dict[str, bytearray] = {}
        self.members = 0
        self.content_bytes = 0

    def feed(self, chunk: bytes) -> None:
        """Look at the next bytes of the stream."""
        position = 0
        while position < len(chunk):
            if self._left:
                position += self._content(chunk, position)
            elif self._padding:
                step = min(self._padding, len(chunk) - position)
                self._padding -= step
                position += step
            else:
                step = min(_BLOCK - len(self._header), len(chunk) - position)
                self._header += chunk[position : position + step]
                position += step
                if len(self._header) == _BLOCK:
                    self._begin()

    def _content(self, chunk: bytes, position: int) -> int:
        step = min(self._left, len(chunk) - position)
        if self._name in self._wanted and len(self.caught[self._name]) + step <= _LARGEST_CAUGHT:
            self.caught[self._name] += chunk[position : position + step]
        self._left -= step
        return step

    def _begin(self) -> None:
        header, self._header = self._header, b""
        if not header.strip(b"\0"):
            return
        self._name = header[:100].rstrip(b"\0").decode("utf-8", "replace").removeprefix("./")
        size = _number(header[124:136])
        self._left, self._padding = size, -size % _BLOCK
        self.members += 1
        self.content_bytes += size
        if self._name in self._wanted:
            self.caught[self._name] = bytearray()


def _number(field: bytes) -> int:
    """Return a number of a header: octal text, or base 256 where its first bit is set."""
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big")
    return int(field.strip(b"\0 ") or b"0", 8)


def tapped(chunks: Iterator[bytes], tap: Tap) -> Iterator[bytes]:
    """Pass chunks on while the tap looks at them."""
    for chunk in chunks:
        tap.feed(chunk)
        yield chunk
