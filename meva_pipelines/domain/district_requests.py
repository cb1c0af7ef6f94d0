"""Which districts are asked for one by one, and which regions are thereby proved complete. Asking is elsewhere."""

from collections.abc import Mapping, Sequence
from datetime import date

from meva_pipelines.domain.failures import Refused
from meva_pipelines.domain.region_periods import Level, Region
from meva_pipelines.domain.regions import RegionTable

EVERYTHING = "all"
SEPARATOR = "/"

District = tuple[str, str]
"""Names of sido and gugun as the source is asked; a sido without districts (세종) has a blank gugun."""


def districts(names: Sequence[str], table: RegionTable, day: date) -> tuple[District, ...]:
    """Return what has to be asked for `sido/gugun`, `sido` (all its districts) and `all` (those of the country).

    Raises:
        Refused: a name is neither, or no such sido exists on the day.
    """
    sido = {region.name: region for region in table.regions_on(day, Level.SIDO)}
    found: dict[District, None] = {}
    for name in names:
        if SEPARATOR in name:
            whole, _, part = name.partition(SEPARATOR)
            found[whole.strip(), part.strip()] = None
        elif name == EVERYTHING:
            found |= dict.fromkeys(district for region in sido.values() for district in _of(region, table, day))
        elif name in sido:
            found |= dict.fromkeys(_of(sido[name], table, day))
        else:
            raise Refused(
                f"districts are written 'sido/gugun', 'sido' or '{EVERYTHING}', with the names of {day}, not {name!r}"
            )
    return tuple(found)


def proved_regions(rows: Mapping[str, int], table: RegionTable, day: date) -> frozenset[str]:
    """Return the codes of the sido of which every district answered completely, and of their districts with devices.

    `rows` holds the number of records of each complete answer by `sido/gugun`. An empty answer proves nothing about
    its own district: one that the source spells otherwise looks just like that.
    """
    proved: set[str] = set()
    for sido in table.regions_on(day, Level.SIDO):
        named = zip(_below(sido, table, day), _of(sido, table, day), strict=True)
        scopes = {district.code: SEPARATOR.join(names) for district, names in named}
        if all(scope in rows for scope in scopes.values()):
            proved |= {sido.code, *(code for code, scope in scopes.items() if rows[scope])}
    return frozenset(proved)


def _of(sido: Region, table: RegionTable, day: date) -> tuple[District, ...]:
    districts = _below(sido, table, day)
    return tuple((sido.name, district.name) for district in districts) if len(districts) > 1 else ((sido.name, ""),)


def _below(sido: Region, table: RegionTable, day: date) -> list[Region]:
    return [region for region in table.regions_on(day) if region.sido_code == sido.code]
