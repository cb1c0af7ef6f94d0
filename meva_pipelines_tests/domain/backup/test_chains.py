"""Chains and routes: what hangs together, what can be restored, and by which way."""

from dataclasses import replace
from datetime import timedelta

import pytest

from meva_pipelines.domain.backup import chains
from meva_pipelines.domain.backup.chains import Standing
from meva_pipelines.domain.backup.records import Backup
from meva_pipelines.domain.backup.vocabulary import Method
from meva_pipelines.domain.backup.wal import Segment
from meva_pipelines.domain.failures import Refused
from meva_pipelines_tests.domain.backup.shelf_of_records import START, made

FULL = made(1, segment=5)
CHILD = made(2, parent=FULL, segment=6)
GRANDCHILD = made(3, parent=CHILD, segment=7)
LOG = [made(number, method=Method.WAL, segment=number) for number in range(4, 10)]
SEGMENTS = {backup.id: [Segment(1, backup.sequence)] for backup in LOG}


def test_increments_hang_on_their_full_backup() -> None:
    (chain,) = chains.chains([Standing(backup=backup, is_verified=True) for backup in (GRANDCHILD, FULL, CHILD)])
    assert [member.backup for member in chain.members] == [FULL, CHILD, GRANDCHILD]
    assert chain.is_whole
    assert chain.is_usable


def test_a_child_of_another_backup_of_that_name_is_an_orphan() -> None:
    """The parent's digest binds: a backup that was put in the parent's place does not take its children over."""
    impostor = replace(FULL, description="another")
    found = chains.chains([Standing(backup=backup, is_verified=True) for backup in (impostor, CHILD)])
    assert [chain.is_whole for chain in found] == [True, False]
    with pytest.raises(Refused, match="parent"):
        chains.lineage([impostor, CHILD], CHILD)


def test_what_hangs_on_an_orphan_stays_with_it() -> None:
    """Orphans went one by one, each when it was old enough, and left those that were made on them."""
    last = made(4, parent=GRANDCHILD, segment=8)
    found = chains.chains([Standing(backup=backup) for backup in (FULL, GRANDCHILD, last)])
    assert [[member.backup for member in chain.members] for chain in found] == [[FULL], [GRANDCHILD, last]]
    assert [chain.is_whole for chain in found] == [True, False]


def test_a_missing_middle_breaks_the_line() -> None:
    with pytest.raises(Refused, match="cannot be restored"):
        chains.lineage([FULL, GRANDCHILD], GRANDCHILD)
    assert chains.lineage([FULL, CHILD, GRANDCHILD], GRANDCHILD) == (FULL, CHILD, GRANDCHILD)


def test_the_route_takes_the_newest_base_before_the_moment() -> None:
    everything = [FULL, CHILD, GRANDCHILD, *LOG]
    between = GRANDCHILD.covers_until - timedelta(hours=1)
    assert chains.route(everything, SEGMENTS, until=between).bases == (FULL, CHILD)
    latest = chains.route(everything, SEGMENTS, until=None)
    assert latest.bases == (FULL, CHILD, GRANDCHILD)
    assert latest.covers_until == LOG[-1].covers_until
    assert [backup.sequence for backup in latest.log] == [7, 8, 9]


def test_a_gap_in_the_log_ends_the_reach_and_is_said() -> None:
    broken = [FULL, *(backup for backup in LOG if backup.sequence != 8)]
    assert chains.route(broken, SEGMENTS, until=None).covers_until == LOG[3].covers_until
    with pytest.raises(Refused, match="reaches"):
        chains.route(broken, SEGMENTS, until=LOG[-1].covers_until)


def test_an_older_base_helps_where_the_newer_lost_its_log() -> None:
    """The newest base's first segment is missing; the base before it carries on to there all the same."""
    without = [backup for backup in LOG if backup.sequence != 7]
    found = chains.route([FULL, CHILD, GRANDCHILD, *without], SEGMENTS, until=LOG[2].covers_until - timedelta(days=1))
    assert found.bases == (FULL, CHILD)


def test_a_moment_before_every_backup_is_refused() -> None:
    with pytest.raises(Refused, match="oldest usable moment"):
        chains.route([FULL, *LOG], SEGMENTS, until=START)


def test_only_the_log_up_to_the_moment_is_taken() -> None:
    """A segment that was lost or spoiled later must not stand in the way of an earlier moment."""
    log = [made(2, method=Method.WAL, segment=5), *LOG]
    segments = {**SEGMENTS, log[0].id: [Segment(1, 5)]}
    segments[LOG[0].id] = [Segment(1, 6)]
    segments |= {backup.id: [Segment(1, backup.sequence + 2)] for backup in LOG[1:]}
    for until, expected in ((log[0].covers_until, 1), (log[1].covers_until - timedelta(hours=1), 2)):
        assert chains.route([FULL, *log], segments, until=until).log == tuple(log[:expected])
    assert chains.route([FULL, *log], segments, until=None).log == tuple(log)


def test_a_way_without_a_bad_backup_is_found() -> None:
    everything = [FULL, CHILD, GRANDCHILD, *LOG]
    assert chains.route(everything, SEGMENTS, until=None, without=[GRANDCHILD.id]).bases == (FULL, CHILD)
    assert chains.route(everything, SEGMENTS, until=None, without=[CHILD.id]).bases == (FULL,)
    with pytest.raises(Refused, match="no usable full backup"):
        chains.route(everything, SEGMENTS, until=None, without=[FULL.id])


def test_a_proof_counts_as_long_as_its_whole_line_is_sound() -> None:
    def standing(backup: Backup, *, is_corrupted: bool = False) -> Standing:
        return Standing(
            backup=backup, is_verified=not is_corrupted, is_proven=backup is GRANDCHILD, is_corrupted=is_corrupted
        )

    (proven,) = chains.chains([standing(FULL), standing(CHILD), standing(GRANDCHILD)])
    assert proven.is_proven
    (spoiled,) = chains.chains([standing(FULL), standing(CHILD, is_corrupted=True), standing(GRANDCHILD)])
    assert spoiled.is_usable
    assert not spoiled.is_proven


def test_what_hangs_on_a_corrupted_or_missing_backup_is_not_sound() -> None:
    assert chains.sound([FULL, CHILD, GRANDCHILD], {CHILD.id}) == (FULL,)
    assert chains.sound([FULL, GRANDCHILD], set()) == (FULL,)
    assert chains.sound([FULL, CHILD, GRANDCHILD], set()) == (FULL, CHILD, GRANDCHILD)
