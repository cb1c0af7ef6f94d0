"""A batch of tests is staged whole, judged by its rows, and cannot change unseen before it is published."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import psycopg
import pytest

from meva_pipelines.domain.failures import Rejected, Unavailable
from meva_pipelines.domain.tensile.recording import Reading, Refusal
from meva_pipelines.resources import landing_ledger, tensile_intake, tensile_machines, tensile_staging
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.staging import RowRule
from meva_pipelines.resources.tensile_batch import Batch
from meva_pipelines.resources.tensile_intake import FILES, Original, Upload
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.resources.tensile_desk import (
    NOON,
    SOURCE,
    SUBJECT,
    Desk,
    later,
    recording,
    refused,
    upload,
    with_curve,
)


@pytest.fixture
def desk(postgres: Postgres, store: ObjectStore) -> Desk:
    return Desk(postgres, store)


def staged(desk: Desk, batch: Batch, columns: str) -> list[tuple[object, ...]]:
    return desk.rows(f"SELECT {columns} FROM staging.tensile_{batch.attempt.token}_tests ORDER BY n")


# ---- the profile


def test_a_row_holds_what_the_judge_looks_at(desk: Desk) -> None:
    batch = desk.stage((upload("a.csv"), Reading((recording(points=11),))))
    assert staged(
        desk,
        batch,
        "points, min_time_step_s, duration_s, load_min_n, load_max_n, displacement_max_mm, strain_max, stress_max_mpa,"
        " largest_drop_ratio, missing_values, calibration_state, decision",
    ) == [(11, pytest.approx(0.01), 0.1, 0, 1000, 0.1, 0.004, 20, 0, 0, "not_stated", "new")]


def test_a_drop_before_the_maximum_is_measured_and_one_after_it_is_not(desk: Desk) -> None:
    load = np.array([0.0, 400.0, 300.0, 1000.0, 0.0])
    curve = recording(points=5)
    batch = desk.stage((upload("a.csv"), Reading((with_curve(curve, load_n=load),))))
    assert staged(desk, batch, "largest_drop_ratio") == [(0.1,)]


def test_a_step_back_in_time_and_missing_values_show(desk: Desk) -> None:
    broken = with_curve(
        recording(points=4),
        elapsed_s=np.array([0.0, 2.0, 1.0, 3.0]),
        load_n=np.array([0.0, np.nan, 2.0, 3.0]),
    )
    batch = desk.stage((upload("a.csv"), Reading((broken,))))
    assert staged(desk, batch, "min_time_step_s, missing_values, load_max_n") == [(-1, 1, 3)]


@pytest.mark.parametrize(
    ("machine", "expected"), [("Z100", "valid"), ("z 100", "valid"), ("Z250", "expired"), ("Z5", "unknown")]
)
def test_calibration_is_that_of_the_day_of_the_test(desk: Desk, machine: str, expected: str) -> None:
    with psycopg.connect(desk.postgres.dsn()) as connection:
        for name, until in (("Z100", date(2026, 11, 18)), ("Z250", date(2026, 11, 17))):
            connection.execute(
                "WITH m AS (INSERT INTO meva.testing_machine (name, is_registered) VALUES (%s, true)"
                " RETURNING machine_id) INSERT INTO meva.machine_calibration"
                " SELECT machine_id, '2026-01-01', %s, '1', NULL, 0 FROM m",
                [name, until],
            )
    batch = desk.stage((upload("a.csv"), Reading((recording(machine=machine, started_at=NOON),))))
    assert staged(desk, batch, "calibration_state") == [(expected,)]


def test_an_unknown_machine_is_entered_without_a_calibration(desk: Desk) -> None:
    desk.deliver(recording(machine="Z5"))
    assert desk.rows("SELECT name, is_registered FROM meva.testing_machine") == [("Z5", False)]


def test_two_spellings_of_a_material_are_one(desk: Desk) -> None:
    desk.deliver(recording("A-1", material="42CrMo S4"), recording("A-2", material="42crmo-s4"))
    assert desk.rows("SELECT name FROM meva.material") == [("42CrMo S4",)]
    assert desk.rows("SELECT count(*) FROM meva.tensile_test WHERE material_id IS NOT NULL") == [(2,)]


def test_what_will_become_of_each_test_is_told_beforehand(desk: Desk) -> None:
    desk.deliver(recording("A-1"), recording("A-2"), recording("A-3"), at=later(5))
    tests = [
        (recording("A-1"), 5),
        (recording("A-1", stiffness=2.0), 9),
        (recording("A-2", stiffness=3.0), 1),
        (recording("A-3", material="Cu"), 9),
        (recording("A-4"), 9),
    ]
    batch = desk.stage(*((upload(f"{n}.csv", at=later(at)), Reading((r,))) for n, (r, at) in enumerate(tests)))
    assert [decision for (decision,) in staged(desk, batch, "decision")] == [
        "unchanged",
        "version",
        "older version",
        "conflict",
        "new",
    ]
    published = desk.publish(batch)
    assert (published.new_tests, published.new_versions, published.older_versions, published.conflicts) == (1, 1, 1, 1)


# ---- nothing changes between audit and publication


def test_a_row_that_changed_after_it_was_judged_is_not_published(desk: Desk) -> None:
    batch = desk.stage((upload("a.csv"), Reading((recording(),))))
    with psycopg.connect(desk.postgres.dsn()) as connection:
        connection.execute(f"UPDATE staging.{batch.name('tests')} SET area_mm2 = 51")
    with pytest.raises(Rejected, match="changed since it was judged"):
        desk.publish(batch)
    assert desk.rows("SELECT count(*) FROM meva.tensile_test") == [(0,)]


def test_points_that_changed_after_they_were_judged_are_not_published(desk: Desk, tmp_path: Path) -> None:
    desk.deliver(recording("A-0"))
    before = desk.digest()
    batch = desk.stage((upload("a.csv"), Reading((recording("A-1"), recording("A-2")))))
    (points,) = (tmp_path / "store" / "tensile" / "staged").rglob("*.points")
    content = bytearray(points.read_bytes())
    content[-1] ^= 1
    points.write_bytes(content)
    with pytest.raises(Unavailable, match="not those that were judged"):
        desk.publish(batch)
    assert desk.digest() == before
    assert desk.rows("SELECT count(*) FROM meva.testing_machine") == [(0,)]


def test_a_batch_that_nobody_judged_is_not_published(desk: Desk) -> None:
    with pytest.raises(Rejected, match="was not judged"):
        desk.publish(desk.stage((upload("a.csv"), Reading((recording(),))), is_judged=False))


def test_staging_leaves_nothing_behind(desk: Desk, tmp_path: Path) -> None:
    desk.deliver(recording())
    assert (
        desk.rows("SELECT relname FROM pg_class WHERE relnamespace = 'staging'::regnamespace AND relkind = 'r'") == []
    )
    assert list((tmp_path / "store").rglob("*.points")) == []


def test_what_a_run_that_died_left_is_dropped_once_it_can_publish_no_more(desk: Desk, tmp_path: Path) -> None:
    dead = desk.stage((upload("a.csv"), Reading((recording(),))))

    def drop() -> int:
        with desk.postgres.connect(Role.WRITER, work="clean") as connection:
            tensile_staging.drop_abandoned(connection, desk.store, subject=SUBJECT)
        return len(list((tmp_path / "store").rglob("*.points")))

    assert drop() == 1
    desk.deliver(recording())
    assert drop() == 0
    assert desk.rows("SELECT to_regclass(%s)", f"staging.{dead.name('tests')}") == [(None,)]


def test_many_points_are_spread_over_several_objects(desk: Desk, tmp_path: Path) -> None:
    large = [recording(f"L-{n}", points=150_000) for n in range(4)]
    batch = desk.stage((upload("a.csv"), Reading(tuple(large))))
    assert len(list((tmp_path / "store").rglob("*.points"))) == 2
    assert desk.publish(batch).points == 600_000
    assert desk.rows("SELECT min(points), max(points), count(*) FROM meva.tensile_test") == [(150_000, 150_000, 4)]


def test_staging_uses_one_session(desk: Desk) -> None:
    """Of the 20 that the design allows to everybody together."""
    sessions = []

    def readings() -> Iterator[tuple[Upload, Reading]]:
        for number in range(3):
            sessions.append(
                desk.rows(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND application_name LIKE 'meva %'"
                )
            )
            yield upload(f"{number}.csv"), Reading((recording(f"A-{number}"),))

    batch = Batch(desk.open())
    with desk.postgres.connect(Role.WRITER, work="stage tests") as connection:
        tensile_staging.create(connection, batch)
        tensile_staging.stage(
            connection, batch, desk.store, readings(), register=tensile_machines.known(connection), now=NOON
        )
    assert sessions == [[(1,)]] * 3


# ---- quarantine


def test_what_is_refused_waits_with_its_reason_and_nothing_is_lost(desk: Desk) -> None:
    """S7: received = published + unchanged + refused."""
    batch = desk.stage(
        (upload("good.csv"), Reading((recording("A-1"),), (Refusal("A-2", "time_increases", "it runs back", "t", 9),))),
        (upload("bad.csv"), refused("B-1")),
    )
    published = desk.publish(batch)
    assert (published.new_tests, published.refused_tests) == (1, 2)
    assert desk.rows("SELECT specimen, rule, field, row, code FROM meva.quarantine ORDER BY 1") == [
        ("A-2", "time_increases", "t", 9, 422),
        ("B-1", "curve_is_usable", None, 7, 422),
    ]
    assert desk.rows(
        "SELECT received_rows = inserted_rows + updated_rows + unchanged_rows + quarantined_rows, received_rows"
        " FROM ops.sync_runs ORDER BY token DESC LIMIT 1"
    ) == [(True, 3)]
    assert desk.rows("SELECT outcome FROM ops.ingest_ledger ORDER BY id") == [("published",), ("rejected",)]


def test_a_rule_takes_a_test_out_of_the_batch_and_leaves_the_others(desk: Desk) -> None:
    batch = desk.stage((upload("a.csv"), Reading((recording("A-1"), recording("A-2", area_mm2=0.5)))), is_judged=False)
    rule = RowRule("stress_is_possible", "area_mm2", "s.stress_max_mpa > 3000", "no metal bears that")
    with desk.postgres.connect(Role.WRITER, work="triage") as connection:
        assert tensile_staging.triage(connection, batch, [rule]) == 1
        tensile_staging.quarantine(connection, batch)
        desk.judge(connection, batch)
    assert desk.publish(batch).new_tests == 1
    assert desk.rows("SELECT specimen, rule, field FROM meva.quarantine") == [("A-2", "stress_is_possible", "area_mm2")]


def test_the_same_refusal_again_is_counted_and_not_stored_twice(desk: Desk) -> None:
    for _ in range(3):
        desk.stage((upload("bad.csv"), refused("B-1")))
    assert desk.rows("SELECT times_seen, last_token - first_token FROM meva.quarantine") == [(3, 2)]


def test_a_mended_test_releases_what_waits_for_it(desk: Desk) -> None:
    desk.stage((upload("bad.csv"), refused("B-1")))
    desk.deliver(recording("B-1"))
    assert desk.rows("SELECT released_at IS NOT NULL FROM meva.quarantine") == [(True,)]


# ---- uploads


def test_an_upload_is_named_by_its_content_and_read_back_proved(store: ObjectStore, tmp_path: Path) -> None:
    original = Original(b"time;force\n", b"material: S235\n")
    kept = tensile_intake.keep(store, "Prüfung 1.txt", original, modified_at=NOON)
    assert tensile_intake.keep(store, "Prüfung 1.txt", original, modified_at=NOON) == kept
    assert tensile_intake.keep(store, "copy.txt", original, modified_at=later(1)).content_id == kept.content_id
    alone = tensile_intake.keep(store, "Prüfung 1.txt", Original(original.content, None), modified_at=NOON)
    assert alone.content_id != kept.content_id
    assert tensile_intake.found(store, kept.manifest) == (kept, original)
    (tmp_path / "store" / kept.original / "sidecar").write_bytes(b"material: Cu\n")
    with pytest.raises(Unavailable, match="SHA-256 differs"):
        tensile_intake.found(store, kept.manifest)


def test_an_interrupted_upload_waits_until_it_is_published(desk: Desk) -> None:
    each = upload("a.csv")
    batch = desk.stage((each, Reading((recording(),))))
    waiting = {"files": FILES, "source": SOURCE}
    with desk.postgres.connect(Role.WRITER, work="look") as connection:
        (entry,) = landing_ledger.unfinished(connection, limit=10, **waiting)
        assert (entry.content_hash, entry.fetch_id) == (each.content_id, each.manifest)
        assert landing_ledger.finished(connection, [each.content_id], subject=SUBJECT, **waiting) == {}
    desk.publish(batch)
    with desk.postgres.connect(Role.WRITER, work="look") as connection:
        assert landing_ledger.unfinished(connection, limit=10, **waiting) == []
        found = landing_ledger.finished(connection, [each.content_id, "0" * 64], subject=SUBJECT, **waiting)
        assert {name: (entry.outcome, entry.token) for name, entry in found.items()} == {
            each.content_id: ("published", batch.attempt.token)
        }
    desk.undo(batch.attempt.token)
    with desk.postgres.connect(Role.WRITER, work="look") as connection:
        assert landing_ledger.finished(connection, [each.content_id], subject=SUBJECT, **waiting) == {}
        assert landing_ledger.unfinished(connection, limit=10, **waiting) == []
