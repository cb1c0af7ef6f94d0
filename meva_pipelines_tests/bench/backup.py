"""Backups beside PostgreSQL's own programs and restic: seconds, bytes and memory, on a database of 500 MB and more.

The database is made of laboratory-like rows: curves of few digits that compress, and digests that do not.
"""

import base64
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from time import perf_counter

import psutil
import psycopg
from pyarrow import fs

from meva_pipelines.domain.backup.records import Backup
from meva_pipelines.domain.backup.vocabulary import Extent
from meva_pipelines.resources import (
    backup_files,
    backup_physical,
    backup_programs,
    backup_restoring,
    backup_wal,
)
from meva_pipelines.resources.backup_restoring import Goal
from meva_pipelines.resources.backup_taking import Request, Vault
from meva_pipelines.resources.postgres import Postgres
from meva_pipelines_tests.bench import report
from meva_pipelines_tests.bench.report import Figure, Laps, Sense, measured
from meva_pipelines_tests.bench.world import World
from meva_pipelines_tests.fixtures.object_gateway import Gateway

ROWS = 4_500_000
FILES = 10_000
INCREMENTS = 5
_KEY = base64.b64encode(b"a key of exactly thirty-two byte").decode()
_REQUEST = Request()
_SAMPLE_S = 0.02


@dataclass(frozen=True, slots=True)
class Place:
    """A database to back up, and where backups go."""

    postgres: Postgres
    vault: Vault
    folder: Path

    def emptied(self) -> "Place":
        """The place with nothing on its target."""
        shutil.rmtree(self.folder / "target", ignore_errors=True)
        with psycopg.connect(self.postgres.dsn(), autocommit=True) as connection:
            connection.execute("TRUNCATE backup.proofs, backup.copies, backup.catalog")
            connection.execute("CHECKPOINT")
        return self


def figures(world: World, *, rounds: int) -> list[Figure]:
    """Measure everything, on a database of its own."""
    with world.warehouse() as warehouse:
        folder = world.home / "backup"
        folder.mkdir()
        place = Place(
            warehouse.postgres,
            Vault(
                url=f"local={(folder / 'target').as_uri()}",
                key=_KEY,
                home=str(folder),
                sources=f"files={(folder / 'files').as_uri()}",
            ),
            folder,
        )
        _fill(place.postgres)
        found = [*_database(place, rounds), *_bucket(place, rounds), *_memory(place), *_files(place, rounds)]
        shutil.rmtree(folder)
    return found


def _fill(postgres: Postgres) -> None:
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute("SET max_parallel_workers_per_gather = 0")
        connection.execute(
            "CREATE TABLE public.curve AS SELECT n AS id, (n / 900)::int AS test, (n % 900) * 0.1::float8 AS elapsed_s,"
            " round((420 * (1 - exp(-(n % 900) / 120.0)))::numeric, 2)::float8 AS stress_mpa,"
            " CASE n % 12 WHEN 0 THEN md5(n::text) ELSE 'specimen' END AS mark"
            f" FROM generate_series(1, {ROWS}) AS n"
        )
        connection.execute("CREATE INDEX ON public.curve (test, elapsed_s)")
        connection.execute("VACUUM ANALYZE public.curve")


def _database(place: Place, rounds: int) -> Iterator[Figure]:
    laps: Laps = {}
    taken: list[tuple[Backup, Backup]] = []
    for _ in range(rounds):
        place.emptied()
        laps.setdefault("floor", []).append(measured(lambda: _floor(place)))
        started = perf_counter()
        full = backup_physical.take_full(place.postgres, place.vault, _REQUEST)
        laps.setdefault("whole step", []).append(perf_counter() - started)
        laps.setdefault("full", []).append(full.figures["streamed_s"])
        _change(place.postgres)
        incremental = backup_physical.take_incremental(place.postgres, place.vault, _REQUEST)
        laps.setdefault("incremental", []).append(incremental.figures["streamed_s"])
        taken.append((full, incremental))
        backup_wal.take(place.postgres, place.vault, _REQUEST)
        laps.setdefault("log", []).append(measured(lambda: backup_wal.take(place.postgres, place.vault, _REQUEST)))
        laps.setdefault("restore", []).append(measured(lambda: _restore(place)))
    full, incremental = taken[-1]
    size_mb = full.figures["database_bytes"] / 1e6
    yield report.slower(
        f"full of {size_mb:.0f} MB, compressed, encrypted, checksummed", laps, "full", "floor", goal=1.3
    )
    yield report.slower("… with record, fingerprints and catalogue", laps, "whole step", "floor", goal=None)
    yield report.slower("incremental after 5 % of the blocks changed, time", laps, "incremental", "full", goal=0.6)
    yield Figure(
        name="incremental after 5 % of the blocks changed, bytes",
        sense=Sense.AT_MOST,
        goal=10.0,
        value=100 * incremental.compressed_size / full.compressed_size,
        unit="%",
        ours=f"{incremental.compressed_size / 1e6:.1f} MB",
        against=f"full {full.compressed_size / 1e6:.1f} MB",
    )
    yield report.slower("restore to the latest moment, verified and started", laps, "restore", "full", goal=2.0)
    yield Figure(
        name="hourly log step",
        sense=Sense.AT_MOST,
        goal=1.0,
        value=statistics.median(laps["log"]),
        unit="s",
        ours=report.seconds(laps, "log"),
        against="–",
    )
    yield Figure(
        name="size of the full, saved",
        sense=Sense.AT_LEAST,
        goal=80.0,
        value=full.compression_ratio,
        unit="%",
        ours=f"{full.compressed_size / 1e6:.0f} MB",
        against=f"{full.file_size / 1e6:.0f} MB",
    )


