"""The sandbox registry as an HTTP server: its parts together, and a thread that runs it for tests.

Answers are decided in `service_data_go_kr` and `service_egen`; how they travel is in `routes`.
"""

import base64
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic, sleep

import uvicorn

from meva_pipelines.sandbox import routes, service_data_go_kr, service_egen
from meva_pipelines.sandbox.control import Webhook
from meva_pipelines.sandbox.faults import FaultList
from meva_pipelines.sandbox.library import Format, Library
from meva_pipelines.sandbox.registry import Registry
from meva_pipelines.sandbox.routes import Parts
from meva_pipelines.sandbox.world import Ledger, World

LOOPBACK = "127.0.0.1"
_START_TIMEOUT_S = 10.0
_STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Running:
    """A sandbox that answers, seen from the same process."""

    base_url: str
    parts: Parts

    @property
    def data_go_kr_url(self) -> str:
        """The base URL of the open API, below which lie its three operations."""
        return self.base_url + service_data_go_kr.BASE_PATH

    @property
    def egen_url(self) -> str:
        """The base URL of the egen feed, below which lie /v1/aeds and /oauth/token."""
        return self.base_url

    @property
    def webhook_url(self) -> str:
        """The URL of the Slack-compatible receiver."""
        return self.base_url + "/_sandbox/webhook"

    @property
    def service_key(self) -> str:
        """The service key in its decoded form, which holds `+`, `/` and `=`; also the egen API key."""
        return self.parts.open_api.service_key

    @property
    def client_id(self) -> str:
        """The OAuth2 client; its secret is the service key."""
        return service_egen.CLIENT_ID

    @property
    def client_secret(self) -> str:
        """The secret of the OAuth2 client."""
        return self.parts.feed.service_key

    @property
    def registry(self) -> Registry:
        """The registry that is served, with its known answers."""
        return self.parts.library.registry

    @property
    def world(self) -> World:
        """The mutable state; changes take effect with the next request."""
        return self.parts.world

    @property
    def faults(self) -> FaultList:
        """The fault rules in force."""
        return self.parts.faults

    @property
    def requests(self) -> Ledger:
        """What was asked."""
        return self.parts.ledger

    @property
    def messages(self) -> list[object]:
        """What the webhook received."""
        return self.parts.webhook.messages()

    def warm(self, form: Format, size: int) -> int:
        """Render every gzip page of the present day beforehand; return how many pages there are."""
        return self.parts.library.warm(self.world.state, form, size)


def new_key() -> str:
    """Return a fresh service key in decoded form: 88 characters of base64 from `++//` to `==`."""
    return base64.b64encode(b"\xfb\xef\xff" + secrets.token_bytes(61)).decode()


def assemble(registry: Registry, *, world: World | None = None, service_key: str | None = None) -> Parts:
    """Return the parts of a sandbox for one registry; the default world is the registry's first day."""
    key = service_key or new_key()
    library, state = Library(registry), world or World(registry.epoch)
    faults, ledger = FaultList(), Ledger()
    registry.count(state.state.day)
    return Parts(
        library=library,
        world=state,
        faults=faults,
        ledger=ledger,
        webhook=Webhook(),
        open_api=service_data_go_kr.Service(library, state, faults, ledger, key),
        feed=service_egen.Service(library, state, faults, key),
        stopping=threading.Event(),
    )


def configure(parts: Parts) -> uvicorn.Config:
    """Return the settings of a silent server: the gateway's own headers, no access log (URLs hold keys)."""
    return uvicorn.Config(
        routes.app(parts),
        log_config=None,
        log_level="critical",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=2,
    )


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that queues connections already, so that nobody is refused; port 0 means a free one."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


@contextmanager
def running(registry: Registry, *, world: World | None = None, service_key: str | None = None) -> Iterator[Running]:
    """Serve a registry on a free loopback port from a thread until the block ends.

    Raises RuntimeError when the server does not start within 10 s.
    """
    parts = assemble(registry, world=world, service_key=service_key)
    listener = listen(LOOPBACK, 0)
    try:
        server = uvicorn.Server(configure(parts))
        thread = threading.Thread(target=server.run, args=([listener],), name="sandbox", daemon=True)
        thread.start()
        try:
            _await_start(server, thread)
            yield Running(f"http://{LOOPBACK}:{listener.getsockname()[1]}", parts)
        finally:
            parts.stopping.set()
            server.should_exit = True
            thread.join(_STOP_TIMEOUT_S)
    finally:
        listener.close()


def _await_start(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = monotonic() + _START_TIMEOUT_S
    while not server.started:
        if not thread.is_alive() or monotonic() > deadline:
            raise RuntimeError("the sandbox server did not start")
        sleep(0.005)
