"""Backups where only Debian's packages can show them: PostgreSQL 15, and a real S3."""

import itertools
import secrets
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from pyarrow import fs

from meva_pipelines.assets import backup
from meva_pipelines.assets import backup_custody as backup_custody_assets
from meva_pipelines.automation import backup_jobs
from meva_pipelines.domain.backup.retention import Policy
from meva_pipelines.domain.backup.vocabulary import Extent
from meva_pipelines.domain.days import SEOUL
from meva_pipelines.domain.failures import Refused, Unavailable, Unusable
from meva_pipelines.quality import restored_copies
from meva_pipelines.resources import (
    backup_custody,
    backup_drill,
    backup_files,
    backup_files_restoring,
    backup_targets,
    postgres_binaries,
)
from meva_pipelines.resources.backup_targets import PARTIAL, content
from meva_pipelines.resources.postgres_binaries import Account
from meva_pipelines.schema import migrate
from meva_pipelines_tests.fixtures import backups
from meva_pipelines_tests.fixtures.backups import REQUEST, Site
from meva_pipelines_tests.fixtures.object_gateway import Gateway

pytestmark = pytest.mark.debian
_NUMBERS = itertools.count(1)
_OLD = 15


@pytest.fixture(scope="module")
def old_server_url() -> Iterator[str]:
    """URL of a superuser on a PostgreSQL 15 of Debian that this module starts and ends."""
    bindir = postgres_binaries.find(_OLD, oldest=_OLD, wheels=()).bindir
    folder = Path("/var/tmp") / f"meva-old-{secrets.token_hex(4)}"  # noqa: S108 - reachable for whoever runs the server
    folder.mkdir(mode=0o755)
    account = Account.caller()
    if account.uid == 0:
        account = Account.unprivileged(owner_of=folder / "data")
        account.take(folder)
    data, port = folder / "data", 20_000 + secrets.randbelow(20_000)
    words = ["-D", str(data), "-U", "meva", "--auth=trust", "--encoding=UTF8", "--locale=C"]
    assert account.run([str(bindir / "initdb"), *words], timeout_s=300).returncode == 0
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    pg_ctl = [str(bindir / "pg_ctl"), "-D", str(data), "-w"]
    assert account.run([*pg_ctl, "-l", str(folder / "log"), "-o", options, "start"], timeout_s=300).returncode == 0
    url = f"postgresql://meva@127.0.0.1:{port}"
    with psycopg.connect(f"{url}/postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE backup_template")
    migrate.upgrade(f"{url}/backup_template")
    yield f"{url}/postgres"
    account.run([*pg_ctl, "-m", "immediate", "stop"], timeout_s=300)
    shutil.rmtree(folder)


def test_an_older_server_is_backed_up_in_full_with_its_log_and_restored(old_server_url: str, tmp_path: Path) -> None:
    site = backups.site(old_server_url, tmp_path)
    full = site.full()
    site.execute("INSERT INTO public.specimen VALUES (-1, 'late')")
    site.log()
    assert full.server is not None
    assert full.server.version // 10_000 == _OLD
    drill = backup_drill.run(site.postgres, site.vault, site.shelf, full, judge=restored_copies.breaches)
    assert drill.is_passed, drill
    assert drill.log_backups == 1
    with pytest.raises(Refused, match="increments need 17"):
        site.increment()


