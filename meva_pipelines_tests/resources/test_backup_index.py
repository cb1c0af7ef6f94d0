"""The index of a backup of files: what was listed comes back whatever a file is called."""

import os
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.backup.members import Member
from meva_pipelines.domain.backup.records import Backup
from meva_pipelines.domain.failures import Unusable
from meva_pipelines.resources import backup_index, backup_keys, backup_targets
from meva_pipelines.resources.backup_index import Listing
from meva_pipelines.resources.backup_shelves import Shelf
from meva_pipelines_tests.domain.backup import shelf_of_records
from meva_pipelines_tests.fixtures.backups import KEY

NAMES = st.text(min_size=1) | st.binary(min_size=1).map(os.fsdecode)
MEMBER = Member(
    source="files",
    name="a/b.csv",
    size_bytes=600,
    modified_ns=1_700_000_000_123_456_789,
    changed_ns=1_700_000_001_123_456_789,
    inode=2**64 - 1,
    mode=0o640,
    sha256="ab" * 32,
    pack="MEVA_BACKUP_20261121_190000_00000012_abcdef01",
)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Backups in a folder."""
    folder = tmp_path_factory.mktemp("target")
    return Shelf(backup_targets.target("local", folder.as_uri()), backup_keys.keyring(KEY))


def listed(shelf: Shelf, members: Iterable[Member] = (), lines: Iterable[bytes] = ()) -> Backup:
    backup = shelf_of_records.made(1)
    with shelf.part(backup.id, backup_index.INDEX) as part:
        listing = Listing(part.write)
        for member in members:
            listing.enter(member)
        for line in lines:
            listing.add(line)
        listing.finish()
    return replace(backup, parts=(part.finished(),))


@given(st.lists(NAMES, unique=True, max_size=20))
def test_every_name_comes_back(shelf: Shelf, names: list[str]) -> None:
    """Names that are no UTF-8, and those with line ends, are none the worse for it."""
    files = [replace(MEMBER, name=name, size_bytes=number) for number, name in enumerate(names)]
    assert list(backup_index.members(shelf, listed(shelf, files)).values()) == files


def test_lines_are_taken_over_as_they_are(shelf: Shelf) -> None:
    files = [replace(MEMBER, name=f"{number}", inode=number) for number in range(2_500)]
    files.insert(1_200, replace(MEMBER, name=os.fsdecode(b"\xff"), inode=0))
    parent = listed(shelf, files)
    known = backup_index.known(shelf, parent)
    assert list(backup_index.members(shelf, listed(shelf, lines=known.values())).values()) == files


@pytest.mark.parametrize(
    "change",
    [{"size_bytes": 7}, {"modified_ns": 1}, {"changed_ns": 1}, {"inode": 1}, {"name": "else"}, {"source": "else"}],
    ids=lambda change: next(iter(change)),
)
def test_each_mark_tells_files_apart(shelf: Shelf, change: dict[str, object]) -> None:
    (one,) = backup_index.known(shelf, listed(shelf, [MEMBER]))
    (other,) = backup_index.known(shelf, listed(shelf, [replace(MEMBER, **change)]))  # type: ignore[arg-type]
    assert one != other


def test_a_file_that_changed_while_it_was_backed_up_is_not_known(shelf: Shelf) -> None:
    begun_ns = int(listed(shelf).created_at.timestamp()) * 10**9
    before, meanwhile = (replace(MEMBER, changed_ns=begun_ns + late, inode=late + 1) for late in (-1, 0))
    parent = listed(shelf, [before, meanwhile])
    assert [marks[-1] for marks in backup_index.known(shelf, parent)] == [before.inode]


@pytest.mark.parametrize(
    "line",
    [b"\n", b"{}\n", b"[]\n", b"no JSON\n", b'{"source": "files"}\n', b'{"a": 1}, {"a": 2}\n', b"\xff\n"],
)
def test_what_is_no_index_is_refused(shelf: Shelf, line: bytes) -> None:
    broken = listed(shelf, [MEMBER], [line])
    for read in (backup_index.known, backup_index.members):
        with pytest.raises(Unusable, match="index"):
            read(shelf, broken)
