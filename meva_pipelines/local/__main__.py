"""`python -m meva_pipelines.local`: the commands behind `make demo`, `ui`, `psql`, `metrics`, `migrate` and `stop`."""

import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from types import FrameType

import click

from meva_pipelines.domain.failures import MevaError
from meva_pipelines.local import demo as story
from meva_pipelines.local import environment
from meva_pipelines.resources.embedded_postgres import EmbeddedPostgres
from meva_pipelines.resources.metrics import serving
from meva_pipelines.resources.postgres import Postgres

REGISTRY_SIZE = 81_464


@click.group()
def main() -> None:
    """Run the project on this machine."""


@main.command()
@click.option("--size", default=REGISTRY_SIZE, show_default=True, type=click.IntRange(500), help="Devices.")
def demo(size: int) -> None:
    """Tell the whole story: a full sync, a day's changes, a bad day refused, a rollback."""
    story.tell(size)


@main.command()
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65_535))
@click.option("--size", default=REGISTRY_SIZE, show_default=True, type=click.IntRange(500), help="Sandbox devices.")
def ui(port: int, size: int) -> None:
    """Serve Dagster's web interface and daemon; without a registry of your own, the sandbox as well."""
    prepared = environment.prepare()
    registry = (
        nullcontext(environment.Sandbox("", {}))
        if os.environ.get("MEVA_EGEN_BASE_URL") or os.environ.get("MEVA_EGEN_SERVICE_KEY")
        else environment.sandbox(prepared.home, size=size)
    )
    with registry as served:
        command = [
            sys.executable,
            "-m",
            "dagster",
            "dev",
            "-w",
            "workspace.yaml",
            "-h",
            "127.0.0.1",
            "-p",
            str(port),
        ]
        click.echo(f"Dagster on http://127.0.0.1:{port} (end with Ctrl-C)")
        process = subprocess.Popen(
            command,
            cwd=environment.PROJECT,
            env={**os.environ, **prepared.variables, **served.variables},
            start_new_session=True,
        )
        _serve_until_stopped(process)


def _serve_until_stopped(process: subprocess.Popen[bytes]) -> None:
    """Pass a request to stop on as SIGTERM, which `dagster dev` answers by ending its children."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        process.terminate()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    raise_code = process.wait()
    if raise_code not in {0, -signal.SIGTERM}:
        raise SystemExit(raise_code)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(arguments: tuple[str, ...]) -> None:
    """Open psql on the warehouse; arguments are passed on."""
    prepared = environment.prepare()
    os.execvpe(*_psql(prepared, arguments))  # noqa: S606 - replaces this process, no shell


def _psql(prepared: environment.Environment, arguments: tuple[str, ...]) -> tuple[str, list[str], dict[str, str]]:
    """Return program, arguments and environment; the password travels in the environment, never in arguments."""
    parts = environment.libpq_variables(prepared.database_url)
    server = EmbeddedPostgres(home=prepared.home)
    program = "psql" if os.environ.get("MEVA_DATABASE_URL") else str(server.ensure_running().bindir / "psql")
    return program, ["psql", *arguments], {**os.environ, **parts}


@main.command()
@click.option("--port", default=9464, show_default=True, type=click.IntRange(0, 65_535), help="0: a free one.")
def metrics(port: int) -> None:
    """Serve the metrics of the syncs to a Prometheus on this machine."""
    prepared = environment.prepare()
    postgres = Postgres(url=os.environ.get("MEVA_DATABASE_URL", ""), home=str(prepared.home))
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with serving(postgres, port=port) as bound:
        click.echo(f"metrics on http://127.0.0.1:{bound}/metrics (end with Ctrl-C)")
        signal.sigwait(ends)


@main.command()
def migrate() -> None:
    """Bring the warehouse's schema and Dagster's storage up to date."""
    environment.prepare()
    click.echo("the schema is current")


@main.command()
def stop() -> None:
    """Stop the embedded PostgreSQL."""
    EmbeddedPostgres(home=environment.home()).stop()


if __name__ == "__main__":
    try:
        main()
    except MevaError as error:
        click.echo(f"{type(error).__name__}: {error}", err=True)
        raise SystemExit(1) from None
