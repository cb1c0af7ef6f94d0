"""Questions are checked before anything is opened."""

import pytest

from meva_pipelines.domain.archive.column_types import Columns, IntegerType, OpaqueType, TextType
from meva_pipelines.domain.archive.declared import TABLES
from meva_pipelines.domain.archive.filters import Condition, Operator
from meva_pipelines.domain.archive.queries import MAX_ROWS, Query, Sort
from meva_pipelines.domain.failures import Refused

LOGS = TABLES["operation_logs"]
COLUMNS: Columns = {"id": IntegerType(64), "action": TextType(), "chain_hash": OpaqueType()}


def test_a_question_without_columns_asks_for_all_that_may_be_named() -> None:
    assert Query(LOGS).settled(COLUMNS).columns == ("id", "action", "chain_hash")
    assert Query(LOGS, columns=("action",)).settled(COLUMNS).columns == ("action",)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (Query(LOGS, Condition("details", Operator.EQ, "x")), "filter 'details'"),
        (Query(LOGS, columns=("id", "ip_address")), "columns 'ip_address'"),
        (Query(LOGS, columns=("id", "id")), "columns 'id': it is named twice"),
        (Query(LOGS, sort=(Sort("user_agent"),)), "sort 'user_agent'"),
        (Query(LOGS, sort=(Sort("id"), Sort("id", is_descending=True))), "sort 'id': it is named twice"),
        (Query(LOGS, sort=(Sort("chain_hash"),)), "sort 'chain_hash': the field has no order"),
        (Query(LOGS, limit=-1), "limit -1"),
        (Query(LOGS, limit=MAX_ROWS + 1), "limit"),
        (Query(LOGS, sort=(Sort("id"),), offset=-1), "offset -1"),
        (Query(LOGS, offset=5), "offset 5: rows are left out in a sorted order only"),
    ],
)
def test_what_cannot_be_answered_is_refused(query: Query, words: str) -> None:
    with pytest.raises(Refused) as refused:
        query.settled(COLUMNS)
    assert words in str(refused.value)


def test_a_minus_sorts_in_the_descending_order() -> None:
    assert Sort.of_word("-created_at") == Sort("created_at", is_descending=True)
    assert Sort.of_word("created_at") == Sort("created_at")
