"""Which content of a test stands, which it superseded, and which waits for a person. A pure fold; nothing is stored.

The contents of a test are put in order by (time, SHA-256). From the first on, each is taken as the next version when
it agrees with what stood before it; otherwise it waits, and the earlier one stands. The answer follows from the set of
contents alone: in which order they arrived has no influence.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from math import isclose

from meva_pipelines.domain.tensile.comparison import same_name

_SAME_LENGTH = 1e-6
"""Lengths that differ by less, relatively, are the same one written in another unit."""


class Standing(StrEnum):
    """What a content is to its test."""

    PUBLISHED = "published"
    SUPERSEDED = "superseded"
    WAITING = "waiting"
    SET_ASIDE = "set_aside"


class Resolution(StrEnum):
    """What a person decides of a conflict: the standing content stays, the waiting one replaces it, or both stay."""

    KEEP = "keep"
    REPLACE = "replace"
    KEEP_BOTH = "keep_both"


@dataclass(frozen=True, slots=True)
class Facts:
    """What two contents of one test must agree on; None where nobody states it, which contradicts nothing."""

    material: str | None = None
    machine: str | None = None
    shape: str | None = None
    diameter_mm: float | None = None
    thickness_mm: float | None = None
    width_mm: float | None = None
    area_mm2: float | None = None
    gauge_length_mm: float | None = None
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """One content of a test; `revised_at` is the time that its author, else its file, gives it."""

    sha256: str
    revised_at: datetime
    facts: Facts

    @property
    def rank(self) -> tuple[datetime, str]:
        """Return what contents are put in order by."""
        return self.revised_at, self.sha256


@dataclass(frozen=True, slots=True)
class Difference:
    """A fact that two contents state differently."""

    fact: str
    standing: str
    waiting: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two contents that no rule can put in order: `standing` is the earlier one."""

    standing: str
    waiting: str
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Arrangement:
    """The contents of one test: `versions` in order, the last is published; those that wait, and those set aside."""

    versions: tuple[str, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    set_aside: frozenset[str] = frozenset()

    @property
    def published(self) -> str | None:
        """Return the content that readers see; None where there is no content at all."""
        return self.versions[-1] if self.versions else None

    def standing(self, sha256: str) -> Standing:
        """Return what one of the contents is."""
        if sha256 == self.published:
            return Standing.PUBLISHED
        if sha256 in self.versions:
            return Standing.SUPERSEDED
        return Standing.SET_ASIDE if sha256 in self.set_aside else Standing.WAITING

    def version(self, sha256: str) -> int | None:
        """Return the number of a version from 1; None for a content that is none."""
        return self.versions.index(sha256) + 1 if sha256 in self.versions else None


Rulings = Mapping[frozenset[str], Resolution]
"""What was decided of a pair of contents before: it is not asked again."""


def arrange(contents: Iterable[Content], rulings: Rulings) -> Arrangement:
    """Put the contents of one test in order. A content that is given twice counts once."""
    chain: list[Content] = []
    conflicts: list[Conflict] = []
    set_aside: set[str] = set()
    for content in sorted({each.sha256: each for each in contents}.values(), key=lambda each: each.rank):
        ruling = _ruling(chain, content, rulings)
        if ruling is Resolution.REPLACE:
            chain.append(content)
        elif ruling is not None:
            set_aside.add(content.sha256)
        elif (conflict := _conflict(chain, content)) is not None:
            conflicts.append(conflict)
        else:
            chain.append(content)
    return Arrangement(tuple(each.sha256 for each in chain), tuple(conflicts), frozenset(set_aside))


def _ruling(chain: list[Content], content: Content, rulings: Rulings) -> Resolution | None:
    """Return what was decided between a content and one that stands before it, the newest of them first."""
    pairs = (frozenset({each.sha256, content.sha256}) for each in reversed(chain))
    return next((rulings[pair] for pair in pairs if pair in rulings), None)


def _conflict(chain: list[Content], content: Content) -> Conflict | None:
    """Return the conflict of a content with the earliest that it differs from, among those that bind it."""
    for earlier in _binding(chain):
        found = tuple(differences(earlier.facts, content.facts))
        if not found and earlier.revised_at == content.revised_at:
            moment = content.revised_at.isoformat()
            found = (Difference("revised_at", moment, moment),)
        if found:
            return Conflict(earlier.sha256, content.sha256, found)
    return None


def _binding(chain: list[Content]) -> list[Content]:
    """Return the part of a chain that agrees with its end: what was there before a person's ruling binds no more."""
    start = len(chain)
    while start and not any(True for _ in differences(chain[start - 1].facts, chain[-1].facts)):
        start -= 1
    return chain[start:]


def differences(one: Facts, other: Facts) -> Iterator[Difference]:
    """Yield the facts that both state and state differently."""
    for each in fields(Facts):
        left, right = getattr(one, each.name), getattr(other, each.name)
        if left is not None and right is not None and not _is_same(left, right):
            yield Difference(each.name, f"{left}", f"{right}")


def _is_same(one: object, other: object) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return same_name(one, other)
    if isinstance(one, float) and isinstance(other, float):
        return isclose(one, other, rel_tol=_SAME_LENGTH)
    return one == other
