"""The lock file is in step with setup.py, pins everything by hash, and tells nothing about who wrote it.

Whether the pinned set is complete is proved by `pip install --require-hashes` and `pip check`, behind make.
"""

import ast
import itertools
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parent.parent
PIN = re.compile(r"^([a-z0-9-]+)(?:\[[a-z0-9,-]+\])?==([^ ]+)( ; [^\\]+)? \\$", re.MULTILINE)
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")


def direct_requirements() -> list[Requirement]:
    """What setup.py asks for, extras included, read from its literals without running it."""
    tree = ast.parse((PROJECT / "setup.py").read_text(encoding="utf-8"))
    literals = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    extras = [line for lines in literals["EXTRAS_REQUIRE"].values() for line in lines]
    return [Requirement(line) for line in [*literals["INSTALL_REQUIRES"], *extras]]


def lock_text() -> str:
    return (PROJECT / "requirements.lock").read_text(encoding="utf-8")


def pins() -> dict[str, set[str]]:
    """Version numbers by package; a package has more than one where they depend on the version of Python."""
    found: dict[str, set[str]] = {}
    for name, version, _ in PIN.findall(lock_text()):
        found.setdefault(canonicalize_name(name), set()).add(version)
    return found


@pytest.mark.parametrize("requirement", direct_requirements(), ids=lambda requirement: requirement.name)
def test_the_pinned_version_lies_in_the_range_of_setup(requirement: Requirement) -> None:
    versions = pins().get(canonicalize_name(requirement.name), set())
    assert versions, f"{requirement.name} is not pinned: run `make lock`"
    assert all(requirement.specifier.contains(version) for version in versions), "run `make lock`"


def test_a_range_is_given_once_and_has_a_lower_bound() -> None:
    requirements = direct_requirements()
    names = [canonicalize_name(requirement.name) for requirement in requirements]
    assert len(names) == len(set(names))
    assert not [str(requirement) for requirement in requirements if ">=" not in str(requirement.specifier)]


def test_everything_is_pinned_by_hash() -> None:
    lines = [line for line in lock_text().splitlines() if not line.strip().startswith("#")]
    unknown = [line for line in lines if not PIN.match(line) and not HASH.match(line)]
    assert not unknown
    for before, line in itertools.pairwise(lines):
        assert not PIN.match(before) or HASH.match(line), f"{before} has no hash"


def test_the_lock_names_no_registry_and_no_machine() -> None:
    assert "://" not in lock_text()
    assert "--index" not in lock_text()
    assert not re.search(r"(^|\s)/\w+/", lock_text())
