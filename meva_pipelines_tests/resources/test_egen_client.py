"""The registry client fetches a proved-complete set or says why not; its key never leaves the request."""

import gzip
import hashlib
import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from meva_pipelines.domain.failures import (
    Incomplete,
    MevaError,
    QuotaExhausted,
    Refused,
    StoreUnavailable,
    Superseded,
    Unavailable,
)
from meva_pipelines.resources.egen import EgenSource, Fetched, Mode, Probe, RawPage
from meva_pipelines_tests.resources.registry_script import (
    BASE_URL,
    KEY,
    Handler,
    Kept,
    Registry,
    Waits,
    feed,
    json_error,
    json_page,
    open_api,
    result_code,
    session,
    xml_answer,
    xml_page,
    zipped,
)

SINCE = datetime(2026, 11, 19, 0, 0, 30, tzinfo=timezone(timedelta(hours=9)))


def fetch(
    source: EgenSource,
    handler: Handler,
    *,
    waits: Waits | None = None,
    kept: Kept | None = None,
    **wanted: Any,
) -> Fetched:
    with session(source, handler, waits) as opened:
        return opened.fetch(**{"modified_after": None, "store": kept or Kept()} | wanted)


def seconds(waits: Waits) -> list[int]:
    return [int(wait) for wait in waits.seconds]


def test_a_country_is_fetched_page_by_page_and_handed_on_as_received() -> None:
    registry, kept = Registry(total=25, is_gzip=True), Kept()

    fetched = fetch(open_api(), registry, kept=kept)

    assert kept.order == [("", 1, 1), ("", 1, 2), ("", 1, 3)]
    assert [(page.rows, page.total, page.encoding, page.media_type) for page in kept.pages] == [
        (10, 25, "gzip", "application/xml"),
        (10, 25, "gzip", "application/xml"),
        (5, 25, "gzip", "application/xml"),
    ]
    assert gzip.decompress(kept.pages[2].body) == xml_page(3, 10, 25)
    assert kept.pages[0].sha256 == hashlib.sha256(kept.pages[0].body).hexdigest()
    assert (fetched.pages, fetched.rows, fetched.total, fetched.requests, fetched.retries) == (
        3,
        25,
        25,
        3,
        0,
    )
    assert (fetched.mode_used, fetched.fell_back, fetched.generations) == (Mode.FULL, False, {"": 1})
    assert fetched.bytes_received == sum(len(page.body) for page in kept.pages) < fetched.bytes_decoded


def test_requests_say_who_asks_and_want_gzip() -> None:
    registry = Registry(total=3)

    fetch(open_api(), registry)

    [request] = registry.requests
    assert request.url.path == "/B552657/AEDInfoInqireService/getAedFullDown"
    assert request.headers["User-Agent"].startswith("meva-pipelines/")
    assert request.headers["Accept-Encoding"] == "gzip"
    assert dict(request.url.params) == {"serviceKey": KEY, "pageNo": "1", "numOfRows": "10"}


@pytest.mark.parametrize(
    ("key", "sent"),
    [
        ("abc+/d==", b"serviceKey=abc%2B%2Fd%3D%3D&"),
        ("abc%2B%2Fd%3D%3D", b"serviceKey=abc%2B%2Fd%3D%3D&"),
        (" abc\n", b"serviceKey=abc&"),
        ("abc%2b", b"serviceKey=abc%2b&"),
    ],
)
def test_a_key_is_encoded_exactly_once(key: str, sent: bytes) -> None:
    registry = Registry(total=3)

    fetch(open_api(service_key=key), registry)

    assert sent in registry.requests[0].url.query


def test_a_set_that_changes_while_it_is_paged_is_begun_anew() -> None:
    registry, kept = Registry(total=15), Kept()
    registry.script = {1: xml_answer(xml_page(2, 10, 16))}

    fetched = fetch(open_api(), registry, kept=kept)

    assert kept.order == [("", 1, 1), ("", 2, 1), ("", 2, 2)]
    assert (fetched.rows, fetched.restarts, fetched.generations) == (15, 1, {"": 2})


def test_a_set_that_never_rests_is_incomplete() -> None:
    registry = Registry(total=15)
    registry.script = {turn: xml_answer(xml_page(2, 10, 16 + turn)) for turn in (1, 3, 5)}

    with pytest.raises(Incomplete, match="3 attempts"):
        fetch(open_api(), registry)


