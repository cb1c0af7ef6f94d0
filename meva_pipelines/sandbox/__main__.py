"""`python -m meva_pipelines.sandbox`: the sandbox registry in the foreground, and a day of the laboratory as files.

Only the command line is here; the server is put together in `server`, files are made in `laboratory`.
"""

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import FrameType

import click
import uvicorn

from meva_pipelines.sandbox import server
from meva_pipelines.sandbox.laboratory import Laboratory
from meva_pipelines.sandbox.library import Format
from meva_pipelines.sandbox.registry import Registry
from meva_pipelines.sandbox.world import World


@click.group()
def main() -> None:
    """A made-up world for the demo and benchmarks."""


@main.command()
@click.option("--host", default=server.LOOPBACK, show_default=True, help="Address to listen on.")
@click.option("--port", default=8800, show_default=True, type=click.IntRange(0, 65_535))
@click.option("--size", default=81_464, show_default=True, type=click.IntRange(1, 900_000))
@click.option("--seed", default=20_251_028, show_default=True, type=int)
@click.option("--day", "moment", type=click.DateTime(["%Y-%m-%d"]), help="Day of the world [default: the first day].")
@click.option("--epoch", type=click.DateTime(["%Y-%m-%d"]), help="First day, with exactly SIZE devices.")
@click.option("--service-key-file", type=click.Path(dir_okay=False, path_type=Path), help="File of the key.")
@click.option("--no-limits", is_flag=True, help="No daily quota and no rate limit.")
@click.option("--warm", "form", type=click.Choice([f.value for f in Format]), help="Render pages beforehand.")
@click.option("--warm-size", default=1_000, show_default=True, type=click.IntRange(1))
def registry(  # noqa: PLR0913, PLR0917 - one argument for each option of the command
    host: str,
    port: int,
    size: int,
    seed: int,
    moment: datetime | None,
    epoch: datetime | None,
    service_key_file: Path | None,
    no_limits: bool,  # noqa: FBT001 - click passes options by name
    form: str | None,
    warm_size: int,
) -> None:
    """Serve a made-up AED registry over HTTP until interrupted."""
    signal.signal(signal.SIGTERM, _leave)
    devices = Registry(size=size, seed=seed)
    if epoch is not None:
        devices = replace(devices, epoch=epoch.date())
    world = World(moment.date() if moment else devices.epoch)
    if no_limits:
        world.set(quota=None, rate_per_s=None)
    with _service_key(service_key_file) as key:
        try:
            parts = server.assemble(devices, world=world, service_key=key)
            listener = server.listen(host, port)
        except (OSError, ValueError) as refused:
            raise click.ClickException(str(refused)) from refused
        with listener:
            if form is not None:
                parts.library.warm(world.state, Format(form), warm_size)
            address, bound = listener.getsockname()[:2]
            click.echo(f"sandbox registry on http://{address}:{bound}")
            with suppress(KeyboardInterrupt):
                uvicorn.Server(server.configure(parts)).run([listener])


@main.command()
@click.option("--folder", required=True, type=click.Path(file_okay=False, path_type=Path), help="Where files go.")
@click.option("--registers", type=click.Path(file_okay=False, path_type=Path), help="Where the registers go.")
@click.option("--files", default=24, show_default=True, type=click.IntRange(4), help="Sound files; flawed ones follow.")
@click.option("--points", default=5_000, show_default=True, type=click.IntRange(100), help="Rows of each test.")
@click.option("--seed", default=20_260_105, show_default=True, type=int)
@click.option("--first-day", type=click.DateTime(["%Y-%m-%d"]), help="First day of the laboratory.")
@click.option("--day", default=0, show_default=True, type=click.IntRange(0), help="Days since the first.")
def laboratory(
    *, folder: Path, registers: Path | None, files: int, points: int, seed: int, first_day: datetime | None, day: int
) -> None:
    """Write a day of a made-up laboratory: sound machine files in every dialect, and one of each flaw."""
    place = Laboratory(seed)
    if first_day is not None:
        place = replace(place, first_day=first_day.date())
    folder.mkdir(parents=True, exist_ok=True)
    written = place.write_day(day, folder, count=files, points=points)
    if registers is not None:
        registers.mkdir(parents=True, exist_ok=True)
        for name, text in place.registers().items():
            (registers / name).write_text(text, encoding="utf-8")
    click.echo(f"{len(written)} machine files in {folder}")


def _leave(_signal: int, _frame: FrameType | None) -> None:
    """End in order, so that the key of this run is removed; a serving server stops first."""
    raise SystemExit(0)


@contextmanager
def _service_key(path: Path | None) -> Iterator[str]:
    """Lend the key of the file; a missing file is written; without a file one is made for this run only."""
    if path is not None and path.exists():
        key = path.read_text(encoding="utf-8").strip()
        if not key:
            raise click.ClickException(f"the service key file {path} is empty")
        yield key
        return
    key = server.new_key()
    if path is not None:
        _write_private(path, key)
        click.echo(f"service key written to {path}", err=True)
        yield key
        return
    with tempfile.TemporaryDirectory(prefix="meva-sandbox-") as folder:
        path = Path(folder) / "service-key"
        _write_private(path, key)
        click.echo(f"service key written to {path} until this server ends", err=True)
        yield key


def _write_private(path: Path, key: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(key + "\n")


if __name__ == "__main__":
    main()
