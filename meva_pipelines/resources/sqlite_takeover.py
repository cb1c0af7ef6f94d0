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
from typing import Any, Final, LiteralString

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
            ids = _parents(connection, _PARENT[table], self.source)
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
            digests = "equal" if theirs.digest == ours.digest else "different"
            raise Rejected(
                f"{table} differs: {source_rows:,} old rows, {rows:,} taken, {aside:,} in quarantine, {ours.rows:,}"
                f" found here, digests {digests}. A row of that name was here before with other content, or one was"
                " changed since; mgg.takeovers has the counts"
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


def _prefix(source: Source) -> str:
    return f"{takeover.named(source.sha256, 0).rpartition('/')[0]}/%"


def _ids(connection: psycopg.Connection, table: str, source: Source) -> dict[str, int]:
    """Return the numbers of the rows that were taken, by their names."""
    old = next(old for old in takeover.TABLES if old.name == table)
    rows = connection.execute(
        sql.SQL("SELECT {key}, id FROM mgg.{table} WHERE %s OR {key} LIKE %s").format(
            key=sql.Identifier(old.key or "name"), table=sql.Identifier(table)
        ),
        [old.key is not None, _prefix(source)],
    ).fetchall()
    return dict(rows)


def _parents(connection: psycopg.Connection, table: str, source: Source) -> dict[str, tuple[int, Any]]:
    """Return number and age of the results whose series are taken, by name."""
    age = "created_at" if table == "forward_simulations" else "test_date"
    rows = connection.execute(
        sql.SQL("SELECT name, id, {} FROM mgg.{} WHERE name LIKE %s").format(
            sql.Identifier(age), sql.Identifier(table)
        ),
        [_prefix(source)],
    ).fetchall()
    return {name: (number, moment) for name, number, moment in rows}


def _file_ids(connection: psycopg.Connection, source: Source) -> dict[int, int]:
    """Return the numbers of the files that were taken, by their old ones."""
    rows = connection.execute(
        "SELECT t.name, f.position, f.id FROM mgg.test_result_files AS f JOIN mgg.test_results AS t"
        " ON t.id = f.test_result_id WHERE t.name LIKE %s",
        [_prefix(source)],
    ).fetchall()
    ids = {(name, position): number for name, position, number in rows}
    return {old: ids[place] for old, place in source.places().items() if place in ids}


def _aside(connection: psycopg.Connection, source: Source, table: str) -> set[str]:
    """Return what of a table waits in quarantine, as table and old numbers."""
    first = f"{source.sha256[:12]}/"
    rows = connection.execute(
        "SELECT name FROM mgg.quarantine WHERE subject = 'takeover' AND starts_with(name, %s)", [f"{first}{table}/"]
    ).fetchall()
    return {name.removeprefix(first) for (name,) in rows}


def _of(old: Old) -> LiteralString:
    """Return the condition on the rows without a natural key that were taken from one database."""
    match old.name:
        case "test_result_files":
            return "test_result_id IN (SELECT id FROM mgg.test_results WHERE name LIKE %s)"
        case "pt_comparisons":
            return "simulation_id IN (SELECT id FROM mgg.forward_simulations WHERE name LIKE %s) AND figures = '{{}}'"
        case "operation_logs":
            return "origin LIKE %s"
        case _:
            return "name LIKE %s"


def _tally_rows(connection: psycopg.Connection, source: Source, old: Old, tally: Tally) -> None:
    columns: list[sql.Composable] = [sql.Identifier(name) for name in old.plain]
    for column, table in old.references.items():
        key = next(other.key for other in takeover.TABLES if other.name == table) or "name"
        columns.append(
            sql.SQL("(SELECT {} FROM mgg.{} AS r WHERE r.id = t.{})").format(
                sql.Identifier(key), sql.Identifier(table), sql.Identifier(column)
            )
        )
    is_named = old.key is not None
    ours = sql.SQL("{} = ANY(%s)").format(sql.Identifier(old.key or "")) if is_named else sql.SQL(_of(old)).format()
    value: object = list(source.names(old.name).values()) if is_named else _prefix(source)
    with connection.cursor("tally") as cursor:
        cursor.execute(
            sql.SQL("SELECT {} FROM mgg.{} AS t WHERE {}").format(
                sql.SQL(", ").join(columns), sql.Identifier(old.name), ours
            ),
            [value],
        )
        for row in cursor:
            tally.add(takeover.canonical(row))


def _tally_curves(connection: psycopg.Connection, source: Source, table: str, tally: Tally) -> None:
    parent = _PARENT[table]
    for name, (number, _) in sorted(_parents(connection, parent, source).items()):
        if parent == "test_results":
            found = simulation_series.measured(connection, number)
        else:
            curve = simulation_series.simulated(connection, number)
            found = () if curve is None else (curve,)
        for one in found:
            tally.add(_canonical_curve(name, one), rows=one.points)


def _canonical_curve(name: str, curve: StoredCurve) -> bytes:
    return name.encode() + b"\x1f" + curve.encoded()
