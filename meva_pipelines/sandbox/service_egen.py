"""The provisional e-gen feed: its two endpoints, API key or OAuth2 client credentials, and its parameters.

How rows are spelled is in `wire_egen`; which rows there are is in `library`.
"""

import base64
import binascii
import hmac
import secrets
import time
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Lock

import orjson

from meva_pipelines.sandbox import effects
from meva_pipelines.sandbox import wire_egen as wire
from meva_pipelines.sandbox.faults import FaultList, Rule
from meva_pipelines.sandbox.library import Ask, Format, Library, Operation, Selection
from meva_pipelines.sandbox.reply import Call, Reply
from meva_pipelines.sandbox.service_data_go_kr import page_reply
from meva_pipelines.sandbox.world import State, World

CLIENT_ID = "sandbox"
LARGEST_PAGE = 10_000
TOKEN_OPERATION = "token"  # noqa: S105 - the name of an endpoint
_JSON = "application/json"


class Tokens:
    """Access tokens issued and not yet expired. Safe between threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._expiry: dict[str, float] = {}

    def issue(self, lifetime_s: float) -> str:
        """Return a new token."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._expiry[token] = time.monotonic() + lifetime_s
        return token

    def is_valid(self, token: str) -> bool:
        """Tell whether a token was issued here and lives."""
        with self._lock:
            return self._expiry.get(token, 0.0) > time.monotonic()

    def revoke(self) -> None:
        """Make every token invalid."""
        with self._lock:
            self._expiry.clear()


@dataclass(frozen=True, slots=True)
class Service:
    """Answers the feed for holders of the key: as X-API-Key, or as client secret of client `sandbox`."""

    library: Library
    world: World
    faults: FaultList
    service_key: str = field(repr=False)
    tokens: Tokens = field(default_factory=Tokens)

    def aeds(self, call: Call, *, now: datetime) -> Reply:
        """Return one page of devices, or the error that the request deserves."""
        page = _whole(call, "page", 1)
        rule = self.faults.take(Operation.AEDS, page)
        reply = _as_json(effects.instead(rule, now=now)) or self._aeds(call, page, rule)
        return replace(effects.deliver(reply, rule), fault=rule.fault if rule else None, page=page, rows=reply.rows)

    def token(self, call: Call, *, now: datetime) -> Reply:
        """Return an access token for HTTP basic credentials and grant_type=client_credentials."""
        rule = self.faults.take(TOKEN_OPERATION, None)
        reply = effects.instead(rule, now=now) or self._token(call)
        return replace(effects.deliver(reply, rule), fault=rule.fault if rule else None)

    def _aeds(self, call: Call, page: int | None, rule: Rule | None) -> Reply:
        state = self.world.state
        if not self._is_authorized(call, state):
            return Reply(wire.error("unauthorized"), 401, _JSON, {"www-authenticate": "Bearer"})
        size = _whole(call, "size", 1_000)
        if page is None or size is None or size > LARGEST_PAGE:
            return _bad("page" if page is None else "size")
        after = call.parameters.get("last_modified_after")
        if after is not None and not state.supports_incremental:
            return Reply(wire.error("unsupported_parameter", "last_modified_after"), 400, _JSON)
        moment = None if after is None else _moment(after)
        if after is not None and moment is None:
            return _bad("last_modified_after")
        selection = Selection(since=moment.timestamp() if moment else None)
        ask = Ask(Operation.AEDS, Format.EGEN, page, min(size, state.max_rows or size), selection)
        return page_reply(self.library, state, ask, rule, content_type=_JSON, is_gzip=call.accepts_gzip)

    def _token(self, call: Call) -> Reply:
        state = self.world.state
        if call.parameters.get("grant_type") != "client_credentials":
            return Reply(wire.error("unsupported_grant_type"), 400, _JSON)
        client, secret = _basic(call.headers.get("authorization", ""))
        if state.key_expired or client != CLIENT_ID or not self._is_key(secret):
            return Reply(wire.error("invalid_client"), 401, _JSON, {"www-authenticate": "Basic"})
        body = {
            "access_token": self.tokens.issue(state.token_lifetime_s),
            "token_type": "Bearer",
            "expires_in": int(state.token_lifetime_s),
        }
        return Reply(orjson.dumps(body), 200, _JSON, {"cache-control": "no-store"})

    def _is_authorized(self, call: Call, state: State) -> bool:
        if state.key_expired:
            return False
        kind, _, token = call.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self.tokens.is_valid(token)
        return self._is_key(call.headers.get("x-api-key", ""))

    def _is_key(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self.service_key.encode())


def _as_json(reply: Reply | None) -> Reply | None:
    """Word plain-text refusals as this feed does: a JSON object with `error`."""
    if reply is None or reply.content_type != "text/plain":
        return reply
    name = "too_many_requests" if reply.status == 429 else f"http_{reply.status}"
    return replace(reply, body=wire.error(name), content_type=_JSON)


def _bad(parameter: str) -> Reply:
    return Reply(wire.error("invalid_parameter", parameter), 400, _JSON)


def _whole(call: Call, name: str, default: int) -> int | None:
    text = call.parameters.get(name, str(default))
    is_whole = text.isdecimal() and text.isascii() and len(text) < 10
    return int(text) if is_whole and int(text) >= 1 else None


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _basic(header: str) -> tuple[str, str]:
    kind, _, encoded = header.partition(" ")
    if kind.lower() != "basic":
        return "", ""
    try:
        client, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return client, secret
