"""The metrics of seed 001 §7.2 for Prometheus, computed from `ops.sync_runs` whenever they are asked for.

Nothing is counted in memory: counters neither fall when a process restarts nor miss what another process did.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import psycopg
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from meva_pipelines.domain import failures
from meva_pipelines.domain.alerts import SYNC_MODES
from meva_pipelines.domain.failures import MevaError
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.aed import AED_DATA
from meva_pipelines.schema.roles import Role

LOOPBACK = "127.0.0.1"
BUCKETS_S = (1, 5, 15, 30, 60, 120, 300, 600, 1_200, 1_800, 2_700, 3_600, 5_400, 7_200)
"""Upper bounds in seconds; 1,800 is the aim of seed 001 §6.1, 2,700 a warning and 3,600 critical (§7.3)."""

RECORDS = ("inserted", "updated", "unchanged", "quarantined", "missing")
ERRORS = tuple(
    error.__name__
    for error in (
        failures.Unavailable,
        failures.QuotaExhausted,
        failures.Incomplete,
        failures.Refused,
        failures.Rejected,
        failures.Superseded,
    )
)
"""Types that are shown from the start, at zero, so that the first error is seen as an increase."""


class SyncCollector(Collector):
    """The four series of the registry's syncs; each scrape is one snapshot of the ledger."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the ledger is not read before somebody asks."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Return the series; raises Unavailable or Refused when the ledger cannot be read."""
        with self._postgres.connect(Role.READER, work="metrics") as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            durations = connection.execute(
                "SELECT extract(epoch FROM finished_at - started_at)::float8 FROM ops.sync_runs"
                " WHERE subject = %s AND status = 'published' AND mode = ANY(%s) AND finished_at IS NOT NULL",
                _OF_SYNCS,
            ).fetchall()
            records, last_success_s = _published(connection)
            errors = connection.execute(
                "SELECT coalesce(error_type, 'unknown'), count(*) FROM ops.sync_runs WHERE subject = %s"
                " AND mode = ANY(%s) AND status IN ('failed', 'rejected') GROUP BY 1 ORDER BY 1",
                _OF_SYNCS,
            ).fetchall()
        yield _histogram([seconds for (seconds,) in durations])
        yield _counter("edgen_sync_records", "Records of published syncs by what became of them", "status", records)
        yield _counter(
            "edgen_sync_errors",
            "Syncs that failed or were rejected, by type of error",
            "type",
            dict.fromkeys(ERRORS, 0) | dict(errors),
        )
        last = GaugeMetricFamily(
            "edgen_sync_last_success_timestamp", "Time at which the newest sync was published, seconds since 1970 (UTC)"
        )
        if last_success_s is not None:
            last.add_metric([], last_success_s)
        yield last


_OF_SYNCS = [AED_DATA.fullname, sorted(SYNC_MODES)]


def _published(connection: psycopg.Connection) -> tuple[dict[str, int], float | None]:
    """Return the records of published syncs by status, and the time of the newest one."""
    row = connection.execute(
        "SELECT coalesce(sum(inserted_rows), 0)::bigint, coalesce(sum(updated_rows), 0)::bigint,"
        " coalesce(sum(unchanged_rows), 0)::bigint, coalesce(sum(quarantined_rows), 0)::bigint,"
        " coalesce(sum(missing_rows), 0)::bigint, extract(epoch FROM max(finished_at))::float8"
        " FROM ops.sync_runs WHERE subject = %s AND mode = ANY(%s) AND status = 'published'",
        _OF_SYNCS,
    ).fetchone()
    if row is None:
        raise failures.Unavailable("PostgreSQL returned no sums over the ledger")
    *counts, last_success_s = row
    return dict(zip(RECORDS, counts, strict=True)), last_success_s


def _histogram(durations_s: Sequence[float]) -> HistogramMetricFamily:
    buckets = [(str(float(bound)), float(sum(taken <= bound for taken in durations_s))) for bound in BUCKETS_S]
    buckets.append(("+Inf", float(len(durations_s))))
    family = HistogramMetricFamily(
        "edgen_sync_duration_seconds", "Duration of published syncs from the first request to the commit"
    )
    family.add_metric([], buckets, sum(durations_s))
    return family


def _counter(name: str, meaning: str, label: str, values: dict[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, meaning, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family


@contextmanager
def serving(postgres: Postgres, *, port: int) -> Iterator[int]:
    """Serve `/metrics` on this machine's loopback until the block ends; lends the port, a free one for 0.

    While the ledger cannot be read the answer is 503: no series at all, never zeros.
    """
    registry = CollectorRegistry()
    registry.register(SyncCollector(postgres))
    server = make_server(LOOPBACK, port, _honest(make_wsgi_app(registry)), _Server, _SilentHandler)
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _honest(app: WSGIApplication) -> WSGIApplication:
    """Answer 503 with the reason where the figures cannot be had."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            return app(environ, start_response)
        except (MevaError, psycopg.Error) as error:
            reason = str(error) if isinstance(error, MevaError) else f"PostgreSQL: {type(error).__name__}"
            start_response("503 Service Unavailable", [("Content-Type", "text/plain; charset=utf-8")])
            return [f"{reason}\n".encode()]

    return answer


class _Server(ThreadingMixIn, WSGIServer):
    """One thread for each scrape; none outlives the server."""

    daemon_threads = True


class _SilentHandler(WSGIRequestHandler):
    """Writes no access log."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the base class gives
        """Write nothing."""
