"""Tensile tests are published whole and once; a later upload makes a version or a conflict, whatever came first."""

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from meva_pipelines.domain.failures import Refused
from meva_pipelines.domain.tensile.recording import Reading
from meva_pipelines.domain.tensile.versions import Resolution
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines_tests.resources.tensile_desk import Desk, later, recording, shared_desk, upload, with_curve


@pytest.fixture
def desk(postgres: Postgres, store: ObjectStore) -> Desk:
    return Desk(postgres, store)


def test_a_test_is_published_with_every_point(desk: Desk) -> None:
    published = desk.deliver(recording("A-1"), recording("A-2", points=70))
    assert (published.new_tests, published.points, published.live_tests) == (2, 120, 2)
    rows = desk.rows(
        "SELECT t.name, count(*), max(d.load_n), max(d.displacement_mm), max(d.elapsed_s),"
        " max(d.timestamp) - max(t.started_at) FROM meva.tensile_test AS t JOIN meva.tensile_data AS d USING (test_id)"
        " GROUP BY 1 ORDER BY 1"
    )
    assert [row[:5] for row in rows] == [("A-1", 50, 4900.0, 0.49, 0.49), ("A-2", 70, 6900.0, 0.69, 0.69)]
    assert [row[5].total_seconds() for row in rows] == [0.49, 0.69]


def test_a_missing_value_is_null_and_not_nan(desk: Desk) -> None:
    gaps = np.full(50, np.nan)
    gaps[10:] = 0.25
    desk.deliver(with_curve(recording(), crosshead_mm=gaps))
    assert desk.rows(
        "SELECT count(*) FILTER (WHERE crosshead_mm IS NULL), count(*) FILTER (WHERE strain IS NULL),"
        " sum(crosshead_mm) FROM meva.tensile_data"
    ) == [(10, 50, 10.0)]


def test_changed_content_is_a_new_version_and_the_old_one_is_remembered(desk: Desk) -> None:
    desk.deliver(recording())
    before = desk.rows("SELECT point, load_n FROM meva.tensile_data ORDER BY 1")
    published = desk.deliver(recording(stiffness=2.0), at=later(5))
    assert (published.new_versions, published.live_tests) == (1, 1)
    assert desk.rows("SELECT version, is_disputed FROM meva.tensile_test") == [(2, False)]
    assert desk.rows("SELECT version, standing FROM meva.tensile_test_history") == [(1, "superseded")]
    assert desk.rows("SELECT point, load_n FROM meva.tensile_data_history ORDER BY 1") == before
    assert desk.rows("SELECT max(load_n) FROM meva.tensile_data") == [(9800.0,)]


def test_the_same_test_in_another_file_changes_nothing(desk: Desk) -> None:
    """T3: the same content is no version, however often and under whatever name of a file it comes."""
    desk.deliver(recording())
    before = desk.digest()
    published = desk.deliver(recording(), at=later(5), file="copy of A-1.csv")
    assert (published.unchanged_tests, published.points) == (1, 0)
    assert desk.digest() == before
    assert desk.rows("SELECT count(*) FROM meva.tensile_test_history") == [(0,)]


def test_two_of_the_same_in_one_batch_are_one_and_the_earlier_time_counts(desk: Desk) -> None:
    first, second = (upload(f"{n}.csv", at=later(n)) for n in (5, 3))
    published = desk.publish(desk.stage((first, Reading((recording(),))), (second, Reading((recording(),)))))
    assert (published.new_tests, published.unchanged_tests) == (1, 1)
    assert desk.rows("SELECT revised_at, file_name FROM meva.tensile_test") == [(later(3), "3.csv")]


def test_an_older_content_that_arrives_late_takes_its_place_in_the_history(desk: Desk) -> None:
    desk.deliver(recording(stiffness=3.0), at=later(3))
    current = desk.rows("SELECT content_id, content_sha256 FROM meva.tensile_test")
    published = desk.deliver(recording(stiffness=1.0), at=later(1))
    assert published.older_versions == 1
    assert desk.deliver(recording(stiffness=2.0), at=later(2)).older_versions == 1
    assert desk.rows("SELECT content_id, content_sha256 FROM meva.tensile_test") == current
    assert desk.rows("SELECT version FROM meva.tensile_test") == [(3,)]
    assert desk.rows(
        "SELECT h.version, max(d.load_n) FROM meva.tensile_test_history AS h"
        " JOIN meva.tensile_data_history AS d USING (content_id) GROUP BY 1 ORDER BY 1"
    ) == [(1, 4900.0), (2, 9800.0)]


