"""Raw pages of the registry in the object store: exactly as received, immutable, enough to replay a sync.

A page set exists when its manifest does: the manifest is written last, after the set was proved complete.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime

import orjson

from meva_pipelines.domain import egen, exports
from meva_pipelines.domain.contract import Contract, RecordContract
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
    is_decoded: bool = False
    """Whether the page holds records as JSON, put together here, rather than an answer of the source."""


@dataclass(slots=True)
class Writer:
    """Stores pages as they arrive; only the last generation of each scope enters the manifest."""

    store: ObjectStore
    fetch_id: str
    _pages: dict[tuple[str, int, int], Entry] = field(default_factory=dict)
    _stored: int = 0

    def put(self, page: RawPage) -> None:
        """Store one page; put again, it takes the place of the first."""
        self._stored += 1
        number = self._stored
        suffix = ".gz" if page.encoding == "gzip" else ""
        key = f"raw/aed/{self.fetch_id}/page-{number:05d}{suffix}"
        self.store.put(key, page.body)
        self._pages.pop((page.scope, page.generation, page.number), None)
        self._pages[page.scope, page.generation, page.number] = Entry(
            number, key, page.scope, page.encoding, page.sha256, page.rows
        )
        failpoints.reach(Point.FETCH_PAGE_STORED)

    def finish(self, fetched: Fetched, contract: RecordContract) -> list[Entry]:
        """Write the manifest: from here on the set exists. Returns its pages in order."""
        entries = [
            entry
            for (scope, generation, _), entry in self._pages.items()
            if fetched.generations.get(scope) == generation
        ]
        seal(self.store, self.fetch_id, contract, entries)
        return entries


@dataclass(frozen=True, slots=True)
class Original:
    """A file that pages were made from, kept byte for byte: its name as it arrived and where it lies."""

    name: str
    key: str
    sha256: str
    form: str
    rows: int
    as_of: datetime | None = None
    """When the file was made, by its own account."""


def seal(
    store: ObjectStore,
    fetch_id: str,
    contract: RecordContract,
    entries: Sequence[Entry],
    *,
    originals: Sequence[Original] = (),
) -> None:
    """Write the manifest of a page set: from here on the set exists."""
    failpoints.reach(Point.FETCH_BEFORE_MANIFEST)
    manifest: dict[str, object] = {
        "source": contract.name,
        "contract_version": contract.version,
        "rows": sum(entry.rows for entry in entries),
        "pages": [asdict(entry) for entry in entries],
    }
    if originals:
        manifest["originals"] = [asdict(original) for original in originals]
    store.put(_manifest_key(fetch_id), orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
    failpoints.reach(Point.FETCH_AFTER_MANIFEST)


def originals(store: ObjectStore, fetch_id: str) -> list[Original]:
    """Return the files that the pages of a set were made from; none where they came over HTTP.

    Raises:
        Unavailable: there is no such set, or it was never finished.
    """
    manifest = orjson.loads(store.get(_manifest_key(fetch_id)))
    return [
        Original(**original | {"as_of": _moment(original.get("as_of"))}) for original in manifest.get("originals", [])
    ]


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def pages(store: ObjectStore, fetch_id: str) -> list[Entry]:
    """Return the pages of a set in order.

    Raises:
        Unavailable: there is no such set, or it was never finished.
    """
    manifest = orjson.loads(store.get(_manifest_key(fetch_id)))
    return [Entry(**entry) for entry in manifest["pages"]]


def records(store: ObjectStore, entry: Entry, contract: RecordContract) -> list[Mapping[str, object]]:
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
    page = inflater.finish()
    items = orjson.loads(page) if entry.is_decoded else _decoded(page, contract)
    if len(items) != entry.rows:
        raise Unavailable(f"page {entry.number} announced {entry.rows} records and holds {len(items)}: fetch again")
    if not entry.scope:
        return list(items)
    sido, _, gugun = entry.scope.partition(_DISTRICT_SEPARATOR)
    return [{"sido": sido, "gugun": gugun, **item} for item in items]


def _decoded(page: bytes, contract: RecordContract) -> Sequence[Mapping[str, object]]:
    return egen.decode(page, contract).items if isinstance(contract, Contract) else exports.decode_page(page)


def put_records(store: ObjectStore, fetch_id: str, number: int, records: Sequence[Mapping[str, object]]) -> Entry:
    """Store records that were decoded before as a page of a set."""
    body = orjson.dumps(records)
    key = f"raw/aed/{fetch_id}/page-{number:05d}.json"
    store.put(key, body)
    failpoints.reach(Point.FETCH_PAGE_STORED)
    return Entry(number, key, "", "identity", hashlib.sha256(body).hexdigest(), len(records), is_decoded=True)


def _manifest_key(fetch_id: str) -> str:
    return f"raw/aed/{fetch_id}/manifest.json"
