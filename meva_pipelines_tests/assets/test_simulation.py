"""From files in the landing zone to published curves: taken, judged, published once, or put aside with a reason."""

import json
from pathlib import Path

import pytest
from psycopg import sql

from meva_pipelines.assets import tables
from meva_pipelines.assets.simulation import FIRINGS, SIMULATIONS
from meva_pipelines.assets.simulation_comparisons import PT_COMPARISONS
from meva_pipelines.domain.simulation import curves
from meva_pipelines.resources import simulation_comparisons, simulation_series
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.sandbox import firing_files
from meva_pipelines.sandbox.firings import GOOD_MODEL, WORSE_MODEL, Season
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.fixtures.firings import SEASON, Range

SIMULATIONS_PUBLISHED = [tables.key(table) for table in SIMULATIONS.published]


def test_a_season_is_published_point_by_point(firing_range: Range, postgres: Postgres) -> None:
    firing_range.take_season()
    assert firing_range.counts("work_orders", "forward_simulations", "reverse_simulations", "test_results") == [
        2,
        4,
        2,
        6,
    ]
    assert firing_range.counts("simulation_time_series", "test_time_series") == [4 * 120, 2 * 4 * 4_000]
    for order in SEASON.work_orders():
        for firing in SEASON.firings(order):
            with postgres.connect(Role.READER, work="test") as connection:
                row = connection.execute("SELECT id FROM mgg.test_results WHERE name = %s", [firing.name]).fetchone()
                assert row is not None
                first, *_ = simulation_series.measured(connection, row[0])
            assert first.sha256 == curves.stored(firing.time_ms(), firing.readings_mpa()).sha256


def test_rows_lie_in_the_quarter_of_their_firing(firing_range: Range) -> None:
    firing_range.take_season()
    parts = firing_range.location.rows("SELECT DISTINCT tableoid::regclass::text FROM mgg.test_time_series ORDER BY 1")
    assert parts == [("mgg.test_time_series_2026_q1",)]


def test_the_same_files_again_change_nothing(firing_range: Range) -> None:
    firing_range.take_season()
    before = firing_range.counts("test_results", "test_time_series", "forward_simulations")
    firing_range.drop_season()
    for flow in (SIMULATIONS, FIRINGS):
        assert firing_range.take(flow).success
    assert firing_range.counts("test_results", "test_time_series", "forward_simulations") == before
    newest = firing_range.location.newest_run()
    assert (newest["received_rows"], newest["inserted_rows"]) == (0, 0)


@pytest.mark.parametrize("is_reversed", [False, True])
def test_versions_end_the_same_whatever_their_order(firing_range: Range, *, is_reversed: bool) -> None:
    """The last by stated time counts, whichever arrived last; nothing that was published is lost."""
    firing_range.take_season()
    order = next(SEASON.work_orders())
    first, second = list(SEASON.firings(order))[:2]
    documents = []
    for firing, minute in ((first, 50), (second, 55)):
        files = dict(firing_files.firing_document(firing))
        head = next(name for name in files if name.endswith(".json"))
        plain = json.loads(files[head])
        plain |= {"name": first.name, "recorded_at": f"{order.day}T06:{minute}:00+00:00", "notes": f"at {minute}"}
        documents.append({**files, head: json.dumps(plain).encode()})
    for files in reversed(documents) if is_reversed else documents:
        firing_range.drop(FIRINGS, files)
        assert firing_range.take(FIRINGS).success
    rows = firing_range.location.rows(
        "SELECT version, notes, is_current FROM mgg.test_results WHERE name = %s ORDER BY version", first.name
    )
    assert rows == [(1, None, False), (2, "at 50", False), (3, "at 55", True)]


def test_what_names_an_unknown_order_waits_and_is_published_after_its_register(firing_range: Range) -> None:
    season = dict(firing_files.simulation_files(SEASON))
    register = season.pop("register.json")
    firing_range.drop(SIMULATIONS, season)
    assert firing_range.take(SIMULATIONS).success
    assert firing_range.counts("forward_simulations", "model_versions") == [0, 3]
    waiting = firing_range.location.rows("SELECT DISTINCT rule FROM mgg.quarantine WHERE released_at IS NULL")
    assert waiting == [("user_is_known",)]
    firing_range.drop(SIMULATIONS, {"register.json": register})
    assert firing_range.take(SIMULATIONS, replay_rule="all").success
    assert firing_range.counts("forward_simulations", "reverse_simulations") == [4, 2]
    assert firing_range.location.rows("SELECT count(*) FROM mgg.quarantine WHERE released_at IS NULL") == [(0,)]


