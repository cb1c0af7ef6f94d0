"""Names in backups of files: whatever could leave its root is refused (zip slip, drive letters, control characters)."""

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.backup.members import contained, is_chosen
from meva_pipelines.domain.failures import Unusable


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a/./b",
        "a//b",
        "a/",
        "C:/x",
        "C:x",
        "c:\\x",
        "a\\..\\x",
        "a\0b",
        "a\nb",
        "x" * 5_000,
    ],
)
def test_a_name_that_could_leave_its_root_is_refused(name: str) -> None:
    with pytest.raises(Unusable):
        contained(name)


def test_ordinary_names_stay() -> None:
    assert contained("시험/2026-11/a b.csv") == PurePosixPath("시험/2026-11/a b.csv")


@given(st.text(max_size=30))
def test_whatever_is_taken_stays_below_its_root(name: str) -> None:
    try:
        path = contained(name)
    except Unusable:
        return
    assert (Path("/root-of-all") / path).is_relative_to("/root-of-all")
    assert ".." not in path.parts


def test_paths_folders_and_globs_choose() -> None:
    assert is_chosen("landing/a/b.csv", ())
    assert is_chosen("landing/a/b.csv", ("landing/a",))
    assert is_chosen("landing/a/b.csv", ("*.csv",))
    assert is_chosen("landing/a/b.csv", ("landing/a/b.csv",))
    assert not is_chosen("landing/ab/c.csv", ("landing/a",))
    assert not is_chosen("store/a.csv", ("landing/*",))
