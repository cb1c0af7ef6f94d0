"""Published tests without a result are found and evaluated, whatever became of the run that published them."""

from datetime import date
from pathlib import Path

import dagster as dg

from meva_pipelines.automation.tensile_sensors import tensile_tests_unevaluated
from meva_pipelines.sandbox.laboratory import Laboratory
from meva_pipelines_tests.fixtures.location import Location

DAY = date(2026, 11, 3)


def tick(location: Location) -> dg.RunRequest | dg.SkipReason:
    with dg.build_sensor_context(instance=location.instance) as context:
        answer = tensile_tests_unevaluated(context, postgres=location.postgres)
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer


def test_tests_without_a_result_are_evaluated_once(location: Location) -> None:
    folder = Path(location.landing.place("tensile"))
    folder.mkdir(parents=True)
    for file in Laboratory(first_day=DAY).files(2, points=200):
        file.write(folder)
    assert location.job("tensile_intake", day=DAY).success
    said = tick(location)
    assert isinstance(said, dg.SkipReason)
    assert said.skip_message == "every published test is evaluated, or waits in meva.quarantine"

    location.execute("DELETE FROM meva.simulation_result")
    request = tick(location)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == DAY.isoformat()
    assert request.tags["meva/tests"] == "2"
    assert location.job("tensile_evaluation", day=DAY, config=request.run_config["ops"]).success
    assert location.rows("SELECT count(*) FROM meva.simulation_result") == [(2,)]
    assert isinstance(tick(location), dg.SkipReason)


def test_results_that_contradict_themselves_are_not_asked_for_again(location: Location) -> None:
    folder = Path(location.landing.place("tensile"))
    folder.mkdir(parents=True)
    (file,) = Laboratory(first_day=DAY).files(1, points=200)
    file.write(folder)
    assert location.job("tensile_intake", day=DAY).success
    location.execute(
        "INSERT INTO meva.quarantine (content_id, file_name, specimen, rule, reason, original, first_token, last_token)"
        " SELECT content_sha256, file_name, name, 'result_is_plausible', 'made up', original, token, token"
        " FROM meva.tensile_test"
    )
    location.execute("DELETE FROM meva.simulation_result")
    assert isinstance(tick(location), dg.SkipReason)