def test_an_empty_country_is_never_believed() -> None:
    for answer in (xml_answer(xml_page(1, 10, 0)), result_code("03", "NODATA_ERROR")):
        with pytest.raises(Incomplete, match="never believed"):
            fetch(open_api(), Registry(script={-1: answer}))


@pytest.mark.parametrize(
    "trouble",
    [
        result_code("02", "DB_ERROR"),
        result_code("23", "LIMITED_NUMBER_OF_SERVICE_REQUESTS_PER_SECOND_EXCEEDS_ERROR"),
        xml_answer("Error forwarding request to backend server", status=502),
        xml_answer("busy", status=503),
        xml_answer(""),
        xml_answer("<html>login</html>"),
        xml_answer(xml_page(1, 10, 25)[:-30]),
        xml_answer(xml_page(1, 10, 25).decode().encode("cp949")),
        xml_answer(gzip.compress(xml_page(1, 10, 25))[:-40], headers={"Content-Encoding": "gzip"}),
        xml_answer(xml_page(1, 10, 25), headers={"Content-Encoding": "br"}),
        httpx.ConnectTimeout("slow"),
        httpx.ReadTimeout("slow"),
        httpx.ConnectError("refused"),
        httpx.RemoteProtocolError("peer closed"),
    ],
    ids=lambda trouble: type(trouble).__name__ if isinstance(trouble, Exception) else None,
)
def test_passing_trouble_is_waited_out_and_lasting_trouble_is_unavailable(
    trouble: httpx.Response | Exception,
) -> None:
    waits, registry, kept = Waits(), Registry(script={0: trouble, 1: trouble, 2: trouble}), Kept()

    fetched = fetch(open_api(), registry, waits=waits, kept=kept)

    assert (fetched.rows, fetched.retries, fetched.requests) == (25, 3, 6)
    assert seconds(waits) == [1, 2, 4]
    lasting = Registry(script={-1: trouble})
    with pytest.raises(Unavailable, match="getAedFullDown"):
        fetch(open_api(), lasting, kept=Kept())
    assert len(lasting.requests) == 4


def test_an_application_error_is_tried_once_more_only() -> None:
    registry = Registry(script={-1: result_code("01", "APPLICATION_ERROR")})

    with pytest.raises(Unavailable, match="APPLICATION_ERROR"):
        fetch(open_api(), registry)
    assert len(registry.requests) == 2
    assert fetch(open_api(), Registry(script={0: result_code("01")})).retries == 1


@pytest.mark.parametrize("is_date", [False, True])
def test_retry_after_is_honoured_in_both_forms(is_date: bool) -> None:  # noqa: FBT001 - two forms of one header
    value = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True) if is_date else "30"
    waits = Waits()

    fetch(
        open_api(),
        Registry(script={0: xml_answer("slow down", status=429, headers={"Retry-After": value})}),
        waits=waits,
    )

    assert waits.seconds == [pytest.approx(30, abs=1.5)]


def test_a_wait_beyond_the_time_budget_is_left_to_a_later_run() -> None:
    waits, registry = (
        Waits(),
        Registry(script={-1: xml_answer("", status=503, headers={"Retry-After": "600"})}),
    )

    with pytest.raises(Unavailable, match="HTTP_503") as caught:
        fetch(open_api(budget_s=60.0), registry, waits=waits)

    assert (caught.value.retry_after_s, waits.seconds, len(registry.requests)) == (600.0, [], 1)


