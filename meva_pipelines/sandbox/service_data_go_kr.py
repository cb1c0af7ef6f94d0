"""The open API of data.go.kr: paths, keys, limits and parameters of its three operations, and their answers.

How rows and errors are spelled is in `wire_data_go_kr`; which rows there are is in `library`.
"""

import hmac
import math
from dataclasses import dataclass, field, replace
from datetime import datetime

from meva_pipelines.sandbox import effects, library
from meva_pipelines.sandbox import wire_data_go_kr as wire
from meva_pipelines.sandbox.districts import MERGED_SIDO, SIDO
from meva_pipelines.sandbox.faults import Fault, FaultList, Rule
from meva_pipelines.sandbox.library import Ask, Format, Library, Operation, Selection
from meva_pipelines.sandbox.reply import Call, Reply
from meva_pipelines.sandbox.world import GatewayStyle, Ledger, State, World

BASE_PATH = "/B552657/AEDInfoInqireService"
HEADERS = {
    "server": "Apache/2.2.22 (Red Hat Enterprise Web Server) DAV/2 mod_jk/1.2.37",
    "vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
}
_TEXTS = {
    "20": (403, "Forbidden"),
    "22": (429, "API token quota exceeded"),
    "23": (429, "API rate limit exceeded"),
    "30": (401, "Unauthorized"),
    "31": (403, "Forbidden"),
}
NOT_FOUND = Reply(b"API not found", 404, "text/plain")


class _BadParameterError(Exception):
    """A parameter that the provider refuses, with its code."""

    def __init__(self, code: str) -> None:
        super().__init__(wire.CODES[code])
        self.code = code


@dataclass(frozen=True, slots=True)
class Service:
    """Answers the three operations for holders of the one service key (decoded form)."""

    library: Library
    world: World
    faults: FaultList
    ledger: Ledger
    service_key: str = field(repr=False)

    def answer(self, operation_name: str, call: Call, *, now: datetime) -> Reply:
        """Return the answer to one request; `now` dates a Retry-After only."""
        if "user-agent" not in call.headers:
            return effects.blocked()
        if operation_name not in {Operation.FULL_DOWN, Operation.MANAGE_INFO, Operation.LOCATION}:
            return NOT_FOUND
        page = _page_number(call)
        rule = self.faults.take(operation_name, page)
        reply = effects.instead(rule, now=now)
        if reply is None:
            reply = self._answer(Operation(operation_name), call, rule)
        return replace(effects.deliver(reply, rule), fault=rule.fault if rule else None, page=page, rows=reply.rows)

    def _answer(self, operation: Operation, call: Call, rule: Rule | None) -> Reply:
        state = self.world.state
        refusal = self._key_refusal(call, state) or self.ledger.refusal(operation, state)
        if refusal is not None:
            return _gateway(refusal, state.gateway)
        is_json = call.parameters.get("_type") == "json"
        content_type = "application/json;charset=UTF-8" if is_json else "application/xml"
        try:
            ask = Ask(
                operation,
                Format.JSON if is_json else Format.XML,
                _whole(call, "pageNo", 1),
                min(_whole(call, "numOfRows", 10), state.max_rows or 2**31),
                _selection(operation, call),
            )
        except _BadParameterError as refused:
            write = wire.json_code if is_json else wire.xml_code
            return Reply(write(refused.code, wire.CODES[refused.code]), 200, content_type)
        return page_reply(self.library, state, ask, rule, content_type=content_type, is_gzip=call.accepts_gzip)

    def _key_refusal(self, call: Call, state: State) -> str | None:
        key = call.parameters.get("serviceKey") or call.parameters.get("ServiceKey")
        if not key:
            return "20"
        if not hmac.compare_digest(key.encode(), self.service_key.encode()):
            return "30"
        return "31" if state.key_expired else None


def page_reply(shelf: Library, state: State, ask: Ask, rule: Rule | None, *, content_type: str, is_gzip: bool) -> Reply:
    """Return a page as an answer, compressed on request; a truncated gzip is compressed in any case."""
    fault = rule.fault if rule else None
    headers = {}
    if is_gzip or fault is Fault.TRUNCATED_GZIP:
        headers["content-encoding"] = "gzip"
        if rule is None or fault is Fault.TRUNCATED_GZIP:
            body = shelf.packed(state, ask)
        else:
            body = library.pack(effects.change_bytes(shelf.body(state, ask, rule), rule))
    else:
        body = effects.change_bytes(shelf.body(state, ask, rule), rule)
    return Reply(body, 200, content_type, headers, delay_s=state.latency_s, rows=ask.size)


def _gateway(code: str, style: GatewayStyle) -> Reply:
    status, text = _TEXTS[code]
    if style is GatewayStyle.TEXT:
        return Reply(text.encode(), status, "text/plain")
    body = wire.xml_gateway(code, wire.CODES[code])
    return Reply(body, 200 if style is GatewayStyle.XML_200 else status, "text/xml;charset=UTF-8")


def _page_number(call: Call) -> int | None:
    text = call.parameters.get("pageNo", "1")
    return int(text) if text.isdecimal() and text.isascii() else None


def _whole(call: Call, name: str, default: int) -> int:
    text = call.parameters.get(name) or str(default)
    if not (text.isdecimal() and text.isascii() and len(text) < 10 and int(text) >= 1):
        raise _BadParameterError("10")
    return int(text)


def _selection(operation: Operation, call: Call) -> Selection:
    sido = call.parameters.get("Q0") or None
    gugun = call.parameters.get("Q1") or None
    if operation is Operation.FULL_DOWN:
        return Selection()
    if operation is Operation.MANAGE_INFO:
        return Selection(sido=sido, gugun=gugun if sido else None)
    texts = [call.parameters.get(name) for name in ("WGS84_LAT", "WGS84_LON")]
    if not all(texts):
        if sido is None:
            raise _BadParameterError("11")
        return Selection(sido=_sido_of(sido))
    try:
        latitude, longitude = (float(text or "") for text in texts)
    except ValueError:
        raise _BadParameterError("10") from None
    if not (math.isfinite(latitude) and math.isfinite(longitude)):
        raise _BadParameterError("10")
    return Selection(sido=_sido_of(sido) if sido else None, near=(latitude, longitude))


def _sido_of(text: str) -> str:
    """Return the name of a sido given by code or by name."""
    names = {str(sido.code): sido.name for sido in SIDO} | {"12": MERGED_SIDO}
    return names.get(text, text)
