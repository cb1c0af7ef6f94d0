"""The theatre of the recovery suite: one process that forks, one registry and one template for all its tests."""

from collections.abc import Iterator, Mapping

import pytest

from meva_pipelines_tests.recovery import theatre
from meva_pipelines_tests.recovery.forks import Nursery
from meva_pipelines_tests.recovery.registries import FIRST_DAY
from meva_pipelines_tests.recovery.theatre import Base, Theatre

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


@pytest.fixture(scope="session")
def bases(stage: Theatre) -> Mapping[str, Base]:
    """A published first day in each dialect."""
    for dialect in ("data_go_kr", "egen"):
        with stage.scene(dialect=dialect) as scene:
            assert scene.sync(FIRST_DAY).is_success
            stage.bases[dialect] = stage.keep(scene, FIRST_DAY)
    return {dialect: stage.bases[dialect] for dialect in ("data_go_kr", "egen")}
