"""Backups of folders: every byte comes back, increments hold what changed, and a hostile archive writes nothing."""

import io
import os
import stat
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from meva_pipelines.domain.backup.members import Limits
from meva_pipelines.domain.backup.records import Backup
from meva_pipelines.domain.backup.vocabulary import Extent
from meva_pipelines.domain.failures import Refused, Unavailable, Unusable
from meva_pipelines.resources import backup_custody, backup_extraction, backup_files, backup_files_restoring
from meva_pipelines.resources.postgres_binaries import Account
from meva_pipelines_tests.fixtures.backups import REQUEST, Site


def full(site: Site) -> Backup:
    return backup_files.take(site.postgres, site.vault, REQUEST, extent=Extent.FULL)


def increment(site: Site) -> Backup:
    return backup_files.take(site.postgres, site.vault, REQUEST, extent=Extent.INCREMENTAL)


def back(site: Site, backup: Backup, *patterns: str, name: str = "back", replaces: bool = False) -> Path:
    plan = backup_files_restoring.plan(site.shelf, backup.id, patterns)
    backup_files_restoring.restore(site.shelf, plan, site.folder / name, at=site.now(), replaces=replaces)
    return site.folder / name / "files"


def tree(root: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in root.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def filled(backed_up: Site) -> Site:
    """A site whose folder has files of many kinds."""
    folder = backed_up.files
    (folder / "인장" / "2026").mkdir(parents=True)
    (folder / "empty").write_bytes(b"")
    (folder / "인장" / "2026" / "시편 1.csv").write_text("하중,변위\n" * 1_000, encoding="utf-8")
    (folder / "large").write_bytes(os.urandom(6 << 20))
    (folder / "-n").write_text("a name like an option", encoding="utf-8")
    for number in range(30):
        (folder / f"{number:03}").write_bytes(bytes([number]) * 600)
    return backed_up


def test_every_byte_and_time_comes_back(filled: Site) -> None:
    taken = full(filled)
    assert tree(back(filled, taken)) == tree(filled.files)
    assert taken.figures["files"] == 34
    for path in (filled.folder / "back").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_an_increment_holds_what_changed_and_restores_everything(filled: Site) -> None:
    full(filled)
    (filled.files / "005").write_bytes(b"changed")
    (filled.files / "006").unlink()
    (filled.files / "new").write_bytes(b"new")
    taken = increment(filled)
    assert taken.figures["packed_files"] == 2
    assert tree(back(filled, taken)) == tree(filled.files)
    (filled.files / "007").write_bytes(b"again")
    assert tree(back(filled, increment(filled), name="third")) == tree(filled.files)


def test_a_name_that_is_no_text_is_kept_from_increment_to_increment(filled: Site) -> None:
    (filled.files / os.fsdecode(b"\xb9\xce\xc1\xdf.csv")).write_bytes(b"named in EUC-KR")
    full(filled)
    (filled.files / "005").write_bytes(b"changed")
    assert increment(filled).figures["packed_files"] == 1
    (filled.files / "006").write_bytes(b"changed")
    assert tree(back(filled, increment(filled))) == tree(filled.files)


def test_a_change_that_hides_behind_its_old_time_is_seen(filled: Site) -> None:
    """Same size, same modification time: the time of the inode, which nobody can set, gives it away."""
    full(filled)
    path = filled.files / "005"
    before = path.stat()
    path.write_bytes(b"\xff" * 600)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert increment(filled).figures["packed_files"] == 1


def test_paths_and_globs_choose(filled: Site) -> None:
    taken = full(filled)
    assert set(tree(back(filled, taken, "files/인장"))) == {"인장/2026/시편 1.csv"}
    assert len(tree(back(filled, taken, "files/01?", name="ten"))) == 10
    with pytest.raises(Refused, match="matches"):
        back(filled, taken, "nothing/of/this", name="none")


def test_a_folder_that_is_not_empty_is_replaced_only_when_told(filled: Site) -> None:
    taken = full(filled)
    into = filled.folder / "back"
    into.mkdir()
    (into / "mine").write_text("mine", encoding="utf-8")
    with pytest.raises(Refused, match="not empty"):
        back(filled, taken)
    assert [path.name for path in into.iterdir()] == ["mine"]
    back(filled, taken, replaces=True)
    (kept,) = filled.folder.glob("back.pre-restore-*")
    assert (kept / "mine").read_text(encoding="utf-8") == "mine"
    assert not (into / "mine").exists()


def test_a_link_in_the_place_of_the_folder_is_not_followed(filled: Site) -> None:
    taken = full(filled)
    elsewhere = filled.folder / "elsewhere"
    elsewhere.mkdir()
    (filled.folder / "back").symlink_to(elsewhere)
    with pytest.raises(Refused):
        back(filled, taken, replaces=True)
    assert not list(elsewhere.iterdir())


def test_a_missing_source_fails_the_backup_and_is_named(filled: Site) -> None:
    filled.files.rename(filled.folder / "gone")
    with pytest.raises(Refused, match="files"):
        full(filled)


def test_a_target_inside_a_source_is_refused(filled: Site) -> None:
    vault = filled.vault.model_copy(update={"url": (filled.files / "inside").as_uri()})
    with pytest.raises(Refused, match="would hold itself"):
        backup_files.take(filled.postgres, vault, REQUEST, extent=Extent.FULL)


def test_links_and_devices_are_left_out_and_counted(filled: Site) -> None:
    (filled.files / "link").symlink_to("/etc/passwd")
    os.mkfifo(filled.files / "pipe")
    (filled.files / "new\nline").write_text("a name no restore would take", encoding="utf-8")
    taken = full(filled)
    assert taken.figures["left_out"] == 3
    assert not {"link", "pipe", "new\nline"} & set(tree(back(filled, taken)))


def test_a_missing_parent_is_refused(filled: Site) -> None:
    parent = full(filled)
    (filled.files / "new").write_bytes(b"new")
    child = increment(filled)
    filled.shelf.remove(parent.id)
    with pytest.raises(Refused, match="parent"):
        back(filled, child)
    assert not (filled.folder / "back").exists()


@pytest.mark.parametrize("part", ["files.tar", "index", "backup.json"])
@pytest.mark.parametrize("fault", ["flipped", "cut", "swapped", "empty"])
def test_a_damaged_backup_writes_nothing(filled: Site, part: str, fault: str) -> None:
    one, two = full(filled), full(filled)
    path = filled.stored(one, part)
    content = bytearray(path.read_bytes())
    match fault:
        case "flipped":
            content[len(content) // 2] ^= 4
        case "cut":
            del content[-20:]
        case "swapped":
            content = bytearray(filled.stored(two, part).read_bytes())
        case _:
            content.clear()
    path.write_bytes(content)
    with pytest.raises(Unusable):
        back(filled, one)
    assert not (filled.folder / "back").exists()
    assert not list(filled.folder.glob(".back.*"))


def test_a_full_disk_leaves_the_target_as_it_was(filled: Site) -> None:
    """A file of 6 MB does not fit where files may have 4 MB: what a full disk does to a writer."""
    import resource  # noqa: PLC0415 - the limit is this test's
    import signal  # noqa: PLC0415 - the same

    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, hard))
    try:
        with pytest.raises(Unavailable, match="disk is full"):
            full(filled)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert not [path for path in (filled.folder / "local").rglob("*") if path.is_file()]
    assert filled.rows("SELECT status FROM backup.catalog") == [("failed",)]
    assert tree(back(filled, full(filled))) == tree(filled.files)


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    out.seek(0)
    return out


