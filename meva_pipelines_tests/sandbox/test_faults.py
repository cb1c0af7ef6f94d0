"""Each fault really is on the wire what its name says."""

import gzip
import json
import time
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx
import pytest

from meva_pipelines.sandbox.faults import PARAMETERS, Fault, Rule, parse
from meva_pipelines.sandbox.server import Running
from meva_pipelines.sandbox.wire_data_go_kr import CODES
from meva_pipelines_tests.sandbox.calls import FULL_DOWN, LOCATION, feed, get, read

PLAIN = {"Accept-Encoding": "identity"}


def raw(client: httpx.Client, sandbox: Running, page: int = 1) -> tuple[httpx.Response, bytes]:
    """The answer and its bytes as sent, before any decompression."""
    query: dict[str, str | int] = {"serviceKey": sandbox.service_key, "pageNo": page, "numOfRows": 100}
    with client.stream("GET", f"{sandbox.data_go_kr_url}/{FULL_DOWN}", params=query) as response:
        return response, b"".join(response.iter_raw())


def page_of(client: httpx.Client, sandbox: Running, number: int, size: int = 100) -> list[dict[str, str]]:
    return read(get(client, sandbox, parameters={"pageNo": number, "numOfRows": size}).text).items


@pytest.fixture(autouse=True)
def _unlimited(sandbox: Running, client: httpx.Client) -> Iterator[None]:
    sandbox.world.set(rate_per_s=None)
    yield
    assert sandbox.faults.pending() == (), "each fault of a test should have struck"
    assert get(client, sandbox).status_code == 200


# ---- answers instead of a page


@pytest.mark.parametrize("code", ["01", "03", "99"])
def test_provider_codes_come_in_the_normal_envelope(sandbox: Running, client: httpx.Client, code: str) -> None:
    sandbox.faults.add(Fault.PROVIDER_CODE, code=code)
    response = get(client, sandbox)
    assert response.status_code == 200
    assert read(response.text).code == code
    assert f"<resultMsg>{CODES[code]}</resultMsg>" in response.text


@pytest.mark.parametrize("status", [200, 401, 403, 429])
def test_gateway_codes_come_with_any_status(sandbox: Running, client: httpx.Client, status: int) -> None:
    sandbox.faults.add(Fault.GATEWAY_CODE, code="22", status=status)
    response = get(client, sandbox)
    assert response.status_code == status
    assert response.text == (
        "<OpenAPI_ServiceResponse><cmmMsgHeader><errMsg>SERVICE ERROR</errMsg>"
        f"<returnAuthMsg>{CODES['22']}</returnAuthMsg><returnReasonCode>22</returnReasonCode>"
        "</cmmMsgHeader></OpenAPI_ServiceResponse>"
    )


def test_gateway_codes_may_be_declared_json_or_be_json(sandbox: Running, client: httpx.Client) -> None:
    sandbox.faults.add(Fault.GATEWAY_CODE, content_type="application/json", message="quota")
    sandbox.faults.add(Fault.GATEWAY_CODE, content_type="application/json", is_json=True)
    declared, real = get(client, sandbox), get(client, sandbox)
    assert declared.headers["content-type"] == "application/json"
    assert "<returnAuthMsg>quota</returnAuthMsg>" in declared.text
    header = real.json()["OpenAPI_ServiceResponse"]["cmmMsgHeader"]
    assert header["returnReasonCode"] == "30"


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (401, "Unauthorized"),
        (429, "API token quota exceeded"),
        (502, "Error forwarding request to backend server"),
        (500, "Unexpected error(s)"),
    ],
)
def test_the_new_gateway_answers_in_plain_text(sandbox: Running, client: httpx.Client, status: int, text: str) -> None:
    sandbox.faults.add(Fault.GATEWAY_TEXT, status=status, text=text)
    response = get(client, sandbox)
    assert (response.status_code, response.text) == (status, text)
    assert response.headers["content-type"] == "text/plain"


def test_429_says_when_to_come_back_in_seconds_or_as_a_date(sandbox: Running, client: httpx.Client) -> None:
    sandbox.faults.add(Fault.TOO_MANY_REQUESTS, retry_after_s=7)
    sandbox.faults.add(Fault.TOO_MANY_REQUESTS, retry_after_s=60, as_http_date=True)
    assert get(client, sandbox).headers["retry-after"] == "7"
    response = get(client, sandbox)
    wait = parsedate_to_datetime(response.headers["retry-after"]) - datetime.now(UTC)
    assert response.status_code == 429
    assert timedelta(seconds=50) < wait <= timedelta(seconds=60)
    sandbox.faults.add(Fault.TOO_MANY_REQUESTS, operation="aeds")
    assert feed(client, sandbox).json() == {"error": "too_many_requests"}


def test_statuses_come_bare_or_with_a_wait(sandbox: Running, client: httpx.Client) -> None:
    sandbox.faults.add(Fault.STATUS, status=500)
    sandbox.faults.add(Fault.STATUS, status=503, retry_after_s=3)
    bare, waiting = get(client, sandbox), get(client, sandbox)
    assert (bare.status_code, bare.headers.get("retry-after")) == (500, None)
    assert (waiting.status_code, waiting.headers["retry-after"]) == (503, "3")


