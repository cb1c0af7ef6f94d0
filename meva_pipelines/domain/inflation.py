"""Bodies off the wire, decompressed with proof: a stream that does not end properly is an error.

HTTP libraries accept a truncated gzip stream with status 200 and hand over half of the rows. Here the end of
the stream is required and the size is bounded while it grows. Receiving the bytes belongs to the resources.
"""

import zlib

from meva_pipelines.domain.failures import Refused, Unavailable

MAX_RATIO = 300
"""Most decoded bytes per received byte of an honest page; markup repeated by the thousand stays below 100."""

_SMALL = 1_000_000
_GZIP = zlib.MAX_WBITS | 16
_STEP = 1 << 20


class Inflater:
    """Collect one body in chunks, `gzip` or `identity`, never beyond `max_bytes` decoded.

    `received` holds the bytes as they came. Raises Unavailable for a stream that is broken or cut off (again
    may help) and Refused for one that grows beyond its bounds.
    """

    def __init__(self, encoding: str, *, max_bytes: int) -> None:
        if encoding not in ("gzip", "identity"):
            raise Unavailable("the answer is compressed in a way that was not asked for; only gzip is read")
        self._stream = zlib.decompressobj(_GZIP) if encoding == "gzip" else None
        self._max_bytes = max_bytes
        self._decoded = bytearray()
        self.received = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        self.received += chunk
        if self._stream is None:
            self._decoded += chunk
            self._check_size()
            return
        rest = chunk
        while rest:
            if self._stream.eof:
                self._stream = zlib.decompressobj(_GZIP)
            try:
                self._decoded += self._stream.decompress(rest, _STEP)
            except zlib.error:
                raise Unavailable("the gzip stream of the answer is damaged; fetch it again") from None
            rest = self._stream.unconsumed_tail or self._stream.unused_data
            self._check_size()

    def finish(self) -> bytes:
        """The whole decoded body; raises Unavailable unless the compressed stream reached its end."""
        if self._stream is not None and self.received:
            self._decoded += self._stream.flush()
            self._check_size()
        if self._stream is not None and self.received and not self._stream.eof:
            raise Unavailable("the gzip stream of the answer was cut off; fetch it again")
        return bytes(self._decoded)

    def _check_size(self) -> None:
        size = len(self._decoded)
        if size > self._max_bytes:
            raise Refused(f"one page decodes to more than {self._max_bytes} bytes; ask for fewer rows per page")
        if size > _SMALL and size > MAX_RATIO * len(self.received):
            raise Refused(f"one page expands more than {MAX_RATIO} times: this is no honest answer")
