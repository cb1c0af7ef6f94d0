"""What an answer of the registry means for the conversation: go on, try again, wait, or stop.

The tables follow the three error shapes of the open API (provider XML, gateway XML or its JSON twin, plain
text) and the HTTP statuses, because a status 200 proves nothing. Reading the rows of a good answer belongs to
`domain/egen.py`, waiting to the client. Words of the server are compared and never repeated: an error text
may echo the key.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus

import orjson

from meva_pipelines.domain.contract import Shape, Wire
from meva_pipelines.domain.days import SEOUL, korean_day

BOM = b"\xef\xbb\xbf"
ERROR_BYTES = 65_536
"""Errors are small: a JSON body beyond this many bytes is not searched for one."""

_MEDIA_TYPES = {
    Wire.XML: frozenset({"application/xml", "text/xml"}),
    Wire.JSON: frozenset({"application/json", "text/json"}),
}


class Kind(StrEnum):
    """What to do next; `fail` ends this fetch, though a later run may succeed; `fatal` needs a person."""

    OK = "ok"
    EMPTY = "empty"
    RETRY = "retry"
    RETRY_ONCE = "retry_once"
    BACK_OFF = "back_off"
    QUOTA = "quota"
    FAIL = "fail"
    FATAL = "fatal"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One judgement: what to do, the name of the finding, and advice for the person who reads the message.

    `about` is the parameter that the server complained about, for comparison only.
    """

    kind: Kind
    name: str
    advice: str
    about: str = ""


_OUR_BUG = "the request is wrong: compare the contract file with the guide of the API"
_KEY = "check the service key on data.go.kr: its approval, its expiry and whether it is the decoding key"
_MOVED = "the service moved or was retired, or the base URL has the wrong case"
_LATER = "the source has trouble: the fetch is tried again"
_SLOWER = "too many requests per second: wait, then go on"
_TOMORROW = "the daily quota is used up: wait for its reset at midnight in Korea or ask for more on data.go.kr"
_UNEXPECTED = "the answer is not what the contract describes: look at the source with the probe"

_CODES: Mapping[str, Verdict] = {
    "00": Verdict(Kind.OK, "NORMAL", ""),
    "01": Verdict(Kind.RETRY_ONCE, "APPLICATION_ERROR", _LATER),
    "02": Verdict(Kind.RETRY, "DB_ERROR", _LATER),
    "03": Verdict(Kind.EMPTY, "NODATA_ERROR", ""),
    "04": Verdict(Kind.RETRY, "HTTP_ERROR", _LATER),
    "05": Verdict(Kind.RETRY, "SERVICETIME_OUT", _LATER),
    "10": Verdict(Kind.FATAL, "INVALID_REQUEST_PARAMETER_ERROR", _OUR_BUG),
    "11": Verdict(Kind.FATAL, "NO_MANDATORY_REQUEST_PARAMETERS_ERROR", _OUR_BUG),
    "12": Verdict(Kind.FATAL, "NO_OPENAPI_SERVICE_ERROR", _MOVED),
    "20": Verdict(Kind.FATAL, "SERVICE_ACCESS_DENIED_ERROR", _KEY),
    "21": Verdict(Kind.FATAL, "TEMPORARILY_DISABLE_THE_SERVICEKEY_ERROR", _KEY),
    "22": Verdict(Kind.QUOTA, "LIMITED_NUMBER_OF_SERVICE_REQUESTS_EXCEEDS_ERROR", _TOMORROW),
    "23": Verdict(Kind.BACK_OFF, "LIMITED_NUMBER_OF_SERVICE_REQUESTS_PER_SECOND_EXCEEDS_ERROR", _SLOWER),
    "29": Verdict(Kind.FATAL, "BLACKLIST_IP", "the address of this machine is blocked: ask the portal"),
    "30": Verdict(Kind.FATAL, "SERVICE_KEY_IS_NOT_REGISTERED_ERROR", f"{_KEY}; double encoding is the usual cause"),
    "31": Verdict(Kind.FATAL, "DEADLINE_HAS_EXPIRED_ERROR", "the approval ran out after two years: renew it"),
    "32": Verdict(Kind.FATAL, "UNREGISTERED_IP_ERROR", "register the address of this machine on data.go.kr"),
    "33": Verdict(Kind.FATAL, "UNSIGNED_CALL_ERROR", _KEY),
    "99": Verdict(Kind.FAIL, "UNKNOWN_ERROR", _LATER),
}
_NAMES = {found.name: found for found in _CODES.values()} | {"SERVICE_KEY_IS_NULL": _CODES["20"]}