def _bucket(place: Place, rounds: int) -> Iterator[Figure]:
    """The full backup into a real S3 on this machine, whose own work is in the figure; nothing without its programs."""
    if shutil.which("radosgw") is None:
        return
    laps: Laps = {}
    with _gateway(place.folder / "s3") as gateway:
        for number in range(rounds):
            place.emptied()
            url = gateway.url(f"round-{number}")
            fs.FileSystem.from_uri(f"{url}&allow_bucket_creation=true")[0].create_dir(f"round-{number}")
            vault = place.vault.model_copy(update={"url": f"archive={url.replace('?', '/backups?')}"})
            _first_object(vault)
            laps.setdefault("floor", []).append(measured(lambda: _floor(place)))
            laps.setdefault("plain to S3", []).append(measured(partial(_plain, place, url)))
            full = backup_physical.take_full(place.postgres, vault, _REQUEST)
            laps.setdefault("full to S3", []).append(full.figures["streamed_s"])
            fs.FileSystem.from_uri(url)[0].delete_dir_contents(f"round-{number}")
    yield report.slower("full to S3 (a RADOS gateway on this machine)", laps, "full to S3", "floor", goal=1.6)
    yield report.slower("… the same way for the floor, with boto3", laps, "plain to S3", "floor", goal=None)


def _first_object(vault: Vault) -> None:
    """Write an object in two parts: the gateway makes its pools when the first one comes, which takes seconds."""
    with vault.shelf("").target.writing("first") as sink:
        sink.write(bytes(12 << 20))


@contextmanager
def _gateway(folder: Path) -> Iterator[Gateway]:
    folder.mkdir()
    found = Gateway(folder, memory_bytes=2 << 30)
    try:
        found.start()
        yield found
    finally:
        found.close()


def _floor(place: Place) -> None:
    """`pg_basebackup` streamed through zstd to nowhere."""
    with _compressing(place, stdout=subprocess.DEVNULL):
        pass


def _plain(place: Place, url: str) -> None:
    """`pg_basebackup` streamed through zstd and, as it comes, into a bucket with what boto3 has for that."""
    from meva_pipelines.resources.object_uploads import Bucket  # noqa: PLC0415 - 30 MB, beside which memory is measured

    bucket = Bucket(url)
    with _compressing(place, stdout=subprocess.PIPE) as zstd:
        bucket.client.upload_fileobj(zstd.stdout, bucket.name, "plain")


@contextmanager
def _compressing(place: Place, *, stdout: int) -> Iterator[subprocess.Popen[bytes]]:
    words = ["--pgdata=-", "--format=tar", "--wal-method=fetch", "--checkpoint=fast", "--no-password"]
    programs = backup_programs.of_server(_version(place.postgres))
    with (
        backup_programs.login(place.postgres.dsn()) as address,
        programs.streaming("pg_basebackup", *words, address=address) as stream,
        subprocess.Popen([_program("zstd"), "-q", "-3", "-c"], stdin=stream, stdout=stdout) as zstd,
    ):
        yield zstd
    if zstd.returncode:
        raise RuntimeError(f"zstd ended with {zstd.returncode}")


def _program(name: str) -> str:
    """Return where a program is."""
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} is needed for this comparison: apt-get install {name}")
    return found


def _version(postgres: Postgres) -> int:
    with psycopg.connect(postgres.dsn()) as connection:
        return connection.info.server_version