# ---- conflicts


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"material": "Cu-DHP"}, "material"),
        ({"machine": "Z250"}, "machine"),
        ({"area_mm2": 60.0}, "area_mm2"),
        ({"started_at": later(-500)}, "started_at"),
    ],
)
def test_contents_that_disagree_on_a_fact_wait_for_a_person(desk: Desk, change: dict[str, Any], fact: str) -> None:
    desk.deliver(recording(machine="Z100", started_at=later(-60)))
    published = desk.deliver(recording(**{"machine": "Z100", "started_at": later(-60), **change}), at=later(9))
    assert (published.conflicts, published.live_tests) == (1, 1)
    (dispute,) = desk.disputes()
    assert [difference["fact"] for difference in dispute.differences] == [fact]
    assert desk.rows("SELECT is_disputed, version FROM meva.tensile_test") == [(True, 1)]
    assert desk.rows("SELECT standing, version, points FROM meva.tensile_test_history") == [("waiting", None, 50)]
    assert desk.rows("SELECT count(*) FROM meva.tensile_data_history") == [(50,)]


def test_contents_of_the_same_moment_wait_for_a_person(desk: Desk) -> None:
    desk.deliver(recording(stiffness=1.0))
    desk.deliver(recording(stiffness=2.0))
    (dispute,) = desk.disputes()
    assert dispute.standing_sha256 < dispute.waiting_sha256
    assert [difference["fact"] for difference in dispute.differences] == ["revised_at"]


def test_a_fact_that_nobody_stated_before_contradicts_nothing(desk: Desk) -> None:
    """The usual correction: the file came first, the sidecar with the material later."""
    desk.deliver(recording(material=None))
    assert desk.deliver(recording(material="S355"), at=later(1)).new_versions == 1
    assert desk.deliver(recording(material="Cu-DHP"), at=later(2)).conflicts == 1


@pytest.mark.parametrize(
    ("resolution", "published", "standing", "names"),
    [
        (Resolution.KEEP, 4900.0, "set_aside", ["A-1"]),
        (Resolution.REPLACE, 9800.0, "superseded", ["A-1"]),
        (Resolution.KEEP_BOTH, 4900.0, None, ["A-1", "A-1 (2)"]),
    ],
)
def test_a_person_decides_once(
    desk: Desk, resolution: Resolution, published: float, standing: str | None, names: list[str]
) -> None:
    desk.deliver(recording())
    desk.deliver(recording(stiffness=2.0, material="Cu-DHP"), at=later(1))
    (dispute,) = desk.disputes()
    desk.resolve(dispute.conflict_id, resolution)
    assert desk.disputes() == []
    assert desk.rows("SELECT name FROM meva.tensile_test ORDER BY 1") == [(name,) for name in names]
    assert desk.rows(
        "SELECT max(d.load_n) FROM meva.tensile_data AS d JOIN meva.tensile_test USING (test_id) WHERE name = 'A-1'"
    ) == [(published,)]
    assert desk.rows("SELECT standing FROM meva.tensile_test_history") == ([(standing,)] if standing else [])
    assert desk.rows("SELECT bool_or(is_disputed) FROM meva.tensile_test") == [(False,)]
    before = desk.digest()
    again = desk.deliver(recording(stiffness=2.0, material="Cu-DHP"), at=later(1), file="once more.csv")
    assert again.unchanged_tests == 1
    assert (desk.disputes(), desk.digest()) == ([], before)


def test_a_decision_holds_when_an_older_content_arrives_late(desk: Desk) -> None:
    desk.deliver(recording())
    desk.deliver(recording(stiffness=2.0, material="Cu-DHP"), at=later(5))
    desk.resolve(desk.disputes()[0].conflict_id, Resolution.REPLACE)
    desk.deliver(recording(stiffness=3.0), at=later(2))
    assert desk.disputes() == []
    assert desk.rows("SELECT version FROM meva.tensile_test") == [(3,)]
    assert desk.rows("SELECT max(load_n) FROM meva.tensile_data") == [(9800.0,)]


def test_a_conflict_can_be_resolved_once_only(desk: Desk) -> None:
    desk.deliver(recording())
    desk.deliver(recording(material="Cu-DHP"), at=later(1))
    number = desk.disputes()[0].conflict_id
    desk.resolve(number, Resolution.KEEP)
    with pytest.raises(Refused, match=r"waits for no decision\. Those that do: none"):
        desk.resolve(number, Resolution.REPLACE)


# ---- any order


