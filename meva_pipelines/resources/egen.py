"""The registry as a resource: fetch the whole set, or what changed, page by page and proved complete.

Which pages are asked for and handed on is decided here, with `domain/paging.py` as the judge of completeness;
a single request lives in `resources/egen_line.py`, the meaning of fields in the contract. Nothing here writes
to a database: the caller stores each page as it comes.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

import dagster as dg
import httpx
from pydantic import Field

from meva_pipelines.domain import egen, paging
from meva_pipelines.domain.contract import Contract
from meva_pipelines.domain.failures import Incomplete, Refused, StoreUnavailable, Unavailable
from meva_pipelines.resources import reference
from meva_pipelines.resources.egen_line import Line, Reply, Settings, UnsupportedParameter

NATION = ""
"""Scope of pages that cover the whole country; a district is `sido/gugun`."""

_PATIENCE, _NOT_ASKED = 3, "not asked for"


class Mode(StrEnum):
    """What was really fetched."""

    FULL = "full"
    INCREMENTAL = "incremental"


@dataclass(frozen=True, slots=True)
class RawPage:
    """One page exactly as received.

    `body` is still compressed where `encoding` is `gzip`; `sha256` (hexadecimal) is of that body. Within one
    `scope` only the pages of the highest `generation` count: a set that changed while it was paged is begun
    anew under the next one.
    """

    generation: int
    number: int
    scope: str
    body: bytes = field(repr=False)
    encoding: str
    media_type: str
    rows: int
    total: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A complete fetch.

    `generations` says for each scope which generation of its pages counts; `as_of` is the earliest time for
    which the source vouched; `fell_back` is true where changes were wanted and the whole set was fetched.
    `rows_by_scope` tells what came of each scope, `failed` by which error one did not come completely.
    """

    pages: int
    rows: int
    total: int
    bytes_received: int
    bytes_decoded: int
    duration_s: float
    requests: int
    retries: int
    restarts: int
    mode_used: Mode
    fell_back: bool
    as_of: datetime | None
    generations: Mapping[str, int]
    rows_by_scope: Mapping[str, int]
    failed: Mapping[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What one page of one row tells before the night: total, latency, and fields against the contract."""

    total: int
    latency_s: float
    missing_fields: tuple[str, ...]
    unknown_fields: tuple[str, ...]
    as_of: datetime | None
    notes: tuple[str, ...]


Store = Callable[[RawPage], None]


class EgenSession:
    """An open conversation with one source; lent by `EgenSource.session`."""

    def __init__(self, line: Line, contract: Contract, *, page_size: int) -> None:
        self._line = line
        self._contract = contract
        self._page_size = page_size
        self._notes: dict[str, None] = {}
        self._failed: dict[str, str] = {}
        self._as_of: datetime | None = None

    def fetch(
        self, *, modified_after: datetime | None, store: Store, districts: Sequence[tuple[str, str]] = ()
    ) -> Fetched:
        """Hand every page to `store` in order and return only when the set is proved complete.

        One page is downloaded ahead while the previous one is stored. Without support for `modified_after`
        (aware) the whole set is fetched. Of districts asked for one by one, those that do not come completely are
        told in `failed` and the others kept. Raises Refused, Unavailable, QuotaExhausted or Incomplete.
        """
        started = time.monotonic()
        wanted = modified_after is not None
        incremental = self._changes_since(modified_after)
        try:
            scopes = self._fetch_scopes(districts, incremental, store)
        except UnsupportedParameter:
            scopes = None
        if scopes is None:
            incremental = ()
            scopes = self._fetch_scopes(districts, incremental, store)
        traffic = self._line.traffic
        return Fetched(
            pages=sum(found.pages for found in scopes.values()),
            rows=sum(found.rows for found in scopes.values()),
            total=sum(found.total for found in scopes.values()),
            bytes_received=traffic.bytes_received,
            bytes_decoded=traffic.bytes_decoded,
            duration_s=time.monotonic() - started,
            requests=traffic.requests,
            retries=traffic.retries,
            restarts=sum(found.restarts for found in scopes.values()),
            mode_used=Mode.INCREMENTAL if incremental else Mode.FULL,
            fell_back=wanted and not incremental,
            as_of=self._as_of,
            generations={scope: found.generation for scope, found in scopes.items()},
            rows_by_scope={scope: found.rows for scope, found in scopes.items()},
            failed=dict(self._failed),
            notes=tuple(self._notes),
        )

    def probe(self) -> Probe:
        """Ask for one row and compare its fields with the contract; raises like `fetch`."""
        started = time.monotonic()
        reply = self._line.get(self._contract.endpoint.full, self._parameters((), paging.PageQuery(1, 1, 1)))
        latency_s = time.monotonic() - started
        if reply.envelope is None:
            return Probe(
                total=0,
                latency_s=latency_s,
                missing_fields=(),
                unknown_fields=(),
                as_of=None,
                notes=("no data",),
            )
        answer = egen.decode(reply.content, self._contract)
        names = {name for item in answer.items for name in item}
        return Probe(
            total=answer.total,
            latency_s=latency_s,
            missing_fields=self._contract.missing(names) if answer.items else (),
            unknown_fields=self._contract.unknown(names),
            as_of=answer.as_of,
            notes=answer.notes,
        )

    def _changes_since(self, modified_after: datetime | None) -> tuple[tuple[str, str], ...]:
        """The parameter that asks for changes only; nothing where the contract knows none."""
        if modified_after is None or self._contract.endpoint.modified_after is None:
            return ()
        if modified_after.tzinfo is None:
            raise ValueError("modified_after needs a time zone")
        at = modified_after.astimezone(UTC)
        return ((self._contract.endpoint.modified_after, f"{at:%Y-%m-%dT%H:%M:%SZ}"),)

    def _fetch_scopes(
        self, districts: Sequence[tuple[str, str]], incremental: tuple[tuple[str, str], ...], store: Store
    ) -> dict[str, paging.Complete]:
        endpoint = self._contract.endpoint
        if not districts:
            may_be_empty = bool(incremental)
            return {NATION: self._fetch_set(NATION, endpoint.full, incremental, may_be_empty=may_be_empty, store=store)}
        if endpoint.district is None:
            raise Refused(f"{self._contract.name} cannot be asked for single districts: fetch the whole set")
        scopes = self._fetch_districts(endpoint.district, districts, incremental, store)
        if len(scopes) > 1 and not incremental and not any(found.total for found in scopes.values()):
            raise Incomplete(f"all {len(scopes)} districts are empty, which is never believed; look at the source")
        return scopes

    def _fetch_districts(
        self, path: str, districts: Sequence[tuple[str, str]], incremental: tuple[tuple[str, str], ...], store: Store
    ) -> dict[str, paging.Complete]:
        """Ask for districts one by one; after some failures in a row the rest is not asked for any more."""
        scopes: dict[str, paging.Complete] = {}
        in_a_row: list[Unavailable] = []
        for sido, gugun in districts:
            scope = f"{sido}/{gugun}"
            if len(in_a_row) == _PATIENCE:
                self._failed[scope] = _NOT_ASKED
                continue
            named = zip(self._contract.endpoint.district_parameters, (sido, gugun), strict=True)
            parameters = tuple((name, value) for name, value in named if value) + incremental
            try:
                scopes[scope] = self._fetch_set(scope, path, parameters, may_be_empty=True, store=store)
                in_a_row.clear()
            except StoreUnavailable:
                raise
            except Unavailable as error:
                self._failed[scope] = type(error).__name__
                in_a_row.append(error)
        if in_a_row and not scopes:
            raise in_a_row[-1]
        return scopes

    def _fetch_set(
        self,
        scope: str,
        path: str,
        parameters: tuple[tuple[str, str], ...],
        *,
        may_be_empty: bool,
        store: Store,
    ) -> paging.Complete:
        """Drive one conversation, one page ahead of `store`."""
        conversation = paging.converse(self._page_size, may_be_empty=may_be_empty)
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="egen") as ahead:
            under_way: list[Future[Reply]] = []

            def ask(query: paging.PageQuery) -> Future[Reply]:
                under_way[:] = [ahead.submit(self._line.get, path, self._parameters(parameters, query))]
                return under_way[0]

            try:
                return self._drive(conversation, scope, ask, store)
            except BaseException:
                if not all(request.done() for request in under_way):
                    self._line.stop()
                raise

    def _drive(
        self,
        conversation: paging.Conversation,
        scope: str,
        ask: Callable[[paging.PageQuery], Future[Reply]],
        store: Store,
    ) -> paging.Complete:
        query = next(conversation)
        pending = ask(query)
        while True:
            reply = pending.result()
            page = self._page(scope, query, reply)
            following, complete = _send(conversation, query, reply)
            if following is not None:
                pending = ask(following)
            if page is not None and (following is None or following.generation == query.generation):
                store(page)
            if complete is not None:
                return complete
            if following is None:
                raise Incomplete("the conversation ended without a verdict")
            query = following

    def _parameters(self, given: tuple[tuple[str, str], ...], query: paging.PageQuery) -> list[tuple[str, str]]:
        names = self._contract.paging
        pages = [(names.page, str(query.number)), (names.size, str(query.size))]
        return [*self._contract.endpoint.parameters, *given, *pages]

    def _page(self, scope: str, query: paging.PageQuery, reply: Reply) -> RawPage | None:
        """The page to store; None where the answer says without a page that there are no data."""
        found = reply.envelope
        if found is None:
            return None
        self._notes |= dict.fromkeys(found.notes)
        if found.as_of is not None:
            self._as_of = found.as_of if self._as_of is None else min(self._as_of, found.as_of)
        return RawPage(
            generation=query.generation,
            number=query.number,
            scope=scope,
            body=reply.body,
            encoding=reply.encoding,
            media_type=reply.media_type,
            rows=found.rows,
            total=found.total,
            sha256=hashlib.sha256(reply.body).hexdigest(),
        )


class EgenSource(dg.ConfigurableResource[None]):
    """The AED registry of e-gen: the public open API (`data_go_kr`) or the provisional JSON feed (`egen`)."""

    base_url: str = Field(description="Base URL of the service, without operation and query")
    dialect: str = Field(default="data_go_kr", description="Name of the contract: data_go_kr or egen")
    service_key: str = Field(
        default="",
        repr=False,
        description="Service key, encoding or decoding form",
        json_schema_extra={"dagster__is_secret": True},
    )
    client_id: str = Field(default="", description="OAuth2 client id, where the contract offers OAuth2")
    client_secret: str = Field(
        default="",
        repr=False,
        description="OAuth2 client secret",
        json_schema_extra={"dagster__is_secret": True},
    )
    token: str = Field(
        default="",
        repr=False,
        description="Bearer token issued beforehand",
        json_schema_extra={"dagster__is_secret": True},
    )
    page_size: int | None = Field(default=None, ge=1, description="Rows per page; the contract's default if unset")
    connect_timeout_s: float = Field(default=10.0, gt=0, description="Time to connect, seconds")
    read_timeout_s: float = Field(default=60.0, gt=0, description="Longest silence of the server, seconds")
    budget_s: float = Field(default=1500.0, gt=0, description="Wall-clock time of a whole fetch, seconds")
    max_page_bytes: int = Field(default=64_000_000, gt=0, description="Largest decoded page, bytes")

    def fetch(
        self,
        *,
        modified_after: datetime | None,
        store: Store,
        districts: Sequence[tuple[str, str]] = (),
        within_s: float | None = None,
    ) -> Fetched:
        """Fetch the whole set, or what changed after `modified_after`, within some seconds; see `EgenSession.fetch`."""
        with self.session(within_s=within_s) as session:
            return session.fetch(modified_after=modified_after, store=store, districts=districts)

    def probe(self) -> Probe:
        """Ask for one row and compare it with the contract; see `EgenSession.probe`."""
        with self.session() as session:
            return session.probe()

    @contextmanager
    def session(
        self,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], object] | None = None,
        within_s: float | None = None,
    ) -> Iterator[EgenSession]:
        """Lend an open session; `transport` and `sleep` stand in for the network and for waiting.

        `within_s` shortens the budget of this session.
        """
        contract = reference.contract(self.dialect)
        page_size = self.page_size or contract.paging.default_size
        if page_size > contract.paging.max_size:
            raise Refused(f"{contract.name} gives at most {contract.paging.max_size} rows per page, not {page_size}")
        settings = Settings(
            base_url=self.base_url,
            service_key=self.service_key,
            client_id=self.client_id,
            client_secret=self.client_secret,
            token=self.token,
            connect_timeout_s=self.connect_timeout_s,
            read_timeout_s=self.read_timeout_s,
            budget_s=self.budget_s if within_s is None else min(self.budget_s, within_s),
            max_page_bytes=self.max_page_bytes,
        )
        with Line(settings, contract, transport=transport, sleep=sleep) as line:
            yield EgenSession(line, contract, page_size=page_size)


def _send(
    conversation: paging.Conversation, query: paging.PageQuery, reply: Reply
) -> tuple[paging.PageQuery | None, paging.Complete | None]:
    """Send the facts of a reply: the next query or the end. NODATA counts as an explicit total of zero."""
    found = reply.envelope
    facts = (
        paging.PageFacts(query.number, 0, 0, query.size)
        if found is None
        else paging.PageFacts(found.page, found.rows, found.total, found.size)
    )
    try:
        return conversation.send(facts), None
    except StopIteration as end:
        complete: paging.Complete = end.value
        return None, complete
