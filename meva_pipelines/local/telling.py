"""How the demo is told: runs of jobs on the real instance, questions to the warehouse, steps with their time."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import click
import httpx
import psycopg

from meva_pipelines.local import environment
from meva_pipelines.local.environment import Environment, Sandbox


@dataclass(slots=True)
class Demo:
    """A telling in progress."""

    prepared: Environment
    registry: Sandbox

    def job(
        self,
        name: str,
        *,
        day: date | None = None,
        partitions: Sequence[str] = (),
        run_config: str | None = None,
        failpoints: str = "",
    ) -> bool:
        """Run a job of the location in a process of its own, for each partition; True when it succeeded.

        `failpoints` names where the process is to die; a run whose process died is ended, as the daemon would.
        """
        command = ["-m", "meva_pipelines.local.run", name]
        for partition in (*partitions, *([day.isoformat()] if day else [])):
            command += ["--partition", partition]
        command += ["--config", run_config] if run_config else []
        code = self._quietly(command, {"MEVA_FAILPOINTS": failpoints} if failpoints else {})
        if code < 0:
            self._quietly(["-m", "meva_pipelines.local.burying", name], {})
        return code == 0

    def _quietly(self, command: list[str], settings: Mapping[str, str]) -> int:
        with (self.prepared.home / "demo.log").open("ab") as log:
            process = subprocess.run(
                [sys.executable, *command],
                cwd=environment.PROJECT,
                env={**os.environ, **self.prepared.variables, **self.registry.variables, **settings},
                stdout=log,
                stderr=log,
                check=False,
            )
        return process.returncode

    def world(self, **changes: object) -> None:
        """Change the sandbox's world: its day, or what is wrong with it."""
        httpx.put(f"{self.registry.url}/_sandbox/world", json=changes, timeout=60).raise_for_status()

    def ask(self, query: str) -> tuple[Any, ...]:
        """Return the first row of a query on the warehouse."""
        with psycopg.connect(self.prepared.database_url) as connection:
            return connection.execute(query).fetchone() or ()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return all rows of a query on the warehouse."""
        with psycopg.connect(self.prepared.database_url) as connection:
            return connection.execute(query).fetchall()


def demand(is_true: bool, otherwise: str) -> None:  # noqa: FBT001 - an assertion with a sentence
    """End the demo with a sentence unless something holds.

    Raises:
        SystemExit: it does not hold.
    """
    if not is_true:
        click.echo(f"  ✗ {otherwise}; see demo.log in the state folder", err=True)
        raise SystemExit(1)


@contextmanager
def step(title: str) -> Iterator[Callable[[str], None]]:
    """Print a step, what it reports, and how long it took."""
    click.echo(f"\n▸ {title}")
    started = time.monotonic()
    yield lambda line: click.echo(f"  ✓ {line}")
    click.echo(f"  {time.monotonic() - started:.1f} s with process start")
