"""Paging through a set of rows as a conversation that knows no socket: queries out, facts in.

`converse` yields a query, is sent the facts of the answer and returns only when the set is proved whole
(facts: the AED open API §9). Downloading, retrying and storing belong to the client.
"""

from collections.abc import Generator
from dataclasses import dataclass

from meva_pipelines.domain.failures import Incomplete

MAX_RESTARTS = 2
"""How often a set that changes while it is paged is begun anew."""


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Ask for page `number` (from 1) of `size` rows; pages of an older `generation` are to be dropped."""

    number: int
    size: int
    generation: int


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What an answer says of itself (`number`, `size`, `total`) and how many rows it really holds."""

    number: int
    rows: int
    total: int
    size: int


@dataclass(frozen=True, slots=True)
class Complete:
    """A set proved whole, in the pages of `generation`."""

    pages: int
    rows: int
    total: int
    generation: int
    restarts: int


Conversation = Generator[PageQuery, PageFacts, Complete]


def plan(total: int, size: int) -> tuple[int, ...]:
    """Rows that each page of a whole set must hold; an empty set has one empty page."""
    if total < 0 or size < 1:
        raise ValueError("a total of at least 0 and a size of at least 1 are expected")
    full, rest = divmod(total, size)
    return (size,) * full + ((rest,) if rest or not full else ())


def converse(size: int, *, may_be_empty: bool, max_restarts: int = MAX_RESTARTS, generation: int = 1) -> Conversation:
    """Page through a set of which every page must fit the first one; returns Complete or raises Incomplete.

    A contradiction (another page echoed, a page too short or too long, a changed total or size) begins the
    set anew under the next generation, at most `max_restarts` times. A source that grants fewer rows per page
    than asked is taken at its word. A country without a single device is never believed.
    """
    last = ""
    for restarts in range(max_restarts + 1):
        attempt = _Attempt(size, may_be_empty=may_be_empty)
        while True:
            query = attempt.query(generation + restarts)
            last = attempt.take((yield query), query)
            if last:
                break
            if attempt.is_whole:
                return Complete(attempt.pages, attempt.rows, attempt.total, query.generation, restarts)
    raise Incomplete(
        f"no whole set in {max_restarts + 1} attempts, last because {last}: nothing may be inferred from it; "
        "fetch again when the source is quiet"
    )


class _Attempt:
    """One pass through the set."""

    def __init__(self, size: int, *, may_be_empty: bool) -> None:
        self._size = size
        self._may_be_empty = may_be_empty
        self._expected: tuple[int, ...] = ()
        self.pages = 0
        self.rows = 0
        self.total = 0

    @property
    def is_whole(self) -> bool:
        return self.pages == len(self._expected) and self.rows == self.total

    def query(self, generation: int) -> PageQuery:
        return PageQuery(self.pages + 1, self._size, generation)

    def take(self, facts: PageFacts, query: PageQuery) -> str:
        """Take the facts of a page; the reason why it does not fit, or nothing."""
        if facts.number != query.number:
            return f"page {facts.number} came for page {query.number}"
        if not self._expected:
            if facts.total == 0 and facts.rows == 0 and not self._may_be_empty:
                raise Incomplete("the source says that the whole set is empty, which is never believed; look there")
            if not 0 < facts.size <= self._size and facts.total:
                return f"page 1 claims {facts.size} rows per page where {self._size} were asked for"
            self._size = facts.size if 0 < facts.size <= self._size else self._size
            self.total, self._expected = facts.total, plan(facts.total, self._size)
        if facts.total != self.total:
            return f"the total changed from {self.total} to {facts.total} on page {facts.number}"
        if facts.size != self._size and facts.total:
            return f"the page size changed from {self._size} to {facts.size} on page {facts.number}"
        expected = self._expected[facts.number - 1]
        if facts.rows != expected:
            return f"page {facts.number} has {facts.rows} rows where {expected} were due"
        self.pages += 1
        self.rows += facts.rows
        return ""
