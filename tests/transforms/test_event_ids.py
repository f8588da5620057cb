"""Event ids as numbers."""

from __future__ import annotations

import uuid

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from transforms.event_ids import EventIds, event_ids, pack_id

FORMS = (
    st.uuids().map(str)
    | st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
    | st.uuids().map(lambda value: str(value).upper())
)


def ids(values: list[str]) -> EventIds:
    return event_ids(pa.array(values, pa.string()))


@given(st.lists(FORMS, min_size=1, max_size=10))
def test_keys_do_not_depend_on_the_batch(values: list[str]) -> None:
    together = ids(values).keys.tolist()
    assert together == [ids([value]).keys.tolist()[0] for value in values]
    assert len(set(together)) == len(set(values))


@given(st.lists(st.uuids().map(str), min_size=1, max_size=10))
def test_canonical_ids_order_like_their_texts(values: list[str]) -> None:
    found = ids(values)
    by_order = sorted(range(len(values)), key=lambda i: (found.order[0][i], found.order[1][i]))
    assert [values[i] for i in by_order] == sorted(values)
    assert [found.packed_of(i) for i in range(len(values))] == [uuid.UUID(v).bytes for v in values]


@given(st.lists(FORMS, min_size=1, max_size=10))
def test_mixed_ids_order_like_their_packed_forms(values: list[str]) -> None:
    found = ids(values)
    assert [found.packed_of(i) for i in range(len(values))] == [pack_id(value) for value in values]
    by_order = sorted(range(len(values)), key=lambda i: (found.order[0][i], found.order[1][i]))
    assert [pack_id(values[i]) for i in by_order] == sorted(map(pack_id, values))


def test_ids_that_differ_in_one_half_only_have_different_keys() -> None:
    values = [str(uuid.UUID(int=i)) for i in range(3_000)]
    values += [str(uuid.UUID(int=i << 64)) for i in range(1, 3_000)]
    assert len(set(ids(values).keys.tolist())) == len(values)


def test_no_rows_and_slices() -> None:
    assert len(ids([]).keys) == 0
    values = [str(uuid.UUID(int=i)) for i in range(5)]
    assert event_ids(pa.array(values).slice(2)).keys.tolist() == ids(values[2:]).keys.tolist()
