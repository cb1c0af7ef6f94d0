"""The tables of facts that the package brings along: regions and the contracts of the sources.

Here belongs reading what lies in `resources/reference/` and nothing that a setting could point elsewhere. The
files are data of the package, read once per process; their meaning is in `domain`.
"""

import csv
import functools
import io
from importlib import resources
from importlib.resources.abc import Traversable

import yaml

from meva_pipelines.domain import contract as contracts
from meva_pipelines.domain.failures import Refused
from meva_pipelines.domain.regions import RegionTable


@functools.cache
def regions() -> RegionTable:
    """All Korean sido and sigungu with their periods of validity (from `regions.csv` and `sido_aliases.csv`).

    The table tells changes from 2018 on. A blank `valid_from` means "already so before that".
    Raises ValueError naming the row when a file contradicts itself.
    """
    return RegionTable.from_rows(_rows("regions.csv"), _rows("sido_aliases.csv"))


def contract(name: str) -> contracts.Contract:
    """The contract of a source that is asked over HTTP ("data_go_kr", "egen").

    Raises Refused when there is no such contract or it comes in files, ValueError when the file is wrong.
    """
    found = source(name)
    if not isinstance(found, contracts.Contract):
        raise Refused(f"the source {name!r} comes in files: it cannot be asked")
    return found


def table(name: str) -> contracts.TableContract:
    """The contract of a source whose records come in files ("nemc_export").

    Raises Refused when there is no such contract or it is asked over HTTP, ValueError when the file is wrong.
    """
    found = source(name)
    if not isinstance(found, contracts.TableContract):
        raise Refused(f"the source {name!r} is asked over HTTP: it does not come in files")
    return found


@functools.cache
def asked_sources() -> frozenset[str]:
    """The sources that are asked over HTTP, one of them every night; the others come in files when people drop them."""
    return frozenset(name for name in _contract_files() if isinstance(source(name), contracts.Contract))


@functools.cache
def source(name: str) -> contracts.Contract | contracts.TableContract:
    """The contract of any source, by the name of its file in `contracts/`.

    Raises Refused when there is no such contract, ValueError naming the entry when the file is wrong.
    """
    files = _contract_files()
    if name not in files:
        raise Refused(f"no source contract is named {name!r}; there are: {', '.join(sorted(files))}")
    return contracts.parse_source(yaml.safe_load(files[name].read_text(encoding="utf-8")))


def _contract_files() -> dict[str, Traversable]:
    return {
        file.name.removesuffix(".yaml"): file
        for file in (_folder() / "contracts").iterdir()
        if file.name.endswith(".yaml")
    }


def _folder() -> Traversable:
    return resources.files("meva_pipelines.resources") / "reference"


def _rows(file_name: str) -> list[dict[str, str]]:
    text = (_folder() / file_name).read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text), strict=True))
