"""What each fault does: to the choice of rows, to a page before it is written, to its bytes, to its delivery.

Pure functions. When a fault strikes is decided by the rules of `faults`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import format_datetime

import numpy as np
from numpy.typing import NDArray

from meva_pipelines.sandbox import wire_data_go_kr
from meva_pipelines.sandbox.faults import Fault, Rule
from meva_pipelines.sandbox.registry import Numbers
from meva_pipelines.sandbox.reply import Reply

Coordinates = NDArray[np.float64]

CONTENT = frozenset(
    {
        Fault.HUGE_FIELD,
        Fault.UNKNOWN_FIELD,
        Fault.MISSING_FIELD,
        Fault.TOTAL_CHANGES,
        Fault.DUPLICATE_ROW,
        Fault.SHUFFLED_ORDER,
        Fault.NAN,
        Fault.MISSING_LAST_PAGE,
        Fault.SHORT_PAGE,
        Fault.WRONG_PAGE_NUMBER,
        Fault.CLOCK_AHEAD,
    }
)
"""Faults that change what a page says."""

_HTML = b"<!DOCTYPE html><html><head><title>Service</title></head><body><h1>%s</h1></body></html>"
_KEYS = ("serialSeq", "equipment_serial")
_LONG_FIELDS = ("buildPlace", "remarks")
_COORDINATE_FIELDS = ("wgs84Lat", "wgs84Lon", "latitude", "longitude")
NAN_MARK = "\ue000NaN\ue000"
"""Stands for a NaN until the page is written, because no JSON writer emits one willingly."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A page before it is written: its rows and what the envelope says about them."""

    items: list[dict[str, object]]
    page: int
    size: int
    total: int
    as_of: datetime


# ---- rows


def page_rows(numbers: Numbers, page: int, size: int, rule: Rule | None) -> Numbers:
    """Return the rows of a page, 1-based; a page beyond the end has none."""
    first, end = (page - 1) * size, page * size
    fault = rule.fault if rule else None
    if rule and fault is Fault.SHUFFLED_ORDER:
        return np.random.default_rng(rule.count("seed")).permutation(numbers)[first:end]
    rows = numbers[first:end]
    if fault is Fault.DUPLICATE_ROW and len(rows):
        again = numbers[first - 1 : first] if first else rows[:1]
        return np.concatenate([again, rows[:-1]])
    if fault is Fault.MISSING_LAST_PAGE and end >= len(numbers):
        return rows[:0]
    if rule and fault is Fault.SHORT_PAGE:
        return rows[: max(0, len(rows) - rule.count("rows"))]
    return rows


# ---- pages


def change_sheet(sheet: Sheet, rule: Rule | None) -> Sheet:
    """Return the page as the fault leaves it."""
    if rule is None:
        return sheet
    match rule.fault:
        case Fault.TOTAL_CHANGES:
            return replace(sheet, total=sheet.total + rule.count("by"))
        case Fault.WRONG_PAGE_NUMBER:
            return replace(sheet, page=sheet.page + rule.count("by"))
        case Fault.CLOCK_AHEAD:
            return _ahead(sheet, timedelta(hours=rule.number("hours")))
        case _:
            return replace(sheet, items=_change_items(sheet.items, rule))


