"""The two views of the schema `mgg`, as far as grants need to know them; their SQL is in the migration.

Views run with the rights of their owner, so that who reads one needs no right to the tables below it; columns that
name a person are kept from the reader as in the tables.
"""

from sqlalchemy import BigInteger, Column, Date, DateTime, MetaData, Numeric, String, Table

VIEWS = MetaData()
"""Views hang on a MetaData of their own: nothing creates them from it."""

V_ACTIVE_SIMULATIONS = Table(
    "v_active_simulations",
    VIEWS,
    Column("id", BigInteger),
    Column("work_order_number", String(50)),
    Column("username", String(50)),
    Column("full_name", String(100)),
    Column("nc_amount", Numeric(10, 4)),
    Column("peak_pressure", Numeric(10, 4)),
    Column("peak_time", Numeric(10, 4)),
    Column("created_at", DateTime(timezone=True)),
    schema="mgg",
)

V_TEST_RESULTS_SUMMARY = Table(
    "v_test_results_summary",
    VIEWS,
    Column("id", BigInteger),
    Column("work_order_number", String(50)),
    Column("username", String(50)),
    Column("tester_id", String(50)),
    Column("device_name", String(100)),
    Column("test_date", Date),
    Column("file_count", BigInteger),
    Column("created_at", DateTime(timezone=True)),
    schema="mgg",
)
