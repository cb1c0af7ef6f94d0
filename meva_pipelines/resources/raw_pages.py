"""Raw pages of the registry in the object store: exactly as received, immutable, enough to replay a sync.

A page set exists when its manifest does: the manifest is written last, after the set was proved complete.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field

import orjson

from meva_pipelines.domain import egen
from meva_pipelines.domain.contract import Contract
from meva_pipelines.domain.failures import Unavailable
from meva_pipelines.domain.inflation import Inflater
from meva_pipelines.resources import failpoints
from meva_pipelines.resources.egen import Fetched, RawPage
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.object_store import ObjectStore

_MAX_PAGE_BYTES = 512_000_000
_DISTRICT_SEPARATOR = "/"


@dataclass(frozen=True, slots=True)
class Entry:
    """One page of a set: where it lies and what it holds. `number` counts the pages of the whole set from 1."""

    number: int
    key: str
    scope: str
    encoding: str
    sha256: str
    rows: int


@dataclass(slots=True)
class Writer:
    """Stores pages as they arrive; only the last generation of each scope enters the manifest."""

    store: ObjectStore
    fetch_id: str
    _pages: dict[tuple[str, int, int], Entry] = field(default_factory=dict)

    def put(self, page: RawPage) -> None:
        """Store one page."""
        number = len(self._pages) + 1
        suffix = ".gz" if page.encoding == "gzip" else ""
        key = f"raw/aed/{self.fetch_id}/page-{number:05d}{suffix}"
        self.store.put(key, page.body)
        self._pages[page.scope, page.generation, page.number] = Entry(
            number, key, page.scope, page.encoding, page.sha256, page.rows
        )
        failpoints.reach(Point.FETCH_PAGE_STORED)

    def finish(self, fetched: Fetched, contract: Contract) -> list[Entry]:
        """Write the manifest: from here on the set exists. Returns its pages in order."""
        entries = [
            entry
            for (scope, generation, _), entry in self._pages.items()
            if fetched.generations.get(scope) == generation
        ]
        failpoints.reach(Point.FETCH_BEFORE_MANIFEST)
        manifest = {
            "source": contract.name,
            "contract_version": contract.version,
            "rows": fetched.rows,
            "pages": [asdict(entry) for entry in entries],
        }
        self.store.put(_manifest_key(self.fetch_id), orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
        failpoints.reach(Point.FETCH_AFTER_MANIFEST)
        return entries


def pages(store: ObjectStore, fetch_id: str) -> list[Entry]:
    """Return the pages of a set in order.

    Raises:
        Unavailable: there is no such set, or it was never finished.
    """
    manifest = orjson.loads(store.get(_manifest_key(fetch_id)))
    return [Entry(**entry) for entry in manifest["pages"]]


def records(store: ObjectStore, entry: Entry, contract: Contract) -> list[Mapping[str, object]]:
    """Read a page again, prove that it is the one received, and decode it.

    Records of a page that was asked for by district get the names that the answer leaves out.

    Raises:
        Unavailable: the object changed, is gone, or does not hold what its envelope said.
    """
    body = store.get(entry.key)
    if hashlib.sha256(body).hexdigest() != entry.sha256:
        raise Unavailable(f"object {entry.key} is not the page that was received: its SHA-256 differs; fetch again")
    inflater = Inflater(entry.encoding, max_bytes=_MAX_PAGE_BYTES)
    inflater.feed(body)
    items = egen.decode(inflater.finish(), contract).items
    if len(items) != entry.rows:
        raise Unavailable(f"page {entry.number} announced {entry.rows} records and holds {len(items)}: fetch again")
    if not entry.scope:
        return list(items)
    sido, _, gugun = entry.scope.partition(_DISTRICT_SEPARATOR)
    return [{"sido": sido, "gugun": gugun, **item} for item in items]


def every_record(
    store: ObjectStore, fetch_id: str, contract: Contract
) -> Iterator[tuple[int, list[Mapping[str, object]]]]:
    """Yield the number and the records of each page of a set, one page in memory at a time."""
    for entry in pages(store, fetch_id):
        yield entry.number, records(store, entry, contract)


def _manifest_key(fetch_id: str) -> str:
    return f"raw/aed/{fetch_id}/manifest.json"
