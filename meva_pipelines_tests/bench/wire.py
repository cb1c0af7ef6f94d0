"""From HTTP to the published table, audit included, beside `curl | psql` with the JSON handed to the server.

The floor of the XML dialect needs one step more: a small Python program turns pages into JSON lines with lxml. Both
floors upsert what they get into the table with our DDL; types are the server's casts and nothing is checked.
"""

import importlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from meva_pipelines.domain.aed import Mapper, Page
from meva_pipelines.domain.contract import FieldType
from meva_pipelines.quality import aed_rules, verdicts
from meva_pipelines.quality.aed_suites import AED_SUITES
from meva_pipelines.quality.verdicts import Verdict
from meva_pipelines.resources import ledger, published_runs, raw_pages, reference, registry_staging
from meva_pipelines.resources.egen import EgenSource, Fetched
from meva_pipelines.resources.ledger import Status
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.registry_staging import Batch
from meva_pipelines.schema.aed import SOURCED_COLUMNS
from meva_pipelines.schema.roles import Role
from meva_pipelines_tests.bench import audit, floor, publish, report
from meva_pipelines_tests.bench.dataset import DAYS
from meva_pipelines_tests.bench.report import Figure, Sense
from meva_pipelines_tests.bench.world import XML_PATH, Sandbox, Warehouse, World

RAW = (
    "CREATE UNLOGGED TABLE floor.raw (page jsonb);\n"
    "\\copy floor.raw FROM pstdin WITH (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')\n"
)
"""A page of JSON holds no control characters, so that CSV with such quotes takes it as it is."""

_MOST = 0.99
"""Share of the devices that a floor must land: a few records have one coordinate or a key twice."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way to ask the sandbox."""

    name: str
    form: str
    path: str
    goal: float

    @property
    def page_size(self) -> int:
        """Rows per page: what the contract says."""
        return reference.contract(self.name).paging.default_size

    def source(self, sandbox: Sandbox) -> EgenSource:
        """The registry as the resource that assets take."""
        return EgenSource(base_url=sandbox.url + self.path, service_key=sandbox.key, dialect=self.name)


EGEN = Dialect("egen", "egen", "", 2.5)
XML = Dialect("data_go_kr", "xml", XML_PATH, 4.0)


def figures(world: World, *, size: int, rounds: int, sandbox: Sandbox) -> list[Figure]:
    """Measure both dialects on the first day; the library of the judge is imported beforehand."""
    importlib.import_module("great_expectations")
    found = []
    for dialect in (EGEN, XML):
        sandbox.be(DAYS[0])
        sandbox.warm(dialect.form, dialect.page_size)
        laps = report.interleaved(
            rounds,
            {
                "ours": partial(_ours, world, sandbox, dialect),
                "floor": partial(_floor, world, sandbox, dialect, size),
            },
        )
        pipe = "curl | psql" if dialect is EGEN else "curl | lxml | psql"
        laps[pipe] = laps.pop("floor")
        parts = ", ".join(f"{part} {report.seconds(laps, part)}" for part in ("fetch", "stage", "audit", "publish"))
        name = f"HTTP to published, {dialect.form}, pages of {dialect.page_size:,} ({parts})"
        found.append(report.slower(name, laps, "ours", pipe, goal=dialect.goal))
    return found


def traffic(world: World, sandbox: Sandbox) -> list[Figure]:
    """Compare the bytes of an incremental day with those of a full sync of the same day."""
    source = EGEN.source(sandbox)
    sandbox.be(DAYS[0])
    with world.warehouse() as warehouse:
        _ours_once(warehouse, sandbox, EGEN, DAYS[0])
        with warehouse.postgres.connect(Role.READER, work="bench") as connection:
            seen_until = published_runs.watermark(connection, subject=publish.SUBJECT, source=EGEN.name)
    sandbox.be(DAYS[1])
    full = source.fetch(modified_after=None, store=lambda _: None)
    some = source.fetch(modified_after=seen_until, store=lambda _: None)
    return [
        Figure(
            name=f"traffic of an incremental day, egen ({some.rows:,} of {full.rows:,} rows)",
            sense=Sense.AT_MOST,
            goal=5.0,
            value=100 * some.bytes_received / full.bytes_received,
            unit="%",
            ours=f"{some.bytes_received / 1e6:.2f} MB",
            against=f"full sync {full.bytes_received / 1e6:.2f} MB",
        )
    ]


def _ours(world: World, sandbox: Sandbox, dialect: Dialect) -> dict[str, float]:
    with world.warehouse() as warehouse:
        world.settle()
        return _ours_once(warehouse, sandbox, dialect, DAYS[0])


def _ours_once(warehouse: Warehouse, sandbox: Sandbox, dialect: Dialect, day: date) -> dict[str, float]:
    parts: dict[str, float] = {}
    with TemporaryDirectory(prefix="meva-bench-store-") as folder:
        store = ObjectStore(url=Path(folder).as_uri())
        with publish.timed(parts, "ours"):
            with publish.timed(parts, "fetch"):
                attempt = publish.opened(warehouse, day, dialect.name)
                writer = raw_pages.Writer(store, f"{dialect.name}/{day}/{attempt.token}")
                fetched = dialect.source(sandbox).fetch(modified_after=None, store=writer.put)
                entries = writer.finish(fetched, reference.contract(dialect.name))
                hashes = [entry.sha256 for entry in entries]
                attempt = publish.entered(warehouse, attempt, hashes=hashes, rows=fetched.rows)
            batch = Batch(attempt)
            with publish.timed(parts, "stage"):
                _stage(warehouse, batch, store, entries, fetched)
            with publish.timed(parts, "audit"):
                audit.judged(warehouse, batch)
            with publish.timed(parts, "publish"):
                publish.release(warehouse, batch)
    return parts