def test_a_register_that_breaks_a_rule_waits_and_the_others_are_published(firing_range: Range) -> None:
    """Two people with one address once kept everything that came beside their register from being published."""
    season = dict(firing_files.simulation_files(SEASON))
    other = json.loads(season["register.json"])
    clash = {"kind": "register", "users": [{"username": "new", "email": other["users"][0]["email"]}]}
    lost = next(name for name in season if name.endswith("-reverse.json"))
    orphan = json.loads(season[lost]) | {"name": "of a refused user", "user": "new"}
    deep: object = []
    for _ in range(300):
        deep = [deep]
    files = {"clash.json": clash, "orphan.json": orphan, "deep.json": {"kind": "register", "users": deep}}
    firing_range.drop(SIMULATIONS, season | {name: json.dumps(document).encode() for name, document in files.items()})
    firing_range.drop(SIMULATIONS, {"marked.json": b"\xef\xbb\xbf" + json.dumps({"kind": "register"}).encode()})
    assert firing_range.take(SIMULATIONS).success
    assert firing_range.counts("users", "forward_simulations") == [2, 4]
    found = firing_range.location.rows("SELECT name, rule, field FROM mgg.quarantine ORDER BY name")
    assert found == [
        ("clash.json", "email_is_free", "users[0].email"),
        ("deep.json", "field_is_valid", "users"),
        ("of a refused user", "user_is_known", "user"),
    ]


def test_registers_of_a_batch_are_published_whatever_their_names(firing_range: Range) -> None:
    """An order may name a user whom a register behind it brings."""
    register = json.loads(dict(firing_files.simulation_files(SEASON))["register.json"])
    people = {name: register.pop(name) for name in ("users",)}
    parts = {"a.json": register, "b.json": {"kind": "register", **people}}
    firing_range.drop(SIMULATIONS, {name: json.dumps(part).encode() for name, part in parts.items()})
    assert firing_range.take(SIMULATIONS).success
    assert firing_range.counts("users", "work_orders") == [2, 2]


def test_a_curve_with_a_wrong_zero_waits_and_the_others_are_published(firing_range: Range) -> None:
    """The audit stops whole batches: what one sensor did wrong has to be put aside before."""
    season = dict(firing_files.simulation_files(SEASON))
    simulation = SEASON.simulations(next(SEASON.work_orders()))[0]
    ((_, content),) = firing_files.simulation_document(simulation, form="inline").items()
    drifted = json.loads(content) | {"name": "drifted"}
    drifted["series"]["pressure_mpa"][0] = -0.2 * max(drifted["series"]["pressure_mpa"])
    firing_range.drop(SIMULATIONS, season | {"drifted.json": json.dumps(drifted).encode()})
    assert firing_range.take(SIMULATIONS).success
    assert firing_range.counts("forward_simulations") == [4]
    assert firing_range.location.rows("SELECT rule FROM mgg.quarantine") == [("curve_zero",)]


def test_a_damaged_workbook_waits_in_quarantine_and_the_others_go_on(firing_range: Range) -> None:
    firing_range.drop(SIMULATIONS, dict(firing_files.simulation_files(SEASON)))
    assert firing_range.take(SIMULATIONS).success
    files = dict(firing_files.firing_files(SEASON))
    broken = next(name for name in files if name.endswith("F2-0.xlsx"))
    firing_range.drop(FIRINGS, {**files, broken: files[broken][:2_000]})
    assert firing_range.take(FIRINGS).success
    assert firing_range.counts("test_results") == [5]
    ((rule, reason, payload),) = firing_range.location.rows("SELECT rule, reason, payload FROM mgg.quarantine")
    assert rule == "workbook_is_readable"
    assert "damaged" in reason
    assert broken in payload["files"]


def test_a_record_waits_for_its_workbook(firing_range: Range) -> None:
    firing_range.drop(SIMULATIONS, dict(firing_files.simulation_files(SEASON)))
    assert firing_range.take(SIMULATIONS).success
    files = dict(firing_files.firing_document(next(SEASON.firings(next(SEASON.work_orders())))))
    late = next(name for name in files if name.endswith(".xlsx"))
    workbook = files.pop(late)
    firing_range.drop(FIRINGS, files)
    assert firing_range.take(FIRINGS).success
    assert firing_range.counts("test_results") == [0]
    firing_range.drop(FIRINGS, {late: workbook})
    assert firing_range.take(FIRINGS).success
    assert firing_range.counts("test_results") == [1]


