"""`python -m meva_pipelines.local`: the commands behind make that need the project itself: the demo, the servers."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from types import FrameType

import click

from meva_pipelines.domain.backup.vocabulary import Trigger
from meva_pipelines.domain.failures import MevaError
from meva_pipelines.local import demo as story
from meva_pipelines.local import environment
from meva_pipelines.resources import backup_restoring
from meva_pipelines.resources.backup_restoring import Goal
from meva_pipelines.resources.embedded_postgres import EmbeddedPostgres
from meva_pipelines.resources.metrics import serving
from meva_pipelines.resources.postgres import Postgres


@click.group()
def main() -> None:
    """Run the project on this machine."""


@main.command()
@click.option("--size", default=environment.REGISTRY_SIZE, show_default=True, type=click.IntRange(500), help="Devices.")
@click.option("--millions", default=1, show_default=True, type=click.IntRange(1, 10), help="Old points that age.")
def demo(size: int, millions: int) -> None:
    """Tell the whole story: a full sync, a day's changes, a bad day refused, a rollback, years that age, a restore."""
    story.tell(size, millions)


@main.command()
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65_535))
def ui(port: int) -> None:
    """Serve Dagster's web interface and daemon; without a registry of your own, the demo's sandbox as well."""
    _demand_free(port)
    prepared = environment.prepare()
    registry = (
        nullcontext(environment.Sandbox("", {}))
        if os.environ.get("MEVA_EGEN_BASE_URL") or os.environ.get("MEVA_EGEN_SERVICE_KEY")
        else environment.sandbox(prepared.home)
    )
    with registry as served:
        click.echo(f"Dagster on http://127.0.0.1:{port} (end with Ctrl-C)")
        _serve_until_stopped(
            [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)],
            {**os.environ, **prepared.variables, **served.variables},
        )


def _demand_free(port: int) -> None:
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            raise click.ClickException(f"port {port} is in use: choose another with ARGS='--port N'") from None


def _serve_until_stopped(command: list[str], variables: Mapping[str, str]) -> None:
    """Pass a request to stop on as SIGTERM, which `dagster dev` answers by ending its children.

    The handlers are set before the start: a shell that started us with `&` lets us ignore SIGINT, and children that
    inherit that never end.
    """
    started: list[subprocess.Popen[bytes]] = []

    def stop(_number: int, _frame: FrameType | None) -> None:
        for process in started:
            process.terminate()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    started.append(subprocess.Popen(command, cwd=environment.PROJECT, env=dict(variables), start_new_session=True))
    code = started[0].wait()
    if code not in {0, -signal.SIGTERM}:
        raise SystemExit(code)


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
@click.option(
    "--trigger", default="manual_request", show_default=True, type=click.Choice([one.value for one in Trigger])
)
@click.option("--description", default="", help="The reason, in a person's words.")
@click.option("--kinds", default="full,wal", show_default=True, help="What is taken, in this order.")
def backup(trigger: str, description: str, kinds: str) -> None:
    """Take backups at once; a service manager calls it before a shutdown with --trigger system_shutdown."""
    prepared = environment.prepare()
    config = {"kinds": kinds.split(","), "trigger": trigger, "description": description}
    words = ["backup_now", "--config", json.dumps({"ops": {"take_backup": {"config": config}}})]
    variables = {**os.environ, **prepared.variables}
    os.execve(sys.executable, [sys.executable, "-m", "meva_pipelines.local.run", *words], variables)  # noqa: S606


@main.command()
@click.option("--into", required=True, type=click.Path(path_type=Path), help="A new folder for the server's files.")
@click.option("--at", default="", help="A moment with its offset, 2026-11-19T14:59:59+09:00; the latest without it.")
@click.option("--target", default="", help="Target to restore from; the first without it.")
@click.option("--server", default="", help="System identifier, where the target holds backups of several servers.")
@click.option("--without", multiple=True, help="A backup that must not be used, because it is bad; may be repeated.")
def restore(into: Path, at: str, target: str, server: str, without: tuple[str, ...]) -> None:
    """Lay a whole server from its backups into a folder; asks no database, for the day when there is none."""
    shelf = environment.vault().shelf(target)
    goal = Goal(at=backup_restoring.moment(at), without=without)
    route = backup_restoring.into_folder(shelf, goal, into.absolute(), system_id=server)
    click.echo(f"{into / 'data'} recovers to {at or route.covers_until.isoformat()} when its server is started,")
    click.echo("with the settings and passwords that it had; nothing else was touched")


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
