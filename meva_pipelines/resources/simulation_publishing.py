"""Publication of simulations and firings: the statements that run inside the publishing transaction.

Whether they may run is decided in `publishing`; what is staged, in `simulation_staging`. Results are immutable: a
content that is there already is left alone, another one of the same name becomes a version beside it.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import psycopg
from psycopg import sql
from sqlalchemy import Table

from meva_pipelines.domain.failures import Unavailable
from meva_pipelines.domain.simulation import curves
from meva_pipelines.domain.simulation.curves import StoredCurve
from meva_pipelines.domain.simulation.documents import Kind
from meva_pipelines.resources import failpoints, simulation_catalogue, simulation_series
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.simulation_series import Measured, Simulated
from meva_pipelines.resources.staged_rows import StagedRows
from meva_pipelines.schema import mgg_curves

_POINT_BYTES = 16


@dataclass(frozen=True, slots=True)
class _Lookup:
    """A column that holds the number of another row: the table, its natural key, and the name in the payload."""

    table: str
    key: str
    name: str


_ORDER, _USER = _Lookup("work_orders", "work_order_number", "work_order"), _Lookup("users", "username", "user")
_SIMULATED = {
    "work_order_id": _ORDER,
    "user_id": _USER,
    "igniter_type_id": _Lookup("igniter_types", "type_code", "igniter_type"),
}
_TESTED = {"test_device_id": _Lookup("test_devices", "device_code", "device")}


@dataclass(frozen=True, slots=True)
class _Target:
    """Where results of a kind go: plain columns, columns looked up, and what orders their versions."""

    table: Table
    plain: tuple[str, ...]
    lookups: Mapping[str, _Lookup]
    order: str


_RUN = ("name", "created_at", "model_version", "status", "execution_time", "error_message", "shell_height")
_TARGETS: Mapping[Kind, _Target] = {
    Kind.FORWARD: _Target(
        mgg_curves.FORWARD_SIMULATIONS,
        (
            *(*_RUN, "current_condition", "nc_amount", "gp_amount", "num_models", "r_squared"),
            *("peak_pressure", "peak_time", "num_data_points", "curve_sha256"),
        ),
        {
            **_SIMULATED,
            "nc_type_id": _Lookup("nc_types", "type_code", "nc_type"),
            "gp_type_id": _Lookup("gp_types", "type_code", "gp_type"),
        },
        "created_at",
    ),
    Kind.REVERSE: _Target(
        mgg_curves.REVERSE_SIMULATIONS,
        (
            *(*_RUN, "current_condition", "pressure_data_file"),
            *("predicted_nc_amount", "predicted_gp_amount", "confidence_score"),
        ),
        {
            **_SIMULATED,
            **_TESTED,
            "predicted_nc_type_id": _Lookup("nc_types", "type_code", "predicted_nc_type"),
            "predicted_gp_type_id": _Lookup("gp_types", "type_code", "predicted_gp_type"),
        },
        "created_at",
    ),
    Kind.FIRING: _Target(
        mgg_curves.TEST_RESULTS,
        ("name", "tester_id", "test_date", "notes", "status", "recorded_at"),
        {"work_order_id": _ORDER, "user_id": _USER, **_TESTED},
        "recorded_at",
    ),
}
_FILE_COLUMNS = (
    *("position", "file_name", "file_path", "file_size", "file_type", "content_sha256"),
    *("num_data_points", "peak_pressure", "peak_time", "curve_sha256"),
)


@dataclass(frozen=True, slots=True)
class Published:
    """What a publication changed: results by kind, versions beside older ones among them, points."""

    forward_simulations: int
    reverse_simulations: int
    test_results: int
    references: int
    further_versions: int
    points: int

    @property
    def results(self) -> int:
        """Results written, of whatever kind."""
        return self.forward_simulations + self.reverse_simulations + self.test_results

    def figures(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)


def publish(connection: psycopg.Connection, rows: StagedRows, store: ObjectStore) -> Published:
    """Make a staged batch visible. Runs inside `publishing.publication`, which commits it.

    Raises:
        Unavailable: a staged curve is not the one that was judged.
        Rejected: not every point arrived.
    """
    references = _references(connection, rows)
    written = {kind: _insert(connection, rows, kind, target) for kind, target in _TARGETS.items()}
    further = sum(_rank(connection, target, names) for target, names in _touched(written))
    _insert_files(connection, rows)
    failpoints.reach(Point.SIMULATION_RESULTS_WRITTEN)
    points = _copy_simulated(connection, rows, store) + _copy_measured(connection, rows, store)
    failpoints.reach(Point.SIMULATION_SERIES_COPIED)
    _release(connection, rows)
    return Published(
        forward_simulations=len(written[Kind.FORWARD]),
        reverse_simulations=len(written[Kind.REVERSE]),
        test_results=len(written[Kind.FIRING]),
        references=references,
        further_versions=further,
        points=points,
    )


def _references(connection: psycopg.Connection, rows: StagedRows) -> int:
    found = connection.execute(
        sql.SQL("SELECT kind, payload FROM {} WHERE kind = ANY(%s) ORDER BY name, content_sha256").format(rows.table),
        [[Kind.REGISTER.value, Kind.MODEL.value]],
    ).fetchall()
    simulation_catalogue.keep_registers(connection, [payload for kind, payload in found if kind == Kind.REGISTER])
    for kind, payload in found:
        if kind == Kind.MODEL:
            simulation_catalogue.keep_model(connection, payload)
    return len(found)


def _insert(connection: psycopg.Connection, rows: StagedRows, kind: Kind, target: _Target) -> list[str]:
    """Insert the results of a kind that are not there yet, and return their names."""
    plain = [sql.Identifier(name) for name in target.plain]
    looked_up = [
        sql.SQL("(SELECT id FROM mgg.{} WHERE {} = s.payload->>{})").format(
            sql.Identifier(lookup.table), sql.Identifier(lookup.key), sql.Literal(lookup.name)
        )
        for lookup in target.lookups.values()
    ]
    written = connection.execute(
        sql.SQL(
            "INSERT INTO {table} ({names}, content_sha256, version, is_current, token)"
            " SELECT {values}, s.content_sha256, 0, false, %s"
            " FROM {staged} AS s CROSS JOIN LATERAL jsonb_populate_record(NULL::{table}, s.payload) AS p"
            " WHERE s.kind = %s ORDER BY s.stated_at, s.content_sha256"
            " ON CONFLICT (name, content_sha256) DO NOTHING RETURNING name"
        ).format(
            table=_identifier(target.table),
            names=sql.SQL(", ").join([*plain, *map(sql.Identifier, target.lookups)]),
            values=sql.SQL(", ").join([*(sql.SQL("p.{}").format(name) for name in plain), *looked_up]),
            staged=rows.table,
        ),
        [rows.attempt.token, kind.value],
    ).fetchall()
    return [name for (name,) in written]


def _touched(written: Mapping[Kind, Sequence[str]]) -> Iterator[tuple[_Target, Sequence[str]]]:
    return ((_TARGETS[kind], names) for kind, names in written.items() if names)


def _rank(connection: psycopg.Connection, target: _Target, names: Sequence[str]) -> int:
    """Number the versions of some names by stated time and content, and say which one counts.

    Returns how many of the names have more than one version.
    """
    ranked = sql.SQL(
        "SELECT id, row_number() OVER w AS version, row_number() OVER w = count(*) OVER (PARTITION BY name) AS is_last"
        " FROM {table} WHERE name = ANY(%s) WINDOW w AS (PARTITION BY name ORDER BY {order}, content_sha256)"
    ).format(table=_identifier(target.table), order=sql.Identifier(target.order))
    outranked = sql.SQL(
        "UPDATE {table} AS t SET is_current = false FROM ({ranked}) AS r WHERE r.id = t.id AND t.is_current"
        " AND NOT r.is_last"
    )
    numbered = sql.SQL(
        "UPDATE {table} AS t SET version = r.version, is_current = r.is_last FROM ({ranked}) AS r WHERE r.id = t.id"
        " AND (t.version, t.is_current) IS DISTINCT FROM (r.version, r.is_last)"
    )
    for statement in (outranked, numbered):
        connection.execute(statement.format(table=_identifier(target.table), ranked=ranked), [list(names)])
    row = connection.execute(
        sql.SQL("SELECT count(DISTINCT name) FROM {} WHERE name = ANY(%s) AND version > 1").format(
            _identifier(target.table)
        ),
        [list(names)],
    ).fetchone()
    return 0 if row is None else int(row[0])


def _insert_files(connection: psycopg.Connection, rows: StagedRows) -> None:
    columns = [sql.Identifier(name) for name in _FILE_COLUMNS]
    connection.execute(
        sql.SQL(
            "INSERT INTO mgg.test_result_files (test_result_id, test_date, {names}) SELECT t.id, t.test_date, {values}"
            " FROM {staged} AS s JOIN mgg.test_results AS t USING (name, content_sha256) CROSS JOIN LATERAL"
            " jsonb_populate_recordset(NULL::mgg.test_result_files, s.payload->'files') AS f"
            " WHERE s.kind = %s AND t.token = %s ORDER BY t.id, f.position"
        ).format(
            names=sql.SQL(", ").join(columns),
            values=sql.SQL(", ").join(sql.SQL("f.{}").format(name) for name in columns),
            staged=rows.table,
        ),
        [Kind.FIRING.value, rows.attempt.token],
    )


def _copy_simulated(connection: psycopg.Connection, rows: StagedRows, store: ObjectStore) -> int:
    found = connection.execute(
        sql.SQL(
            "SELECT f.id, f.created_at, s.curve_key, f.curve_sha256 FROM {} AS s"
            " JOIN mgg.forward_simulations AS f USING (name, content_sha256)"
            " WHERE s.kind = %s AND f.token = %s AND s.curve_key IS NOT NULL ORDER BY f.id"
        ).format(rows.table),
        [Kind.FORWARD.value, rows.attempt.token],
    ).fetchall()
    if not found:
        return 0
    simulation_series.ensure_partitions(connection, "simulation_time_series", [created for _, created, *_ in found])
    return simulation_series.copy(
        connection,
        simulation_series.COPY_SIMULATED,
        (Simulated(number, created, _curve(store.get(key), sha256)) for number, created, key, sha256 in found),
    )


def _copy_measured(connection: psycopg.Connection, rows: StagedRows, store: ObjectStore) -> int:
    found = connection.execute(
        sql.SQL(
            "SELECT t.id, t.test_date, s.curve_key, array_agg(f.id ORDER BY f.position),"
            " array_agg(f.num_data_points ORDER BY f.position), array_agg(f.curve_sha256 ORDER BY f.position)"
            " FROM {} AS s JOIN mgg.test_results AS t USING (name, content_sha256)"
            " JOIN mgg.test_result_files AS f ON f.test_result_id = t.id"
            " WHERE s.kind = %s AND t.token = %s GROUP BY t.id, t.test_date, s.curve_key ORDER BY t.id"
        ).format(rows.table),
        [Kind.FIRING.value, rows.attempt.token],
    ).fetchall()
    if not found:
        return 0
    simulation_series.ensure_partitions(connection, "test_time_series", [day for _, day, *_ in found])

    def measured() -> Iterator[Measured]:
        for number, day, key, files, sizes, digests in found:
            content, first = store.get(key), 0
            for file, size, sha256 in zip(files, sizes, digests, strict=True):
                end = first + size * _POINT_BYTES
                yield Measured(number, file, day, _curve(content[first:end], sha256))
                first = end

    return simulation_series.copy(connection, simulation_series.COPY_MEASURED, measured())


def _curve(content: bytes, sha256: str) -> StoredCurve:
    if hashlib.sha256(content).hexdigest() != sha256:
        raise Unavailable("a staged curve is not the one that was judged: its SHA-256 differs; stage the batch again")
    return curves.decoded(content)


def _release(connection: psycopg.Connection, rows: StagedRows) -> None:
    """Release what waits under the name, or from the bundle, of a result of the same way in that is published now."""
    connection.execute(
        sql.SQL(
            "UPDATE mgg.quarantine AS q SET released_at = clock_timestamp() FROM {} AS s"
            " WHERE q.released_at IS NULL AND q.last_token < %s AND (q.name = s.name OR q.object_key = s.bundle_key)"
            " AND q.subject = CASE s.kind WHEN %s THEN 'firing' ELSE 'simulation' END"
        ).format(rows.table),
        [rows.attempt.token, Kind.FIRING.value],
    )


def _identifier(table: Table) -> sql.Identifier:
    return sql.Identifier(str(table.schema), table.name)