_TEXTS: Mapping[str, Verdict] = {
    "unauthorized": Verdict(Kind.FATAL, "UNAUTHORIZED", _KEY),
    "forbidden": Verdict(Kind.FATAL, "FORBIDDEN", _KEY),
    "api not found": Verdict(Kind.FATAL, "API_NOT_FOUND", _MOVED),
    "api token quota exceeded": Verdict(Kind.QUOTA, "API_TOKEN_QUOTA_EXCEEDED", _TOMORROW),
    "api rate limit exceeded": Verdict(Kind.BACK_OFF, "API_RATE_LIMIT_EXCEEDED", _SLOWER),
    "error forwarding request to backend server": Verdict(Kind.RETRY, "ERROR_FORWARDING_REQUEST", _LATER),
    "error receiving response from backend server": Verdict(Kind.RETRY, "ERROR_RECEIVING_RESPONSE", _LATER),
    "unexpected error": Verdict(Kind.RETRY, "UNEXPECTED_ERROR", _LATER),
}

_STATUSES: Mapping[int, Verdict] = {
    HTTPStatus.UNAUTHORIZED: Verdict(Kind.FATAL, "UNAUTHORIZED", _KEY),
    HTTPStatus.FORBIDDEN: Verdict(Kind.FATAL, "FORBIDDEN", _KEY),
    HTTPStatus.NOT_FOUND: Verdict(Kind.FATAL, "NOT_FOUND", _MOVED),
    HTTPStatus.REQUEST_TIMEOUT: Verdict(Kind.RETRY, "REQUEST_TIMEOUT", _LATER),
    HTTPStatus.TOO_EARLY: Verdict(Kind.RETRY, "TOO_EARLY", _LATER),
    HTTPStatus.TOO_MANY_REQUESTS: Verdict(Kind.BACK_OFF, "TOO_MANY_REQUESTS", _SLOWER),
}
_BLOCKED = Verdict(
    Kind.FATAL, "REQUEST_BLOCKED", "a firewall refused the request: check the User-Agent and the address"
)
_REDIRECTED = Verdict(
    Kind.FATAL, "REDIRECTED", "redirects are not followed, the key would travel along: correct the base URL"
)

_ROOT = re.compile(rb"\s*(?:<\?xml[^>]*\?>\s*)?(?:<!--.*?-->\s*)*<([A-Za-z_][\w.-]*)", re.DOTALL)
_WORD = re.compile(r"[a-z_]{1,40}")


def verdict(code: str, text: str = "") -> Verdict:
    """Judge a result code together with its text.

    Codes 22 and 23 are told apart by the text, because the per-second text has been seen under 22. A missing
    code is looked up by its text; an unknown one ends the fetch.
    """
    name = re.sub(r"[^A-Z0-9]+", "_", text.upper()).strip("_")
    number = code.strip().zfill(2) if code.strip().isdigit() else ""
    if number in ("22", "23", "") and "PER_SECOND" in name:
        return _CODES["23"]
    if number in ("22", "23") and name in _NAMES:
        return _NAMES[name]
    found = _CODES.get(number) or _NAMES.get(name)
    return found or Verdict(Kind.FAIL, f"CODE_{number}" if len(number) <= len("000") else "CODE", _UNEXPECTED)


def of_status(status: int) -> Verdict:
    """Judge an HTTP status alone."""
    if status == HTTPStatus.OK:
        return _CODES["00"]
    if status in _STATUSES:
        return _STATUSES[status]
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return _REDIRECTED
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return Verdict(Kind.FATAL, f"HTTP_{status}", _OUR_BUG)
    return Verdict(Kind.RETRY, f"HTTP_{status}", _LATER)


