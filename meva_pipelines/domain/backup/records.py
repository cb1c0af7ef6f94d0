"""What is written down about a backup: one record of facts, and its form as JSON beside the backup.

The record is written last: a backup without it does not exist. Its `digest` binds every part by name, size and
SHA-256, and the parent by id and digest, so that neither can be exchanged for another. How backups hang together is
in `chains`.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from meva_pipelines.domain.backup import vocabulary
from meva_pipelines.domain.backup.vocabulary import Extent, Method, Origin, Trigger
from meva_pipelines.domain.failures import Unusable

FORMAT = "meva-backup/1"
LARGEST_RECORD_BYTES = 8 << 20
_LARGEST_COUNT = 1 << 56
_YEARS = range(2000, 9000)
_ID = re.compile(r"MEVA_BACKUP_\d{8}_\d{6}_[0-9]{8}_[0-9a-f]{8}")
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A stored object of a backup: sizes in bytes before (`data_bytes`) and after sealing, digests of what is stored.

    SHA-256 decides; MD5 is reported because the seed's catalogue has it.
    """

    name: str
    data_bytes: int
    stored_bytes: int
    sha256: str
    md5: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The server that a database backup comes from, and the stretch of its log that belongs to it."""

    system_id: str
    version: int
    segment_bytes: int
    timeline: int
    start_lsn: str
    end_lsn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A finished backup. `sequence` orders backups; clocks only tell people when."""

    id: str
    sequence: int
    method: Method
    extent: Extent
    trigger: Trigger
    created_at: datetime
    completed_at: datetime
    covers_until: datetime
    parts: tuple[Part, ...]
    key_id: str
    subject: str
    server: Server | None = None
    parent_id: str | None = None
    parent_digest: str | None = None
    restore_point: str | None = None
    source_paths: tuple[str, ...] = ()
    data_types: tuple[str, ...] = ()
    description: str = ""
    tags: tuple[str, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def origin(self) -> Origin:
        """Why it was taken."""
        return self.trigger.origin

    @property
    def types(self) -> tuple[str, str]:
        """The two of the seed's six types that it is of."""
        return vocabulary.types(self.origin, self.extent)

    @property
    def file_size(self) -> int:
        """Bytes of data before compression."""
        return sum(part.data_bytes for part in self.parts)

    @property
    def compressed_size(self) -> int:
        """Bytes that are stored."""
        return sum(part.stored_bytes for part in self.parts)

    @property
    def compression_ratio(self) -> float:
        """Per cent saved (the seed's definition); 0 for an empty backup."""
        return 100.0 * (1 - self.compressed_size / self.file_size) if self.file_size else 0.0

    @property
    def digest(self) -> str:
        """SHA-256 of the record in its canonical form."""
        return hashlib.sha256(_canonical(self)).hexdigest()

    @property
    def md5(self) -> str:
        """MD5 over the parts' MD5 digests: a legacy figure that decides nothing."""
        joined = "".join(part.md5 for part in self.parts).encode()
        return hashlib.md5(joined, usedforsecurity=False).hexdigest()

    def part(self, name: str) -> Part:
        """Return a part by its name.

        Raises:
            Unusable: the backup has no such part.
        """
        for part in self.parts:
            if part.name == name:
                return part
        raise Unusable(f"backup {self.id} has no part {name}", rule="backup_part", field=name)


def identifier(*, at: datetime, sequence: int, mark: str) -> str:
    """Return the id of a backup: the moment for people, the sequence for order, eight random hex digits for safety."""
    return f"MEVA_BACKUP_{at:%Y%m%d_%H%M%S}_{sequence:08d}_{mark}"


def is_identifier(text: str) -> bool:
    """Whether a name is one that `identifier` gives."""
    return _ID.fullmatch(text) is not None


def sequence_of(identifier: str) -> int:
    """Return the sequence that an id carries."""
    return int(identifier.split("_")[4])


def written(backup: Backup) -> bytes:
    """Return the record as it is stored: canonical JSON with its own digest."""
    body = json.loads(_canonical(backup))
    return json.dumps({"digest": backup.digest, "record": body}, ensure_ascii=False, indent=1).encode()


def read(content: bytes, *, expected_id: str) -> Backup:
    """Return the backup that a stored record tells of.

    Raises:
        Unusable: it is not such a record, was changed after it was written, or belongs to another backup.
    """
    try:
        outer = json.loads(content[: LARGEST_RECORD_BYTES + 1].decode())
        backup = _backup(outer["record"])
        is_as_written = outer["digest"] == backup.digest
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise Unusable(f"the record of backup {expected_id} cannot be read", rule="backup_record") from error
    if not is_as_written:
        raise Unusable(f"the record of backup {expected_id} was changed after it was written", rule="backup_record")
    if backup.id != expected_id:
        raise Unusable(f"the record at {expected_id} is that of another backup", rule="backup_record", field="id")
    return backup


def _canonical(backup: Backup) -> bytes:
    record: dict[str, Any] = {
        "format": FORMAT,
        "id": backup.id,
        "sequence": backup.sequence,
        "method": backup.method.value,
        "extent": backup.extent.value,
        "trigger": backup.trigger.value,
        "created_at": backup.created_at.isoformat(),
        "completed_at": backup.completed_at.isoformat(),
        "covers_until": backup.covers_until.isoformat(),
        "parts": [{name: getattr(part, name) for name in Part.__slots__} for part in backup.parts],
        "key_id": backup.key_id,
        "subject": backup.subject,
        "server": None if backup.server is None else {name: getattr(backup.server, name) for name in Server.__slots__},
        "parent_id": backup.parent_id,
        "parent_digest": backup.parent_digest,
        "restore_point": backup.restore_point,
        "source_paths": list(backup.source_paths),
        "data_types": list(backup.data_types),
        "description": backup.description,
        "tags": list(backup.tags),
        "figures": {name: float(value) for name, value in backup.figures.items()},
    }
    return json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _backup(record: Mapping[str, Any]) -> Backup:
    """Return a record parsed once; whatever does not fit raises ValueError, KeyError or TypeError."""
    _demand(record["format"] == FORMAT and is_identifier(record["id"]))
    server = record["server"]
    backup = Backup(
        id=record["id"],
        sequence=_count(record["sequence"]),
        method=Method(record["method"]),
        extent=Extent(record["extent"]),
        trigger=Trigger(record["trigger"]),
        created_at=_moment(record["created_at"]),
        completed_at=_moment(record["completed_at"]),
        covers_until=_moment(record["covers_until"]),
        parts=tuple(_part(part) for part in record["parts"]),
        key_id=_text(record["key_id"]),
        subject=_text(record["subject"]),
        server=None if server is None else _server(server),
        parent_id=_optional(record["parent_id"]),
        parent_digest=_optional(record["parent_digest"]),
        restore_point=_optional(record["restore_point"]),
        source_paths=tuple(map(_text, record["source_paths"])),
        data_types=tuple(map(_text, record["data_types"])),
        description=_text(record["description"]),
        tags=tuple(map(_text, record["tags"])),
        figures={_text(name): float(value) for name, value in record["figures"].items()},
    )
    _demand(backup.sequence == sequence_of(backup.id))
    _demand((backup.extent is Extent.INCREMENTAL) == (backup.parent_id is not None))
    _demand(len({part.name for part in backup.parts}) == len(backup.parts))
    return backup


def _part(record: Mapping[str, Any]) -> Part:
    _demand(_PART.fullmatch(record["name"]) is not None)
    _demand(_SHA256.fullmatch(record["sha256"]) is not None and _MD5.fullmatch(record["md5"]) is not None)
    return Part(
        name=record["name"],
        data_bytes=_count(record["data_bytes"]),
        stored_bytes=_count(record["stored_bytes"]),
        sha256=record["sha256"],
        md5=record["md5"],
    )


def _server(record: Mapping[str, Any]) -> Server:
    return Server(
        system_id=_text(record["system_id"]),
        version=_count(record["version"]),
        segment_bytes=_count(record["segment_bytes"]),
        timeline=_count(record["timeline"]),
        start_lsn=_text(record["start_lsn"]),
        end_lsn=_text(record["end_lsn"]),
    )


def _demand(is_so: bool) -> None:  # noqa: FBT001 - a statement about the record, in the manner of assert
    if not is_so:
        raise ValueError("the record does not keep its form")


def _text(value: object) -> str:
    _demand(isinstance(value, str) and "\0" not in value)
    return str(value)


def _optional(value: object) -> str | None:
    return None if value is None else _text(value)


def _count(value: object) -> int:
    _demand(isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST_COUNT)
    return int(str(value))


def _moment(value: str) -> datetime:
    moment = datetime.fromisoformat(value)
    _demand(moment.tzinfo is not None and moment.year in _YEARS)
    return moment
