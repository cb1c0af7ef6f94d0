"""An old SQLite database taken over into `mgg`, chunk by chunk, and the proof that nothing was lost or changed.

Every chunk commits together with how far it came, so that a takeover that died goes on where it was. What cannot be
taken waits in `mgg.quarantine`. The proof reads both sides by themselves: rows taken + rows in quarantine = rows of the
old table, and the digests of what was taken are equal.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from hashlib import sha256
from itertools import islice
from typing import Final

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from meva_pipelines.domain.failures import Rejected, Unusable
from meva_pipelines.domain.simulation import takeover
from meva_pipelines.domain.simulation.curves import StoredCurve
from meva_pipelines.domain.simulation.takeover import Old, Tally, Value
from meva_pipelines.resources import failpoints, ledger, simulation_series
from meva_pipelines.resources.failpoints import Point
from meva_pipelines.resources.ledger import Attempt
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.resources.simulation_series import Measured, Simulated
from meva_pipelines.resources.sqlite_source import CURVES, Source
from meva_pipelines.schema.roles import Role

SUBJECT: Final = "mgg.takeovers"
ROWS_AT_ONCE, PARENTS_AT_ONCE = 500, 50

_NAMED: Final = ("forward_simulations", "reverse_simulations", "test_results")
_PARENT: Final = {"simulation_time_series": "forward_simulations", "test_time_series": "test_results"}


@dataclass(frozen=True, slots=True)
class Proof:
    """What was proved of a table."""

    table: str
    source_rows: int
    rows: int
    quarantined_rows: int
    digest: str


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
        return tuple(self._prove(table) for table in (*(old.name for old in takeover.TABLES), *CURVES))

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
            ids = _ids(connection, _PARENT[table], self.source)
            files = _file_ids(connection, self.source) if table == "test_time_series" else {}
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
                *(Jsonb({k: None if v is None else str(v) for k, v in payload.items()}), identity),
                *(self.attempt.token, self.attempt.token),
            ],
        )

    def _prove(self, table: str) -> Proof:
        with self.postgres.connect(Role.WRITER, work=f"prove {table}") as connection:
            aside = _aside(connection, self.source, table)
            ours, theirs = Tally(), Tally()
            source_rows = 0
            if table in CURVES:
                for parent, found in self.source.curves(table):
                    for file, curve, rows in found:
                        source_rows += rows
                        if f"{table}/{parent}/{file}" not in aside and isinstance(curve, StoredCurve):
                            theirs.add(_canonical_curve(takeover.named(self.source.sha256, parent), curve), rows=rows)
                _tally_curves(connection, self.source, table, ours)
            else:
                old = next(old for old in takeover.TABLES if old.name == table)
                names = {other: self.source.names(other) for other in set(old.references.values())}
                for number, row in self.source.rows(old):
                    source_rows += 1
                    if f"{table}/{number}" not in aside:
                        plain, references = self.typed(old, row, names)
                        theirs.add(takeover.canonical(takeover.in_order(old, plain, references)))
                _tally_rows(connection, self.source, old, ours)
            return self._record(connection, table, source_rows, theirs, ours)

    def typed(
        self, old: Old, row: Mapping[str, object], names: Mapping[str, Mapping[int, str]]
    ) -> tuple[dict[str, Value], dict[str, str | None]]:
        """Return a row in typed form, and what it refers to by name.

        Raises:
            Unusable: `value_is_typed`, or `reference_exists` with the column.
        """
        plain = takeover.convert(old, row, zone=self.zone)
        references: dict[str, str | None] = {}
        for column, table in old.references.items():
            number = row.get(column)
            references[column] = None if number is None else names[table].get(int(str(number)))
            if number is not None and references[column] is None:
                raise Unusable(f"{column} refers to no row", rule="reference_exists", field=column)
        return plain, references

    def _record(
        self, connection: psycopg.Connection, table: str, source_rows: int, theirs: Tally, ours: Tally
    ) -> Proof:
        row = connection.execute(
            "SELECT rows, quarantined_rows FROM mgg.takeovers WHERE source_sha256 = %s AND table_name = %s",
            [self.source.sha256, table],
        ).fetchone()
        rows, aside = row or (0, 0)
        if (source_rows, theirs.rows, theirs.digest) != (rows + aside, ours.rows, ours.digest):
            raise Rejected(
                f"{table} differs: {source_rows:,} old rows, {rows:,} taken, {aside:,} in quarantine, {ours.rows:,} found"
                f" here, digests {'equal' if theirs.digest == ours.digest else 'differ'}. A row of that name was here"
                " before with other content, or one was changed since; mgg.takeovers has the counts"
            )
        connection.execute(
            "UPDATE mgg.takeovers SET source_rows = %s, source_digest = %s, target_digest = %s,"
            " proved_at = clock_timestamp() WHERE source_sha256 = %s AND table_name = %s",
            [source_rows, theirs.digest, ours.digest, self.source.sha256, table],
        )
        return Proof(table, source_rows, rows, aside, ours.digest)


class _Writer:
    """Writes rows of one old table in the transaction of a chunk."""

    def __init__(self, connection: psycopg.Connection, takeover_: Takeover, old: Old) -> None:
        """Look up what rows refer to."""
        self._connection, self._takeover, self._old = connection, takeover_, old
        source = takeover_.source
        self._names = {table: source.names(table) for table in set(old.references.values())}
        self._ids = {table: _ids(connection, table, source) for table in self._names}
        self._places = source.places() if old.name == "test_result_files" else {}

    def write(self, number: int, row: Mapping[str, object]) -> bool:
        """Write one row, or put it aside; True when it is there afterwards."""
        try:
            plain, names = self._takeover.typed(self._old, row, self._names)
            if self._old.name == "users" and names["created_by"] is not None:
                self._ids["users"] = _ids(self._connection, "users", self._takeover.source)
            references: dict[str, Value] = {}
            for column, name in names.items():
                references[column] = None if name is None else self._ids[self._old.references[column]].get(name)
                if name is not None and references[column] is None:
                    raise Unusable(f"{column} refers to a row that was not taken", rule="parent_is_taken", field=column)
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

    def _insert(self, values: Mapping[str, object]) -> None:
        self._connection.execute(
            sql.SQL("INSERT INTO mgg.{} ({}) VALUES ({}) ON CONFLICT DO NOTHING").format(
                sql.Identifier(self._old.name),
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join(sql.Placeholder() * len(values)),
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


def _placed(
    curve: StoredCurve | Unusable, parent: tuple[int, object] | None, file: int | None, table: str
) -> Simulated | Measured | Unusable:
    """Return a curve with the numbers under which it is written."""
    if isinstance(curve, Unusable):
        return curve
    if parent is None or (table == "test_time_series" and file is None):
        return Unusable("the series belongs to a row that was not taken", rule="parent_is_taken")
    raise NotImplementedError
