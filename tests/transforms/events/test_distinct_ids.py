"""The distinct ids of sessions, one a row: as they are, and phone numbers in their normal form as well."""

from __future__ import annotations

import pyarrow as pa
import pytest

from transforms.events.distinct_ids import SESSION_IDS, distinct_ids, session_ids
from transforms.schemas.fields import columns_of
from transforms.schemas.outputs import SESSION


def rows(batch: pa.RecordBatch) -> list[tuple[str, str, bool]]:
    """(session, id, fresh), ordered."""
    assert batch.schema == SESSION_IDS
    return sorted((row["session_id"], row["distinct_id"], row["fresh"]) for row in batch.to_pylist())


@pytest.mark.parametrize("fresh", [True, False])
def test_each_id_has_a_row_and_a_phone_number_in_another_form_one_more(fresh: bool) -> None:
    lists = {"session_id": ["s1", "s2", "s3"], "distinct_ids": [["a", "+12015550100"], ["0012015550100"], None]}
    sessions = pa.RecordBatch.from_pydict(lists, schema=columns_of(SESSION, "session_id", "distinct_ids"))
    [found] = distinct_ids(sessions, fresh)
    assert rows(found) == [
        ("s1", "+12015550100", fresh),
        ("s1", "a", fresh),
        ("s2", "+12015550100", fresh),
        ("s2", "0012015550100", fresh),
    ]


def test_pairs_of_this_run_are_fresh() -> None:
    assert rows(session_ids([("s2", "b"), ("s1", "a"), ("s1", "1 (201) 555-0100")])) == [
        ("s1", "+12015550100", True),
        ("s1", "1 (201) 555-0100", True),
        ("s1", "a", True),
        ("s2", "b", True),
    ]
