"""What the sandbox is asked and what it answers, as values without a web framework."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Call:
    """One request: decoded query or form parameters and headers with lower-case names."""

    parameters: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def accepts_gzip(self) -> bool:
        """Whether the client asked for gzip."""
        return "gzip" in self.headers.get("accept-encoding", "")


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer and the manner of its delivery.

    `delay_s` passes before the first byte, `pause_s` before each of its `chunks` parts. With a
    `declared_length` greater than the body the connection is closed before the promised end; with
    `is_chunked` no length is declared at all. `fault` and `page` are for the ledger.
    """

    body: bytes
    status: int = 200
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    delay_s: float = 0.0
    pause_s: float = 0.0
    chunks: int = 1
    declared_length: int | None = None
    is_chunked: bool = False
    clock_ahead_s: float = 0.0
    fault: str | None = None
    page: int | None = None
    rows: int | None = None
