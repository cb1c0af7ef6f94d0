"""The uploads of a run, sorted: kept in the store, published before, refused, or gone. Nothing is read or moved here.

A sidecar (`<file>.meta.yaml`) belongs to the file beside it. One that comes alone belongs to the newest file of its
name that was taken: stating what a quarantined file lacks is enough to have it tried again.
"""

import hashlib
from collections.abc import Container, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import psycopg

from meva_pipelines.domain.failures import Rejected
from meva_pipelines.resources import landing_ledger, tensile_intake
from meva_pipelines.resources.landing import Arrival, Arrivals, Landing
from meva_pipelines.resources.ledger import Attempt
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.tensile_intake import FILES, Original, Upload

FOLDER = "tensile"
SIDECAR = ".meta.yaml"
FILES_PER_RUN = 200
"""Most uploads that one run takes from the landing zone, and as many that it takes up again."""

_AT_ONCE = 8
_BYTES_AT_ONCE = 50_000_000
"""Files are stored several at a time, for a disk syncs them together; never more bytes unless one file has them."""


class Fate(StrEnum):
    """What became of a file."""

    TAKEN = "taken"
    RESUMED = "taken up again"
    PUBLISHED_BEFORE = "published before"
    TWICE = "twice in this run"
    REFUSED = "refused"
    GONE = "not there any more"


@dataclass(frozen=True, slots=True)
class Sighting:
    """One file of a run; `arrivals` are what lies in the landing zone for it: the file, its sidecar, both or none."""

    name: str
    fate: Fate
    arrivals: tuple[Arrival, ...] = ()
    upload: Upload | None = None
    told: str = ""


def ready(arrivals: Arrivals) -> tuple[Arrival, ...]:
    """Return the files that have settled together with what stands beside them: sidecar and file wait for each other.

    At most `FILES_PER_RUN`, the oldest first.
    """
    return tuple(
        arrival
        for arrival in arrivals.settled
        if not (arrivals.is_changing(f"{arrival.name}{SIDECAR}") or arrivals.is_changing(_file(arrival.name)))
    )[:FILES_PER_RUN]


def files(names: Iterable[str]) -> tuple[str, ...]:
    """Return the files that names of the landing zone stand for: a sidecar stands for the file beside it."""
    return tuple(dict.fromkeys(map(_file, names)))


def _file(name: str) -> str:
    return name.removesuffix(SIDECAR)


def sort(
    connection: psycopg.Connection, attempt: Attempt, landing: Landing, store: ObjectStore, names: Sequence[str]
) -> list[Sighting]:
    """Keep every file in the store and say what it is; memory is that of a few small files or one large one.

    Contents that were taken by an attempt that never ended come first, whatever the names.
    """
    sightings = _resumed(connection, attempt, store)
    kept = {sighting.upload.content_id for sighting in sightings if sighting.upload}
    for seen in _kept(connection, landing, store, files(names)):
        sightings.append(_unless_done(connection, attempt, seen, kept))
        if seen.fate is Fate.TAKEN and seen.upload:
            kept.add(seen.upload.content_id)
    return sightings


def replay(connection: psycopg.Connection, attempt: Attempt, *, rule: str) -> int:
    """Have quarantined uploads taken up again by this attempt; an empty rule means all. Returns how many."""
    manifests = [
        row[0]
        for row in connection.execute(
            "SELECT DISTINCT l.fetch_id FROM meva.quarantine AS q JOIN ops.ingest_ledger AS l"
            " ON l.subject = %s AND l.content_hash = q.content_id"
            " WHERE q.released_at IS NULL AND (%s = '' OR q.rule = %s)",
            [FILES, rule, rule],
        )
    ]
    landing_ledger.finish(connection, manifests, files=FILES, outcome="taken", token=attempt.token)
    return len(manifests)


def _resumed(connection: psycopg.Connection, attempt: Attempt, store: ObjectStore) -> list[Sighting]:
    entries = landing_ledger.unfinished(connection, files=FILES, source=attempt.source, limit=FILES_PER_RUN)
    uploads = [tensile_intake.found(store, entry.fetch_id)[0] for entry in entries]
    return [Sighting(upload.name, Fate.RESUMED, upload=upload, told="an earlier run did not end") for upload in uploads]


def _kept(
    connection: psycopg.Connection, landing: Landing, store: ObjectStore, names: Sequence[str]
) -> Iterator[Sighting]:
    """Yield the sightings of some files in their order, stored several at a time."""
    with ThreadPoolExecutor(_AT_ONCE) as workers:
        for together in _small_groups(landing, names):
            yield from workers.map(lambda name: _seen(connection, landing, store, name), together)


