"""Sorting what lies in a folder into bundles: taken, published before, waiting for a file, refused, left alone.

A document and the files that it names are taken together or not at all. Nothing here moves a file or writes a ledger.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final

from meva_pipelines.domain.failures import Refused, Rejected, Unusable
from meva_pipelines.domain.simulation import documents
from meva_pipelines.resources import simulation_bundles, simulation_files
from meva_pipelines.resources.landing import Arrival, Landing
from meva_pipelines.resources.landing_ledger import Entry
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.simulation_bundles import Bundle

PATIENCE: Final = timedelta(days=1)
"""How long a document waits for a file that it names, and a file for a document that names it."""


class Fate(StrEnum):
    """What became of a document and the files that it names, or of a file that no document names."""

    TAKEN = "taken"
    PUBLISHED_BEFORE = "published before"
    TWICE = "twice in this run"
    WAITING = "waiting for a file"
    UNNAMED = "named by no document"
    REFUSED = "refused"
    GONE = "not there any more"


@dataclass(frozen=True, slots=True)
class Sighting:
    """One bundle of a run, or one file that belongs to none: its files as they lay there, and what became of them."""

    name: str
    fate: Fate
    told: str = ""
    arrivals: tuple[Arrival, ...] = ()
    bundle: Bundle | None = field(default=None, repr=False)


@dataclass(slots=True)
class Desk:
    """Files of a run, sorted document by document; one file is in memory at a time.

    `done` tells how a content ended before, by SHA-256: its outcome and the attempt.
    """

    landing: Landing
    folder: str
    store: ObjectStore
    done: Callable[[str], Entry | None]
    sightings: list[Sighting] = field(default_factory=list)
    _taken: set[str] = field(default_factory=set)

    def of(self, *fates: Fate) -> list[Sighting]:
        """Return what met one of some fates."""
        return [sighting for sighting in self.sightings if sighting.fate in fates]

    def bundles(self) -> list[Bundle]:
        """Return what is to be staged."""
        return [sighting.bundle for sighting in self.of(Fate.TAKEN) if sighting.bundle is not None]

    def sort(self, names: Sequence[str], *, now_ns: int) -> None:
        """Sort the files of the folder with these names; `now_ns` tells how long documents have waited."""
        others: dict[str, Arrival] = {}
        named: set[str] = set()
        for name in dict.fromkeys(names):
            arrival = self.landing.find(self.folder, name)
            if arrival is None:
                self.sightings.append(Sighting(name, Fate.GONE, "taken by another run, or removed"))
            elif (content := self._read(arrival)) is not None and simulation_files.is_document(content):
                named |= self._see(arrival, content, now_ns)
            elif content is not None:
                others[name] = arrival
        for name, arrival in others.items():
            if name in named:
                continue
            if _waited(arrival, now_ns) < PATIENCE:
                self.sightings.append(Sighting(name, Fate.UNNAMED, "it stays until a document names it"))
            else:
                told = "no document named it within a day; hand it in again with its document"
                self.sightings.append(Sighting(name, Fate.REFUSED, told, (arrival,)))

    def _read(self, arrival: Arrival) -> bytes | None:
        try:
            return self.landing.read(self.folder, arrival)
        except Rejected as error:
            self.sightings.append(Sighting(arrival.name, Fate.REFUSED, str(error), (arrival,)))
            return None

    def _see(self, arrival: Arrival, content: bytes, now_ns: int) -> set[str]:
        """Sort one document and return the names of the files that it names."""
        names = _companions(content)
        try:
            found = {name: self.landing.find(self.folder, name) for name in names}
        except Refused as error:
            self.sightings.append(Sighting(arrival.name, Fate.REFUSED, str(error), (arrival,)))
            return set()
        if absent := [name for name, companion in found.items() if companion is None]:
            told = f"{', '.join(absent)}: named by the document and not there"
            fate = Fate.WAITING if _waited(arrival, now_ns) < PATIENCE else Fate.REFUSED
            self.sightings.append(Sighting(arrival.name, fate, told, (arrival,)))
            return set(names)
        companions = [companion for companion in found.values() if companion is not None]
        parts = [simulation_bundles.put(self.store, arrival.name, content)]
        for companion in companions:
            body = self._read(companion)
            if body is None:
                self.sightings.append(Sighting(arrival.name, Fate.REFUSED, f"{companion.name} is refused", (arrival,)))
                return set(names)
            parts.append(simulation_bundles.put(self.store, companion.name, body))
        self._meet(Bundle(tuple(parts)), (arrival, *companions))
        return set(names)

    def _meet(self, bundle: Bundle, arrivals: tuple[Arrival, ...]) -> None:
        fate, told = Fate.TAKEN, f"{len(bundle.parts)} files, {bundle.size:,} bytes"
        if (before := self.done(bundle.sha256)) is not None and before.outcome == "published":
            fate, told = Fate.PUBLISHED_BEFORE, f"the same content was published by attempt {before.token}"
        elif bundle.sha256 in self._taken:
            fate, told = Fate.TWICE, "the same content as another document"
        else:
            self._taken.add(bundle.sha256)
        self.sightings.append(Sighting(bundle.name, fate, told, arrivals, bundle))


def _waited(arrival: Arrival, now_ns: int) -> timedelta:
    return timedelta(microseconds=(now_ns - arrival.changed_ns) / 1_000)


def _companions(content: bytes) -> tuple[str, ...]:
    """Return the files that a document names; none where it cannot be read, which staging will say."""
    try:
        return tuple(named.name for named in documents.companions(simulation_files.document(content)))
    except Unusable:
        return ()
