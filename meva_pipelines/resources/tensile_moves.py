"""Moving contents of tests between staging, publication and history, so that readers see what should stand.

The statements run inside the transaction of `publishing.locked`; which content should stand is decided before, in
`domain.tensile.versions`. Everything that leaves publication lies in the history afterwards, points and all, and what
comes back from there is byte for byte what had left.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import psycopg
from psycopg import sql

from meva_pipelines.domain.failures import Rejected
from meva_pipelines.domain.tensile.versions import Arrangement, Standing
from meva_pipelines.resources import failpoints, tensile_copying, tensile_disputes
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.tensile_batch import Transaction
from meva_pipelines.resources.tensile_contents import Holding, Place, Test
from meva_pipelines.schema.meva import CONTENT_COLUMNS, POINT_COLUMNS, TENSILE_DATA, TENSILE_DATA_HISTORY
from meva_pipelines.schema.roles import Role

_CONTENT = sql.SQL(", ").join(map(sql.Identifier, CONTENT_COLUMNS))
_POINTS = sql.SQL(", ").join(map(sql.Identifier, POINT_COLUMNS))


_NUMBERED = {"material_id": "m.material_id", "machine_id": "k.machine_id"}
_STAGED = sql.SQL(", ").join(
    sql.SQL(_NUMBERED[name]) if name in _NUMBERED else sql.SQL("s.{}").format(sql.Identifier(name))
    for name in CONTENT_COLUMNS
)
_NAMED = sql.SQL(
    "LEFT JOIN meva.material AS m ON m.name = s.material LEFT JOIN meva.testing_machine AS k ON k.name = s.machine"
)
_REPLACING = sql.SQL("ON CONFLICT (name) DO UPDATE SET {}").format(
    sql.SQL(", ").join(
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in ("content_id", *CONTENT_COLUMNS)
    )
)


def _prefixed(alias: str, columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL("{}.{}").format(sql.SQL(alias), sql.Identifier(name)) for name in columns)


@dataclass(slots=True)
class _Plan:
    """What has to move, each with the test that it belongs to and its standing and version there."""

    leaving: list["_Step"] = field(default_factory=list)
    entering: list["_Step"] = field(default_factory=list)
    returning: list["_Step"] = field(default_factory=list)
    shelved: list["_Step"] = field(default_factory=list)
    restated: list["_Step"] = field(default_factory=list)
    standing: list["_Step"] = field(default_factory=list)
    vanishing: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Step:
    holding: Holding
    name: str
    test_id: int | None
    standing: str
    version: int | None
    is_disputed: bool


def move(transaction: Transaction, tests: Iterable[Test]) -> int:
    """Bring what is published and what is remembered of some tests in line with how their contents stand.

    Returns how many points were written from staging.

    Raises:
        Unavailable: staged points are gone or are not those that were judged.
        Rejected: a post-condition does not hold; the transaction must be rolled back.
    """
    arranged = [(test, test.arranged()) for test in tests]
    plan = _Plan()
    for test, arrangement in arranged:
        _add(plan, test, arrangement)
    _demote(transaction, plan)
    failpoints.reach(Point.TENSILE_AFTER_HISTORY)
    numbers = {step.name: step.test_id for step in plan.standing if step.test_id is not None}
    numbers |= _restore(transaction, plan.returning) | _promote(transaction, plan.entering)
    _shelve(transaction, _numbered(plan.shelved, numbers))
    points = _copy(transaction, _numbered(plan.entering, numbers), plan.shelved)
    failpoints.reach(Point.TENSILE_AFTER_COPY)
    _restate(transaction, _numbered(plan.restated, numbers))
    _mark(transaction, plan.standing)
    _renumber_results(transaction, [test.name for test, _ in arranged])
    tensile_disputes.keep_log(
        transaction, [(test, arrangement, numbers.get(test.name, test.test_id)) for test, arrangement in arranged]
    )
    return points


def _numbered(steps: Iterable[_Step], numbers: dict[str, int]) -> list[_Step]:
    return [replace(step, test_id=numbers.get(step.name, step.test_id)) for step in steps]


def _add(plan: _Plan, test: Test, arrangement: Arrangement) -> None:
    steps = [
        _Step(
            holding,
            test.name,
            test.test_id,
            arrangement.standing(sha256),
            arrangement.version(sha256),
            is_disputed=bool(arrangement.conflicts),
        )
        for sha256, holding in test.holdings.items()
    ]
    steps += [
        _Step(holding, test.name, test.test_id, "withdrawn", None, is_disputed=False)
        for holding in test.withdrawn.values()
    ]
    for step in steps:
        _sort(plan, step)
    has_published = any(step.standing == Standing.PUBLISHED for step in steps)
    if test.test_id is not None and not has_published:
        plan.vanishing.append(test.test_id)


def _sort(plan: _Plan, step: _Step) -> None:
    """Put a content where it has to go; one that stays where it is may have another version there."""
    match step.holding.place, step.standing:
        case Place.PUBLISHED, Standing.PUBLISHED:
            plan.standing.append(step)
        case Place.STAGED, Standing.PUBLISHED:
            plan.entering.append(step)
            plan.standing.append(step)
        case Place.HISTORY, Standing.PUBLISHED:
            plan.returning.append(step)
            plan.standing.append(step)
        case Place.PUBLISHED, _:
            plan.leaving.append(step)
        case Place.STAGED, _:
            plan.shelved.append(step)
        case _:
            plan.restated.append(step)


def _demote(transaction: Transaction, plan: _Plan) -> None:
    """Put what is no longer published into the history, then take it away."""
    contents = [step.holding.content_id for step in plan.leaving]
    if contents:
        transaction.connection.execute(
            sql.SQL(
                "INSERT INTO meva.tensile_test_history (content_id, test_id, name, version, standing, moved_token,"
                " moved_at, {content}) SELECT content_id, p.test_id, p.name, p.version, p.standing, %s, %s, {current}"
                " FROM meva.tensile_test AS t"
                " JOIN unnest(%s::bigint[], %s::bigint[], %s::text[], %s::int[], %s::text[])"
                " AS p(content_id, test_id, name, version, standing) USING (content_id)"
            ).format(content=_CONTENT, current=_prefixed("t", CONTENT_COLUMNS)),
            [
                transaction.token,
                transaction.now,
                contents,
                [step.test_id or step.holding.test_id for step in plan.leaving],
                [step.name for step in plan.leaving],
                *_states(plan.leaving),
            ],
        )
        saved = transaction.connection.execute(
            sql.SQL(
                "INSERT INTO meva.tensile_data_history (content_id, {points}) SELECT t.content_id, {current}"
                " FROM meva.tensile_data AS d JOIN meva.tensile_test AS t USING (test_id) WHERE t.content_id = ANY(%s)"
            ).format(points=_POINTS, current=_prefixed("d", POINT_COLUMNS)),
            [contents],
        )
        _demand(saved.rowcount, plan.leaving, "went into the history")
    with _archiver(transaction.connection):
        removed = transaction.connection.execute(
            "DELETE FROM meva.tensile_data WHERE test_id = ANY(%s)", [[step.holding.test_id for step in plan.leaving]]
        )
        _demand(removed.rowcount, plan.leaving, "left publication")
        transaction.connection.execute("DELETE FROM meva.tensile_test WHERE test_id = ANY(%s)", [plan.vanishing])


def _promote(transaction: Transaction, steps: Sequence[_Step]) -> dict[str, int]:
    """Publish staged contents without their points. Returns the numbers of their tests by name."""
    if not steps or transaction.batch is None:
        return {}
    return dict(
        transaction.connection.execute(
            sql.SQL(
                "INSERT INTO meva.tensile_test (name, content_id, {content}) SELECT s.name, p.content_id, {staged}"
                " FROM unnest(%s::int[], %s::bigint[]) AS p(n, content_id) JOIN {tests} AS s USING (n) {named}"
                " ORDER BY p.n {replacing} RETURNING name, test_id"
            ).format(
                content=_CONTENT,
                staged=_STAGED,
                tests=transaction.batch.tests,
                named=_NAMED,
                replacing=_REPLACING,
            ),
            [[step.holding.n for step in steps], [step.holding.content_id for step in steps]],
        ).fetchall()
    )


def _restore(transaction: Transaction, steps: Sequence[_Step]) -> dict[str, int]:
    """Publish contents out of the history, points and all. Returns the numbers of their tests by name."""
    if not steps:
        return {}
    contents = [step.holding.content_id for step in steps]
    numbers: dict[str, int] = {}
    for known in ([step for step in steps if step.test_id], [step for step in steps if not step.test_id]):
        number = sql.SQL("test_id, " if known and known[0].test_id else "")
        numbers |= dict(
            transaction.connection.execute(
                sql.SQL(
                    "INSERT INTO meva.tensile_test ({number}name, content_id, {content})"
                    " SELECT {its_number}p.name, h.content_id, {kept} FROM meva.tensile_test_history AS h"
                    " JOIN unnest(%s::bigint[], %s::text[], %s::bigint[]) AS p(content_id, name, test_id)"
                    " USING (content_id) ORDER BY h.content_id {replacing} RETURNING name, test_id"
                ).format(
                    number=number,
                    its_number=sql.SQL("p.") + number if number.as_string() else number,
                    content=_CONTENT,
                    kept=_prefixed("h", CONTENT_COLUMNS),
                    replacing=_REPLACING,
                ),
                [[s.holding.content_id for s in known], [s.name for s in known], [s.test_id for s in known]],
            ).fetchall()
        )
    restored = transaction.connection.execute(
        sql.SQL(
            "INSERT INTO meva.tensile_data (test_id, {points}) SELECT t.test_id, {kept} FROM meva.tensile_data_history"
            " AS d JOIN meva.tensile_test AS t USING (content_id) WHERE content_id = ANY(%s) ORDER BY content_id, point"
        ).format(points=_POINTS, kept=_prefixed("d", POINT_COLUMNS)),
        [contents],
    )
    _demand(restored.rowcount, steps, "came back from the history")
    with _archiver(transaction.connection):
        transaction.connection.execute("DELETE FROM meva.tensile_data_history WHERE content_id = ANY(%s)", [contents])
        transaction.connection.execute("DELETE FROM meva.tensile_test_history WHERE content_id = ANY(%s)", [contents])
    return numbers


def _shelve(transaction: Transaction, steps: Sequence[_Step]) -> None:
    """Put staged contents that are not to be published into the history, without their points."""
    if not steps or transaction.batch is None:
        return
    transaction.connection.execute(
        sql.SQL(
            "INSERT INTO meva.tensile_test_history (content_id, test_id, name, version, standing, moved_token,"
            " moved_at, {content}) SELECT p.content_id, p.test_id, s.name, p.version, p.standing, %s, %s, {staged}"
            " FROM unnest(%s::int[], %s::bigint[], %s::bigint[], %s::int[], %s::text[])"
            " AS p(n, content_id, test_id, version, standing) JOIN {tests} AS s USING (n) {named}"
        ).format(content=_CONTENT, staged=_STAGED, tests=transaction.batch.tests, named=_NAMED),
        [
            transaction.token,
            transaction.now,
            [step.holding.n for step in steps],
            [step.holding.content_id for step in steps],
            [step.test_id for step in steps],
            *_states(steps),
        ],
    )


def _copy(transaction: Transaction, published: Sequence[_Step], shelved: Sequence[_Step]) -> int:
    """Write the points of staged contents. Returns how many."""
    current = {step.holding.n: step.test_id for step in published}
    remembered = {step.holding.n: step.holding.content_id for step in shelved}
    written = tensile_copying.copy(transaction, TENSILE_DATA, current)
    _demand(written, published, "were published")
    kept = tensile_copying.copy(transaction, TENSILE_DATA_HISTORY, remembered)
    _demand(kept, shelved, "went into the history")
    return written + kept


def _restate(transaction: Transaction, steps: Sequence[_Step]) -> None:
    """Bring standing and version of what stays in the history up to date."""
    if not steps:
        return
    transaction.connection.execute(
        "UPDATE meva.tensile_test_history AS h SET version = p.version, standing = p.standing, name = p.name,"
        " test_id = p.test_id,"
        " moved_token = CASE WHEN h.standing = p.standing THEN h.moved_token ELSE %s END,"
        " moved_at = CASE WHEN h.standing = p.standing THEN h.moved_at ELSE %s END"
        " FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::int[], %s::text[])"
        " AS p(content_id, name, test_id, version, standing) WHERE h.content_id = p.content_id"
        " AND (h.version, h.standing, h.name, h.test_id) IS DISTINCT FROM (p.version, p.standing, p.name, p.test_id)",
        [
            transaction.token,
            transaction.now,
            [step.holding.content_id for step in steps],
            [step.name for step in steps],
            [step.test_id or step.holding.test_id for step in steps],
            *_states(steps),
        ],
    )


def _mark(transaction: Transaction, steps: Sequence[_Step]) -> None:
    """Bring version and dispute of what is published up to date."""
    transaction.connection.execute(
        "UPDATE meva.tensile_test AS t SET version = p.version, is_disputed = p.is_disputed"
        " FROM unnest(%s::bigint[], %s::int[], %s::bool[]) AS p(content_id, version, is_disputed)"
        " WHERE t.content_id = p.content_id AND (t.version, t.is_disputed) IS DISTINCT FROM (p.version, p.is_disputed)",
        [
            [step.holding.content_id for step in steps],
            [step.version for step in steps],
            [step.is_disputed for step in steps],
        ],
    )


def _renumber_results(transaction: Transaction, names: Sequence[str]) -> None:
    """Let results bear the versions that the contents have now: an older content that comes late moves them up."""
    transaction.connection.execute(
        "UPDATE meva.simulation_result AS r SET version = c.version"
        " FROM (SELECT test_id, content_sha256, version FROM meva.tensile_test WHERE name = ANY(%(names)s)"
        " UNION ALL SELECT test_id, content_sha256, version FROM meva.tensile_test_history"
        " WHERE name = ANY(%(names)s) AND version IS NOT NULL) AS c"
        " WHERE (r.test_id, r.content_sha256) = (c.test_id, c.content_sha256) AND r.version <> c.version",
        {"names": names},
    )


def _states(steps: Sequence[_Step]) -> tuple[list[int | None], list[str]]:
    return [step.version for step in steps], [str(step.standing) for step in steps]


def _demand(rows: int, steps: Sequence[_Step], what: str) -> None:
    """Post-condition: as many points moved as the tests hold."""
    expected = sum(step.holding.points for step in steps)
    if rows != expected:
        raise Rejected(f"{expected:,} points should have moved and {rows:,} {what}: nothing was changed")


@contextmanager
def _archiver(connection: psycopg.Connection) -> Iterator[None]:
    """Work as the one role that may delete rows of hot tables."""
    connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(Role.ARCHIVER)))
    yield
    connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(Role.WRITER)))
