"""How the points of tensile tests are laid out: hash partitions, or a hypertable where TimescaleDB is.

One table cannot be both. Plain PostgreSQL spreads the tests over partitions; with the extension the points lie in
chunks of one day of `timestamp`, compressed by test and ordered by time where the licence of the server allows it.
"""

from collections.abc import Iterator
from enum import StrEnum

from sqlalchemy import Connection, text

PARTITIONS = 8
_TABLE = "meva.tensile_data"
_EXTENSION_SCHEMA = "timescale"
_LOADER_SETTING = "timescaledb.disable_load"
"""Known to a server whose `shared_preload_libraries` hold the extension, which anybody may see."""


class Layout(StrEnum):
    """Which layout a migration makes; `AUTO` takes the hypertable where the server has TimescaleDB loaded."""

    AUTO = "auto"
    PARTITIONS = "partitions"
    HYPERTABLE = "hypertable"


def chosen(connection: Connection, wanted: Layout) -> Layout:
    """Return the layout for a server: what is wanted, or for `AUTO` what it offers."""
    if wanted is not Layout.AUTO:
        return wanted
    is_loaded = connection.execute(text(f"SELECT current_setting('{_LOADER_SETTING}', true) IS NOT NULL")).scalar()
    return Layout.HYPERTABLE if is_loaded else Layout.PARTITIONS


def partitions() -> Iterator[str]:
    """Yield the statements that make the hash partitions."""
    for number in range(PARTITIONS):
        yield (
            f"CREATE TABLE {_TABLE}_{number} PARTITION OF {_TABLE}"
            f" FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {number})"
        )


def make_hypertable(connection: Connection) -> None:
    """Turn the empty table into a hypertable with one-day chunks, compressed after a week where that is licensed.

    The extension gets a schema of its own; one that is installed already stays where it is, and the owner role needs
    USAGE on that schema.
    """
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {_EXTENSION_SCHEMA}"))
    connection.execute(text(f"CREATE EXTENSION IF NOT EXISTS timescaledb SCHEMA {_EXTENSION_SCHEMA}"))
    connection.execute(
        text(
            "SELECT set_config('search_path', extnamespace::regnamespace::text, true) FROM pg_extension"
            " WHERE extname = 'timescaledb'"
        )
    )
    connection.execute(
        text(
            f"SELECT create_hypertable('{_TABLE}', by_range('timestamp', INTERVAL '1 day'),"
            " create_default_indexes => false)"
        )
    )
    if connection.execute(text("SELECT current_setting('timescaledb.license')")).scalar() == "timescale":
        connection.execute(
            text(
                f"ALTER TABLE {_TABLE} SET (timescaledb.compress, timescaledb.compress_segmentby = 'test_id',"
                " timescaledb.compress_orderby = 'timestamp')"
            )
        )
        connection.execute(text(f"SELECT add_compression_policy('{_TABLE}', INTERVAL '7 days')"))
    connection.execute(text("SET LOCAL search_path TO DEFAULT"))
