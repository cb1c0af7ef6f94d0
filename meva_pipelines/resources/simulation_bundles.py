"""Bundles in the object store: a document with the files that it names, byte for byte, enough to replay an intake.

Contents lie under their SHA-256, so that nothing is stored twice. A bundle exists when its manifest does, which is
written last; what became of it stands in `ops.ingest_ledger`. What a document says is not read here.
"""

import hashlib
from dataclasses import asdict, dataclass

import orjson

from meva_pipelines.domain.failures import Unavailable
from meva_pipelines.resources import failpoints
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.object_store import ObjectStore


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a bundle: its name as it came, and where it lies."""

    name: str
    key: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Bundle:
    """A document, which is the first part, and the files that it names, in the order in which it names them."""

    parts: tuple[Part, ...]

    @property
    def name(self) -> str:
        """Name of the document's file."""
        return self.parts[0].name

    @property
    def sha256(self) -> str:
        """SHA-256 of what was taken in: over the digests of the parts, whatever they are called."""
        return hashlib.sha256("\n".join(part.sha256 for part in self.parts).encode()).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(part.size for part in self.parts)


def put(store: ObjectStore, name: str, content: bytes) -> Part:
    """Store a file and return it as a part of a bundle."""
    digest = hashlib.sha256(content).hexdigest()
    key = f"raw/mgg/files/{digest[:2]}/{digest}"
    store.put(key, content)
    failpoints.reach(Point.SIMULATION_FILE_STORED)
    return Part(name, key, digest, len(content))


def content(store: ObjectStore, part: Part) -> bytes:
    """Return the content of a part.

    Raises:
        Unavailable: it is not there, or it is not what was stored.
    """
    found = store.get(part.key)
    if hashlib.sha256(found).hexdigest() != part.sha256:
        raise Unavailable(f"object {part.key} is not what was stored: its SHA-256 differs; restore it from a backup")
    return found


def keep(store: ObjectStore, bundle: Bundle) -> str:
    """Write the manifest of a bundle, from when on it exists, and return its key. Keeping it again is a no-op."""
    manifest = orjson.dumps(asdict(bundle))
    key = f"raw/mgg/bundles/{bundle.sha256}/{hashlib.sha256(manifest).hexdigest()[:16]}.json"
    store.put(key, manifest)
    failpoints.reach(Point.SIMULATION_SEALED)
    return key


def found(store: ObjectStore, key: str) -> Bundle:
    """Return the bundle of a manifest.

    Raises:
        Unavailable: it is not there, or it is none of ours.
    """
    try:
        return Bundle(tuple(Part(**part) for part in orjson.loads(store.get(key))["parts"]))
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise Unavailable(f"the manifest {key} is not the one that was written; restore it from a backup") from None