@pytest.mark.parametrize(
    "answer",
    [
        result_code("22", "LIMITED_NUMBER_OF_SERVICE_REQUESTS_EXCEEDS_ERROR"),
        httpx.Response(429, text="API token quota exceeded"),
    ],
)
def test_a_used_up_quota_names_its_reset(answer: httpx.Response) -> None:
    registry = Registry(script={1: answer})

    with pytest.raises(QuotaExhausted, match="reset at") as caught:
        fetch(open_api(), registry)

    assert len(registry.requests) == 2
    assert timedelta(0) < caught.value.resets_at - datetime.now(UTC) <= timedelta(days=1)
    assert caught.value.resets_at.utcoffset() == timedelta(hours=9)


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (result_code("30", "SERVICE_KEY_IS_NOT_REGISTERED_ERROR"), "double encoding"),
        (result_code("10", "INVALID_REQUEST_PARAMETER_ERROR"), "INVALID_REQUEST_PARAMETER_ERROR"),
        (httpx.Response(401, text="Unauthorized"), "UNAUTHORIZED"),
        (httpx.Response(404, text="API not found"), "wrong case"),
        (httpx.Response(400, text="<html>Request Blocked</html>"), "REQUEST_BLOCKED"),
        (httpx.Response(302, headers={"Location": "https://elsewhere.example/login"}), "REDIRECTED"),
        (httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"), "certificate"),
        (httpx.InvalidURL("Invalid port"), "base URL"),
        (xml_answer(gzip.compress(bytes(90_000_000)), headers={"Content-Encoding": "gzip"}), "expands"),
    ],
)
def test_what_needs_a_person_is_refused_at_once(answer: httpx.Response | Exception, named: str) -> None:
    registry, waits = Registry(script={-1: answer}), Waits()

    with pytest.raises(Refused, match=named):
        fetch(open_api(max_page_bytes=10**8), registry, waits=waits)

    assert (len(registry.requests), waits.seconds) == (1, [])


def test_an_unknown_error_ends_the_fetch_but_not_the_hope() -> None:
    registry = Registry(script={-1: result_code("99", "UNKNOWN_ERROR")})

    with pytest.raises(Unavailable, match="UNKNOWN_ERROR"):
        fetch(open_api(), registry)
    assert len(registry.requests) == 1


def test_a_byte_order_mark_is_reported() -> None:
    registry = Registry(total=3, script={0: zipped(b"\xef\xbb\xbf" + xml_page(1, 10, 3))})

    assert fetch(open_api(), registry).notes == ("the answer begins with a byte order mark",)


def test_districts_are_asked_for_one_by_one_and_may_be_empty() -> None:
    registry, kept = Registry(total=12), Kept()
    registry.script = {2: result_code("03", "NODATA_ERROR")}

    fetched = fetch(open_api(), registry, kept=kept, districts=[("서울특별시", "종로구"), ("세종특별자치시", "")])

    assert kept.order == [("서울특별시/종로구", 1, 1), ("서울특별시/종로구", 1, 2)]
    assert (fetched.rows, fetched.generations) == (12, {"서울특별시/종로구": 1, "세종특별자치시/": 1})
    first, _, sejong = (dict(request.url.params) for request in registry.requests)
    assert registry.requests[0].url.path.endswith("/getEgytAedManageInfoInqire")
    assert (first["Q0"], first["Q1"]) == ("서울특별시", "종로구")
    assert (sejong["Q0"], "Q1" in sejong) == ("세종특별자치시", False)


DISTRICTS = [("서울특별시", gugun) for gugun in ("종로구", "중구", "용산구", "성동구", "광진구", "동대문구")]


def test_a_district_that_does_not_come_completely_costs_the_others_nothing() -> None:
    registry, kept = Registry(total=3, script={1: result_code("99", "UNKNOWN_ERROR")}), Kept()

    fetched = fetch(open_api(), registry, kept=kept, districts=DISTRICTS)

    assert fetched.failed == {"서울특별시/중구": "Unavailable"}
    assert fetched.rows_by_scope == {f"{sido}/{gugun}": 3 for sido, gugun in DISTRICTS if gugun != "중구"}
    assert fetched.rows == fetched.total == 15
    assert fetched.generations.keys() == fetched.rows_by_scope.keys()


def test_a_district_is_retried_after_another_one_failed() -> None:
    """An error without a request under way must not stop the line for those that follow."""
    registry, waits = Registry(total=3), Waits()
    registry.script = {0: result_code("99", "UNKNOWN_ERROR"), 1: httpx.Response(503)}

    fetched = fetch(open_api(), registry, waits=waits, districts=DISTRICTS[:2])

    assert list(fetched.failed) == ["서울특별시/종로구"]
    assert (fetched.rows, len(waits.seconds)) == (3, 1)


def test_a_source_that_is_away_is_not_asked_for_every_district() -> None:
    registry = Registry(script={-1: result_code("99", "UNKNOWN_ERROR")})
    with pytest.raises(Unavailable, match="UNKNOWN_ERROR"):
        fetch(open_api(), registry, districts=DISTRICTS)
    assert len(registry.requests) == 3

    later = Registry(total=3, script={number: result_code("99", "UNKNOWN_ERROR") for number in (1, 2, 3)})
    fetched = fetch(open_api(), later, districts=DISTRICTS)
    assert list(fetched.failed.values()) == [*["Unavailable"] * 3, *["not asked for"] * 2]