def state(desk: Desk) -> tuple[list[tuple[object, ...]], ...]:
    """Everything that readers and people see of the tests, without numbers that depend on the order of arrival."""
    return (
        desk.rows(
            "SELECT t.name, t.version, t.is_disputed, t.content_sha256, sum(d.load_n) FROM meva.tensile_test AS t"
            " JOIN meva.tensile_data AS d USING (test_id) GROUP BY t.test_id ORDER BY 1"
        ),
        desk.rows(
            "SELECT h.name, h.version, h.standing, h.content_sha256, sum(d.load_n) FROM meva.tensile_test_history AS h"
            " JOIN meva.tensile_data_history AS d USING (content_id) GROUP BY h.content_id ORDER BY 1, 4"
        ),
        desk.rows(
            "SELECT name, standing_sha256, waiting_sha256 FROM meva.data_conflict_log"
            " WHERE status = 'open' ORDER BY 1, 2, 3"
        ),
    )


@pytest.mark.parametrize("seed", range(6))
def test_uploads_in_any_order_and_any_batches_end_in_the_same_state(
    server_url: str, template: str, tmp_path: Path, seed: int
) -> None:
    """T4, T1, T2: versions without gaps, every update that lost in the log, whatever came first and together."""
    random = Random(seed)
    uploads = [
        (
            recording(
                random.choice(["A-1", "A-2"]),
                points=random.randrange(2, 6),
                stiffness=number + 1.0,
                material=random.choice(["S235", "S235", "Cu-DHP", None]),
            ),
            later(random.randrange(4)),
        )
        for number in range(7)
    ]
    states = []
    for attempt in range(3):
        with shared_desk(server_url, template, tmp_path / f"{attempt}") as desk:
            random.shuffle(uploads)
            waiting = [*uploads, uploads[0]]
            while waiting:
                size = random.randrange(1, 4)
                batch, waiting = waiting[:size], waiting[size:]
                readings = [
                    (upload(f"{r.specimen.name}", at=at, mark=n), Reading((r,))) for n, (r, at) in enumerate(batch)
                ]
                desk.publish(desk.stage(*readings))
            demand_sound(desk)
            states.append(state(desk))
    assert states[0] == states[1] == states[2]


def demand_sound(desk: Desk) -> None:
    gaps = desk.rows(
        "SELECT name FROM (SELECT name, version FROM meva.tensile_test UNION ALL SELECT name, version"
        " FROM meva.tensile_test_history WHERE version IS NOT NULL) AS v GROUP BY name"
        " HAVING (min(version), max(version), count(DISTINCT version)) <> (1, count(*), count(*))"
    )
    unlogged = desk.rows(
        "SELECT name FROM meva.tensile_test_history AS h WHERE standing = 'waiting' AND NOT EXISTS"
        " (SELECT FROM meva.data_conflict_log AS l WHERE l.waiting_sha256 = h.content_sha256 AND status = 'open')"
    )
    miscounted = desk.rows(
        "SELECT name FROM meva.tensile_test AS t WHERE points <> (SELECT count(*) FROM meva.tensile_data AS d"
        " WHERE d.test_id = t.test_id)"
    )
    assert (gaps, unlogged, miscounted) == ([], [], [])


# ---- rollback


def test_a_rollback_restores_every_byte_and_can_itself_be_undone(desk: Desk) -> None:
    desk.deliver(recording("A-1"), recording("A-2"), recording("A-3"))
    before = desk.digest()
    desk.deliver(
        recording("A-1", stiffness=2.0),
        recording("A-2", stiffness=2.0, material="Cu-DHP"),
        recording("A-4"),
        at=later(5),
    )
    after, sync = desk.digest(), desk.newest()
    rollback = desk.undo(sync)
    assert desk.digest() == before
    assert desk.disputes() == []
    demand_sound(desk)
    desk.undo(rollback)
    assert desk.digest() == after
    assert len(desk.disputes()) == 1
    demand_sound(desk)


@pytest.mark.parametrize("resolution", Resolution)
def test_a_decision_can_be_rolled_back_and_made_again(desk: Desk, resolution: Resolution) -> None:
    desk.deliver(recording())
    desk.deliver(recording(stiffness=2.0, material="Cu-DHP"), at=later(1))
    before = desk.digest()
    desk.resolve(desk.disputes()[0].conflict_id, resolution)
    after = desk.digest()
    rollback = desk.undo(desk.newest())
    assert desk.digest() == before
    assert len(desk.disputes()) == 1
    desk.undo(rollback)
    assert desk.digest() == after
    assert desk.disputes() == []


def test_what_was_rolled_back_may_be_uploaded_again(desk: Desk) -> None:
    desk.deliver(recording())
    desk.undo(desk.newest())
    assert desk.rows("SELECT count(*) FROM meva.tensile_test") == [(0,)]
    assert desk.deliver(recording(), file="again.csv").new_tests == 1
    demand_sound(desk)
