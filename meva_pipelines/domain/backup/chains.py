"""How backups hang together: chains of a full backup and its increments, what is usable, what can be restored.

A chain is usable only whole, and counts only when all of it was verified. Which chains are kept is decided in
`retention`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate

from meva_pipelines.domain.backup import wal
from meva_pipelines.domain.backup.records import Backup, Server
from meva_pipelines.domain.backup.vocabulary import Extent, Method
from meva_pipelines.domain.failures import Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known of a backup besides its record: proofs come from ledgers, holds from people."""

    backup: Backup
    is_verified: bool = False
    is_proven: bool = False
    is_corrupted: bool = False
    is_held: bool = False


@dataclass(frozen=True, slots=True)
class Chain:
    """A full backup with its increments, oldest first; orphans, which lost theirs, hang together and are not whole."""

    members: tuple[Standing, ...]
    is_whole: bool = True

    @property
    def full(self) -> Backup:
        """The first member: the full backup of a whole chain."""
        return self.members[0].backup

    @property
    def newest(self) -> Backup:
        """The last member."""
        return self.members[-1].backup

    @property
    def is_held(self) -> bool:
        """Whether a person keeps any of its members."""
        return any(member.is_held for member in self.members)

    @property
    def is_usable(self) -> bool:
        """Whether it is a proven way back: whole, its full backup verified and not corrupted.

        An increment that is not verified yet, or corrupted, shortens the chain; it does not take the full with it.
        """
        first = self.members[0]
        return self.is_whole and first.is_verified and not first.is_corrupted

    @property
    def is_proven(self) -> bool:
        """Whether a restore of the full backup or of one of its increments has succeeded, and could again."""
        lost: set[str | None] = set()
        for member in self.members:
            if member.is_corrupted or member.backup.parent_id in lost:
                lost.add(member.backup.id)
        return self.is_usable and any(member.is_proven and member.backup.id not in lost for member in self.members)


def chains(standings: Iterable[Standing]) -> tuple[Chain, ...]:
    """Return the chains of one family (method and subject), oldest first; that of an orphan is not whole.

    A child belongs to its parent only when the parent's digest is the one that the child names.
    """
    ordered = sorted(standings, key=lambda standing: standing.backup.sequence)
    members: dict[str, list[Standing]] = {}
    root_of: dict[str, str] = {}
    digests = {standing.backup.id: standing.backup.digest for standing in ordered}
    for standing in ordered:
        backup = standing.backup
        parent = backup.parent_id or ""
        is_child = parent in root_of and digests[parent] == backup.parent_digest
        root_of[backup.id] = root_of[parent] if is_child else backup.id
        members.setdefault(root_of[backup.id], []).append(standing)
    return tuple(Chain(tuple(line), is_whole=line[0].backup.extent is Extent.FULL) for line in members.values())


def lineage(backups: Collection[Backup], wanted: Backup) -> tuple[Backup, ...]:
    """Return what has to be restored for a backup: its full backup first, itself last.

    Raises:
        Refused: a parent is missing, or is not the one that its child was made on.
    """
    known = {backup.id: backup for backup in backups}
    line = [wanted]
    while line[0].extent is Extent.INCREMENTAL:
        parent = known.get(line[0].parent_id or "")
        if parent is None or parent.digest != line[0].parent_digest or parent.sequence >= line[0].sequence:
            raise Refused(f"backup {line[0].id} cannot be restored: its parent {line[0].parent_id} is not there")
        line.insert(0, parent)
    return tuple(line)


def sound(backups: Collection[Backup], corrupted: Collection[str]) -> tuple[Backup, ...]:
    """Return the backups of one family whose whole line is there and holds nothing that is known to be corrupted."""
    found = []
    for backup in backups:
        with suppress(Refused):
            if not any(member.id in corrupted for member in lineage(backups, backup)):
                found.append(backup)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Route:
    """How to come to a moment: base backups to lay one over the other, then the log up to the moment."""

    bases: tuple[Backup, ...]
    log: tuple[Backup, ...]
    covers_until: datetime


def route(
    backups: Collection[Backup],
    segments: Mapping[str, Sequence[wal.Segment]],
    *,
    until: datetime | None,
    within: Backup | None = None,
    without: Collection[str] = (),
) -> Route:
    """Return the shortest way to a moment (None: as late as can be), or to a moment after the backup `within`.

    `segments` are the log segments of each WAL backup by its id. The newest base before the moment is taken from
    which the log is unbroken up to it; none that is made on one of the ids in `without`.

    Raises:
        Refused: no base is old enough, or the log does not reach the moment; says how far it reaches.
    """
    physical = [backup for backup in backups if backup.method is Method.PHYSICAL and backup.server is not None]
    bases = sound(physical, without)
    wanted = [within] if within else sorted(bases, key=lambda backup: -backup.sequence)
    reached: list[datetime] = []
    for base in wanted:
        if until is not None and base.covers_until > until:
            continue
        log, covers = _log_after(backups, segments, base)
        if until is None or until <= covers:
            return Route(lineage(backups, base), _log_until(log, base, until), covers)
        reached.append(covers)
    if reached:
        raise Refused(f"the log of the backups reaches {max(reached).isoformat()} and not {until}; take `latest`")
    if not bases:
        raise Refused("there is no usable full backup of a server to begin with")
    oldest = min(base.covers_until for base in bases)
    raise Refused(f"no backup is from before {until}; the oldest usable moment is {oldest}")


def _log_after(
    backups: Collection[Backup], segments: Mapping[str, Sequence[wal.Segment]], base: Backup
) -> tuple[tuple[Backup, ...], datetime]:
    """Return the WAL backups that carry on from a base without a gap, and the moment up to which they do."""
    server = base.server
    if server is None:
        return (), base.covers_until
    since = first_segment(server)
    log = sorted((b for b in backups if b.method is Method.WAL and _same_server(b, server)), key=lambda b: b.sequence)
    last = wal.reach([item for backup in log for item in segments.get(backup.id, ())], since=since)
    taken = [backup for backup in log if any(_carries_on(item, since, last) for item in segments.get(backup.id, ()))]
    whole = [b for b in taken if all(last is not None and item <= last for item in segments.get(b.id, ()))]
    covers = max([base.covers_until, *(backup.covers_until for backup in whole)])
    return tuple(taken), covers


def _log_until(log: tuple[Backup, ...], base: Backup, until: datetime | None) -> tuple[Backup, ...]:
    """Return what a restore to a moment reads of the log: a backup of it holds a commit after what it covers."""
    if until is None:
        return log
    covered = [base.covers_until, *accumulate((backup.covers_until for backup in log), max)]
    return tuple(backup for backup, before in zip(log, covered, strict=False) if before < until or backup is log[0])


def first_segment(server: Server) -> wal.Segment:
    """Return the segment of the log that a restore of a base begins with."""
    return wal.Segment(server.timeline, wal.position(server.start_lsn) // server.segment_bytes)


def _same_server(backup: Backup, server: Server) -> bool:
    return backup.server is not None and backup.server.system_id == server.system_id


def _carries_on(item: wal.Segment, since: wal.Segment, last: wal.Segment | None) -> bool:
    return last is not None and since <= item <= last