def _change_items(items: list[dict[str, object]], rule: Rule) -> list[dict[str, object]]:
    match rule.fault:
        case Fault.UNKNOWN_FIELD:
            return [item | {rule.text("name"): rule.text("value")} for item in items]
        case Fault.MISSING_FIELD:
            names = {rule.text("name")} if rule.text("name") else set(_KEYS)
            return _first_rows(
                items,
                rule.count("rows", if_none=len(items)),
                lambda item: {k: v for k, v in item.items() if k not in names},
            )
        case Fault.HUGE_FIELD:
            text = "가" * (rule.count("bytes") // 3)
            return _first_rows(items, 1, lambda item: item | {_present(item, _LONG_FIELDS): text})
        case Fault.NAN:
            return _first_rows(
                items,
                rule.count("rows"),
                lambda item: item | {k: NAN_MARK for k in _COORDINATE_FIELDS if item.get(k) is not None},
            )
        case _:
            return items


def _first_rows(
    items: list[dict[str, object]],
    count: int,
    change: Callable[[dict[str, object]], dict[str, object]],
) -> list[dict[str, object]]:
    return [change(item) if i < count else item for i, item in enumerate(items)]


def _present(item: dict[str, object], names: tuple[str, ...]) -> str:
    return next((name for name in names if name in item), names[0])


def _ahead(sheet: Sheet, gap: timedelta) -> Sheet:
    items = [
        item | {"last_modified": (datetime.fromisoformat(str(item["last_modified"])) + gap).isoformat()}
        if "last_modified" in item
        else item
        for item in sheet.items
    ]
    return replace(sheet, items=items, as_of=sheet.as_of + gap)


# ---- bytes


def change_bytes(body: bytes, rule: Rule | None) -> bytes:
    """Return the written page as the fault leaves it, before compression."""
    match rule.fault if rule else None:
        case Fault.NAN:
            mark = NAN_MARK.encode()
            return body.replace(b'"' + mark + b'"', b"NaN").replace(mark, b"NaN")
        case Fault.BOM:
            return b"\xef\xbb\xbf" + body
        case Fault.CP949:
            return body.decode().encode("cp949", errors="replace")
        case Fault.TRUNCATED_BODY:
            return body[: _keep(body, rule)]
        case _:
            return body


def _keep(body: bytes, rule: Rule | None) -> int:
    return int(len(body) * rule.number("keep")) if rule else len(body)


# ---- delivery


def deliver(reply: Reply, rule: Rule | None) -> Reply:
    """Return the answer as the fault delivers it; a truncated gzip must be compressed already."""
    match rule.fault if rule else None:
        case Fault.STALL if rule:
            return replace(reply, delay_s=reply.delay_s + rule.number("seconds"))
        case Fault.SLOW_BODY if rule:
            chunks = max(1, rule.count("chunks"))
            return replace(reply, chunks=chunks, pause_s=rule.number("seconds") / chunks)
        case Fault.CUT_CONNECTION:
            body = reply.body[: _keep(reply.body, rule)]
            return replace(reply, body=body, declared_length=len(reply.body))
        case Fault.TRUNCATED_GZIP if rule:
            body = reply.body[: _keep(reply.body, rule)]
            return replace(reply, body=body, is_chunked=rule.is_set("is_chunked"))
        case Fault.CLOCK_AHEAD if rule:
            return replace(reply, clock_ahead_s=rule.number("hours") * 3_600)
        case _:
            return reply


# ---- answers that need no page


def blocked() -> Reply:
    """Return the firewall's page for a request without User-Agent."""
    return Reply(_HTML % b"Request Blocked", 400, "text/html")


def instead(rule: Rule | None, *, now: datetime) -> Reply | None:
    """Return the answer that the fault gives instead of a page, or None where there is a page to give."""
    answer = _ANSWERS.get(rule.fault) if rule else None
    return answer(rule, now) if rule and answer else None


def _provider_code(rule: Rule, _: datetime) -> Reply:
    return Reply(wire_data_go_kr.xml_code(rule.text("code"), _message(rule)), 200, "application/xml")


def _gateway_code(rule: Rule, _: datetime) -> Reply:
    write = wire_data_go_kr.json_gateway if rule.is_set("is_json") else wire_data_go_kr.xml_gateway
    body = write(rule.text("code"), _message(rule))
    return Reply(body, rule.count("status"), rule.text("content_type"))


def _gateway_text(rule: Rule, _: datetime) -> Reply:
    return Reply(rule.text("text").encode(), rule.count("status"), "text/plain")


def _too_many_requests(rule: Rule, now: datetime) -> Reply:
    seconds = rule.count("retry_after_s")
    wait = str(seconds)
    if rule.is_set("as_http_date"):
        wait = format_datetime(now + timedelta(seconds=seconds), usegmt=True)
    return Reply(rule.text("text").encode(), 429, "text/plain", {"retry-after": wait})


def _status(rule: Rule, _: datetime) -> Reply:
    status, seconds = rule.count("status"), rule.count("retry_after_s", if_none=-1)
    headers = {} if seconds < 0 else {"retry-after": str(seconds)}
    return Reply(f"HTTP {status}".encode(), status, "text/plain", headers)


def _html(rule: Rule, _: datetime) -> Reply:
    return Reply(_HTML % b"Service temporarily unavailable", rule.count("status"), "text/html")


_ANSWERS: dict[Fault, Callable[[Rule, datetime], Reply]] = {
    Fault.PROVIDER_CODE: _provider_code,
    Fault.GATEWAY_CODE: _gateway_code,
    Fault.GATEWAY_TEXT: _gateway_text,
    Fault.TOO_MANY_REQUESTS: _too_many_requests,
    Fault.STATUS: _status,
    Fault.HTML: _html,
    Fault.EMPTY: lambda _rule, _now: Reply(b"", 200, "application/xml"),
    Fault.BLOCKED: lambda _rule, _now: blocked(),
    Fault.LOGIN_REDIRECT: lambda rule, _now: Reply(b"", 302, "text/html", {"location": rule.text("location")}),
}


def _message(rule: Rule) -> str:
    return rule.text("message") or wire_data_go_kr.CODES.get(rule.text("code"), "UNKNOWN_ERROR")