def _change(postgres: Postgres) -> None:
    """Change 5 % of the blocks, in one stretch: an update of 2.5 % of the rows touches old versions and new ones."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"UPDATE public.curve SET stress_mpa = stress_mpa + 1 WHERE id > {ROWS - ROWS // 40}")
        connection.execute("CHECKPOINT")


def _restore(place: Place) -> None:
    with backup_restoring.restored(place.vault, place.vault.shelf(""), Goal()):
        pass


def _memory(place: Place) -> Iterator[Figure]:
    """The peak of the process that takes a full backup, its children included."""
    place.emptied()
    settings = {"MEVA_BENCH_DSN": place.postgres.dsn(), "MEVA_BENCH_FOLDER": str(place.folder), "MEVA_BENCH_KEY": _KEY}
    words = [sys.executable, "-m", "meva_pipelines_tests.bench.backup"]
    process = psutil.Popen(words, env={**os.environ, **settings})
    peak = 0
    while process.poll() is None:
        with _alive():
            members = [process, *process.children(recursive=True)]
            peak = max(peak, sum(member.memory_info().rss for member in members))
        try:
            process.wait(_SAMPLE_S)
        except psutil.TimeoutExpired:
            continue
    if process.returncode:
        raise RuntimeError("the backup whose memory was to be measured failed")
    yield Figure(
        name="peak memory of a full backup, with its programs",
        sense=Sense.AT_MOST,
        goal=250.0,
        value=peak / 1e6,
        unit="MB",
        ours=f"{peak / 1e6:.0f} MB",
        against="–",
    )


@contextmanager
def _alive() -> Iterator[None]:
    try:
        yield
    except psutil.NoSuchProcess:
        return


def _files(place: Place, rounds: int) -> Iterator[Figure]:
    _make_files(place.folder / "files")
    laps: Laps = {}
    has_restic = shutil.which("restic") is not None
    for _ in range(rounds):
        place.emptied()
        if has_restic:
            laps.setdefault("restic", []).append(measured(lambda: _restic(place.folder)))
        laps.setdefault("files", []).append(measured(lambda: _take_files(place, Extent.FULL)))
        laps.setdefault("1 % changed", []).append(statistics.median(_increments(place)))
    yield report.slower(f"{FILES:,} files, 1 % changed", laps, "1 % changed", "files", goal=0.1)
    if has_restic:
        yield report.slower(f"{FILES:,} files, full", laps, "files", "restic", goal=1.5)


def _increments(place: Place) -> Iterator[float]:
    """Seconds of increments one upon the other, each after one file in a hundred, across the folders, was changed."""
    for first in range(INCREMENTS):
        for number in range(first, FILES, 101):
            (place.folder / "files" / f"{number % 100:02}" / f"{number:05}.csv").write_text(f"{first}\n" * 400)
        yield measured(lambda: _take_files(place, Extent.INCREMENTAL))


def _take_files(place: Place, extent: Extent) -> None:
    backup_files.take(place.postgres, place.vault, _REQUEST, extent=extent)


def _make_files(root: Path) -> None:
    random = Random(3)
    for number in range(FILES):
        folder = root / f"{number % 100:02}"
        folder.mkdir(parents=True, exist_ok=True)
        rows = (f"{n * 0.1:.1f},{random.random() * 400:.2f}\n" for n in range(random.randrange(100, 3_000)))
        (folder / f"{number:05}.csv").write_text("".join(rows), encoding="utf-8")


def _restic(folder: Path) -> None:
    """Make a repository and take the first backup of the same tree into it."""
    repository = folder / "restic"
    shutil.rmtree(repository, ignore_errors=True)
    settings = {**os.environ, "RESTIC_PASSWORD": "bench", "RESTIC_REPOSITORY": str(repository)}
    quiet = ["--quiet", "--no-cache"]
    subprocess.run([_program("restic"), "init", *quiet], env=settings, check=True, stdout=subprocess.DEVNULL)
    subprocess.run([_program("restic"), "backup", str(folder / "files"), *quiet], env=settings, check=True)


def main() -> None:
    """Take one full backup: the process whose memory is measured."""
    folder = Path(os.environ["MEVA_BENCH_FOLDER"])
    vault = Vault(url=f"local={(folder / 'target').as_uri()}", key=os.environ["MEVA_BENCH_KEY"], home=str(folder))
    backup_physical.take_full(Postgres(url=os.environ["MEVA_BENCH_DSN"], home=str(folder)), vault, _REQUEST)


if __name__ == "__main__":
    main()
