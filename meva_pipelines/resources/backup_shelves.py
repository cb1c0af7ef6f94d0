"""Backups on a target: parts first, the record last. What has no record does not exist.

    <target>/<backup id>/<part>        sealed
    <target>/<backup id>/backup.json   the record, written when every part is there
    <target>/<backup id>/hold.json     a person keeps this backup; beside it, so that it outlives every database

A record is never changed. What is left of a backup that was never finished is collected when nobody can be writing it
any more.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO

from meva_pipelines.domain.backup import records
from meva_pipelines.domain.backup.records import Backup, Part
from meva_pipelines.domain.failures import Refused, Unavailable, Unusable
from meva_pipelines.resources import backup_sealing, failpoints
from meva_pipelines.resources.backup_keys import Keyring
from meva_pipelines.resources.backup_sealing import Sealing
from meva_pipelines.resources.backup_targets import Target, content
from meva_pipelines.resources.failpoints import Point

ROOT = "backups"
RECORD = "backup.json"
HOLD = "hold.json"
_READERS = 8


@dataclass(frozen=True, slots=True)
class Hold:
    """A person's word that a backup stays."""

    reason: str
    by: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Inventory:
    """What lies on a target: backups by id, holds by id, records that cannot be read, and what was never finished."""

    backups: Mapping[str, Backup] = field(default_factory=dict)
    holds: Mapping[str, Hold] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()
    unfinished: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shelf:
    """The backups of one target, sealed and opened with one ring of keys."""

    target: Target
    keyring: Keyring = field(repr=False)

    @contextmanager
    def part(self, backup_id: str, name: str) -> Iterator[Sealing]:
        """Lend a writer for a part of a backup that is being taken."""
        with (
            self.target.writing(_key(backup_id, name)) as sink,
            backup_sealing.sealed(sink, self.keyring, backup_id=backup_id, name=name) as sealing,
        ):
            yield sealing
        failpoints.reach(Point.BACKUP_PART_STORED)

    @contextmanager
    def open(self, backup: Backup, name: str) -> Iterator[IO[bytes]]:
        """Lend the data of a part.

        Raises:
            Unusable: the part is not what was written, or no key at hand opens it.
            Unavailable: the target does not answer, or the part is not there.
        """
        part = backup.part(name)
        with (
            self._named(),
            self.target.reading(_key(backup.id, name)) as source,
            backup_sealing.opened(source, self.keyring, backup_id=backup.id, part=part) as data,
        ):
            yield data

    def finish(self, backup: Backup) -> None:
        """Write the record: from now on the backup exists."""
        failpoints.reach(Point.BACKUP_BEFORE_RECORD)
        with self.target.writing(_key(backup.id, RECORD)) as sink:
            sink.write(records.written(backup))
        failpoints.reach(Point.BACKUP_AFTER_RECORD)

    def inventory(self) -> Inventory:
        """Read every record. An unreadable one is named, never skipped silently.

        Raises:
            Unavailable: the target does not answer.
        """
        ids = self.target.tree(ROOT)
        with ThreadPoolExecutor(_READERS) as pool:
            found = list(pool.map(self._shown, ids, ids.values()))
        backups = {name: shown for name, (shown, _) in zip(ids, found, strict=True) if isinstance(shown, Backup)}
        return Inventory(
            backups,
            {name: hold for name, (_, hold) in zip(ids, found, strict=True) if hold is not None},
            tuple(name for name, (shown, _) in zip(ids, found, strict=True) if isinstance(shown, Unusable)),
            tuple(name for name, (shown, _) in zip(ids, found, strict=True) if shown is None),
        )

    def demand_answer(self) -> None:
        """Ask the target for anything at all.

        Raises:
            Unavailable: it does not answer.
        """
        self.target.folders(ROOT)

    def record(self, backup_id: str) -> Backup:
        """Return one backup by its id.

        Raises:
            Refused: the target holds no such backup.
            Unusable: its record cannot be read.
        """
        if not records.is_identifier(backup_id) or RECORD not in self.target.names(f"{ROOT}/{backup_id}"):
            raise Refused(f"target {self.target.name} holds no backup {backup_id[:80]}")
        with self._named():
            return records.read(self._small(backup_id, RECORD), expected_id=backup_id)

    def verify(self, backup: Backup) -> None:
        """Read every part to its end.

        Raises:
            Unusable: a part is not what was written.
            Unavailable: the target does not answer, or a part is not there.
        """
        stored = self.target.names(f"{ROOT}/{backup.id}")
        with self._named():
            for part in backup.parts:
                if part.name not in stored:
                    raise Unusable(f"part {part.name} of backup {backup.id} is missing", rule="backup_part")
                failpoints.reach(Point.BACKUP_VERIFYING)
                with self.target.reading(_key(backup.id, part.name)) as source:
                    backup_sealing.checked(source, self.keyring, backup_id=backup.id, part=part)

    def copy_to(self, other: "Shelf", backup: Backup) -> None:
        """Copy a backup as it is, sealed, part by part and the record last; what arrives is compared with the record.

        Raises:
            Unusable: a part is not what was written.
            Unavailable: one of the two targets does not answer.
        """
        try:
            with self._named():
                for part in backup.parts:
                    _copied(self.target, other.target, backup.id, part)
                    failpoints.reach(Point.BACKUP_COPYING)
        except (Unusable, Unavailable):
            with suppress(Unavailable):
                other.remove(backup.id)
            raise
        other.finish(backup)

    def remove(self, backup_id: str) -> None:
        """Remove a backup: the record first, so that it never exists without its parts."""
        prefix = f"{ROOT}/{backup_id}"
        names = self.target.names(prefix)
        for name in sorted(names, key=lambda name: name != RECORD):
            self.target.remove(f"{prefix}/{name}")
            failpoints.reach(Point.BACKUP_REMOVING)
        self.target.remove_folder(prefix)

    def hold(self, backup_id: str, hold: Hold) -> None:
        """Keep a backup until the hold is lifted."""
        self.record(backup_id)
        body = {"reason": hold.reason, "by": hold.by, "since": hold.since.isoformat()}
        with self.target.writing(_key(backup_id, HOLD)) as sink:
            sink.write(json.dumps(body, ensure_ascii=False).encode())

    def lift(self, backup_id: str) -> None:
        """Lift a hold."""
        self.target.remove(_key(backup_id, HOLD))

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Let what is wrong with a copy say on which target it lies: those on others may be sound."""
        try:
            yield
        except Unusable as error:
            error.args = (f"target {self.target.name}: {error}",)
            raise

    def _shown(self, backup_id: str, names: Sequence[str]) -> tuple[Backup | Unusable | None, Hold | None]:
        hold = self._hold(backup_id) if HOLD in names else None
        if not records.is_identifier(backup_id):
            return Unusable(f"{backup_id[:80]} is no backup", rule="backup_record"), hold
        if RECORD not in names:
            return None, hold
        try:
            return records.read(self._small(backup_id, RECORD), expected_id=backup_id), hold
        except (Unusable, Refused) as error:
            return (error if isinstance(error, Unusable) else Unusable(str(error), rule="backup_record")), hold

    def _hold(self, backup_id: str) -> Hold:
        """Read a hold; one that cannot be read holds all the same."""
        try:
            body = json.loads(self._small(backup_id, HOLD))
            return Hold(str(body["reason"]), str(body["by"]), datetime.fromisoformat(body["since"]))
        except (ValueError, KeyError, TypeError, Refused):
            return Hold("a hold that cannot be read", "", datetime.min.replace(tzinfo=UTC))

    def _small(self, backup_id: str, name: str) -> bytes:
        return content(self.target, _key(backup_id, name), at_most=records.LARGEST_RECORD_BYTES)


def next_sequence(shelves: Iterable[Shelf], *, known: int) -> int:
    """Return a sequence above everything that the targets and the catalogue (`known`) have ever seen.

    The targets are asked because a database that was restored to an earlier moment has forgotten the latest ones.
    """
    highest = known
    for shelf in shelves:
        with suppress(Unavailable):
            names = filter(records.is_identifier, shelf.target.folders(ROOT))
            highest = max([highest, *map(records.sequence_of, names)])
    return highest + 1


def first_reachable(shelves: Iterable[Shelf], is_good: Callable[[Shelf], bool] = lambda _: True) -> Shelf:
    """Return the first target that answers.

    Raises:
        Unavailable: none does.
    """
    said = []
    for shelf in shelves:
        try:
            shelf.demand_answer()
            if is_good(shelf):
                return shelf
        except Unavailable as error:
            said.append(str(error))
    raise Unavailable(f"no backup target can be used. {' '.join(said)}")


def _copied(source: Target, sink: Target, backup_id: str, part: Part) -> None:
    key = _key(backup_id, part.name)
    with source.reading(key) as stream, sink.writing(key) as copy:
        backup_sealing.copied(stream, copy, backup_id=backup_id, part=part)


def _key(backup_id: str, name: str) -> str:
    return f"{ROOT}/{backup_id}/{name}"
