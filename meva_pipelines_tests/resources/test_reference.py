"""The package's own tables load, agree with themselves and say clearly what they do not hold."""

from datetime import date

import pytest

from meva_pipelines.domain.failures import Refused
from meva_pipelines.resources import reference


def test_the_region_table_is_read_once_and_is_consistent() -> None:
    assert reference.regions() is reference.regions()
    assert reference.regions().regions_on(date(2026, 7, 1))


@pytest.mark.parametrize("name", ["data_go_kr", "egen"])
def test_each_source_has_a_contract_of_its_own_name(name: str) -> None:
    assert reference.contract(name).name == name


def test_a_source_is_either_asked_or_comes_in_files() -> None:
    assert reference.table("nemc_export") is reference.source("nemc_export")
    with pytest.raises(Refused, match="comes in files"):
        reference.contract("nemc_export")
    with pytest.raises(Refused, match="asked over HTTP"):
        reference.table("egen")


@pytest.mark.parametrize("name", ["unheard_of", "", "../regions", "egen.yaml"])
def test_an_unknown_contract_is_refused_with_the_known_names(name: str) -> None:
    with pytest.raises(Refused, match=r"there are: .*egen"):
        reference.contract(name)