def test_an_older_server_gets_its_hourly_log_although_it_gives_no_increment(
    old_server_url: str, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    site = backups.site(old_server_url, tmp_path)
    site.full()
    hour = f"{datetime.now(SEOUL) - timedelta(hours=1):%Y-%m-%d-%H:00}"
    result = (
        dg.Definitions(
            assets=dg.load_assets_from_modules([backup, backup_custody_assets]),
            jobs=[backup_jobs.backup_hourly],
            resources={"postgres": site.postgres, "vault": site.vault},
            executor=dg.in_process_executor,
        )
        .resolve_job_def("backup_hourly")
        .execute_in_process(instance=instance, partition_key=hour)
    )
    assert result.success
    assert site.rows("SELECT method FROM backup.catalog ORDER BY sequence") == [("physical",), ("wal",)]
    assert len(site.archive.inventory().backups) == 2


@pytest.fixture
def remote(gateway: Gateway, backed_up: Site) -> Site:
    """A site whose only target is a bucket of its own."""
    bucket = f"backups-{next(_NUMBERS)}"
    filesystem, _ = fs.FileSystem.from_uri(gateway.url(bucket) + "&allow_bucket_creation=true")
    filesystem.create_dir(bucket)
    url = gateway.url(bucket).replace("?", "/prefix?")
    vault = backed_up.vault.model_copy(update={"url": f"archive={url}"})
    return Site(backed_up.postgres, vault, backed_up.folder)


def test_a_bucket_takes_backups_proves_them_and_lets_them_go(remote: Site) -> None:
    first = remote.full()
    remote.increment()
    remote.log()
    drill = backup_drill.run(remote.postgres, remote.vault, remote.archive, first, judge=restored_copies.breaches)
    assert drill.is_passed
    kept = [remote.full(), remote.full()]
    found = remote.archive.inventory()
    assert (len(found.backups), found.unreadable, found.unfinished) == (5, (), ())
    backup_custody.verify(remote.postgres, remote.archive, list(found.backups.values()))
    policy = Policy(window=backup_custody.SAMPLE_EVERY / 10**9, minimum_redundancy=1, daily=0, weekly=0, monthly=0)
    done = backup_custody.expire(
        remote.postgres, remote.vault, remote.archive, policy=policy, ceiling=10, approved_by="test"
    )
    assert done.removed == (kept[0].id,), "the proven chain and the newest one stay"
    assert kept[0].id not in remote.archive.target.folders("backups")


def test_a_bucket_takes_folders_and_gives_them_back(remote: Site) -> None:
    """The large file goes up in parts while the index is under way beside it."""
    (remote.files / "large").write_bytes(secrets.token_bytes(12 << 20))
    backup_files.take(remote.postgres, remote.vault, REQUEST, extent=Extent.FULL)
    (remote.files / "new").write_bytes(b"new")
    taken = backup_files.take(remote.postgres, remote.vault, REQUEST, extent=Extent.INCREMENTAL)
    assert taken.figures["packed_files"] == 1
    plan = backup_files_restoring.plan(remote.archive, taken.id)
    backup_files_restoring.restore(remote.archive, plan, remote.folder / "back", at=remote.now())
    for name in ("large", "new"):
        assert (remote.folder / "back" / "files" / name).read_bytes() == (remote.files / name).read_bytes()


def test_a_bucket_shows_nothing_of_an_upload_that_failed(remote: Site) -> None:
    target = remote.archive.target
    with pytest.raises(KeyboardInterrupt):
        _upload(remote)
    assert target.names("backups/x") == []
    assert not [name for name in target.names("backups/x") if name.endswith(PARTIAL)]


def _upload(site: Site) -> None:
    with site.archive.target.writing("backups/x/part") as stream:
        stream.write(b"x" * (11 << 20))
        raise KeyboardInterrupt


def test_a_bucket_shows_the_tree_that_a_folder_shows(remote: Site, tmp_path: Path) -> None:
    for target in (backup_targets.target("folder", (tmp_path / "target").as_uri()), remote.archive.target):
        for key in ("one/record", "one/deeper/part", "two/record", "two/hold", "stray"):
            with target.writing(f"backups/{key}") as stream:
                stream.write(b"content")
        assert target.tree("backups") == {"one": ["record"], "two": ["hold", "record"]}
        assert target.tree("nowhere") == {}


def test_a_flipped_bit_in_a_bucket_is_found(remote: Site) -> None:
    full = remote.full()
    target = remote.archive.target
    key = f"backups/{full.id}/base.tar"
    stored = bytearray(content(target, key, at_most=1 << 30))
    stored[len(stored) // 3] ^= 2
    with target.writing(key) as stream:
        stream.write(bytes(stored))
    with pytest.raises(Unusable):
        remote.archive.verify(full)


def test_a_refused_key_is_said_without_it(remote: Site, gateway: Gateway) -> None:
    url = remote.vault.url.replace(gateway.secret_key, "wrong-secret-canary")
    shelf = remote.vault.model_copy(update={"url": url}).shelf("archive")
    with pytest.raises(Unavailable) as refused:
        shelf.inventory()
    told = f"{refused.value} {shelf.target.place}"
    assert not [secret for secret in (gateway.access_key, gateway.secret_key, "wrong-secret-canary") if secret in told]
