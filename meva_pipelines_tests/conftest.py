"""What every test finds: an environment without settings, and the fixtures of `fixtures/`."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("suite", deadline=None)  # speed is measured by the bench, not by tests
settings.load_profile("suite")

pytest_plugins = [
    "meva_pipelines_tests.fixtures.backups",
    "meva_pipelines_tests.fixtures.warehouse",
    "meva_pipelines_tests.fixtures.location",
    "meva_pipelines_tests.fixtures.firings",
    "meva_pipelines_tests.fixtures.laboratory",
    "meva_pipelines_tests.fixtures.attempts",
    "meva_pipelines_tests.fixtures.redis",
    "meva_pipelines_tests.fixtures.object_gateway",
]

GIVEN_DATABASE_URL = pytest.StashKey[str]()
TIMESCALEDB_URL = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Say how long and with which seed the tests marked `soak` run."""
    parser.addoption("--soak-seconds", type=int, default=300, help="seconds that each test marked soak runs")
    parser.addoption("--soak-seed", type=int, default=None, help="seed of the tests marked soak; drawn without it")


def pytest_configure(config: pytest.Config) -> None:
    """Keep the databases that CI names before the environment is wiped."""
    config.stash[GIVEN_DATABASE_URL] = os.environ.get("MEVA_DATABASE_URL", "")
    config.stash[TIMESCALEDB_URL] = os.environ.get("MEVA_TIMESCALEDB_URL", "")


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_outside() -> Iterator[None]:
    """Fixtures that outlive a test see no setting of the project or of Dagster from the outside either."""
    with pytest.MonkeyPatch.context() as environment:
        _clear(environment)
        yield


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests see no setting of the outside, nor one of another test."""
    _clear(monkeypatch)


def _clear(environment: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("MEVA_", "DAGSTER_"))]:
        environment.delenv(name)
