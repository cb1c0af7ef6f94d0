"""Decisions of people over tests: a conflict resolved, a published batch rolled back. Both can be taken back.

Each is an attempt of its own and runs inside `publishing.locked`. Nothing is written twice: what stands afterwards
follows from the contents and the decisions alone, so taking either away restores what was there before, byte for byte.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any

import psycopg

from meva_pipelines.domain.tensile.versions import Resolution
from meva_pipelines.resources import failpoints, ledger, tensile_contents, tensile_disputes, tensile_moves
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.tensile_batch import Transaction
from meva_pipelines.resources.tensile_contents import Holding, Test


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a resolution left: the test and, where both were kept, the second one."""

    name: str
    second_name: str | None


def resolve(transaction: Transaction, conflict_id: int, resolution: Resolution, *, by: str) -> Resolved:
    """Carry out what a person decided of a conflict. The same two contents are not asked about again.

    `keep` sets the waiting content aside, `replace` makes it the next version, `keep_both` a test of its own, named
    after the first with a number.

    Raises:
        Refused: there is no such conflict, or it is resolved.
    """
    dispute = tensile_disputes.find(transaction.connection, conflict_id)
    second = None
    if resolution is Resolution.KEEP_BOTH:
        second = _free_name(transaction.connection, dispute.name)
    tensile_disputes.rule(transaction, dispute, resolution, by=by, second_name=second)
    failpoints.reach(Point.TENSILE_AFTER_RESOLVE)
    tests = tensile_contents.of(transaction.connection, [dispute.name, *([second] if second else [])])
    if second:
        _hand_over(tests[dispute.name], tests[second], dispute.waiting_sha256)
    tensile_moves.move(transaction, tests.values())
    return Resolved(dispute.name, second)


def _hand_over(giver: Test, taker: Test, sha256: str) -> None:
    holding = giver.holdings.pop(sha256)
    taker.holdings[sha256] = holding


def _free_name(connection: psycopg.Connection, name: str) -> str:
    taken = {
        row[0]
        for row in connection.execute(
            "SELECT name FROM meva.tensile_test WHERE starts_with(name, %(name)s)"
            " UNION SELECT name FROM meva.tensile_test_history WHERE starts_with(name, %(name)s)",
            {"name": name},
        )
    }
    return next(free for number in count(2) if (free := f"{name} ({number})") not in taken)


@dataclass(frozen=True, slots=True)
class Undone:
    """What a rollback changed: contents taken out, contents put in again, decisions taken back."""

    withdrawn: int
    reinstated: int
    decisions: int


def roll_back(transaction: Transaction, target: int) -> Undone:
    """Undo a published run, leaving everything by which the rollback itself can be undone.

    `target` must be one of `guards.undoable`. Contents that it brought are withdrawn, those that it withdrew come back,
    and decisions that it carried out are open again.
    """
    connection = transaction.connection
    brought = _brought_by(connection, target)
    names = {name for (name,) in connection.execute(_TOUCHED, {"target": target, "brought": brought})}
    undone = _undone_by(connection, target)
    again = tensile_disputes.make_again(
        transaction, {int(number): what for number, what in undone["taken_back"].items()}
    )
    back = tensile_disputes.take_back(transaction, target)
    seconds = {ruling.second_name for ruling in (*again, *back) if ruling.second_name}
    tests = tensile_contents.of(connection, names | seconds | {ruling.name for ruling in again})
    withdrawn, reinstated = _exchange(tests.values(), target=target, brought=brought)
    vanished = {}
    for ruling in back:
        if ruling.resolution == Resolution.KEEP_BOTH and ruling.second_name:
            vanished[ruling.second_name] = tests[ruling.second_name].test_id
            _hand_over(tests[ruling.second_name], tests[ruling.name], ruling.waiting_sha256)
    for ruling in again:
        if ruling.resolution == Resolution.KEEP_BOTH and ruling.second_name:
            tests[ruling.second_name].test_id = undone["vanished"].get(ruling.second_name)
            _hand_over(tests[ruling.name], tests[ruling.second_name], ruling.waiting_sha256)
    failpoints.reach(Point.TENSILE_AFTER_WITHDRAW)
    tensile_moves.move(transaction, tests.values())
    decisions = {str(ruling.conflict_id): ruling.resolution for ruling in back}
    ledger.record(connection, transaction.token, details={"taken_back": decisions, "vanished": vanished})
    return Undone(withdrawn, reinstated, len(back) + len(again))


def _brought_by(connection: psycopg.Connection, target: int) -> int:
    """Return the run whose contents a run put in: its own, or those that it brought back by undoing their rollback."""
    row = connection.execute(
        "SELECT undone.target_token FROM ops.sync_runs AS run JOIN ops.sync_runs AS undone"
        " ON undone.token = run.target_token WHERE run.token = %s AND undone.target_token IS NOT NULL",
        [target],
    ).fetchone()
    return target if row is None else _brought_by(connection, int(row[0]))


def _undone_by(connection: psycopg.Connection, target: int) -> dict[str, dict[str, Any]]:
    """Return the decisions that a rollback took back, by conflict, and the numbers of tests that vanished with them."""
    row = connection.execute("SELECT details FROM ops.sync_runs WHERE token = %s", [target]).fetchone()
    details = row[0] if row else {}
    return {name: details.get(name, {}) for name in ("taken_back", "vanished")}


def _exchange(tests: Iterable[Test], *, target: int, brought: int) -> tuple[int, int]:
    """Withdraw what one run brought and bring back what `target` withdrew. Returns how many contents of each."""
    withdrawn = reinstated = 0
    for test in tests:
        gone = [sha256 for sha256, holding in test.holdings.items() if holding.token == brought]
        back = [sha256 for sha256, holding in test.withdrawn.items() if holding.moved_token == target]
        for sha256 in gone:
            test.withdrawn[sha256] = test.holdings.pop(sha256)
        for sha256 in back:
            _reinstate(test, test.withdrawn.pop(sha256))
        withdrawn, reinstated = withdrawn + len(gone), reinstated + len(back)
    return withdrawn, reinstated


def _reinstate(test: Test, holding: Holding) -> None:
    test.holdings[holding.content.sha256] = holding
    test.test_id = test.test_id or holding.test_id


_TOUCHED = """
SELECT name FROM meva.tensile_test WHERE token = %(brought)s
UNION SELECT name FROM meva.tensile_test_history WHERE token = %(brought)s OR moved_token = %(target)s
UNION SELECT name FROM meva.data_conflict_log WHERE opened_token = %(target)s OR resolved_token = %(target)s
"""


def table_digest(connection: psycopg.Connection) -> str:
    """Return an order-independent digest of every stored byte of the published tests and their points."""
    row = connection.execute(
        "SELECT (SELECT count(*) || ':' || coalesce(sum(hashtextextended(t::text, 0)), 0) FROM meva.tensile_test AS t)"
        " || '/' || (SELECT count(*) || ':' || coalesce(sum(hash_record_extended(d, 0)), 0)"
        " FROM meva.tensile_data AS d)"
    ).fetchone()
    return "" if row is None else str(row[0])
