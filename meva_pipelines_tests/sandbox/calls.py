"""How the sandbox's tests ask and read: plain HTTP, standard XML, nothing of the project's own client."""

from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import httpx

from meva_pipelines.sandbox.server import Running

FULL_DOWN = "getAedFullDown"
MANAGE_INFO = "getEgytAedManageInfoInqire"
LOCATION = "getAedLcinfoInqire"


@dataclass(frozen=True, slots=True)
class Page:
    """One XML answer of the open API, read."""

    code: str
    page: int
    rows: int
    total: int
    items: list[dict[str, str]]

    @property
    def serials(self) -> list[str]:
        return [item["serialSeq"] for item in self.items]


def get(
    client: httpx.Client,
    sandbox: Running,
    operation: str = FULL_DOWN,
    *,
    parameters: Mapping[str, str | int] | None = None,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    query: dict[str, str | int] = {"serviceKey": sandbox.service_key, **(parameters or {})}
    return client.get(f"{sandbox.data_go_kr_url}/{operation}", params=query, headers=headers)


def read(body: str) -> Page:
    root = ET.fromstring(body)  # noqa: S314 - the sandbox's own answer
    return Page(
        code=root.findtext("header/resultCode", ""),
        page=int(root.findtext("body/pageNo", "0")),
        rows=int(root.findtext("body/numOfRows", "0")),
        total=int(root.findtext("body/totalCount", "0")),
        items=[{tag.tag: tag.text or "" for tag in item} for item in root.iterfind("body/items/item")],
    )


def everything(
    client: httpx.Client, sandbox: Running, operation: str = FULL_DOWN, **query: str | int
) -> list[dict[str, str]]:
    """All rows of an operation in one page."""
    parameters: dict[str, str | int] = {"numOfRows": 10_000, **query}
    return read(get(client, sandbox, operation, parameters=parameters).text).items


def feed(client: httpx.Client, sandbox: Running, **query: str | int) -> httpx.Response:
    headers = {"X-API-Key": sandbox.service_key}
    return client.get(f"{sandbox.egen_url}/v1/aeds", params=query, headers=headers)