def of_type(kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo("innocent")
    member.type, member.linkname = kind, "/etc/passwd"
    return member


@pytest.mark.parametrize(
    "member",
    [
        tarfile.TarInfo("../escaped"),
        tarfile.TarInfo("/escaped"),
        tarfile.TarInfo("a/../../escaped"),
        tarfile.TarInfo("C:\\escaped"),
        of_type(tarfile.SYMTYPE),
        of_type(tarfile.LNKTYPE),
        of_type(tarfile.CHRTYPE),
        of_type(tarfile.BLKTYPE),
        of_type(tarfile.FIFOTYPE),
    ],
    ids=lambda member: f"{member.name}-{member.type.decode()}",
)
def test_a_hostile_member_is_refused(tmp_path: Path, member: tarfile.TarInfo) -> None:
    folder = tmp_path / "into"
    folder.mkdir()
    with pytest.raises(Unusable):
        backup_extraction.extract(archive((member, b"")), folder, account=Account.caller(), limits=Limits())
    assert not list(tmp_path.rglob("escaped"))
    assert not list(folder.iterdir())


def test_a_member_does_not_overwrite_another(tmp_path: Path) -> None:
    twice = archive((tarfile.TarInfo("a"), b"first"), (tarfile.TarInfo("a"), b"second"))
    with pytest.raises(Unusable, match="same name"):
        backup_extraction.extract(twice, tmp_path, account=Account.caller(), limits=Limits())
    assert (tmp_path / "a").read_bytes() == b"first"


@pytest.mark.parametrize("limits", [Limits(files=2), Limits(file_bytes=9), Limits(total_bytes=25)])
def test_limits_hold_while_it_streams(tmp_path: Path, limits: Limits) -> None:
    three = archive(*((tarfile.TarInfo(f"{number}"), b"0123456789") for number in range(3)))
    with pytest.raises(Refused, match="more than a restore may write"):
        backup_extraction.extract(three, tmp_path, account=Account.caller(), limits=limits)
    assert len(list(tmp_path.iterdir())) < 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:700],
        lambda data: b"\0" * 100 + data,
        lambda data: data.replace(b"ustar", b"other").replace(b"0000", b"9999"),
    ],
)
def test_a_damaged_archive_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    sound = archive((tarfile.TarInfo("a"), b"content" * 100)).getvalue()
    with pytest.raises(Unusable):
        backup_extraction.extract(io.BytesIO(damage(sound)), tmp_path, account=Account.caller(), limits=Limits())


