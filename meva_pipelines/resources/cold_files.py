"""Where cold parts lie in the object store: their names, their manifests, and what may be collected.

A part is written once and never again. What a part holds is decided by `archive_export`, whether it is sound by
`archive_reading`; which parts count stands in `mgg.archive_batches` alone.
"""

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from meva_pipelines.domain.archive.declared import Archived
from meva_pipelines.domain.archive.periods import FOLDER, Period
from meva_pipelines.domain.failures import Refused, Unusable
from meva_pipelines.resources.object_creation import Creation
from meva_pipelines.resources.object_store import Listed, ObjectStore

if TYPE_CHECKING:
    import pyarrow as pa

GRACE: Final = timedelta(days=7)
"""How long an object that no batch refers to stays: readers may hold an older plan."""

_PART, _MANIFEST = ".parquet", ".json"


@dataclass(frozen=True, slots=True)
class Part:
    """The cold rows of a table in a period: the first generation, or a later one of rows that came late."""

    table: Archived
    period: Period
    generation: int = 1

    @property
    def name(self) -> str:
        """Its name, which is also that of its batch."""
        return f"{self.table.name}/{self.period.name}/g{self.generation}"

    @property
    def key(self) -> str:
        """Key of the file."""
        return self.table.file_key(self.period, self.generation)

    @property
    def manifest_key(self) -> str:
        """Key of the manifest beside it."""
        return self.key.removesuffix(_PART) + _MANIFEST


@dataclass(frozen=True, slots=True)
class Manifest:
    """What stands beside a part for those who have no database: what it is, and how to prove it."""

    name: str
    table: str
    period: str
    generation: int
    schema_version: int
    rows: int
    digest: str
    sha256: str
    size: int
    min_key: tuple[str, ...]
    max_key: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ColdFiles:
    """The cold files of a store."""

    store: ObjectStore

    @contextmanager
    def creating(self, key: str) -> Iterator[Creation]:
        """Lend the stream of a new file, as `ObjectStore.creating`."""
        with self.store.creating(key) as creation:
            yield creation

    @contextmanager
    def open(self, key: str) -> Iterator["pa.NativeFile"]:
        """Lend a file that can be read anywhere, as `ObjectStore.opened`."""
        with self.store.opened(key) as file:
            yield file

    def write_manifest(self, part: Part, manifest: Manifest) -> None:
        """Put the manifest beside its part. The same one again is a no-op.

        Raises:
            Refused: another one is there.
            StoreUnavailable: the store cannot take it.
        """
        with self.creating(part.manifest_key) as creation:
            creation.write((json.dumps(asdict(manifest), indent=2) + "\n").encode())

    def manifest(self, part: Part) -> Manifest:
        """Return the manifest of a part.

        Raises:
            Unusable: `archive_manifest`: it is no manifest, or that of another part.
            StoreUnavailable: it is not there, or the store does not answer.
        """
        try:
            found = _manifest(json.loads(self.store.get(part.manifest_key)))
        except (ValueError, TypeError, KeyError):
            raise Unusable(f"{part.manifest_key} is no manifest", rule="archive_manifest") from None
        if found.name != part.name:
            raise Unusable(f"{part.manifest_key} is the manifest of another part", rule="archive_manifest")
        return found

    def listed(self, table: Archived | None = None) -> list[Listed]:
        """Return the parts and manifests of a table, or of all, ordered by key."""
        return self.store.listed(FOLDER if table is None else f"{FOLDER}/{table.name}")

    def orphans(
        self, referenced: Collection[str], *, now: datetime, older_than: timedelta = GRACE
    ) -> tuple[Listed, ...]:
        """Return what no batch refers to and what has lain there longer than the grace; removes nothing.

        `referenced` are the keys of the parts that batches name; a manifest belongs to its part.
        """
        kept = {key.removesuffix(_PART) for key in referenced}
        return tuple(
            one
            for one in self.listed()
            if one.key.removesuffix(_PART).removesuffix(_MANIFEST) not in kept and now - one.modified_at > older_than
        )

    def remove(self, orphans: Collection[Listed], referenced: Collection[str]) -> None:
        """Remove orphans, manifests last, unless a batch refers to one by now.

        Raises:
            Refused: a batch does; nothing is removed.
        """
        kept = {key.removesuffix(_PART) for key in referenced}
        if taken := [one.key for one in orphans if one.key.removesuffix(_PART).removesuffix(_MANIFEST) in kept]:
            raise Refused(f"{taken[0]} belongs to a batch by now: nothing was removed; look for orphans again")
        for one in sorted(orphans, key=lambda orphan: orphan.key.endswith(_MANIFEST)):
            self.store.remove(one.key)

    def discard_partials(self) -> int:
        """Remove what writers that died left half-written more than a day ago; returns how many."""
        return self.store.discard_partials(FOLDER) + self.store.discard_uploads(FOLDER)


def _manifest(read: dict[str, Any]) -> Manifest:
    return Manifest(**{**read, "min_key": tuple(read["min_key"]), "max_key": tuple(read["max_key"])})
