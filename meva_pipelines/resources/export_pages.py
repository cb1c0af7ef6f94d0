"""Export files in the object store: each original byte for byte, and beside it the pages made from its rows.

A set looks like one that was fetched over HTTP, so that staging reads both alike. Nothing here moves a file.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime

from meva_pipelines.domain.contract import TableContract
from meva_pipelines.domain.failures import Unavailable
from meva_pipelines.resources import failpoints, raw_pages
from meva_pipelines.resources.export_files import ExportFile
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.raw_pages import Entry, Original


@dataclass(slots=True)
class Writer:
    """Stores files and their pages under one set; nothing of it exists before `finish`."""

    store: ObjectStore
    contract: TableContract
    fetch_id: str
    entries: list[Entry] = field(default_factory=list)
    originals: list[Original] = field(default_factory=list)

    def put(self, name: str, content: bytes, table: ExportFile, *, as_of: datetime | None) -> None:
        """Store one file that was read to its end."""
        digest = hashlib.sha256(content).hexdigest()
        key = original_key(self.contract.name, digest)
        self.store.put(key, content)
        self.originals.append(Original(name, key, digest, table.form.value, table.rows, as_of))
        for page in table.pages:
            number = len(self.entries) + 1
            suffix = ".json.gz" if page.encoding == "gzip" else ".json"
            page_key = f"raw/aed/{self.fetch_id}/page-{number:05d}{suffix}"
            self.store.put(page_key, page.body)
            self.entries.append(
                Entry(number, page_key, "", page.encoding, hashlib.sha256(page.body).hexdigest(), page.rows)
            )
            failpoints.reach(Point.FETCH_PAGE_STORED)

    def finish(self) -> list[Entry]:
        """Write the manifest: from here on the set exists. Returns its pages in order."""
        raw_pages.seal(self.store, self.fetch_id, self.contract, self.entries, originals=self.originals)
        return self.entries


def original_key(source: str, sha256: str) -> str:
    """Return where an original lies: named by its content, so that the same file is stored once."""
    return f"raw/aed/{source}/originals/{sha256}"


def original(store: ObjectStore, found: Original) -> bytes:
    """Read an original again.

    Raises:
        Unavailable: the object changed or is gone.
    """
    content = store.get(found.key)
    if hashlib.sha256(content).hexdigest() != found.sha256:
        raise Unavailable(f"object {found.key} is not the file that was taken: its SHA-256 differs")
    return content