def test_a_member_that_is_larger_than_its_index_says_is_refused(filled: Site) -> None:
    taken = full(filled)
    plan = backup_files_restoring.plan(filled.shelf, taken.id)
    small = {path: replace(member, size_bytes=min(member.size_bytes, 10)) for path, member in plan.members.items()}
    with pytest.raises(Unusable, match="not what was written"):
        backup_files_restoring.restore(
            filled.shelf, replace(plan, members=small), filled.folder / "back", at=filled.now()
        )
    assert not list(filled.folder.glob("*back*"))


def test_the_former_folder_outlives_a_restore_that_cannot_name_it(filled: Site) -> None:
    """A folder whose name leaves no room for the ending under which the former one is kept."""
    taken = full(filled)
    name = "n" * 230
    into = filled.folder / name
    into.mkdir()
    (into / "mine").write_text("mine", encoding="utf-8")
    with pytest.raises(Unavailable, match="too long"):
        back(filled, taken, name=name, replaces=True)
    assert (into / "mine").read_text(encoding="utf-8") == "mine"
    assert [path.name for path in filled.folder.glob(f"*{name}*")] == [name]


def test_drafts_of_a_folder_with_a_like_name_are_not_swept(filled: Site) -> None:
    taken = full(filled)
    other = filled.folder / ".back1.restoring-00000000"
    other.mkdir()
    back(filled, taken, name="back[1]")
    assert other.exists()


def test_no_room_on_the_target_is_said_before_anything_is_read(filled: Site) -> None:
    """A sparse file of 8 TB: nobody has room for it twice."""
    with (filled.files / "huge").open("wb") as file:
        file.truncate(8 << 40)
    with pytest.raises(Unavailable, match="no room"):
        full(filled)


def test_an_increment_is_made_on_nothing_that_is_known_to_be_corrupted(filled: Site) -> None:
    first, second = full(filled), full(filled)
    path = filled.stored(second, "files.tar")
    path.write_bytes(path.read_bytes()[:-1])
    backup_custody.survey(filled.postgres, filled.vault)
    backup_custody.verify(filled.postgres, filled.shelf, [first, second])
    (filled.files / "new").write_bytes(b"new")
    child = increment(filled)
    assert child.parent_id == first.id
    assert tree(back(filled, child)) == tree(filled.files)