def test_a_store_that_fails_ends_the_fetch_of_districts() -> None:
    class FullStore(Kept):
        def __call__(self, page: RawPage) -> None:
            raise StoreUnavailable(f"cannot write page {page.number}: disk full")

    with pytest.raises(StoreUnavailable):
        fetch(open_api(), Registry(total=3), kept=FullStore(), districts=DISTRICTS)


def test_districts_that_are_all_empty_are_never_believed() -> None:
    nothing = Registry(script={-1: result_code("03")})

    with pytest.raises(Incomplete, match="all 2 districts"):
        fetch(open_api(), nothing, districts=[("서울특별시", "종로구"), ("서울특별시", "중구")])
    with pytest.raises(Refused, match="single districts"):
        fetch(feed(), Registry(), districts=[("서울특별시", "종로구")])


def test_the_open_api_knows_no_changes_and_says_so() -> None:
    registry = Registry(total=3)

    fetched = fetch(open_api(), registry, modified_after=SINCE)

    assert (fetched.mode_used, fetched.fell_back, fetched.rows) == (Mode.FULL, True, 3)
    assert set(registry.requests[0].url.params) == {"serviceKey", "pageNo", "numOfRows"}


def test_the_feed_is_asked_for_changes_in_utc_with_its_key_in_a_header() -> None:
    registry = Registry(total=0)

    fetched = fetch(feed(), registry, modified_after=SINCE)

    [request] = registry.requests
    assert request.url.path == "/v1/aeds"
    assert dict(request.url.params) == {
        "last_modified_after": "2026-11-18T15:00:30Z",
        "page": "1",
        "size": "10",
    }
    assert request.headers["X-API-Key"] == KEY
    assert (fetched.mode_used, fetched.fell_back, fetched.rows) == (Mode.INCREMENTAL, False, 0)


def test_the_source_time_of_a_fetch_is_the_earliest_of_its_pages() -> None:
    registry = Registry(total=15, script={0: json_page(1, 10, 15, as_of="2026-11-19T03:59:00+09:00")})

    fetched = fetch(feed(), registry)

    assert fetched.as_of == datetime(2026, 11, 18, 18, 59, tzinfo=UTC)


def test_a_feed_without_change_tracking_is_fetched_whole() -> None:
    unsupported = json_error(400, error="unsupported_parameter", parameter="last_modified_after")
    registry, kept = Registry(total=15, script={0: unsupported, 2: json_error(503, error="busy")}), Kept()

    fetched = fetch(feed(), registry, modified_after=SINCE, kept=kept)

    assert (fetched.mode_used, fetched.fell_back, fetched.rows, fetched.retries) == (Mode.FULL, True, 15, 1)
    assert ["last_modified_after" in request.url.params for request in registry.requests] == [True] + [False] * 3
    assert kept.order == [("", 1, 1), ("", 1, 2)]


def test_another_unsupported_parameter_is_our_mistake() -> None:
    registry = Registry(script={-1: json_error(400, error="unsupported_parameter", parameter="size")})

    with pytest.raises(Refused, match="unsupported_parameter"):
        fetch(feed(), registry, modified_after=SINCE)
    assert len(registry.requests) == 1


def test_a_moment_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        fetch(feed(), Registry(), modified_after=datetime(2026, 11, 19))  # noqa: DTZ001 - the point of the test


def with_tokens(registry: Registry, *, lifetimes: list[int], path: str = "/oauth/token") -> Handler:
    """Ask for `registry` behind OAuth2; the n-th token is good for `lifetimes[n]` pages."""
    granted: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == path:
            assert request.method == "POST"
            assert request.content == b"grant_type=client_credentials"
            assert request.headers["Authorization"].startswith("Basic ")
            granted.append(lifetimes[len(granted)])
            return httpx.Response(200, json={"access_token": f"token-{len(granted)}", "token_type": "Bearer"})
        if request.headers.get("Authorization") != f"Bearer token-{len(granted)}" or granted[-1] < 1:
            registry.requests.append(request)
            return json_error(401, error="unauthorized")
        granted[-1] -= 1
        return registry(request)

    return answer