def test_a_200_may_be_html_or_empty(sandbox: Running, client: httpx.Client) -> None:
    sandbox.faults.add(Fault.HTML)
    sandbox.faults.add(Fault.EMPTY)
    html, empty = get(client, sandbox), get(client, sandbox)
    assert html.status_code == 200
    assert html.headers["content-type"] == "text/html"
    assert html.text.startswith("<!DOCTYPE html>")
    assert (empty.status_code, empty.content) == (200, b"")
    assert empty.headers["content-type"] == "application/xml"


def test_the_firewall_blocks_and_the_gateway_sends_to_a_login(sandbox: Running, client: httpx.Client) -> None:
    sandbox.faults.add(Fault.BLOCKED)
    sandbox.faults.add(Fault.LOGIN_REDIRECT, times=2)
    blocked, redirect = get(client, sandbox), get(client, sandbox)
    assert blocked.status_code == 400
    assert "Request Blocked" in blocked.text
    assert (redirect.status_code, redirect.headers["location"]) == (302, "/login")
    with httpx.Client(follow_redirects=True) as trusting:
        login = get(trusting, sandbox)
    assert login.status_code == 200
    assert "<form>" in login.text


# ---- bytes and delivery


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_truncated_gzip_is_a_200_that_ends_early(sandbox: Running, client: httpx.Client, *, is_chunked: bool) -> None:
    sandbox.faults.add(Fault.TRUNCATED_GZIP, keep=0.5, is_chunked=is_chunked)
    response, body = raw(client, sandbox)
    stream = zlib.decompressobj(wbits=31)
    text = stream.decompress(body)
    assert response.status_code == 200
    assert ("content-length" in response.headers) is not is_chunked
    assert text.startswith(b"<?xml")
    assert not stream.eof
    _, whole = raw(client, sandbox)
    assert whole.startswith(body)
    assert gzip.decompress(whole).startswith(text)


def test_a_truncated_body_is_a_proper_gzip_of_half_a_document(sandbox: Running, client: httpx.Client) -> None:
    sandbox.faults.add(Fault.TRUNCATED_BODY, times=3)
    _, body = raw(client, sandbox)
    assert not gzip.decompress(body).endswith(b"</response>")
    assert not get(client, sandbox, headers=PLAIN).text.endswith("</response>")
    with pytest.raises(json.JSONDecodeError):
        feed(client, sandbox).json()


def test_a_cut_connection_breaks_the_promised_length(sandbox: Running, client: httpx.Client) -> None:
    sandbox.faults.add(Fault.CUT_CONNECTION)
    with pytest.raises(httpx.RemoteProtocolError):
        get(client, sandbox)


def test_a_stall_outlasts_a_short_patience(sandbox: Running) -> None:
    sandbox.faults.add(Fault.STALL, seconds=30)
    with httpx.Client(timeout=0.2) as hasty, pytest.raises(httpx.ReadTimeout):
        get(hasty, sandbox)


def test_a_slow_body_arrives_whole_and_late(sandbox: Running, client: httpx.Client) -> None:
    sandbox.faults.add(Fault.SLOW_BODY, seconds=0.4, chunks=4)
    began = time.monotonic()
    page = read(get(client, sandbox).text)
    assert time.monotonic() - began >= 0.4
    assert len(page.items) == 10


def test_a_byte_order_mark_and_cp949_disturb_the_encoding(sandbox: Running, client: httpx.Client) -> None:
    expected = get(client, sandbox).content
    sandbox.faults.add(Fault.BOM)
    sandbox.faults.add(Fault.CP949)
    assert get(client, sandbox).content == b"\xef\xbb\xbf" + expected
    korean = get(client, sandbox)
    with pytest.raises(UnicodeDecodeError):
        korean.content.decode("utf-8")
    assert korean.content.decode("cp949") == expected.decode()


# ---- content


def test_a_field_of_ten_megabytes(sandbox: Running, client: httpx.Client) -> None:
    sandbox.faults.add(Fault.HUGE_FIELD, times=2)
    assert len(get(client, sandbox, headers=PLAIN).content) > 10_000_000
    assert len(feed(client, sandbox, size=2).json()["items"][0]["remarks"].encode()) > 10_000_000


def test_an_unknown_and_a_missing_field(sandbox: Running, client: httpx.Client) -> None:
    sandbox.faults.add(Fault.UNKNOWN_FIELD, name="aNew", value="<1>")
    sandbox.faults.add(Fault.MISSING_FIELD, name="org")
    sandbox.faults.add(Fault.MISSING_FIELD, rows=1)
    sandbox.faults.add(Fault.MISSING_FIELD)
    assert {item["aNew"] for item in page_of(client, sandbox, 1)} == {"<1>"}
    assert not any("org" in item for item in page_of(client, sandbox, 1))
    assert ["serialSeq" in item for item in page_of(client, sandbox, 1, 3)] == [False, True, True]
    assert not any("equipment_serial" in item for item in feed(client, sandbox).json()["items"])