def _small_groups(landing: Landing, names: Sequence[str]) -> Iterator[list[str]]:
    group: list[str] = []
    size = 0
    for name in names:
        arrival = landing.find(FOLDER, name)
        own = 0 if arrival is None else arrival.size
        if group and (len(group) == _AT_ONCE or size + own > _BYTES_AT_ONCE):
            yield group
            group, size = [], 0
        group.append(name)
        size += own
    if group:
        yield group


def _seen(connection: psycopg.Connection, landing: Landing, store: ObjectStore, name: str) -> Sighting:
    file, sidecar = landing.find(FOLDER, name), landing.find(FOLDER, f"{name}{SIDECAR}")
    arrivals = tuple(arrival for arrival in (file, sidecar) if arrival is not None)
    if not arrivals:
        return Sighting(name, Fate.GONE, told="taken by another run, or removed")
    try:
        stated = None if sidecar is None else landing.read(FOLDER, sidecar)
        content = _taken_before(connection, store, name) if file is None else landing.read(FOLDER, file)
    except Rejected as error:
        return Sighting(name, Fate.REFUSED, arrivals, told=str(error))
    if content is None:
        return Sighting(name, Fate.REFUSED, arrivals, told=f"a sidecar for {name}, and no file of that name was taken")
    modified_at = datetime.fromtimestamp(max(arrival.modified_ns for arrival in arrivals) / 1e9, tz=UTC)
    upload = tensile_intake.keep(store, name, Original(content, stated), modified_at=modified_at)
    return Sighting(name, Fate.TAKEN, arrivals, upload, "with a sidecar" if stated is not None else "")


def _taken_before(connection: psycopg.Connection, store: ObjectStore, name: str) -> bytes | None:
    """Return the newest file of this name that is published or waits in quarantine."""
    row = connection.execute(
        "SELECT original FROM (SELECT original, token FROM meva.tensile_test WHERE file_name = %(name)s"
        " UNION ALL SELECT original, last_token FROM meva.quarantine WHERE file_name = %(name)s) AS f"
        " ORDER BY token DESC LIMIT 1",
        {"name": name},
    ).fetchone()
    return None if row is None else store.get(f"{row[0]}/file")


def _unless_done(connection: psycopg.Connection, attempt: Attempt, seen: Sighting, kept: Container[str]) -> Sighting:
    """Return the sighting of a file that is taken, unless this run or one before had its content already."""
    if seen.fate is not Fate.TAKEN or seen.upload is None:
        return seen
    identity = seen.upload.content_id
    if identity in kept:
        told = "the same content as another of this run"
        return Sighting(seen.name, Fate.TWICE, seen.arrivals, seen.upload, told)
    done = landing_ledger.finished(
        connection, [identity], files=FILES, subject=attempt.subject, source=attempt.source
    ).get(identity)
    if done is None or done.outcome != "published":
        return seen
    told = f"the same content was published by attempt {done.token}"
    return Sighting(seen.name, Fate.PUBLISHED_BEFORE, seen.arrivals, seen.upload, told)


def enter(connection: psycopg.Connection, attempt: Attempt, sightings: Sequence[Sighting]) -> None:
    """Write the uploads that are to be staged to the ingest ledger: from here on they are never forgotten."""
    for sighting in sightings:
        if sighting.upload is not None and sighting.fate in {Fate.TAKEN, Fate.RESUMED}:
            landing_ledger.remember(
                connection,
                attempt,
                sha256=sighting.upload.content_id,
                rows=0,
                size=sighting.upload.size,
                is_refused=False,
                files=FILES,
                fetch_id=sighting.upload.manifest,
            )


def clear(landing: Landing, attempt: Attempt, sightings: Sequence[Sighting], refused: dict[str, str]) -> None:
    """Move the files out of the way; `refused` gives the reason for contents of which nothing could be taken."""

    def move(sighting: Sighting) -> None:
        identity = "" if sighting.upload is None else sighting.upload.content_id
        reason = sighting.told if sighting.fate is Fate.REFUSED else refused.get(identity)
        for arrival in sighting.arrivals:
            if reason:
                landing.refuse(FOLDER, arrival, mark=f"{attempt.token}", reason=reason)
            else:
                landing.take(FOLDER, arrival, sha256=identity or _unread(arrival))

    with ThreadPoolExecutor(_AT_ONCE) as workers:
        list(workers.map(move, sightings))


def _unread(arrival: Arrival) -> str:
    return hashlib.sha256(arrival.identity.encode()).hexdigest()
