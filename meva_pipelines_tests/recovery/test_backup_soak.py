"""Backups under constant writing: taken, killed, copied, expired, and restored to moments drawn from a seed.

Not in the default run: `pytest -m soak --soak-seconds 3600 --soak-seed 7`. Every moment that is restored must hold all
transactions that had ended by then and none that began later, each of them whole.
"""

import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from time import monotonic

import psycopg
import pytest

from meva_pipelines.domain.backup.retention import Policy
from meva_pipelines.domain.backup.vocabulary import Method
from meva_pipelines.quality import restored_copies
from meva_pipelines.resources import backup_custody, backup_drill, backup_restoring
from meva_pipelines.resources.backup_restoring import Goal
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.fixtures.backups import Site
from meva_pipelines_tests.recovery import test_backup_failpoints as acts

pytestmark = pytest.mark.soak
WRITERS = 2
POLICY = Policy(window=timedelta(seconds=90), minimum_redundancy=1, daily=0, weekly=0, monthly=0)
KILLED: Sequence[tuple[acts.Act, Point]] = (
    (acts.full, Point.BACKUP_PART_STORED),
    (acts.full, Point.BACKUP_BEFORE_RECORD),
    (acts.log, Point.BACKUP_WAL_RECEIVED),
    (acts.log, Point.BACKUP_AFTER_RECORD),
)


@dataclass(slots=True)
class Writer:
    """One connection that writes as fast as it can, and remembers when each transaction began and had ended."""

    number: int
    url: str
    seed: int
    began: list[datetime] = field(default_factory=list)
    ended: list[datetime] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        """Write until told to stop: an entry and the balance in one transaction, and older entries changed."""
        random = Random(self.seed)
        with psycopg.connect(self.url, autocommit=True) as connection:
            while not stop.is_set():
                self.began.append(_clock(connection))
                with connection.transaction():
                    self._enter(connection, random)
                self.ended.append(_clock(connection))
                stop.wait(0.002)

    def _enter(self, connection: psycopg.Connection, random: Random) -> None:
        amount, entry = random.randrange(-1_000, 1_000), len(self.began)
        connection.execute(
            "INSERT INTO public.entry VALUES (%s, %s, %s, %s)", [self.number, entry, amount, random.randbytes(200)]
        )
        connection.execute(
            "UPDATE public.balance SET total = total + %s, last = %s WHERE writer = %s", [amount, entry, self.number]
        )
        connection.execute(
            "UPDATE public.entry SET padding = %s WHERE writer = %s AND number = %s",
            [random.randbytes(200), self.number, random.randrange(entry) + 1],
        )

    def demand(self, copy: psycopg.Connection, at: datetime) -> None:
        """What stands in a copy is a moment of this writer's history, and the one that was asked for."""
        row = copy.execute(
            "SELECT last, total, count(number), coalesce(max(number), 0), coalesce(sum(amount), 0)"
            " FROM public.balance LEFT JOIN public.entry USING (writer) WHERE writer = %s GROUP BY last, total",
            [self.number],
        ).fetchone()
        assert row is not None
        last, total, count, highest, amounts = row
        assert (count, highest, amounts) == (last, last, total), "a transaction is there in part"
        ended = sum(1 for moment in tuple(self.ended) if moment <= at)
        began = sum(1 for moment in tuple(self.began) if moment <= at)
        assert ended <= last <= began, f"writer {self.number} stands at {last}, and at {at} it stood at {ended}–{began}"


def test_every_moment_comes_back_while_others_write(
    backed_up: Site, pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]
) -> None:
    given, seconds = pytestconfig.getoption("soak_seed"), pytestconfig.getoption("soak_seconds")
    seed = secrets.randbelow(1 << 32) if given is None else given
    random, end, rounds, longest = Random(seed), monotonic() + seconds, 0, 0.0
    with capsys.disabled(), _writing(backed_up, random) as writers:
        print(f"\nsoak: seed {seed}, {seconds} s")  # noqa: T201 - what is needed to play it again
        backed_up.full()
        while monotonic() < end:
            began = monotonic()
            at = _round(backed_up, random)
            with _copy(backed_up, random, at) as copy:
                for writer in writers:
                    writer.demand(copy, at)
            rounds, longest = rounds + 1, max(longest, monotonic() - began)
        written = sum(len(writer.ended) for writer in writers)
        print(f"soak: {rounds} moments restored, {written} transactions, longest round {longest:.1f} s")  # noqa: T201
    assert rounds
    acts.demand_sound(backed_up)
    acts.demand_nothing_left(backed_up)


def _round(site: Site, random: Random) -> datetime:
    """Take something, sometimes after a kill; copy, read, let go; fetch the log; and draw a moment of the window."""
    if random.random() < 1 / 3:
        act, point = random.choice(KILLED)
        acts.forked(act, site, f"{point.value}:kill")
    random.choice((site.full, site.increment, site.increment, site.log))()
    if random.random() < 1 / 4:
        ((system_id,),) = site.rows("SELECT system_identifier::text FROM pg_control_system()")
        chosen = backup_drill.newest(site.shelf, system_id)
        drill = backup_drill.run(site.postgres, site.vault, site.shelf, chosen, judge=restored_copies.breaches)
        assert drill.is_passed, drill
    _copied(site)
    for shelf in site.vault.shelves():
        backup_custody.verify(site.postgres, shelf, list(shelf.inventory().backups.values()))
        backup_custody.expire(site.postgres, site.vault, shelf, policy=POLICY, ceiling=1_000, approved_by="soak")
    latest = site.log().covers_until
    _copied(site)
    bases = [one for one in site.shelf.inventory().backups.values() if one.method is Method.PHYSICAL]
    first = max(min(one.covers_until for one in bases), latest - POLICY.window)
    return first + (latest - first) * random.random()


def _copied(site: Site) -> None:
    with site.postgres.connect(Role.READER, work="soak") as connection:
        since = backup_custody.first_wanted(connection)
    backup_custody.replicate(site.vault, backup_custody.survey(site.postgres, site.vault), since=since)


@contextmanager
def _copy(site: Site, random: Random, at: datetime) -> Iterator[psycopg.Connection]:
    shelf = site.vault.shelf(random.choice(("local", "archive")))
    with (
        backup_restoring.restored(site.vault, shelf, Goal(at=at)) as restored,
        psycopg.connect(restored.scratch.dsn(user="meva", database="meva"), autocommit=True) as connection,
    ):
        yield connection


@contextmanager
def _writing(site: Site, random: Random) -> Iterator[list[Writer]]:
    site.execute("CREATE TABLE public.entry (writer int, number int, amount int, padding bytea)")
    site.execute("CREATE INDEX ON public.entry (writer, number)")
    site.execute("CREATE TABLE public.balance (writer int PRIMARY KEY, total bigint, last int)")
    site.execute("INSERT INTO public.balance SELECT n, 0, 0 FROM generate_series(1, %s) AS n", WRITERS)
    writers = [Writer(number + 1, site.postgres.dsn(), random.randrange(1 << 32)) for number in range(WRITERS)]
    stop = threading.Event()
    threads = [threading.Thread(target=writer.run, args=(stop,)) for writer in writers]
    for thread in threads:
        thread.start()
    try:
        yield writers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _clock(connection: psycopg.Connection) -> datetime:
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    return row[0]  # type: ignore[no-any-return]