def _stage(
    warehouse: Warehouse, batch: Batch, store: ObjectStore, entries: Sequence[raw_pages.Entry], fetched: Fetched
) -> None:
    contract = reference.contract(batch.attempt.source)
    mapper = Mapper(contract, reference.regions(), day=batch.attempt.day, columns=SOURCED_COLUMNS)

    def page_at(number: int) -> Page:
        return mapper.page(number, raw_pages.records(store, entries[number - 1], contract))

    def pages() -> Iterator[Page]:
        return (page_at(entry.number) for entry in entries)

    with warehouse.postgres.connect(Role.WRITER, work="bench") as connection:
        registry_staging.create(connection, batch)
        received = registry_staging.stage(connection, batch, pages(), mapped=mapper.rows)
        if received.rows != fetched.rows:
            raise RuntimeError(f"{fetched.rows} rows were fetched and {received.rows} staged")
        registry_staging.triage(connection, batch, aed_rules.row_rules(contract))
        registry_staging.quarantine(connection, batch, fetch_id=batch.attempt.fetch_id or "", page_at=page_at)
        digest = registry_staging.digest(connection, batch)
        passed = [Verdict(suite.name, (), 0.0) for suite in AED_SUITES]
        verdicts.store(connection, batch.attempt, passed, digest=digest)
        _, watermark = registry_staging.staged_figures(connection, batch)
        ledger.record(connection, batch.attempt.token, status=Status.STAGED, staged_digest=digest, watermark=watermark)


# ---- the floor


def _floor(world: World, sandbox: Sandbox, dialect: Dialect, size: int) -> dict[str, float]:
    pages = -(-size // dialect.page_size)
    config = world.home / f"curl-{dialect.name}"
    config.write_text(_curl(sandbox, dialect, pages), encoding="utf-8")
    config.chmod(0o600)
    curl = ["curl", "--config", str(config)]
    with world.warehouse() as warehouse:
        floor.prepare(warehouse)
        world.settle()
        feeds, items = [curl], "r.page->'items'"
        if dialect is XML:
            feeds, items = [curl, [sys.executable, str(Path(__file__).with_name("xml_to_json.py"))]], "r.page"
        script = RAW + _from_json(f"jsonb_array_elements({items})", dialect)
        seconds = report.measured(lambda: warehouse.psql(script, feeds=feeds))
        if (landed := floor.landed(warehouse)) < size * _MOST:
            raise RuntimeError(f"the floor landed {landed} of {size} rows, so its time says nothing")
    return {"floor": seconds}


def _curl(sandbox: Sandbox, dialect: Dialect, pages: int) -> str:
    """A configuration file for curl: the key stays out of the list of processes."""
    if dialect is EGEN:
        header = f'header = "X-API-Key: {sandbox.key}"\n'
        url = f"{sandbox.url}/v1/aeds?page=[1-{pages}]&size={dialect.page_size}"
    else:
        header = ""
        url = (
            f"{sandbox.url}{dialect.path}/getAedFullDown?serviceKey={quote(sandbox.key, safe='')}"
            f"&pageNo=[1-{pages}]&numOfRows={dialect.page_size}"
        )
    return f'{header}url = "{url}"\nsilent\nfail\ncompressed\nwrite-out = "\\n"\n'


def _from_json(elements: str, dialect: Dialect) -> str:
    """Typed columns out of JSON objects, one row per key, upserted into the table with our DDL."""
    contract = reference.contract(dialect.name)
    kinds = {FieldType.DATE: "date", FieldType.DECIMAL: "numeric", FieldType.TIMESTAMP: "timestamptz"}
    plain = [field for field in contract.fields if not field.inputs]
    typed = ", ".join(f'"{field.source}" {kinds.get(field.type, "text")}' for field in plain)
    if all(field.source != contract.key for field in plain):
        typed += f', "{contract.key}" text'
    values = {"source_id": f's."{contract.key}"'}
    values |= {field.column: f's."{field.source}"' for field in plain}
    values["row_hash"] = "'\\x00'::bytea"
    values["longitude"] += "::numeric(11,8)"
    values["latitude"] += "::numeric(10,8)"
    rows = (
        f'(SELECT DISTINCT ON (x."{contract.key}") x.* FROM floor.raw AS r, {elements} AS e,'
        f" jsonb_to_record(e) AS x({typed})"
        " WHERE (x.{lon} IS NULL) = (x.{lat} IS NULL)) AS s"
    )
    lon, lat = (f'"{_source(dialect, column)}"' for column in ("longitude", "latitude"))
    return floor.upsert(rows.format(lon=lon, lat=lat), values)


def _source(dialect: Dialect, column: str) -> str:
    return next(field.source for field in reference.contract(dialect.name).fields if field.column == column)
