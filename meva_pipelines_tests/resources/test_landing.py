"""The landing zone looks without touching, follows no link, leaves its folder for no name and loses no file."""

import os
import time
from pathlib import Path

import pytest

from meva_pipelines.domain.failures import Refused, Rejected, Unavailable
from meva_pipelines.resources.landing import Arrival, Landing

LONG_AGO = 1_700_000_000


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    return Landing(url=(tmp_path / "landing").as_uri(), settle_s=30)


@pytest.fixture
def folder(landing: Landing) -> Path:
    path = Path(landing.place("aed"))
    path.mkdir(parents=True)
    return path


def drop(folder: Path, name: str, content: bytes = b"x", *, at: float = LONG_AGO) -> Path:
    path = folder / name
    path.write_bytes(content)
    os.utime(path, (at, at))
    return path


def found(landing: Landing, name: str) -> Arrival:
    arrival = landing.find("aed", name)
    assert arrival is not None
    return arrival


def test_an_empty_zone_is_made_and_is_empty(landing: Landing) -> None:
    arrivals = landing.arrived("aed")
    assert (arrivals.settled, arrivals.changing, arrivals.ignored) == ((), (), ())
    assert Path(landing.place("aed")).is_dir()


def test_settled_files_are_told_oldest_first_and_changing_ones_apart(landing: Landing, folder: Path) -> None:
    drop(folder, "b.csv", at=LONG_AGO)
    drop(folder, "a.csv", at=LONG_AGO + 5)
    drop(folder, "now.csv", at=time.time())
    drop(folder, "half.xls.part", at=time.time() - 60)
    arrivals = landing.arrived("aed")
    assert [arrival.name for arrival in arrivals.settled] == ["b.csv", "a.csv"]
    assert arrivals.changing == ("half.xls.part", "now.csv")


def test_a_file_from_the_future_and_an_abandoned_download_do_not_block_the_zone(landing: Landing, folder: Path) -> None:
    drop(folder, "future.csv", at=time.time() + 86_400)
    drop(folder, "left.crdownload", at=LONG_AGO)
    arrivals = landing.arrived("aed")
    assert [arrival.name for arrival in arrivals.settled] == ["future.csv"]
    assert arrivals.changing == ()
    assert arrivals.ignored == ("left.crdownload (a download that was never finished)",)


def test_links_folders_pipes_and_hidden_files_are_left_alone_and_named(landing: Landing, folder: Path) -> None:
    secret = drop(folder.parent, "secret.csv")
    (folder / "link.csv").symlink_to(secret)
    (folder / "folder.csv").mkdir()
    os.mkfifo(folder / "pipe.csv")
    drop(folder, ".hidden.csv")
    drop(folder, "~$open.xlsx")
    drop(folder, "turned\u202exslx.csv")
    arrivals = landing.arrived("aed")
    assert arrivals.settled == ()
    assert set(arrivals.ignored) == {
        "link.csv (symbolic link)",
        "folder.csv (no ordinary file)",
        "pipe.csv (no ordinary file)",
        ".hidden.csv (hidden or empty name)",
        "~$open.xlsx (hidden or empty name)",
        "turned\N{REPLACEMENT CHARACTER}xslx.csv (name with invisible characters)",
    }
    for name in ("link.csv", "folder.csv", "pipe.csv"):
        with pytest.raises(Refused):
            landing.find("aed", name)


@pytest.mark.parametrize(
    "name",
    [
        "../secret.csv",
        "/etc/passwd",
        "taken/../../secret.csv",
        "..",
        "",
        "..\\secret.csv",
        "C:\\secret.csv",
        "a\0b.csv",
        "．．／secret.csv",
        "…csv",
        "가" * 80 + ".csv",
    ],
)
def test_a_name_that_is_not_plain_is_refused(landing: Landing, folder: Path, name: str) -> None:
    drop(folder.parent, "secret.csv")
    with pytest.raises(Refused, match="is refused"):
        landing.find("aed", name)


def test_a_file_is_read_whole(landing: Landing, folder: Path) -> None:
    drop(folder, "a.csv", b"content")
    assert landing.read("aed", found(landing, "a.csv")) == b"content"
    assert landing.find("aed", "b.csv") is None


def test_a_file_that_is_too_large_is_rejected_unread(folder: Path, landing: Landing) -> None:
    with (folder / "large.csv").open("wb") as file:
        file.truncate(201_000_000)
    with pytest.raises(Rejected, match="201 MB, at most 200 MB"):
        landing.read("aed", found(landing, "large.csv"))


def test_a_file_that_was_exchanged_after_the_look_is_not_read(landing: Landing, folder: Path) -> None:
    drop(folder, "a.csv", b"one")
    arrival = found(landing, "a.csv")
    drop(folder, "a.csv", b"two", at=LONG_AGO + 1)
    with pytest.raises(Unavailable, match="changed while it was read"):
        landing.read("aed", arrival)


def test_a_link_put_in_the_place_of_a_file_is_not_followed(landing: Landing, folder: Path) -> None:
    drop(folder, "a.csv")
    arrival = found(landing, "a.csv")
    (folder / "a.csv").unlink()
    (folder / "a.csv").symlink_to(drop(folder.parent, "secret.csv"))
    with pytest.raises(Unavailable):
        landing.read("aed", arrival)
    assert landing.take("aed", arrival, sha256="0" * 64) is None


def test_a_taken_file_lies_in_taken_under_its_content_and_name(landing: Landing, folder: Path) -> None:
    drop(folder, "a.csv", b"content")
    assert landing.take("aed", found(landing, "a.csv"), sha256="ab" * 32) == "taken/abababababababab a.csv"
    assert (folder / "taken" / "abababababababab a.csv").read_bytes() == b"content"
    assert landing.arrived("aed").settled == ()


def test_a_refused_file_has_its_reason_beside_it(landing: Landing, folder: Path) -> None:
    drop(folder, "a.csv", b"content")
    assert landing.refuse("aed", found(landing, "a.csv"), mark="7", reason="no header") == "refused/7 a.csv"
    assert (folder / "refused" / "7 a.csv").read_bytes() == b"content"
    assert (folder / "refused" / "7 a.csv.reason.txt").read_text(encoding="utf-8") == "no header\n"


def test_a_file_that_was_exchanged_after_it_was_read_is_not_moved(landing: Landing, folder: Path) -> None:
    drop(folder, "a.csv", b"one")
    arrival = found(landing, "a.csv")
    drop(folder, "a.csv", b"other", at=LONG_AGO + 1)
    assert landing.take("aed", arrival, sha256="0" * 64) is None
    assert (folder / "a.csv").read_bytes() == b"other"


def test_a_landing_zone_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="is a folder"):
        Landing(url="s3://bucket/landing").arrived("aed")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable, match="cannot be opened"):
        Landing(url=(tmp_path / "file").as_uri()).arrived("aed")