def test_a_token_is_fetched_once_and_renewed_when_it_is_refused() -> None:
    oauth = feed(service_key="", client_id="meva", client_secret=KEY)
    registry = Registry(total=45)

    assert fetch(oauth, with_tokens(registry, lifetimes=[3, 9])).rows == 45
    tokens = [request.headers["Authorization"] for request in registry.requests]
    assert tokens == ["Bearer token-1"] * 4 + ["Bearer token-2"] * 2


def test_a_fresh_token_that_is_refused_is_not_tried_again() -> None:
    oauth = feed(service_key="", client_id="meva", client_secret=KEY)

    with pytest.raises(Refused, match="unauthorized"):
        fetch(oauth, with_tokens(Registry(), lifetimes=[0, 0]))
    with pytest.raises(Refused, match="UNAUTHORIZED"):
        fetch(oauth, lambda _: json_error(401, error="invalid_client"))
    with pytest.raises(Unavailable, match="NO_ACCESS_TOKEN"):
        fetch(oauth, lambda _: httpx.Response(200, text="[]"))


def test_a_token_issued_beforehand_is_used_as_it_is() -> None:
    registry = Registry(total=3)

    fetch(feed(service_key="", token="issued"), registry)

    assert registry.requests[0].headers["Authorization"] == "Bearer issued"


@pytest.mark.parametrize(
    ("source", "named"),
    [
        (open_api(service_key=""), "MEVA_EGEN_SERVICE_KEY"),
        (open_api(service_key="열쇠"), "characters"),
        (open_api(service_key="abc%2B&debug=1"), "neither an encoding nor a decoding key"),
        (open_api(base_url="ftp://registry.example"), "MEVA_EGEN_BASE_URL"),
        (open_api(base_url=f"{BASE_URL}?serviceKey=x"), "MEVA_EGEN_BASE_URL"),
        (open_api(client_id="meva", client_secret="x"), "does not offer OAuth2"),
        (open_api(page_size=100_000), "at most 5000 rows"),
        (open_api(dialect="unknown"), "no source contract"),
    ],
)
def test_unusable_settings_are_refused_before_anything_is_sent(source: EgenSource, named: str) -> None:
    registry = Registry()

    with pytest.raises(Refused, match=named):
        fetch(source, registry)
    assert registry.requests == []


def test_a_store_that_fails_ends_the_fetch_with_its_own_error() -> None:
    registry = Registry(total=1_000)

    def store(_: object) -> None:
        raise Superseded("a newer attempt owns the registry")

    with pytest.raises(Superseded):
        fetch(open_api(), registry, store=store)
    assert len(registry.requests) <= 2


def test_the_next_page_is_on_its_way_while_one_is_stored() -> None:
    second_page_asked = threading.Event()
    registry = Registry(total=20)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.params["pageNo"] == "2":
            second_page_asked.set()
        return registry(request)

    def store(_: object) -> None:
        assert second_page_asked.wait(120)

    assert fetch(open_api(), answer, store=store).pages == 2


def test_a_probe_compares_one_row_with_the_contract() -> None:
    items = "<item><org>a</org><serialSeq>S1</serialSeq><colour>red</colour></item>"
    page = xml_page(1, 1, 62_786, rows=0).replace(b"<items></items>", f"<items>{items}</items>".encode())
    registry = Registry(script={0: xml_answer(page)})

    with session(open_api(), registry) as opened:
        found: Probe = opened.probe()

    assert registry.requests[0].url.params["numOfRows"] == "1"
    assert (found.total, found.missing_fields, found.unknown_fields) == (
        62_786,
        ("buildAddress",),
        ("colour",),
    )
    assert found.latency_s >= 0
    with session(open_api(), Registry(script={0: result_code("03")})) as opened:
        assert (opened.probe().total, opened.probe().notes) == (0, ())


