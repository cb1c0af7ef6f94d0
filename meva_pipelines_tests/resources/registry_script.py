"""A registry of a few devices as a plain function for `httpx.MockTransport`, and what was asked of it."""

import gzip
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import httpx
import orjson

from meva_pipelines.resources.egen import EgenSession, EgenSource, RawPage

KEY = "kanarienvogel+/geheim=="
BASE_URL = "https://registry.example/B552657/AEDInfoInqireService"
Handler = Callable[[httpx.Request], httpx.Response]


def xml_page(number: int, size: int, total: int, *, rows: int | None = None) -> bytes:
    first = size * (number - 1)
    count = max(0, min(size, total - first)) if rows is None else rows
    items = "".join(f"<item><org>서울 {n}</org><serialSeq>S{first + n}</serialSeq></item>" for n in range(count))
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?><response><header><resultCode>00</resultCode>'
        f"<resultMsg>NORMAL SERVICE.</resultMsg></header><body><items>{items}</items>"
        f"<numOfRows>{size}</numOfRows><pageNo>{number}</pageNo><totalCount>{total}</totalCount></body></response>"
    ).encode()


def xml_answer(
    body: bytes | str, *, status: int = 200, headers: Mapping[str, str] = MappingProxyType({})
) -> httpx.Response:
    content = body.encode() if isinstance(body, str) else body
    head = {"Content-Type": "application/xml", **headers}
    return httpx.Response(status, headers=head, stream=httpx.ByteStream(content))


def unread(response: httpx.Response) -> httpx.Response:
    """The same answer as it comes off a wire: not read and not decompressed yet."""
    body = b"".join(chunk for chunk in response.stream if isinstance(chunk, bytes))  # type: ignore[union-attr]
    return httpx.Response(response.status_code, headers=response.headers, stream=httpx.ByteStream(body))


def zipped(body: bytes) -> httpx.Response:
    return xml_answer(gzip.compress(body), headers={"Content-Encoding": "gzip"})


def result_code(code: str, text: str = "") -> httpx.Response:
    header = f"<header><resultCode>{code}</resultCode><resultMsg>{text}</resultMsg></header>"
    return xml_answer(f"<response>{header}<body/></response>")


def json_page(number: int, size: int, total: int, **changes: object) -> httpx.Response:
    count = max(0, min(size, total - size * (number - 1)))
    rows = [{"equipment_serial": f"12-{number}{n}", "manager": None} for n in range(count)]
    answer = {
        "page": number,
        "size": size,
        "total": total,
        "as_of": "2026-11-19T04:00:00+09:00",
        "items": rows,
    }
    return httpx.Response(200, content=orjson.dumps(answer | changes), headers={"Content-Type": "application/json"})


def json_error(status: int, **words: str) -> httpx.Response:
    return httpx.Response(status, json=words)


@dataclass
class Registry:
    """Serves `total` devices honestly, unless the script has an answer for that request (counted from 0)."""

    total: int = 25
    script: dict[int, Handler | httpx.Response | Exception] = field(default_factory=dict)
    requests: list[httpx.Request] = field(default_factory=list)
    is_gzip: bool = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        turn = len(self.requests)
        self.requests.append(request)
        scripted = self.script.get(turn, self.script.get(-1))
        if isinstance(scripted, Exception):
            raise scripted
        if isinstance(scripted, httpx.Response):
            return scripted
        return scripted(request) if scripted is not None else self.honest(request)

    def honest(self, request: httpx.Request) -> httpx.Response:
        query = request.url.params
        if "pageNo" in query:
            page = xml_page(int(query["pageNo"]), int(query["numOfRows"]), self.total)
            return zipped(page) if self.is_gzip else xml_answer(page)
        return json_page(int(query["page"]), int(query["size"]), self.total)


@dataclass
class Waits:
    """Stands in for waiting; keeps the waits of a second and more, pacing is shorter."""

    seconds: list[float] = field(default_factory=list)

    def __call__(self, seconds: float) -> None:
        if seconds >= 1:
            self.seconds.append(seconds)


@dataclass
class Kept:
    """The pages handed on, in order."""

    pages: list[RawPage] = field(default_factory=list)

    def __call__(self, page: RawPage) -> None:
        self.pages.append(page)

    @property
    def order(self) -> list[tuple[str, int, int]]:
        return [(page.scope, page.generation, page.number) for page in self.pages]


def open_api(**settings: Any) -> EgenSource:
    given: dict[str, Any] = {"base_url": BASE_URL, "service_key": KEY, "page_size": 10}
    return EgenSource(**given | settings)


def feed(**settings: Any) -> EgenSource:
    given: dict[str, Any] = {
        "base_url": "https://feed.example",
        "dialect": "egen",
        "service_key": KEY,
        "page_size": 10,
    }
    return EgenSource(**given | settings)


@contextmanager
def session(source: EgenSource, handler: Handler, waits: Waits | None = None) -> Iterator[EgenSession]:
    transport = httpx.MockTransport(lambda request: unread(handler(request)))
    with source.session(transport=transport, sleep=waits or Waits()) as opened:
        yield opened
