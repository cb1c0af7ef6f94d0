"""`python -m meva_pipelines_tests.bench`: measure, print one table, end with code 0 whatever the verdicts are."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

import click

from meva_pipelines_tests.bench import (
    archive,
    audit,
    backup,
    dataset,
    evaluation,
    firings,
    peers,
    phase,
    pressure,
    report,
    run,
    tensile,
    tensile_history,
    tensile_memory,
    wire,
    world,
)
from meva_pipelines_tests.bench.report import Figure
from meva_pipelines_tests.bench.world import World

ROWS = 81_464
LARGER = 10
LABORATORY = ("tensile", "history", "memory", "evaluation")
PARTS = ("publish", "audit", "http", "traffic", "run", "pressure", "firings", "backup", "archive", *LABORATORY)


@dataclass(slots=True)
class Bench:
    """A benchmark under way."""

    world: World
    parts: frozenset[str]
    rows: int
    rounds: int
    found: list[Figure] = field(default_factory=list)

    def loads(self, *, is_large: bool) -> None:
        """Publish phase and audit, on rows that are already here."""
        if not self.parts & {"publish", "audit"}:
            return
        small = self._dataset(self.rows)
        if "publish" in self.parts:
            with _said(f"publish phase, {self.rows:,} rows"):
                laps = phase.measured(self.world, small, rounds=self.rounds)
                self.found += phase.figures(self.rows, laps)
            if is_large:
                size = LARGER * self.rows
                big = self._dataset(size)
                with _said(f"publish phase, {size:,} rows"):
                    large = phase.measured(self.world, big, rounds=self.rounds)
                    self.found += phase.figures(size, large)
                    self.found += phase.growth(laps, large, factor=LARGER)
        if "audit" in self.parts:
            with _said("audit"):
                self.found += audit.figures(self.world, small, rounds=self.rounds)

    def requests(self, *, is_large: bool) -> None:
        """Everything that needs the sandbox: HTTP to published, traffic, whole runs."""
        if not self.parts & {"http", "traffic", "run"}:
            return
        runs: list[run.Run] = []
        with world.sandbox(self.world.home, size=self.rows) as sandbox:
            if "http" in self.parts:
                with _said("HTTP to published"):
                    self.found += wire.figures(self.world, size=self.rows, rounds=self.rounds, sandbox=sandbox)
            if "traffic" in self.parts:
                with _said("traffic"):
                    self.found += wire.traffic(self.world, sandbox)
            if "run" in self.parts:
                with _said("whole Dagster runs"):
                    runs = run.runs(self.world, sandbox, rounds=self.rounds)
                    self.found += run.figures(self.rows, runs)
        if is_large and runs:
            size = LARGER * self.rows
            with _said(f"a whole run at {size:,} devices"), world.sandbox(self.world.home, size=size) as sandbox:
                self.found.append(run.growth(size, run.runs(self.world, sandbox, rounds=1), runs))

    def curves(self) -> None:
        """Firings beside a simulation; needs no server."""
        if "pressure" in self.parts:
            with _said(f"{pressure.FIRINGS:,} firings beside a simulation"):
                self.found += pressure.figures()

    def firings(self) -> None:
        """Points of firings on their way into the warehouse."""
        if "firings" in self.parts:
            with _said(f"{firings.FIRINGS} firings published"):
                self.found += firings.figures(self.world, rounds=self.rounds)

    def laboratory(self, *, is_large: bool) -> None:
        """Machine files to published points, what is done with a history of them, and evaluations."""
        if "tensile" in self.parts:
            with _said(f"{tensile.FILES:,} machine files"):
                self.found += tensile.figures(self.world, rounds=self.rounds)
        if "history" in self.parts:
            with _said(f"a history of {tensile.FILES:,} machine files"):
                self.found += tensile_history.figures(self.world, rounds=self.rounds)
        if "memory" in self.parts:
            with _said("memory of a run that takes machine files"):
                self.found += tensile_memory.figures(self.world, is_large=is_large)
        if "evaluation" in self.parts:
            with _said(f"{evaluation.TESTS:,} tests evaluated"):
                self.found += evaluation.figures(rounds=self.rounds)

    def backups(self) -> None:
        """Backups of the server and of folders, and the way back."""
        if "backup" in self.parts:
            with _said("backups"):
                self.found += backup.figures(self.world, rounds=self.rounds)

    def archive(self, rows: int) -> None:
        """Hot curves to proved cold files, and their release."""
        if "archive" in self.parts:
            with _said(f"{rows:,} rows of curves archived"):
                self.found += archive.figures(self.world, rows=rows, rounds=self.rounds)

    def compare(self) -> None:
        """The peers."""
        rows = self._dataset(self.rows)
        with _said("dlt and sling"):
            self.found += peers.figures(self.world, rows, peers.installed(self.world), rounds=self.rounds)

    def _dataset(self, size: int) -> dataset.Dataset:
        with _said(f"making {size:,} rows"):
            return dataset.made(self.world, size)


@click.command()
@click.option("--rows", default=ROWS, show_default=True, type=click.IntRange(1_000, ROWS), help="Devices.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Interleaved rounds.")
@click.option("--only", default=",".join(PARTS), show_default=True, help="Parts, separated by commas; or none.")
@click.option("--large", is_flag=True, help=f"Publish phase and memory at {LARGER} times the rows or files as well.")
@click.option(
    "--archive-rows",
    default=archive.ROWS,
    show_default=True,
    type=click.IntRange(100_000, 10 * archive.ROWS),
    help="Rows of curves in four quarters.",
)
@click.option("--peers", "has_peers", is_flag=True, help="dlt and sling as well, installed for this run only.")
def main(rows: int, rounds: int, only: str, *, large: bool, archive_rows: int, has_peers: bool) -> None:
    """Measure ours beside floors and peers. The goals are meant for 81,464 rows on two quiet cores."""
    chosen = frozenset(only.split(",")) - {"none"}
    if strangers := chosen - set(PARTS):
        raise click.UsageError(f"no such part: {', '.join(sorted(strangers))}; there are {', '.join(PARTS)}")
    for name in [name for name in os.environ if name.startswith(("MEVA_", "DAGSTER_"))]:
        del os.environ[name]
    with world.world() as here:
        print(f"{report.machine(here.version())}\n", flush=True)
        bench = Bench(here, chosen, rows, rounds)
        bench.loads(is_large=large)
        bench.requests(is_large=large)
        bench.backups()
        bench.archive(archive_rows)
        bench.curves()
        bench.firings()
        bench.laboratory(is_large=large)
        if has_peers:
            bench.compare()
    print(f"\n{report.table(bench.found)}")
    print(f"\n{rounds} interleaved rounds: seconds are medians, ratios are medians of the ratios of each round.")
    left = [flag for flag, is_measured in (("--large", large), ("--peers", has_peers)) if not is_measured]
    if left:
        print(f"Not measured here; to measure it as well: make bench ARGS='{' '.join(left)}'")


@contextmanager
def _said(what: str) -> Iterator[None]:
    """Say on standard error what is being measured, and how long that took."""
    print(f"… {what}", file=sys.stderr, flush=True)
    started = perf_counter()
    yield
    print(f"  {perf_counter() - started:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