ANSWERS: dict[str, httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]] = {
    "fatal": result_code("30"),
    "echo": lambda request: xml_answer(f"unknown key {request.url}", status=400),
    "echo in json": lambda request: httpx.Response(400, json={"error": str(request.url), "parameter": KEY}),
    "redirect": lambda request: httpx.Response(302, headers={"Location": str(request.url)}),
    "quota": result_code("22"),
    "retry": xml_answer("", status=500),
    "truncated": xml_answer(xml_page(1, 10, 25)[:-30]),
    "empty": xml_answer(xml_page(1, 10, 0)),
    "connect": httpx.ConnectError(f"cannot reach {BASE_URL}?serviceKey={KEY}"),
    "read": httpx.ReadTimeout(KEY),
    "url": httpx.InvalidURL(KEY),
}


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("dialect", ["data_go_kr", "egen", "oauth"])
def test_the_key_is_nowhere_but_in_the_request(name: str, dialect: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="httpx")
    sources = {
        "data_go_kr": open_api(),
        "egen": feed(),
        "oauth": feed(service_key="", client_id="meva", client_secret=KEY, token=KEY),
    }
    source = sources[dialect]
    answer = ANSWERS[name]
    registry = Registry(script={-1: answer})

    with pytest.raises(MevaError) as caught:
        fetch(source, registry)

    texts = [repr(source), str(source), caplog.text, "".join(traceback.format_exception(caught.value))]
    error: BaseException | None = caught.value
    while error is not None:
        texts += [str(error), repr(error), repr(vars(error))]
        error = error.__cause__ or error.__context__
    for text in texts:
        assert "kanarienvogel" not in text
        assert "geheim" not in text


@contextmanager
def served(respond: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A real HTTP server on the loopback for answers that only a wire can give."""

    class Quiet(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.close_connection = True
            respond(self)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/api"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(120)


def send_head(handler: BaseHTTPRequestHandler, **headers: str) -> None:
    handler.send_response(200)
    for name, value in ({"Content-Type": "application/xml", "Connection": "close"} | headers).items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def real_fetch(url: str, kept: Kept, **settings: object) -> Fetched:
    source = open_api(base_url=url, **settings)
    with source.session(sleep=Waits()) as opened:
        return opened.fetch(modified_after=None, store=kept)


def test_a_truncated_gzip_stream_in_well_formed_chunks_is_unavailable() -> None:
    """By itself httpx accepts this answer: status 200, a proper last chunk, and half of the rows."""
    half = gzip.compress(xml_page(1, 10, 10))[:-60]

    def respond(handler: BaseHTTPRequestHandler) -> None:
        send_head(handler, Content_Encoding="gzip", Transfer_Encoding="chunked")
        handler.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(half), half))

    kept = Kept()
    with served(respond) as url, pytest.raises(Unavailable, match="cut off"):
        real_fetch(url, kept)
    assert kept.pages == []


@pytest.mark.parametrize("has_length", [True, False])
def test_a_body_cut_by_a_closed_connection_is_unavailable(has_length: bool) -> None:  # noqa: FBT001 - both framings
    page = xml_page(1, 10, 10)

    def respond(handler: BaseHTTPRequestHandler) -> None:
        send_head(handler, **({"Content_Length": str(len(page))} if has_length else {}))
        handler.wfile.write(page[:-100])

    with served(respond) as url, pytest.raises(Unavailable, match=r"cut off|RemoteProtocolError"):
        real_fetch(url, Kept())


def test_a_whole_page_comes_over_a_real_wire() -> None:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        body = gzip.compress(xml_page(1, 10, 10))
        send_head(handler, Content_Encoding="gzip", Content_Length=str(len(body)))
        handler.wfile.write(body)

    kept = Kept()
    with served(respond) as url:
        assert real_fetch(url, kept).rows == 10
    assert gzip.decompress(kept.pages[0].body) == xml_page(1, 10, 10)


def test_a_body_that_trickles_ends_with_the_time_budget() -> None:
    body, pause_s = xml_page(1, 10, 10), 0.05

    def respond(handler: BaseHTTPRequestHandler) -> None:
        send_head(handler)
        for byte in body:
            handler.wfile.write(bytes([byte]))
            time.sleep(pause_s)

    started = time.monotonic()
    with served(respond) as url, pytest.raises(Unavailable, match=r"BUDGET_SPENT|ReadTimeout"):
        real_fetch(url, Kept(), budget_s=0.5)
    assert time.monotonic() - started < len(body) * pause_s


def test_a_silent_server_is_given_up_after_its_timeout() -> None:
    released = threading.Event()

    def respond(_: BaseHTTPRequestHandler) -> None:
        released.wait(120)

    with served(respond) as url:
        with pytest.raises(Unavailable, match="ReadTimeout"):
            real_fetch(url, Kept(), read_timeout_s=0.1)
        released.set()


def test_nobody_there_is_unavailable() -> None:
    with served(lambda _: None) as url:
        pass
    with pytest.raises(Unavailable, match="ConnectError"):
        real_fetch(url, Kept())
