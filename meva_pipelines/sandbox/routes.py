"""The web side of the sandbox: which path goes to which service, and how an answer travels.

Nothing is decided here but 404; delays, parts and broken lengths come ready from the services.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qsl

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from meva_pipelines.sandbox import control, effects, service_data_go_kr, service_egen
from meva_pipelines.sandbox.control import Webhook
from meva_pipelines.sandbox.faults import FaultList
from meva_pipelines.sandbox.library import Library, Operation
from meva_pipelines.sandbox.reply import Call, Reply
from meva_pipelines.sandbox.world import Asked, Ledger, World

_NAP_S = 0.02
_LOGIN = b"<!DOCTYPE html><html><body><form><input name='id'><input name='pw'></form></body></html>"
_LARGEST_REQUEST = 1_000_000


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything a sandbox consists of; `stopping` ends delays early."""

    library: Library
    world: World
    faults: FaultList
    ledger: Ledger
    webhook: Webhook
    open_api: service_data_go_kr.Service
    feed: service_egen.Service
    stopping: threading.Event


class Delivery(Response):
    """Sends a Reply as its delay, parts and declared length say."""

    def __init__(self, reply: Reply, stopping: threading.Event) -> None:
        super().__init__(reply.body, reply.status)
        self._reply = reply
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Send the answer; returning before the declared end makes the server close the connection."""
        reply = self._reply
        await self._nap(reply.delay_s)
        await send({"type": "http.response.start", "status": reply.status, "headers": _headers(reply)})
        step = -(-len(reply.body) // reply.chunks) or 1
        for start in range(0, len(reply.body), step):
            await self._nap(reply.pause_s)
            part = reply.body[start : start + step]
            await send({"type": "http.response.body", "body": part, "more_body": True})
        if reply.declared_length is None:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _nap(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (left := end - loop.time()) > 0 and not self._stopping.is_set():  # noqa: ASYNC110 - set by a thread
            await asyncio.sleep(min(left, _NAP_S))


def app(parts: Parts) -> Starlette:
    """Return the web application of a sandbox."""
    base = service_data_go_kr.BASE_PATH
    return Starlette(
        routes=[
            Route(base + "/{operation}", _open_api(parts), methods=["GET"]),
            Route("/v1/aeds", _feed(parts), methods=["GET"]),
            Route("/oauth/token", _token(parts), methods=["POST"]),
            Route("/login", _login(parts), methods=["GET"]),
            Route("/_sandbox/webhook", _webhook(parts), methods=["POST", "GET", "DELETE"]),
            Route("/_sandbox/world", _world(parts), methods=["PUT", "GET"]),
            Route("/_sandbox/faults", _faults(parts), methods=["PUT", "GET", "DELETE"]),
            Route("/_sandbox/warm", _warm(parts), methods=["POST"]),
            Route("/_sandbox/requests", _requests(parts), methods=["GET", "DELETE"]),
            Route("/{path:path}", _not_found(parts), methods=["GET", "POST", "PUT", "DELETE"]),
        ]
    )


Endpoint = Callable[[Request], Awaitable[Response]]


def _open_api(parts: Parts) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        operation = request.path_params["operation"]
        call = _call(request, request.url.query)
        reply = await run_in_threadpool(parts.open_api.answer, operation, call, now=_now())
        return _sent(parts, operation if operation in set(Operation) else "unknown", _as_gateway(reply))

    return endpoint


def _feed(parts: Parts) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        call = _call(request, request.url.query)
        reply = await run_in_threadpool(parts.feed.aeds, call, now=_now())
        return _sent(parts, Operation.AEDS, reply)

    return endpoint


def _token(parts: Parts) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        body = (await request.body())[:_LARGEST_REQUEST]
        call = _call(request, body.decode("latin-1"))
        return _sent(parts, service_egen.TOKEN_OPERATION, parts.feed.token(call, now=_now()))

    return endpoint


def _login(parts: Parts) -> Endpoint:
    async def endpoint(_: Request) -> Response:
        return _sent(parts, "login", Reply(_LOGIN, 200, "text/html"))

    return endpoint


def _not_found(parts: Parts) -> Endpoint:
    async def endpoint(_: Request) -> Response:
        return _sent(parts, "unknown", service_data_go_kr.NOT_FOUND)

    return endpoint


def _webhook(parts: Parts) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        if request.method == "GET":
            return _json(parts.webhook.messages())
        if request.method == "DELETE":
            parts.webhook.clear()
            return _json([])
        rule = parts.faults.take("webhook", None)
        reply = effects.instead(rule, now=_now())
        if reply is None:
            try:
                parts.webhook.receive(await request.body())
                reply = Reply(b"ok", 200, "text/plain")
            except ValueError:
                reply = Reply(b"invalid_payload", 400, "text/plain")
        return _sent(parts, "webhook", effects.deliver(reply, rule))

    return endpoint


def _world(parts: Parts) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        if request.method == "PUT":
            try:
                control.change_world(parts.world, parts.library.registry, await request.body())
            except ValueError as refused:
                return _json({"error": str(refused)}, 400)
        return _json(control.show_world(parts.world.state))

    return endpoint


def _faults(parts: Parts) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        if request.method == "DELETE":
            parts.faults.clear()
        elif request.method == "PUT":
            try:
                control.replace_faults(parts.faults, await request.body())
            except ValueError as refused:
                return _json({"error": str(refused)}, 400)
        return _json([control.show_rule(rule) for rule in parts.faults.pending()])

    return endpoint


def _warm(parts: Parts) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            form, size = control.read_warming(await request.body())
        except ValueError as refused:
            return _json({"error": str(refused)}, 400)
        pages = await run_in_threadpool(parts.library.warm, parts.world.state, form, size)
        return _json({"pages": pages})

    return endpoint


def _requests(parts: Parts) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        if request.method == "DELETE":
            parts.ledger.clear()
        return _json(control.show_requests(parts.ledger))

    return endpoint


def _call(request: Request, encoded: str) -> Call:
    parameters = dict(parse_qsl(encoded, keep_blank_values=True))
    return Call(parameters, {name.lower(): value for name, value in request.headers.items()})


def _as_gateway(reply: Reply) -> Reply:
    return replace(reply, headers={**service_data_go_kr.HEADERS, **reply.headers})


def _sent(parts: Parts, operation: str, reply: Reply) -> Response:
    asked = Asked(str(operation), reply.page, reply.rows, reply.status, reply.fault, len(reply.body))
    parts.ledger.record(asked)
    return Delivery(reply, parts.stopping)


def _json(value: object, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


def _now() -> datetime:
    return datetime.now(UTC)


def _headers(reply: Reply) -> list[tuple[bytes, bytes]]:
    moment = _now() + timedelta(seconds=reply.clock_ahead_s)
    headers = dict(reply.headers) | {"date": format_datetime(moment, usegmt=True)}
    if reply.content_type is not None:
        headers["content-type"] = reply.content_type
    if not reply.is_chunked:
        headers["content-length"] = str(len(reply.body) if reply.declared_length is None else reply.declared_length)
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