def test_a_staged_curve_that_was_changed_is_not_published(firing_range: Range) -> None:
    """The publishing transaction reads the objects again: what was judged is what is published."""
    firing_range.drop(SIMULATIONS, dict(firing_files.simulation_files(SEASON)))
    assert firing_range.run(SIMULATIONS, [SIMULATIONS.uploads]).success
    ((key,),) = firing_range.location.rows(
        "SELECT curve_key FROM staging.mgg_1_rows WHERE curve_key IS NOT NULL LIMIT 1"
    )
    staged = Path(firing_range.location.postgres.home, "store", key)
    content = bytearray(staged.read_bytes())
    content[40] ^= 1
    staged.chmod(0o600)
    staged.write_bytes(content)
    assert not firing_range.run(SIMULATIONS, SIMULATIONS_PUBLISHED).success
    assert firing_range.counts("forward_simulations", "work_orders", "simulation_time_series") == [0, 0, 0]
    assert "not the one that was judged" in firing_range.location.newest_run()["error"]


def test_a_pair_whose_curve_cannot_be_read_costs_the_others_nothing(firing_range: Range) -> None:
    """A cold file is lost: what needs it is told and compared once it is back."""
    season = Season(orders=2, repeats=2, spacing_days=100)
    firing_range.drop(SIMULATIONS, dict(firing_files.simulation_files(season)))
    assert firing_range.take(SIMULATIONS).success
    firing_range.archive("simulation_time_series")
    cold = firing_range.cold_file("simulation_time_series")
    away = cold.rename(cold.with_suffix(".away"))
    firing_range.drop(FIRINGS, dict(firing_files.firing_files(season)))
    result = firing_range.take_and_compare(FIRINGS)
    assert result.success
    (shown,) = (event.metadata for event in result.asset_materializations_for_node("mgg__pt_comparisons"))
    assert (shown["compared_pairs"].value, shown["pairs_left_out"].value) == (2 * 2, 2 * 2)
    assert "2026-Q1.parquet" in str(shown["left_out"].value)
    assert firing_range.counts("pt_comparisons") == [2 * 2 * 2]

    pair = {"simulation": season.simulations(next(season.work_orders()))[0].name}
    pair["firing"] = next(season.firings(next(season.work_orders()))).name
    assert not firing_range.location.job("compare_curves", config={"compare_pair": {"config": pair}}).success
    assert firing_range.run(FIRINGS, [PT_COMPARISONS]).success, "nothing but pairs that are left out again"
    assert firing_range.counts("pt_comparisons") == [2 * 2 * 2]

    away.rename(cold)
    assert firing_range.run(FIRINGS, [PT_COMPARISONS]).success
    assert firing_range.counts("pt_comparisons") == [2 * 2 * 2 * 2]


@pytest.mark.parametrize("table", ["test_time_series", "simulation_time_series"])
def test_a_pair_that_is_asked_for_is_compared_wherever_its_curves_lie(firing_range: Range, table: str) -> None:
    """The figures of curves that aged are those of the curves that were hot."""
    firing_range.take_season(SEASON)
    pair = {"simulation": SEASON.simulations(next(SEASON.work_orders()))[0].name}
    pair["firing"] = next(SEASON.firings(next(SEASON.work_orders()))).name

    def compared() -> list[tuple[object, ...]]:
        assert firing_range.location.job("compare_curves", config={"compare_pair": {"config": pair}}).success
        measured = sql.SQL(", ").join(map(sql.Identifier, simulation_comparisons.MEASURED))
        found = firing_range.location.rows(
            sql.SQL("SELECT {} FROM mgg.pt_comparisons ORDER BY alignment").format(measured).as_string()
        )
        firing_range.location.execute("DELETE FROM mgg.pt_comparisons")
        return found

    hot = compared()
    assert len(hot) == 2
    firing_range.archive(table)
    assert compared() == hot


def test_every_check_of_both_ways_in_passes(firing_range: Range) -> None:
    firing_range.drop_season(Season(orders=1, repeats=3))
    for flow in (SIMULATIONS, FIRINGS):
        evaluations = firing_range.take_and_compare(flow).get_asset_check_evaluations()
        assert {tables.key(table) for table in flow.published} & {check.asset_key for check in evaluations}
        assert [(check.check_name, check.description) for check in evaluations if not check.passed] == []


def test_a_simulation_that_comes_after_the_firing_is_compared_too(firing_range: Range) -> None:
    files = dict(firing_files.simulation_files(SEASON, models=(GOOD_MODEL,)))
    firing_range.drop(SIMULATIONS, files)
    assert firing_range.take(SIMULATIONS).success
    firing_range.drop(FIRINGS, dict(firing_files.firing_files(SEASON)))
    assert firing_range.take_and_compare(FIRINGS).success
    before = firing_range.counts("pt_comparisons")[0]
    firing_range.drop(SIMULATIONS, dict(firing_files.simulation_files(SEASON, models=(WORSE_MODEL,))))
    assert firing_range.take_and_compare(SIMULATIONS).success
    assert firing_range.counts("pt_comparisons")[0] == 2 * before
