"""`python -m meva_pipelines.query TABLE`: rows of an archived table, hot and cold as one, for a person or a program.

Columns that may tell of a person are not offered. What is asked is checked and answered by `resources/hot_and_cold`.
"""

import os
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import click

from meva_pipelines.domain.archive import filters
from meva_pipelines.domain.archive.declared import TABLES
from meva_pipelines.domain.archive.filters import Both
from meva_pipelines.domain.archive.queries import Query, Sort
from meva_pipelines.domain.failures import MevaError, Refused, Rejected, Unavailable
from meva_pipelines.local import environment
from meva_pipelines.resources import answer_files, archive_predicates, hot_and_cold
from meva_pipelines.resources.answer_files import Form
from meva_pipelines.resources.cold_files import ColdFiles
from meva_pipelines.resources.cold_rows import Effort
from meva_pipelines.resources.hot_and_cold import Answer
from meva_pipelines.resources.object_store import ObjectStore
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines.schema.roles import Role

SHOWN_ROWS = 20
"""Rows of a table on the screen when no limit is given; the others are counted."""

_CELL_WIDTH = 40
_EXIT_CODES = {Refused: 2, Rejected: 3, Unavailable: 4}


@dataclass(frozen=True, slots=True)
class Places:
    """Where rows lie."""

    postgres: Postgres
    files: ColdFiles


@click.command()
@click.argument("table", type=click.Choice(list(TABLES)))
@click.option(
    "--filter", "words", nargs=3, multiple=True, metavar="FIELD OP VALUE", help="A condition; all of them must hold."
)
@click.option("--where", default="", metavar="JSON", help="A tree of conditions with and, or, not.")
@click.option("--columns", default="", metavar="A,B", help="Columns, between commas; all without it.")
@click.option("--sort", multiple=True, metavar="[-]FIELD", help="Sort by a field, descending with a minus.")
@click.option("--limit", type=int, help="At most so many rows.")
@click.option("--offset", type=int, default=0, help="Leave out so many rows; needs --sort.")
@click.option(
    "--output",
    type=click.Choice(["table", *(form.value for form in Form)]),
    default="table",
    show_default=True,
    help="Form.",
)
@click.option("--to", type=click.Path(path_type=Path), help="A new file instead of the screen.")
@click.option("--count", is_flag=True, help="Only count the rows that the filter chooses.")
@click.option("--explain", is_flag=True, help="Say which cold files were read, how far, and why others were not.")
def main(  # noqa: PLR0913, PLR0917 - one option each, as click passes them
    table: str,
    words: Sequence[tuple[str, str, str]],
    where: str,
    columns: str,
    sort: Sequence[str],
    limit: int | None,
    offset: int,
    output: str,
    to: Path | None,
    count: bool,  # noqa: FBT001 - a switch of the command line
    explain: bool,  # noqa: FBT001 - the same
) -> None:
    """Show rows of TABLE, hot in PostgreSQL and cold in Parquet files alike.

    Operators: eq ne gt gte lt lte in not_in like. A VALUE of null is NULL; in and not_in take values between commas or
    a JSON list. Ends with 2 when the question cannot be asked, 3 when a cold file is damaged, 4 when trying again may
    help.
    """
    names = archive_predicates.nameable(TABLES[table], Role.READER)
    chosen = filters.of_words(words, names)
    query = Query(
        TABLES[table],
        Both((chosen, filters.of_json(where, names))) if where else chosen,
        columns=tuple(filter(None, columns.split(","))),
        sort=tuple(map(Sort.of_word, sort)),
        limit=limit,
        offset=offset,
    )
    if count:
        rows, effort = hot_and_cold.count(places().postgres, places().files, query)
        click.echo(str(rows))
    else:
        effort = _answer(query, output, to)
    if explain:
        click.echo(explained(effort), err=True)


def places() -> Places:
    """Return the warehouse and the store that the environment names, or those of the state folder."""
    home = environment.home()
    store = os.environ.get("MEVA_STORE_URL") or (home / "store").as_uri()
    postgres = Postgres(url=os.environ.get("MEVA_DATABASE_URL", ""), home=str(home))
    return Places(postgres, ColdFiles(ObjectStore(url=store)))


def _answer(query: Query, output: str, to: Path | None) -> Effort:
    found = places()
    with hot_and_cold.answer(found.postgres, found.files, query) as answer:
        if output == "table":
            lines = table_lines(answer, most=SHOWN_ROWS if query.limit is None else query.limit)
            with _sink(to) as sink:
                sink.writelines(f"{line}\n".encode() for line in lines)
        else:
            _demand_place(Form(output), to)
            with _sink(to) as sink:
                rows = answer_files.write(answer, Form(output), sink)
            click.echo(f"{rows:,} rows", err=True)
        return answer.effort


def _demand_place(form: Form, to: Path | None) -> None:
    if form is Form.PARQUET and to is None:
        raise Refused("Parquet is written to a file: say which with --to")


@contextmanager
def _sink(to: Path | None) -> Iterator[BinaryIO]:
    if to is None:
        yield sys.stdout.buffer
        return
    with answer_files.new_file(to) as file:
        yield file


def table_lines(answer: Answer, *, most: int) -> Iterator[str]:
    """Yield the lines of a table: the first rows in aligned columns, then how many there are in all."""
    shown: list[list[str]] = []
    total = 0
    for batch in answer.batches:
        first = batch.slice(0, max(most - total, 0)).to_pylist()
        shown.extend([cell(value) for value in row.values()] for row in first)
        total += batch.num_rows
    heads = answer.schema.names
    widths = [max(map(_width, column)) for column in zip(heads, *shown, strict=True)]
    yield _line(heads, widths)
    yield "  ".join("─" * width for width in widths)
    yield from (_line(row, widths) for row in shown)
    yield f"{total:,} rows" if len(shown) == total else f"… {len(shown):,} of {total:,} rows"


def cell(value: Any) -> str:
    """Return a value as it stands in a table: short, on one line, and without a character that a terminal obeys."""
    if value is None:
        return "NULL"
    text = value.hex() if isinstance(value, bytes) else str(value)
    plain = "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
    return plain if len(plain) <= _CELL_WIDTH else f"{plain[: _CELL_WIDTH - 1]}…"


def explained(effort: Effort) -> str:
    """Return which parts were read, how far, and why the others were not."""
    lines = [
        f"{part.batch.file_key}: "
        + (
            f"left out, {part.left_out}"
            if part.left_out
            else f"{part.row_groups_read} of {part.row_groups} row groups, {part.bytes_read:,} bytes"
        )
        for part in effort.parts
    ]
    total = f"{effort.hot_rows:,} hot rows; {effort.parts_read} of {len(effort.parts)} cold files"
    return "\n".join([*lines, f"{total}, {effort.bytes_read:,} bytes"])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(text + " " * (width - _width(text)) for text, width in zip(cells, widths, strict=True)).rstrip()


def _width(text: str) -> int:
    """Return the columns of a terminal that a text takes: Korean and Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in {"W", "F"} else 1 for letter in text)


if __name__ == "__main__":
    try:
        main()
    except MevaError as error:
        click.echo(f"{type(error).__name__}: {error}", err=True)
        code = next((code for kind, code in _EXIT_CODES.items() if isinstance(error, kind)), 1)
        raise SystemExit(code) from None
