"""How a table of the warehouse appears in the Dagster UI: its columns with their meanings, taken from the schema."""

from collections.abc import Mapping, Sequence

import dagster as dg
from sqlalchemy import Table

from meva_pipelines.schema.base import sql_type

OWNER = "team:data-engineering"


def spec(
    table: Table,
    *,
    group: str,
    description: str,
    deps: list[dg.AssetKey] | None = None,
    partitions_def: dg.PartitionsDefinition[str] | None = None,
    freshness_policy: dg.FreshnessPolicy | None = None,
    metadata: Mapping[str, object] | None = None,
) -> dg.AssetSpec:
    """Return the asset spec of a table: key, name, column schema, owner and kind follow from the table."""
    return dg.AssetSpec(
        key(table),
        description=description,
        deps=deps or [],
        group_name=group,
        kinds={"postgres"},
        owners=[OWNER],
        partitions_def=partitions_def,
        freshness_policy=freshness_policy,
        metadata={
            "dagster/table_name": table.fullname,
            "dagster/column_schema": column_schema(table),
            **(metadata or {}),
        },
    )


def key(table: Table) -> dg.AssetKey:
    """Return the asset key of a table: its PostgreSQL schema and its name."""
    return dg.AssetKey([str(table.schema), table.name])


def column_schema(table: Table) -> dg.TableSchema:
    """Return the columns of a table with type, meaning and constraints."""
    unique = {index.columns[0].name for index in table.indexes if index.unique and len(index.columns) == 1}
    return dg.TableSchema(
        [
            dg.TableColumn(
                column.name,
                sql_type(column),
                column.comment,
                dg.TableColumnConstraints(nullable=bool(column.nullable), unique=column.name in unique),
            )
            for column in table.columns
        ]
    )


def markdown(rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows as a markdown table, numbers grouped by thousands."""
    if not rows:
        return "Nothing yet."
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(_cell(row[name]) for name in names) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return (
        f"{value:,}"
        if isinstance(value, int | float) and not isinstance(value, bool)
        else str(value).replace("|", "\\|")
    )