def test_the_total_changes_between_pages(sandbox: Running, client: httpx.Client) -> None:
    sandbox.faults.add(Fault.TOTAL_CHANGES, page=2, by=-3)
    totals = [read(get(client, sandbox, parameters={"pageNo": n}).text).total for n in (1, 2, 3)]
    assert totals[0] == totals[2] == totals[1] + 3


def test_a_row_repeats_across_pages_and_another_is_lost(sandbox: Running, client: httpx.Client) -> None:
    first, clean = page_of(client, sandbox, 1), page_of(client, sandbox, 2)
    sandbox.faults.add(Fault.DUPLICATE_ROW, page=2)
    second = page_of(client, sandbox, 2)
    serials = [item["serialSeq"] for item in second]
    assert serials == [first[-1]["serialSeq"], *(item["serialSeq"] for item in clean[:-1])]


def test_a_shuffled_order_repeats_and_loses_rows_between_pages(sandbox: Running, client: httpx.Client) -> None:
    total = sandbox.registry.count(sandbox.world.state.day)
    sandbox.faults.add(Fault.SHUFFLED_ORDER, page=1)
    sandbox.faults.add(Fault.SHUFFLED_ORDER, page=2, seed=2)
    serials = [item["serialSeq"] for n in (1, 2) for item in page_of(client, sandbox, n, -(-total // 2))]
    assert len(serials) == total
    assert len(set(serials)) < total


def test_nan_stands_bare_in_json_and_as_text_in_xml(sandbox: Running, client: httpx.Client) -> None:
    sandbox.faults.add(Fault.NAN, rows=10, times=2)
    body = feed(client, sandbox, size=10).text
    assert '"latitude":NaN' in body
    assert "NaN" in {item.get("wgs84Lat") for item in page_of(client, sandbox, 1)}


def test_only_the_last_page_may_be_missing(sandbox: Running, client: httpx.Client) -> None:
    total = sandbox.registry.count(sandbox.world.state.day)
    last = -(-total // 100)
    sandbox.faults.add(Fault.MISSING_LAST_PAGE, times=last)
    counts = [len(page_of(client, sandbox, n)) for n in range(1, last + 1)]
    assert counts == [100] * (last - 1) + [0]


def test_a_page_is_short_or_says_another_number(sandbox: Running, client: httpx.Client) -> None:
    sandbox.faults.add(Fault.SHORT_PAGE, rows=4)
    sandbox.faults.add(Fault.WRONG_PAGE_NUMBER)
    assert len(page_of(client, sandbox, 1)) == 96
    assert read(get(client, sandbox).text).page == 2


def test_the_clock_of_the_source_may_be_ahead(sandbox: Running, client: httpx.Client) -> None:
    plain = feed(client, sandbox).json()
    sandbox.faults.add(Fault.CLOCK_AHEAD, hours=48)
    response = feed(client, sandbox)
    gap = timedelta(hours=48)
    assert parsedate_to_datetime(response.headers["date"]) - datetime.now(UTC) > timedelta(hours=47)
    ahead = response.json()
    assert datetime.fromisoformat(ahead["as_of"]) - datetime.fromisoformat(plain["as_of"]) == gap
    for later, item in zip(ahead["items"], plain["items"], strict=True):
        moments = [datetime.fromisoformat(value["last_modified"]) for value in (later, item)]
        assert moments[0] - moments[1] == gap


# ---- rules


def test_rules_are_taken_in_order_by_operation_page_and_times(sandbox: Running, client: httpx.Client) -> None:
    sandbox.faults.add(Fault.STATUS, operation=LOCATION, status=500)
    sandbox.faults.add(Fault.STATUS, page=2, times=2, status=502)
    sandbox.faults.add(Fault.STATUS, times=None, status=503)
    pages = (1, 2, 2, 2)
    statuses = [get(client, sandbox, parameters={"pageNo": page}).status_code for page in pages]
    assert statuses == [503, 502, 502, 503]
    assert get(client, sandbox, LOCATION).status_code == 500
    assert [rule.times for rule in sandbox.faults.pending()] == [None]
    sandbox.faults.clear()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"fault": "earthquake"}, "earthquake"),
        ({"fault": "bom", "when": 1}, "when"),
        ({"fault": "bom", "parameters": {"size": 1}}, "no parameter 'size'; known: none"),
        ({"fault": "stall", "parameters": {"seconds": "long"}}, "cannot be 'long'"),
        ({"fault": "bom", "times": -1}, "times"),
        ({"fault": "bom", "page": True}, "page"),
        ({"fault": "bom", "parameters": [1]}, "are an object"),
    ],
)
def test_a_wrong_rule_is_refused_by_name(entry: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(entry)


def test_every_fault_has_its_parameters_and_a_rule() -> None:
    assert set(PARAMETERS) == set(Fault)
    for fault in Fault:
        assert parse({"fault": fault.value}) == Rule(fault)
