"""The theatre of the recovery suite: one process that forks, one registry and one template for all its tests."""

from collections.abc import Iterator

import pytest

from meva_pipelines_tests.recovery import theatre
from meva_pipelines_tests.recovery.theatre import Nursery, Theatre

SERVICE_KEY = "r3c0v3ry+Canary/Key0987654321abcdefghijklmnopqrstuvwxyz=="


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """The process that forks."""
    process = Nursery(tmp_path_factory.mktemp("nursery"))
    yield process
    process.close()


@pytest.fixture(scope="session")
def stage(
    nursery: Nursery, server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Theatre]:
    """The theatre with its registry."""
    folder = tmp_path_factory.mktemp("theatre")
    with theatre.registry(nursery, folder / "registry", service_key=SERVICE_KEY) as registry:
        whole = Theatre(nursery, registry, server_url, template, folder)
        yield whole
        whole.close()
