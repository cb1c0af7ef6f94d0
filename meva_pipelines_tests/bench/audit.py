"""The audit of a staged batch beside one hand-written aggregate over the same rows.

Ours is the profile of what readers would see and all four suites, Great Expectations already imported. The aggregate
holds every rule that the suites have on rows; it compares nothing with what is published.
"""

from meva_pipelines.domain.guards import Limit
from meva_pipelines.quality.aed_suites import AED_SUITES, AED_TARGETS
from meva_pipelines.quality.expectations import Expectation, Target
from meva_pipelines.quality.verdicts import Judge
from meva_pipelines.resources import fetches, reference, registry_absences, registry_profile
from meva_pipelines.resources.registry_staging import Batch
from meva_pipelines.schema.roles import STAGING_SCHEMA, Role
from meva_pipelines_tests.bench import publish, report
from meva_pipelines_tests.bench.dataset import DAYS, Dataset
from meva_pipelines_tests.bench.report import Figure
from meva_pipelines_tests.bench.world import Warehouse, World


def figures(world: World, rows: Dataset, *, rounds: int, goal: float = 6.0) -> list[Figure]:
    """Measure the audit of a first load, which has the most staged rows."""
    with world.warehouse() as warehouse:
        batch = publish.staged(warehouse, rows, DAYS[0]).batch
        judged(warehouse, batch)
        laps = report.interleaved(
            rounds,
            {
                "ours": lambda: {"ours": report.measured(lambda: judged(warehouse, batch))},
                "aggregate": lambda: {"one aggregate": report.measured(lambda: warehouse.psql(_aggregate(batch)))},
            },
        )
    return [report.slower(f"audit, four suites, {rows.size:,} staged rows", laps, "ours", "one aggregate", goal=goal)]


def judged(warehouse: Warehouse, batch: Batch) -> None:
    """Profile and judge a staged batch in this process, and demand that every suite passes."""
    with warehouse.postgres.connect(Role.WRITER, work="bench") as connection:
        groups = reference.regions().sido_groups(batch.attempt.day)
        fetch = fetches.named(connection, subject=batch.attempt.subject, fetch_id=batch.attempt.fetch_id or "")
        found = registry_absences.survey(connection, batch, fetch, sido_groups=groups, limit=Limit())
        registry_profile.measure(connection, batch, found=found, sido_groups=groups)
    verdicts = Judge(is_isolated=False).judge(
        AED_SUITES,
        sqlalchemy_url=warehouse.postgres.reading_url(Role.WRITER, schema=STAGING_SCHEMA),
        tables={target: batch.name(target) for target in AED_TARGETS},
    )
    if failed := [verdict.suite for verdict in verdicts if not verdict.is_passed]:
        raise RuntimeError(f"the audit failed, so its time says nothing: {', '.join(failed)}")


def _aggregate(batch: Batch) -> str:
    rules = [
        _broken(expectation)
        for suite in AED_SUITES
        if suite.target is Target.RECORDS
        for expectation in suite.expectations
    ]
    return f"SELECT count(*), {', '.join(rules)} FROM {STAGING_SCHEMA}.{batch.name(Target.RECORDS)};\n"


def _broken(expectation: Expectation) -> str:
    given = expectation.arguments
    column = given.get("column", "")
    match expectation.kind:
        case "ExpectColumnValuesToNotBeNull":
            condition = f"{column} IS NULL"
        case "ExpectColumnValueLengthsToBeBetween":
            condition = f"char_length({column}) > {given['max_value']}"
        case "ExpectColumnValuesToBeBetween":
            condition = f"{column} NOT BETWEEN {given['min_value']} AND {given['max_value']}"
        case "ExpectColumnValuesToBeInSet":
            values = ", ".join(f"'{value}'" for value in given["value_set"])
            condition = f"{column} NOT IN ({values})"
        case "ExpectColumnPairValuesAToBeGreaterThanB":
            condition = f"{given['column_A']} < {given['column_B']}"
        case "ExpectColumnValuesToBeUnique":
            return f"count({column}) - count(DISTINCT {column})"
        case other:
            raise ValueError(f"the aggregate does not know {other}")
    return f"count(*) FILTER (WHERE {condition})"
