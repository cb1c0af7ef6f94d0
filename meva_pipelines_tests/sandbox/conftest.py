"""Sandboxes for the tests of the sandbox: small, real HTTP servers on loopback."""

from collections.abc import Iterator
from datetime import date

import httpx
import pytest

from meva_pipelines.sandbox import server
from meva_pipelines.sandbox.registry import Registry
from meva_pipelines.sandbox.server import Running
from meva_pipelines.sandbox.world import World

DAY = date(2026, 11, 19)


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry(size=250, births=2, vanish_cycle=101)


@pytest.fixture(scope="session")
def _server(registry: Registry) -> Iterator[Running]:
    with server.running(registry, world=World(DAY)) as running:
        yield running


@pytest.fixture
def sandbox(_server: Running) -> Iterator[Running]:
    """The one server of the session, in its first state."""
    state = _server.world.state
    yield _server
    _server.world.restore(state)
    _server.faults.clear()
    _server.requests.clear()
    _server.parts.webhook.clear()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=5.0) as client:
        yield client
