"""Written Korean addresses: what their first words say about the region, and how to say it once.

Only the sido and gugun words at the beginning belong here; which names are known is `regions`, where a point
lies is the business of whoever has coordinates.
"""

import re
from dataclasses import dataclass
from datetime import date

from meva_pipelines.domain.region_periods import Level
from meva_pipelines.domain.regions import NameStatus, RegionTable

_WORD = re.compile(r"\S+")
_MOST_GUGUN_WORDS = 2


def collapse_prefixes(address: str, table: RegionTable, on: date) -> str:
    """The address with its region named once when it begins with the same region twice or more often.

    Since 2026-07-01 addresses of the open API may carry their region already, so that sido, gugun and address
    joined say it twice, sometimes under the old and the new name. Of the names for the same place the one
    current on `on` stays, spelled as written; of equal ones the last. Different places are left alone, and so
    is a lone sido name after a complete prefix. An address without repetition comes back unchanged.
    """
    words = list(_WORD.finditer(address))
    reader = _Reader(tuple(word.group() for word in words), table, on)
    kept = reader.prefix_at(0)
    if kept is None:
        return address
    first_end = end = kept.end
    while (again := reader.repetition_at(end, kept)) is not None:
        end = again.end
        kept = max(again, kept, key=lambda prefix: prefix.worth)
    if end == first_end:
        return address
    rest = address[words[end].start() :] if end < len(words) else ""
    return " ".join((kept.sido, *kept.gugun, rest)).rstrip()


@dataclass(frozen=True, slots=True)
class _Prefix:
    """Region words found somewhere: the sido's word, the gugun's words, and what they mean.

    `end` is the position after the last word. A prefix is complete when it names a gugun (or a sido that has
    only one), fine when that is not a city with gu below it.
    """

    sido: str
    gugun: tuple[str, ...]
    end: int
    code: str
    is_complete: bool
    is_current: bool
    is_fine: bool

    @property
    def worth(self) -> tuple[bool, bool, bool]:
        """Of two names for one place the one with the greater worth is kept."""
        return self.is_complete, self.is_current, self.is_fine


@dataclass(frozen=True, slots=True)
class _Reader:
    """Finds region words among the words of one address, as names were on one day."""

    words: tuple[str, ...]
    table: RegionTable
    on: date

    def prefix_at(self, start: int) -> _Prefix | None:
        """The longest region words at `start` that begin with a sido."""
        if start >= len(self.words):
            return None
        sido = self.words[start]
        return self._gugun_at(start + 1, sido) or self._sido_alone(start, sido)

    def repetition_at(self, start: int, kept: _Prefix) -> _Prefix | None:
        """Words at `start` that name the place of `kept` again: sido and gugun, or the gugun alone."""
        for again in (self.prefix_at(start), self._gugun_at(start, kept.sido)):
            if (
                again is not None
                and (again.is_complete or not kept.is_complete)
                and self._is_same_place(kept.code, again.code)
            ):
                return again
        return None

    def _sido_alone(self, start: int, sido: str) -> _Prefix | None:
        found = self.table.resolve(sido, None, self.on)
        code = found.code or found.sido_code
        if code is None:
            return None
        return _Prefix(
            sido=sido,
            gugun=(),
            end=start + 1,
            code=code,
            is_complete=found.code is not None,
            is_current=found.status is NameStatus.CURRENT,
            is_fine=False,
        )

    def _gugun_at(self, start: int, sido: str) -> _Prefix | None:
        """The longest gugun of this sido at `start` (수원시 장안구 before 수원시)."""
        for end in range(min(start + _MOST_GUGUN_WORDS, len(self.words)), start, -1):
            gugun = self.words[start:end]
            found = self.table.resolve(sido, " ".join(gugun), self.on)
            if found.code is not None:
                region = self.table.region(found.code, self.on)
                return _Prefix(
                    sido=sido,
                    gugun=gugun,
                    end=end,
                    code=found.code,
                    is_complete=True,
                    is_current=found.status is NameStatus.CURRENT,
                    is_fine=region is not None and region.level is Level.GUGUN,
                )
        return None

    def _is_same_place(self, one: str, other: str) -> bool:
        """Whether the codes share territory on the day, or one lies within the other."""
        these, those = self.table.codes_on(one, self.on), self.table.codes_on(other, self.on)
        return not (these.isdisjoint(self._with_holders(those)) and those.isdisjoint(self._with_holders(these)))

    def _with_holders(self, codes: frozenset[str]) -> frozenset[str]:
        regions = [self.table.region(code, self.on) for code in codes]
        parents = {region.parent for region in regions if region is not None and region.parent is not None}
        return codes | parents | {code[:2] for code in codes}
