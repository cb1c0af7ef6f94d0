"""Uploads of the laboratory in the object store: the file and its sidecar byte for byte, before anything is read.

An upload exists when its manifest does. Its content is named by the SHA-256 over file and sidecar: under whatever name
it comes again, it is the same upload. What became of it stands in `ops.ingest_ledger`, written by `landing_ledger`.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from meva_pipelines.domain.failures import Unavailable
from meva_pipelines.resources import failpoints
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.object_store import ObjectStore

FILES = "tensile.uploads"
"""Subject of uploads in the ingest ledger."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it came: `manifest` is its key in the store, `modified_at` the last modification of the file."""

    content_id: str
    name: str
    manifest: str
    modified_at: datetime
    size: int

    @property
    def original(self) -> str:
        """Return the folder of the store in which the file lies."""
        return self.manifest.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Original:
    """The bytes of an upload; `sidecar` is None where there is none."""

    content: bytes
    sidecar: bytes | None


def content_id(content: bytes, sidecar: bytes | None) -> str:
    """Return the name of an upload's content: the SHA-256 of its file, or over those of file and sidecar."""
    file = hashlib.sha256(content)
    return file.hexdigest() if sidecar is None else hashlib.sha256(file.digest() + _sha256(sidecar)).hexdigest()


def keep(store: ObjectStore, name: str, original: Original, *, modified_at: datetime) -> Upload:
    """Store a file and its sidecar under the name of their content. Keeping it again is a no-op."""
    identity = content_id(original.content, original.sidecar)
    folder = f"raw/tensile/{identity}"
    store.put(f"{folder}/file", original.content)
    if original.sidecar is not None:
        store.put(f"{folder}/sidecar", original.sidecar)
    manifest = orjson.dumps(
        {
            "name": name,
            "modified_at": modified_at.astimezone(UTC).isoformat(),
            "size": len(original.content),
            "sha256": _sha256(original.content).hex(),
            "sidecar_sha256": None if original.sidecar is None else _sha256(original.sidecar).hex(),
        }
    )
    key = f"{folder}/{_sha256(manifest).hex()[:16]}.json"
    store.put(key, manifest)
    failpoints.reach(Point.TENSILE_STORED)
    return Upload(identity, name, key, modified_at, len(original.content))


def found(store: ObjectStore, manifest: str) -> tuple[Upload, Original]:
    """Read an upload again, by the key of its manifest, and prove that it is the one that came.

    Raises:
        Unavailable: an object changed or is gone.
    """
    stated = orjson.loads(store.get(manifest))
    folder = manifest.rpartition("/")[0]
    content = _proved(store, f"{folder}/file", stated["sha256"])
    is_alone = stated["sidecar_sha256"] is None
    sidecar = None if is_alone else _proved(store, f"{folder}/sidecar", stated["sidecar_sha256"])
    upload = Upload(
        content_id(content, sidecar),
        stated["name"],
        manifest,
        datetime.fromisoformat(stated["modified_at"]),
        stated["size"],
    )
    return upload, Original(content, sidecar)


def _proved(store: ObjectStore, key: str, sha256: str) -> bytes:
    content = store.get(key)
    if _sha256(content).hex() != sha256:
        raise Unavailable(f"object {key} is not the file that was taken: its SHA-256 differs")
    return content


def _sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
