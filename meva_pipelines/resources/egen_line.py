"""One line to a registry: a GET that ends in a judged, whole answer or in a domain error.

Authentication, pacing, retries with waits, time budget, decompression and the judgement of each answer live
here; which pages are asked for belongs to `resources/egen.py`. A URL carries the service key, so no message,
no exception chain and no log record of this module ever holds one.
"""

import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from importlib import metadata
from types import TracebackType
from typing import Self
from urllib.parse import quote

import httpx
import orjson
import tenacity

from meva_pipelines.domain import egen, egen_verdicts
from meva_pipelines.domain.contract import Contract, KeyPlace
from meva_pipelines.domain.egen_verdicts import Kind, Verdict
from meva_pipelines.domain.failures import MevaError, QuotaExhausted, Refused, Unavailable
from meva_pipelines.domain.inflation import Inflater
from meva_pipelines.resources import http_logs, journal
from meva_pipelines.resources.journal import Event

MAX_ATTEMPTS = 4
"""One request and at most three retries, after 1, 2 and 4 s (seed 001 §6.3)."""

_GOOD = (Kind.OK, Kind.EMPTY)
_AGAIN = (Kind.RETRY, Kind.BACK_OFF)
_BASE_URL = re.compile(r"https?://[^\s/?#@]+(?:/[^\s?#]*)?")
_ENCODED_KEY = re.compile(r"(?:[A-Za-z0-9._~+/=-]|%[0-9A-Fa-f]{2})+")
_TOKEN_BYTES = 65_536
_BUDGET_SPENT = Verdict(Kind.FAIL, "BUDGET_SPENT", "the answers came too slowly for the time budget: try later")
_LATER = "the source or the way to it has trouble: try again later"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How one source is reached; secrets stay out of the representation."""

    base_url: str
    service_key: str = field(default="", repr=False)
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    budget_s: float = 1500.0
    max_page_bytes: int = 64_000_000


@dataclass(slots=True)
class Traffic:
    """What a line has carried so far, failed attempts included."""

    requests: int = 0
    retries: int = 0
    bytes_received: int = 0
    bytes_decoded: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """One attempt judged; `envelope` is there exactly when rows can follow."""

    verdict: Verdict
    status: int | None = None
    media_type: str = ""
    encoding: str = "identity"
    body: bytes = field(default=b"", repr=False)
    content: bytes = field(default=b"", repr=False)
    envelope: egen.Envelope | None = None
    retry_after_s: float | None = None


class Line:
    """An open line, lent with `with`; not for two threads at once. Raises Refused for unusable settings."""

    def __init__(
        self,
        settings: Settings,
        contract: Contract,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        _refuse_unusable(settings, contract)
        self.traffic = Traffic()
        self._settings = settings
        self._contract = contract
        self._stopped = threading.Event()
        self._sleep = sleep or self._stopped.wait
        self._deadline = time.monotonic() + settings.budget_s
        self._next_start = 0.0
        self._bearer = settings.token
        http_logs.keep_addresses_out()
        self._client = httpx.Client(
            transport=transport,
            follow_redirects=False,
            headers={"User-Agent": f"meva-pipelines/{_version()}", "Accept-Encoding": "gzip"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._client.close()

    def stop(self) -> None:
        """Let the attempt under way in another thread end soon and without retries."""
        self._stopped.set()

    def get(self, path: str, parameters: Sequence[tuple[str, str]]) -> Reply:
        """GET one page and return it judged good (`ok` or `empty`).

        Raises QuotaExhausted, Unavailable (after at most three retries) or Refused.
        """
        retrying = tenacity.Retrying(
            stop=self._is_enough,
            wait=self._wait_s,
            retry=self._is_worth_it,
            sleep=self._rest,
            before_sleep=self._count_retry,
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        reply: Reply = retrying(self._ask, path, parameters)
        if reply.verdict.kind in _GOOD:
            return reply
        raise self._error(path, reply)

    def _is_enough(self, state: tenacity.RetryCallState) -> bool:
        is_over_budget = time.monotonic() + state.upcoming_sleep > self._deadline
        return state.attempt_number >= MAX_ATTEMPTS or is_over_budget or self._stopped.is_set()

    def _wait_s(self, state: tenacity.RetryCallState) -> float:
        backoff = float(tenacity.wait_exponential_jitter(initial=1, max=8, jitter=0.5)(state))
        return max(backoff, _result(state).retry_after_s or 0.0)

    def _is_worth_it(self, state: tenacity.RetryCallState) -> bool:
        kind = _result(state).verdict.kind
        return kind in _AGAIN or (kind is Kind.RETRY_ONCE and state.attempt_number == 1)

    def _rest(self, seconds: float) -> None:
        self._sleep(seconds)

    def _count_retry(self, state: tenacity.RetryCallState) -> None:
        self.traffic.retries += 1
        reply = _result(state)
        wait_s = f"{state.upcoming_sleep:.1f}"
        facts = {"source": self._contract.name, "why": reply.verdict.name, "status": reply.status}
        journal.note(Event.REQUEST_REPEATED, **facts, attempt=state.attempt_number, wait_s=wait_s)

    def _ask(self, path: str, parameters: Sequence[tuple[str, str]]) -> Reply:
        """One attempt; with OAuth2 a token that is no longer accepted is renewed once."""
        if time.monotonic() > self._deadline:
            return Reply(_BUDGET_SPENT)
        had_token = bool(self._bearer)
        refusal = self._log_in()
        if refusal is not None:
            return refusal
        reply = self._ask_once(path, parameters)
        if reply.status == HTTPStatus.UNAUTHORIZED and had_token and self._settings.client_id:
            self._bearer = ""
            return self._log_in() or self._ask_once(path, parameters)
        return reply

    def _ask_once(self, path: str, parameters: Sequence[tuple[str, str]]) -> Reply:
        reply = self._exchange("GET", self._url(path, parameters), headers=self._headers())
        if reply.status is None or reply.verdict.kind not in _GOOD:
            return reply
        shape = self._contract.shape
        verdict = egen_verdicts.appraise(
            status=reply.status, media_type=reply.media_type, body=reply.content, shape=shape
        )
        envelope = None
        if verdict.kind is Kind.OK:
            try:
                envelope = egen.envelope(reply.content, shape)
            except Unavailable as error:
                verdict = Verdict(Kind.RETRY, "NOT_WHOLE", str(error))
        return Reply(
            verdict,
            reply.status,
            reply.media_type,
            reply.encoding,
            reply.body,
            reply.content,
            envelope,
            reply.retry_after_s,
        )

    def _log_in(self) -> Reply | None:
        """Fetch an OAuth2 token where one is needed; the reply that refused it, if any."""
        if self._bearer or not self._settings.client_id:
            return None
        reply = self._exchange(
            "POST",
            self._url(self._contract.auth.token_path or "", ()),
            data={"grant_type": "client_credentials"},
            auth=(self._settings.client_id, self._settings.client_secret),
        )
        if reply.status is None or reply.verdict.kind not in _GOOD:
            return reply
        by_status = egen_verdicts.of_status(reply.status)
        if by_status.kind is not Kind.OK:
            return Reply(by_status, reply.status, retry_after_s=reply.retry_after_s)
        self._bearer = _access_token(reply.content)
        wrong = Verdict(Kind.RETRY, "NO_ACCESS_TOKEN", "the token service did not answer with a bearer token")
        return None if self._bearer else Reply(wrong, reply.status)

    def _exchange(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        data: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> Reply:
        """Send one request and read its body with proof; trouble becomes a verdict, never an exception."""
        self._pace()
        self.traffic.requests += 1
        try:
            with self._client.stream(
                method,
                url,
                headers=headers,
                data=data,
                auth=auth or httpx.USE_CLIENT_DEFAULT,
                timeout=self._timeout(),
            ) as response:
                return self._read(response)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            return Reply(_of_transport(error))
        except Unavailable as error:
            return Reply(Verdict(Kind.RETRY, "NOT_WHOLE", str(error)))
        except Refused as error:
            return Reply(Verdict(Kind.FATAL, "TOO_LARGE", str(error)))

    def _read(self, response: httpx.Response) -> Reply:
        retry_after_s = egen_verdicts.retry_after_s(response.headers.get("Retry-After"), now=datetime.now(UTC))
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        inflater = Inflater("gzip" if encoding == "x-gzip" else encoding, max_bytes=self._settings.max_page_bytes)
        try:
            for chunk in response.iter_raw():
                inflater.feed(chunk)
                if time.monotonic() > self._deadline or self._stopped.is_set():
                    return Reply(_BUDGET_SPENT)
            content = inflater.finish()
        finally:
            self.traffic.bytes_received += len(inflater.received)
        self.traffic.bytes_decoded += len(content)
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        found = Verdict(Kind.OK, "RECEIVED", "")
        return Reply(
            found,
            response.status_code,
            media_type,
            "identity" if encoding == "identity" else "gzip",
            bytes(inflater.received),
            content,
            None,
            retry_after_s,
        )

    def _pace(self) -> None:
        """Keep to the agreed number of calls per second."""
        per_second = self._contract.paging.calls_per_second
        if per_second is None:
            return
        wait_s = self._next_start - time.monotonic()
        if wait_s > 0:
            self._sleep(wait_s)
        self._next_start = time.monotonic() + 1.0 / per_second

    def _timeout(self) -> httpx.Timeout:
        left_s = max(0.001, self._deadline - time.monotonic())
        connect_s = min(self._settings.connect_timeout_s, left_s)
        read_s = min(self._settings.read_timeout_s, left_s)
        return httpx.Timeout(connect=connect_s, read=read_s, write=read_s, pool=connect_s)

    def _url(self, path: str, parameters: Sequence[tuple[str, str]]) -> str:
        pairs = [f"{name}={quote(value, safe='')}" for name, value in parameters]
        auth = self._contract.auth
        if auth.place is KeyPlace.QUERY and parameters:
            pairs.insert(0, f"{auth.name}={encoded_key(self._settings.service_key)}")
        return self._settings.base_url.rstrip("/") + f"/{path}" + ("?" + "&".join(pairs) if pairs else "")

    def _headers(self) -> dict[str, str]:
        if self._bearer:
            return {"Authorization": f"Bearer {self._bearer}"}
        auth = self._contract.auth
        return {auth.name: self._settings.service_key.strip()} if auth.place is KeyPlace.HEADER else {}

    def _error(self, path: str, reply: Reply) -> MevaError:
        verdict = reply.verdict
        answered = "no answer" if reply.status is None else f"HTTP {reply.status}"
        message = f"{self._contract.name} {path}: {verdict.name} ({answered}); {verdict.advice}"
        if verdict.kind is Kind.QUOTA:
            resets_at = egen_verdicts.quota_reset(datetime.now(UTC))
            return QuotaExhausted(f"{message}; reset at {resets_at:%Y-%m-%d %H:%M %Z}", resets_at=resets_at)
        if verdict.kind is Kind.FATAL:
            is_unsupported = verdict.name == self._contract.endpoint.unsupported
            is_ours = verdict.about in ("", self._contract.endpoint.modified_after)
            return UnsupportedParameter(message) if is_unsupported and is_ours else Refused(message)
        return Unavailable(message, retry_after_s=reply.retry_after_s)


class UnsupportedParameter(Refused):
    """The source does not support asking for changes only: ask for the whole set."""


def encoded_key(key: str) -> str:
    """The service key as it stands in a query: an `Encoding` key verbatim, a `Decoding` key escaped once."""
    key = key.strip()
    return key if "%" in key else quote(key, safe="")


def _refuse_unusable(settings: Settings, contract: Contract) -> None:
    """Raise Refused before anything is sent, without repeating a value that may be secret."""
    if not _BASE_URL.fullmatch(settings.base_url):
        raise Refused("the base URL of the registry is not http(s)://host/path without query; set MEVA_EGEN_BASE_URL")
    key = settings.service_key.strip()
    if settings.client_id and contract.auth.token_path is None:
        raise Refused(f"{contract.name} does not offer OAuth2: set a service key instead of a client id")
    if not (key or settings.client_id or settings.token):
        raise Refused(f"{contract.name} needs a service key: set MEVA_EGEN_SERVICE_KEY")
    secrets = (key, settings.client_id, settings.client_secret, settings.token)
    if not all(secret.isascii() and secret.isprintable() for secret in secrets):
        raise Refused(f"a credential of {contract.name} holds characters that no credential has: copy it again")
    if contract.auth.place is KeyPlace.QUERY and "%" in key and not _ENCODED_KEY.fullmatch(key):
        raise Refused(f"the service key of {contract.name} is neither an encoding nor a decoding key: copy it again")


def _of_transport(error: httpx.TransportError | httpx.InvalidURL) -> Verdict:
    """Judge a request that got no answer; the text of the error is read and not repeated."""
    name = type(error).__name__
    if "CERTIFICATE" in str(error).upper():
        advice = "the server could not prove who it is: check its certificate, the host name and the clock"
        return Verdict(Kind.FATAL, "CERTIFICATE", advice)
    if isinstance(error, (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError)):
        return Verdict(Kind.FATAL, name, "the request could not even be sent: check the base URL and the key")
    return Verdict(Kind.RETRY, name, _LATER)


def _access_token(content: bytes) -> str:
    """The bearer token of an OAuth2 answer; blank if there is none."""
    if len(content) > _TOKEN_BYTES:
        return ""
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        return ""
    token = document.get("access_token") if isinstance(document, dict) else None
    return token if isinstance(token, str) and token.isascii() and token.isprintable() else ""


def _result(state: tenacity.RetryCallState) -> Reply:
    """The reply of the attempt that just ended; raises what the attempt raised."""
    if state.outcome is None:
        raise Unavailable("an attempt ended without an outcome")
    reply: Reply = state.outcome.result()
    return reply


def _version() -> str:
    try:
        return metadata.version("meva_pipelines")
    except metadata.PackageNotFoundError:
        return "0"