def appraise(*, status: int, media_type: str, body: bytes, shape: Shape) -> Verdict:
    """Judge a whole answer by status, media type and the outside of its decoded body.

    An error that the body states outranks the status; a good status outranks nothing: an empty body, an HTML
    page, another root element or another media type is never `ok`. The rows are not read.
    """
    content = body.removeprefix(BOM).strip() if len(body) < ERROR_BYTES else body.removeprefix(BOM)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return _REDIRECTED
    stated = _stated(content, shape, status)
    if stated is not None and stated.kind is not Kind.OK:
        return stated
    by_status = of_status(status)
    if by_status.kind is not Kind.OK:
        return by_status
    if not content:
        return Verdict(Kind.RETRY, "EMPTY_BODY", _UNEXPECTED)
    if media_type and media_type not in _MEDIA_TYPES[shape.wire]:
        return Verdict(Kind.RETRY, "WRONG_MEDIA_TYPE", _UNEXPECTED)
    is_whole = root_of(content) == shape.items[0] if shape.wire is Wire.XML else content.lstrip()[:1] == b"{"
    return by_status if is_whole else Verdict(Kind.RETRY, "WRONG_ROOT", _UNEXPECTED)


def root_of(content: bytes) -> str | None:
    """Name of the root element of an XML document without byte order mark; None if it does not open so."""
    found = _ROOT.match(content)
    return found[1].decode() if found else None


def quota_reset(now: datetime) -> datetime:
    """The next midnight in Korea after `now` (aware), when daily quotas start anew."""
    return datetime.combine(korean_day(now) + timedelta(days=1), datetime.min.time(), SEOUL)


def retry_after_s(value: str | None, *, now: datetime) -> float | None:
    """Seconds asked for by a Retry-After header, given as a number or as an HTTP date; None if unreadable."""
    text = (value or "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, ((until if until.tzinfo else until.replace(tzinfo=UTC)) - now).total_seconds())


def _stated(content: bytes, shape: Shape, status: int) -> Verdict | None:
    """The error that a body states, in whichever of the shapes; None if it states nothing known."""
    opening = content[:4096].lstrip()
    if opening[:1] == b"{":
        return _stated_in_json(content, shape, status) if len(content) <= ERROR_BYTES else None
    if opening[:15].lower().startswith((b"<!doctype html", b"<html")):
        page = Verdict(Kind.RETRY, "HTML_PAGE", _UNEXPECTED) if status == HTTPStatus.OK else None
        return _BLOCKED if b"request blocked" in opening.lower() else page
    if opening[:1] == b"<":
        return _stated_in_xml(opening, shape)
    line = opening[:200].decode("utf-8", "replace").lower()
    return next((found for text, found in _TEXTS.items() if line.startswith(text)), None)


def _stated_in_xml(opening: bytes, shape: Shape) -> Verdict | None:
    root = root_of(opening)
    if root == "OpenAPI_ServiceResponse":
        text = _element(opening, "returnAuthMsg") or _element(opening, "errMsg")
        return verdict(_element(opening, "returnReasonCode"), text)
    if root != shape.items[0] or shape.code is None:
        return None
    code = _element(opening, shape.code[-1])
    return verdict(code, _element(opening, shape.text[-1]) if shape.text else "") if code else None


def _element(opening: bytes, name: str) -> str:
    found = re.search(rb"<%b>([^<]*)</%b>" % (name.encode(), name.encode()), opening)
    return found[1].decode("utf-8", "replace").strip() if found else ""


def _stated_in_json(content: bytes, shape: Shape, status: int) -> Verdict | None:
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    words = dict(_words(document))
    if "returnReasonCode" in words or "returnAuthMsg" in words:
        text = words.get("returnAuthMsg") or words.get("errMsg", "")
        return verdict(words.get("returnReasonCode", ""), text)
    stated = words.get(shape.code[-1], "") if shape.code else ""
    if not stated:
        return None
    if stated.isdigit():
        return verdict(stated, words.get(shape.text[-1], "") if shape.text else "")
    by_status = of_status(status)
    if by_status.kind is Kind.OK:
        by_status = Verdict(Kind.FAIL, "STATED_ERROR", _UNEXPECTED)
    name = stated if _WORD.fullmatch(stated) else by_status.name
    return Verdict(by_status.kind, name, by_status.advice, words.get("parameter", ""))


def _words(document: object, depth: int = 3) -> Iterator[tuple[str, str]]:
    """Texts and whole numbers of the outer objects of a JSON document; lists are not entered."""
    if not isinstance(document, dict):
        return
    for name, value in document.items():
        if isinstance(value, dict) and depth:
            yield from _words(value, depth - 1)
        elif isinstance(value, (str, int)) and not isinstance(value, bool):
            yield str(name), str(value)
