"""Sorting the files of a run: taken, refused, published before. Nothing here moves a file or writes a ledger."""

import hashlib
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum

from meva_pipelines.domain import exports
from meva_pipelines.domain.contract import TableContract
from meva_pipelines.domain.days import korean_day
from meva_pipelines.domain.exports import Header
from meva_pipelines.domain.failures import Rejected
from meva_pipelines.resources import export_files, export_pages
from meva_pipelines.resources.export_pages import Writer
from meva_pipelines.resources.landing import Arrival, Landing
from meva_pipelines.resources.raw_pages import Original


class Fate(StrEnum):
    """What became of a file."""

    TAKEN = "taken"
    PUBLISHED_BEFORE = "published before"
    TWICE = "twice in this run"
    REFUSED = "refused"
    GONE = "not there any more"


@dataclass(frozen=True, slots=True)
class Sighting:
    """One file of a run: where it lay, what it is and what became of it. `arrival` is None for one kept earlier."""

    name: str
    fate: Fate
    arrival: Arrival | None = None
    sha256: str = ""
    size: int = 0
    as_of: datetime | None = None
    rows: int = 0
    told: str = ""
    header: Header | None = field(default=None, repr=False)


@dataclass(slots=True)
class Desk:
    """Files of a run, sorted one after the other; one file is in memory at a time.

    `published` tells which attempt published a content before, by SHA-256; `kept` are the originals, by name, of an
    attempt that took them and did not publish: a run that is repeated finds its files there. Files made on a day before
    `oldest` are refused: their rows would overwrite what is known of later days. `now` is the clock that decides.
    """

    landing: Landing
    folder: str
    writer: Writer
    published: dict[str, int]
    kept: dict[str, Original]
    now: datetime
    oldest: date | None = None
    sightings: list[Sighting] = field(default_factory=list)

    def of(self, *fates: Fate) -> list[Sighting]:
        """Return the files that met one of some fates."""
        return [sighting for sighting in self.sightings if sighting.fate in fates]

    @property
    def contract(self) -> TableContract:
        """Return what is agreed about the files."""
        return self.writer.contract

    def see(self, name: str) -> None:
        """Sort one file; a name that is gone is looked for among the files of an attempt that did not publish."""
        arrival = self.landing.find(self.folder, name)
        if arrival is not None:
            self.sightings.append(self._arrived(arrival))
        elif name in self.kept:
            content = export_pages.original(self.writer.store, self.kept[name])
            self.sightings.append(self._sorted(Sighting(name, Fate.TAKEN, as_of=self.kept[name].as_of), content))
        else:
            told = "taken by another run, or removed"
            self.sightings.append(Sighting(name, Fate.GONE, told=told))

    def _arrived(self, arrival: Arrival) -> Sighting:
        as_of = exports.exported_at(arrival.name, arrival.modified_at, now=self.now)
        seen = Sighting(arrival.name, Fate.TAKEN, arrival, size=arrival.size, as_of=as_of)
        try:
            content = self.landing.read(self.folder, arrival)
        except Rejected as error:
            unread = hashlib.sha256(arrival.identity.encode()).hexdigest()
            return replace(seen, fate=Fate.REFUSED, sha256=unread, told=str(error))
        return self._sorted(seen, content)

    def _sorted(self, seen: Sighting, content: bytes) -> Sighting:
        digest = hashlib.sha256(content).hexdigest()
        seen = replace(seen, sha256=digest, size=len(content))
        if before := self.published.get(digest):
            return replace(seen, fate=Fate.PUBLISHED_BEFORE, told=f"the same content was published by attempt {before}")
        if twin := next((s.name for s in self.sightings if s.sha256 == digest and s.fate is Fate.TAKEN), None):
            return replace(seen, fate=Fate.TWICE, told=f"the same content as {twin}")
        if self.oldest and seen.as_of and (day := korean_day(seen.as_of)) < self.oldest:
            told = (
                f"made on {day}, and what is published is of {self.oldest}: its rows carry no time that tells which is"
                " newer. Drop a newer export; or put this one back and take it with is_older_allowed"
            )
            return replace(seen, fate=Fate.REFUSED, told=told)
        try:
            table = export_files.read(content, self.contract)
        except Rejected as error:
            return replace(seen, fate=Fate.REFUSED, told=str(error))
        self.writer.put(seen.name, content, table, as_of=seen.as_of)
        told = "; ".join(filter(None, (table.form.value, table.encoding, *table.notes)))
        return replace(seen, rows=table.rows, told=told, header=table.header)
