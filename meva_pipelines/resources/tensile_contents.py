"""Which contents the warehouse holds of a test, which a batch brings, and what people decided between them.

The answer to which of them stands is `domain.tensile.versions`; moving them is `tensile_moves`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import psycopg
from psycopg import sql

from meva_pipelines.domain.tensile import versions
from meva_pipelines.domain.tensile.versions import Arrangement, Content, Facts, Resolution, Standing
from meva_pipelines.resources.tensile_batch import Batch


class Place(StrEnum):
    """Where a content lies."""

    STAGED = "staged"
    PUBLISHED = "published"
    HISTORY = "history"


class Decision(StrEnum):
    """What a staged content will be."""

    NEW = "new"
    VERSION = "version"
    OLDER = "older version"
    CONFLICT = "conflict"
    SET_ASIDE = "set aside"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Holding:
    """One content and where it lies. `n` counts within a batch; `standing` and `version` are those it has now."""

    content: Content
    place: Place
    content_id: int
    points: int
    token: int
    test_id: int | None = None
    n: int | None = None
    standing: str | None = None
    version: int | None = None
    moved_token: int | None = None


@dataclass(slots=True)
class Test:
    """One test: its number once it has one, its contents by SHA-256, and what was decided between them.

    `moved_away` are contents that a person made another test of.
    """

    name: str
    test_id: int | None = None
    holdings: dict[str, Holding] = field(default_factory=dict)
    withdrawn: dict[str, Holding] = field(default_factory=dict)
    rulings: dict[frozenset[str], Resolution] = field(default_factory=dict)
    moved_away: set[str] = field(default_factory=set)
    is_disputed: bool = False

    def add(self, holding: Holding) -> None:
        """Take in a staged content, unless it is known; of two in one batch the earlier counts."""
        sha256 = holding.content.sha256
        known = self.holdings.get(sha256)
        is_earlier = known is None or (known.place is Place.STAGED and holding.content.rank < known.content.rank)
        if is_earlier and sha256 not in self.moved_away:
            self.holdings[sha256] = holding

    def arranged(self) -> Arrangement:
        """Return the order in which the contents stand."""
        return versions.arrange((holding.content for holding in self.holdings.values()), self.rulings)


_FACTS = ("shape", "diameter_mm", "thickness_mm", "width_mm", "area_mm2", "gauge_length_mm")


def _facts(alias: str) -> sql.Composed:
    named = [sql.SQL("{}.{}").format(sql.SQL(alias), sql.Identifier(name)) for name in _FACTS]
    return sql.SQL(", ").join(
        [*named, sql.SQL("CASE WHEN {0}.started_at_source = 'stated' THEN {0}.started_at END").format(sql.SQL(alias))]
    )


_STORED = sql.SQL(
    "SELECT c.name, c.test_id, c.content_id, c.standing, c.version, c.is_disputed, c.moved_token, c.token, c.points,"
    " c.content_sha256, c.revised_at, m.name, k.name, {facts}"
    " FROM (SELECT name, test_id, content_id, 'published' AS standing, version, is_disputed,"
    " NULL::bigint AS moved_token, token, points, content_sha256, revised_at, material_id, machine_id, {columns},"
    " started_at, started_at_source FROM meva.tensile_test WHERE name = ANY(%(names)s)"
    " UNION ALL SELECT name, test_id, content_id, standing, version, false, moved_token, token, points,"
    " content_sha256, revised_at, material_id, machine_id, {columns}, started_at, started_at_source"
    " FROM meva.tensile_test_history WHERE name = ANY(%(names)s)) AS c"
    " LEFT JOIN meva.material AS m USING (material_id) LEFT JOIN meva.testing_machine AS k USING (machine_id)"
    " ORDER BY c.content_id"
).format(facts=_facts("c"), columns=sql.SQL(", ").join(map(sql.Identifier, _FACTS)))


def of(connection: psycopg.Connection, names: Iterable[str]) -> dict[str, Test]:
    """Return the tests of some names with everything that is held of them; one without contents is new."""
    tests = {name: Test(name) for name in names}
    rows = connection.execute(_STORED, {"names": list(tests)}).fetchall()
    for (
        name,
        test_id,
        content_id,
        standing,
        version,
        is_disputed,
        moved,
        token,
        points,
        sha256,
        revised_at,
        *facts,
    ) in rows:
        holding = Holding(
            content=_content(sha256, revised_at, facts),
            place=Place.PUBLISHED if standing == Standing.PUBLISHED else Place.HISTORY,
            content_id=content_id,
            points=points,
            token=token,
            test_id=test_id,
            standing=standing,
            version=version,
            moved_token=moved,
        )
        test = tests[name]
        if standing == "withdrawn":
            test.withdrawn[sha256] = holding
            continue
        test.holdings[sha256] = holding
        test.test_id, test.is_disputed = test_id, test.is_disputed or is_disputed
    _add_rulings(connection, tests)
    return tests


def _add_rulings(connection: psycopg.Connection, tests: dict[str, Test]) -> None:
    for name, standing, waiting, resolution in connection.execute(
        "SELECT name, standing_sha256, waiting_sha256, resolution FROM meva.data_conflict_log"
        " WHERE name = ANY(%s) AND resolution = ANY(%s)",
        [list(tests), list(Resolution)],
    ):
        tests[name].rulings[frozenset({standing, waiting})] = Resolution(resolution)
        if resolution == Resolution.KEEP_BOTH:
            tests[name].moved_away.add(waiting)


def staged(connection: psycopg.Connection, batch: Batch) -> list[tuple[str, Holding]]:
    """Return the contents of a batch with the names of their tests, in the order in which they were staged."""
    rows = connection.execute(
        sql.SQL(
            "SELECT s.name, s.n, s.points, s.content_sha256, s.revised_at, s.material, s.machine, {} FROM {} AS s"
            " ORDER BY s.n"
        ).format(_facts("s"), batch.tests)
    ).fetchall()
    return [
        (
            name,
            Holding(
                content=_content(sha256, revised_at, facts),
                place=Place.STAGED,
                content_id=batch.content_id(n),
                points=points,
                token=batch.attempt.token,
                n=n,
            ),
        )
        for name, n, points, sha256, revised_at, *facts in rows
    ]


def _content(sha256: str, revised_at: datetime, facts: Sequence[object]) -> Content:
    material, machine, shape, *rest = facts
    return Content(sha256, revised_at, Facts(material, machine, shape, *rest))  # type: ignore[arg-type]  # typed by their columns


def joined(connection: psycopg.Connection, batch: Batch) -> tuple[dict[str, Test], dict[int, Decision]]:
    """Return the tests that a batch touches, its contents among those held, and what becomes of each by its number."""
    incoming = staged(connection, batch)
    tests = of(connection, {name for name, _ in incoming})
    decisions = {holding.n or 0: Decision.UNCHANGED for _, holding in incoming}
    is_known = {name: bool(test.holdings) for name, test in tests.items()}
    for name, holding in incoming:
        tests[name].add(holding)
    for name, test in tests.items():
        arrangement = test.arranged()
        for sha256, holding in test.holdings.items():
            if holding.n is not None:
                decisions[holding.n] = _decision(arrangement.standing(sha256), is_known=is_known[name])
    return tests, decisions


def _decision(standing: Standing, *, is_known: bool) -> Decision:
    match standing:
        case Standing.PUBLISHED:
            return Decision.VERSION if is_known else Decision.NEW
        case Standing.SUPERSEDED:
            return Decision.OLDER
        case Standing.WAITING:
            return Decision.CONFLICT
        case Standing.SET_ASIDE:
            return Decision.SET_ASIDE


def decide(connection: psycopg.Connection, batch: Batch) -> None:
    """Write into every staged row what will become of it as things stand; publication decides again under its lock."""
    _, decisions = joined(connection, batch)
    connection.execute(
        sql.SQL(
            "UPDATE {} AS s SET decision = d.decision FROM unnest(%s::int[], %s::text[]) AS d(n, decision)"
            " WHERE d.n = s.n"
        ).format(batch.tests),
        [list(decisions), list(decisions.values())],
    )
