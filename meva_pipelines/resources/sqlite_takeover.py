"""An old SQLite database taken over into `mgg`, chunk by chunk; `sqlite_proof` proves that nothing was lost or changed.

Every chunk commits together with how far it came, so that a takeover that died goes on where it was. What cannot be
taken waits in `mgg.quarantine`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from hashlib import sha256
from itertools import islice
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.simulation import takeover
from meva_pipelines.domain.simulation.curves import StoredCurve
from meva_pipelines.domain.simulation.takeover import Old, Value
from meva_pipelines.resources import failpoints, ledger, simulation_series, sqlite_places, sqlite_proof
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.ledger import Attempt
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.simulation_series import Measured, Simulated
from meva_pipelines.resources.sqlite_proof import Proof
from meva_pipelines.resources.sqlite_source import CURVES, Source
from meva_pipelines.schema.roles import Role

SUBJECT: Final = "mgg.takeovers"
ROWS_AT_ONCE, PARENTS_AT_ONCE = 500, 50


@dataclass(frozen=True, slots=True)
class Takeover:
    """One takeover: the old database, the attempt that takes it over, and the zone of its naive times."""

    postgres: Postgres
    source: Source
    attempt: Attempt
    zone: tzinfo

    def run(self) -> tuple[Proof, ...]:
        """Take every table over and prove it.

        Raises:
            Rejected: a table differs; what was taken stays and is told in `mgg.takeovers`.
            Superseded: a newer takeover of the same database is under way.
        """
        for old in takeover.TABLES:
            while self._take_rows(old):
                failpoints.reach(Point.TAKEOVER_CHUNK_COMMITTED)
        for table in CURVES:
            while self._take_curves(table):
                failpoints.reach(Point.TAKEOVER_CHUNK_COMMITTED)
        failpoints.reach(Point.TAKEOVER_BEFORE_PROOF)
        return sqlite_proof.proved(self.postgres, self.source, zone=self.zone)

    @contextmanager
    def _chunk(self, table: str) -> Iterator[tuple[psycopg.Connection, int]]:
        """Lend the transaction of a chunk with the old number up to which a table is taken."""
        with self.postgres.connect(Role.WRITER, work=f"take over {table}") as connection:
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [SUBJECT])
            ledger.demand_current(connection, self.attempt)
            row = connection.execute(
                "INSERT INTO mgg.takeovers AS t (source_sha256, table_name, token) VALUES (%s, %s, %s)"
                " ON CONFLICT (source_sha256, table_name) DO UPDATE SET token = EXCLUDED.token RETURNING last_id",
                [self.source.sha256, table, self.attempt.token],
            ).fetchone()
            yield connection, int(row[0]) if row else 0
            failpoints.reach(Point.TAKEOVER_ROWS_WRITTEN)

    def _advance(self, connection: psycopg.Connection, table: str, last: int, taken: int, aside: int) -> None:
        connection.execute(
            "UPDATE mgg.takeovers SET last_id = %s, rows = rows + %s, quarantined_rows = quarantined_rows + %s"
            " WHERE source_sha256 = %s AND table_name = %s",
            [last, taken, aside, self.source.sha256, table],
        )

    def _take_rows(self, old: Old) -> bool:
        """Take one chunk of a table; False when there is none left."""
        with self._chunk(old.name) as (connection, last):
            rows = list(self.source.rows(old, after=last, limit=ROWS_AT_ONCE))
            if not rows:
                return False
            writer = _Writer(connection, self, old)
            taken = sum(writer.write(number, row) for number, row in rows)
            self._advance(connection, old.name, rows[-1][0], taken, len(rows) - taken)
        return True

    def _take_curves(self, table: str) -> bool:
        """Take the curves of some parents; False when there is none left."""
        with self._chunk(table) as (connection, last):
            parents = list(islice(self.source.curves(table, after=last), PARENTS_AT_ONCE))
            if not parents:
                return False
            ids = sqlite_places.parents(connection, sqlite_places.PARENT[table], self.source)
            files = sqlite_places.file_ids(connection, self.source) if table == "test_time_series" else {}
            curves: list[Simulated | Measured] = []
            aside = 0
            for parent, found in parents:
                for file, curve, rows in found:
                    name = takeover.named(self.source.sha256, parent)
                    ready = _placed(curve, ids.get(name), files.get(file) if file is not None else None, table)
                    if isinstance(ready, Unusable):
                        self.put_aside(connection, f"{table}/{parent}/{file}", ready, {"rows": rows})
                        aside += rows
                    else:
                        curves.append(ready)
            taken = _copy(connection, table, curves)
            self._advance(connection, table, parents[-1][0], taken, aside)
        return True

    def put_aside(
        self, connection: psycopg.Connection, name: str, error: Unusable, payload: Mapping[str, object]
    ) -> None:
        """Write what cannot be taken to the quarantine."""
        identity = sha256(f"{self.source.sha256}/{name}".encode()).digest()
        connection.execute(
            "INSERT INTO mgg.quarantine (subject, name, rule, field, reason, payload, payload_hash, first_token,"
            " last_token) VALUES ('takeover', %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [
                *(f"{self.source.sha256[:12]}/{name}", error.rule, error.field, str(error)),
                *(Jsonb({name: _kept(value) for name, value in payload.items()}), identity),
                *(self.attempt.token, self.attempt.token),
            ],
        )


class _Writer:
    """Writes rows of one old table in the transaction of a chunk."""

    def __init__(self, connection: psycopg.Connection, takeover_: Takeover, old: Old) -> None:
        """Look up what rows refer to."""
        self._connection, self._takeover, self._old = connection, takeover_, old
        source = takeover_.source
        self._names = {table: source.names(table) for table in set(old.references.values())}
        self._ids = {table: sqlite_places.ids(connection, table, source) for table in self._names}
        self._places = source.places() if old.name == "test_result_files" else {}

    def write(self, number: int, row: Mapping[str, object]) -> bool:
        """Write one row, or put it aside; True when it is there afterwards."""
        try:
            plain, names = takeover.typed(self._old, row, self._names, zone=self._takeover.zone)
            if self._old.name == "users" and names["created_by"] is not None:
                self._ids["users"] = sqlite_places.ids(self._connection, "users", self._takeover.source)
            references = self._numbers(names)
            with self._connection.transaction():
                self._insert({**plain, **references, **self._more(number, plain, references)})
        except Unusable as error:
            wrong = error
        except (psycopg.IntegrityError, psycopg.DataError) as error:
            rule = error.diag.constraint_name or error.diag.column_name or type(error).__name__
            wrong = Unusable(f"the row breaks {rule}", rule=type(error).__name__, field=rule)
        else:
            return True
        self._takeover.put_aside(self._connection, f"{self._old.name}/{number}", wrong, row)
        return False

    def _numbers(self, names: Mapping[str, str | None]) -> dict[str, Value]:
        """Return the numbers of what a row refers to by name."""
        found: dict[str, Value] = {}
        for column, name in names.items():
            found[column] = None if name is None else self._ids[self._old.references[column]].get(name)
            if name is not None and found[column] is None:
                raise Unusable(f"{column} refers to a row that was not taken", rule="parent_is_taken", field=column)
        return found

    def _insert(self, values: Mapping[str, object]) -> None:
        """Insert a row; one of its natural key that is here already stays, and the proof says whether it is equal."""
        unless = sql.SQL("ON CONFLICT ({}) DO NOTHING").format(sql.Identifier(self._old.key or ""))
        self._connection.execute(
            sql.SQL("INSERT INTO mgg.{} ({}) VALUES ({}) {}").format(
                sql.Identifier(self._old.name),
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join(sql.Placeholder() * len(values)),
                sql.SQL("") if self._old.key is None else unless,
            ),
            list(values.values()),
        )

    def _more(self, number: int, plain: Mapping[str, Value], references: Mapping[str, Value]) -> dict[str, object]:
        """Return the columns that the old table has no counterpart of."""
        name = takeover.named(self._takeover.source.sha256, number)
        match self._old.name:
            case "forward_simulations" | "reverse_simulations" | "test_results" as table:
                recorded = {"recorded_at": plain["created_at"]} if table == "test_results" else {}
                digest = sha256(takeover.canonical(plain.values())).hexdigest()
                version = {"version": 1, "is_current": True, "content_sha256": digest}
                return {"name": name, "token": self._takeover.attempt.token, **version, **recorded}
            case "test_result_files":
                row = self._connection.execute(
                    "SELECT test_date FROM mgg.test_results WHERE id = %s", [references["test_result_id"]]
                ).fetchone()
                return {"position": self._places[number][1], "test_date": row[0] if row else None}
            case "pt_comparisons":
                has_figures = None not in {plain["rmse"], plain["peak_pressure_diff"], plain["peak_time_diff"]}
                return {
                    "alignment": "raw",
                    "method_version": f"old-{number}",
                    "is_comparable": has_figures,
                    "reason": None if has_figures else "the old system stored no figures",
                    "withheld": Jsonb({}),
                    "figures": Jsonb({}),
                    "simulation_sha256": "",
                    "test_sha256": "",
                }
            case "operation_logs":
                moment = plain["created_at"] if isinstance(plain["created_at"], datetime) else datetime.now(UTC)
                self._connection.execute("SELECT mgg.ensure_partition('operation_logs', %s)", [moment])
                return {"origin": name}
            case _:
                return {}


def _kept(value: object) -> str | None:
    """Return a value as it waits in quarantine; jsonb holds no NUL."""
    return None if value is None else str(value).replace("\0", "\N{SYMBOL FOR NULL}")


def _placed(
    curve: StoredCurve | Unusable, parent: tuple[int, Any] | None, file: int | None, table: str
) -> Simulated | Measured | Unusable:
    """Return a curve with the numbers under which it is written."""
    if isinstance(curve, Unusable):
        return curve
    if parent is None or (table == "test_time_series" and file is None):
        return Unusable("the series belongs to a row that was not taken", rule="parent_is_taken")
    number, age = parent
    return Simulated(number, age, curve) if file is None else Measured(number, file, age, curve)


def _copy(connection: psycopg.Connection, table: str, curves: Sequence[Simulated | Measured]) -> int:
    """Write curves and the figures that their rows state of them; returns how many points."""
    ages = [curve.created_at if isinstance(curve, Simulated) else curve.test_date for curve in curves]
    simulation_series.ensure_partitions(connection, table, ages)
    is_simulated = table == "simulation_time_series"
    statement = simulation_series.COPY_SIMULATED if is_simulated else simulation_series.COPY_MEASURED
    points = simulation_series.copy(connection, statement, iter(curves))
    with connection.cursor() as cursor:
        if is_simulated:
            cursor.executemany(
                "UPDATE mgg.forward_simulations SET curve_sha256 = %s WHERE id = %s",
                [(curve.curve.sha256, curve.simulation_id) for curve in curves if isinstance(curve, Simulated)],
            )
        else:
            cursor.executemany(
                "UPDATE mgg.test_result_files SET curve_sha256 = %s, num_data_points = %s, peak_time = %s,"
                " peak_pressure = %s WHERE id = %s",
                [
                    (curve.curve.sha256, curve.curve.points, *curve.curve.peak, curve.file_id)
                    for curve in curves
                    if isinstance(curve, Measured)
                ],
            )
    return points
