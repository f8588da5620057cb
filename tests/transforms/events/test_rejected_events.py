"""Dead letters: what they keep, what makes two of them one, and whose leave."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from pipeline import tables
from tests.builders import METRICS, at, event, events_batch
from tests.transforms.people import Collected, collect, unique_users
from transforms.events.rejected_events import (
    MAX_ROW_TEXT,
    WHO,
    identities_by_form,
    letters_of,
    letters_published,
    rejected_rows,
    without_excluded,
)
from transforms.ids.pseudonyms import Pseudonyms
from transforms.metrics.privacy import Privacy
from transforms.published.changes import LoadedBy, compare

TABLE = tables.REJECTED_EVENTS.under(METRICS)
PHONE, OTHER = "+12015550100", "+12015550101"
ANN = {"user_id": "u-ann", "phoneNumber": PHONE}
FIRST, SECOND = (LoadedBy(f"run-{n}", at(n), frozenset({TABLE.name})) for n in (1, 2))


def source(*rows: dict[str, Any], reason: str = "properties_invalid") -> pa.RecordBatch:
    batch = events_batch(rows)
    return batch.append_column("reason", pa.array([reason] * batch.num_rows, pa.string()))


def letters(*rows: dict[str, Any], reason: str = "properties_invalid") -> list[dict[str, Any]]:
    [batch] = rejected_rows(source(*rows, reason=reason), TABLE.content)
    return batch.to_pylist()


def test_where_ids_are_hashed_a_letter_keeps_its_ids_as_hashes_and_its_times() -> None:
    hashed = Pseudonyms(Privacy(identity="hash"), b"k" * 32)
    [batch] = rejected_rows(source(event(1, distinct_id="0012015550100", properties="[]")), TABLE.content, hashed)
    [found], [plain] = batch.to_pylist(), letters(event(1, distinct_id="0012015550100", properties="[]"))
    who = hashed.ids(pa.array([PHONE]))[0].as_py()
    times = {name: json.loads(plain["row"])[name] for name in ("timestamp", "bq_ingested_timestamp")}
    assert json.loads(found["row"]) == {"uuid": plain["uuid"], "distinct_id": who, **times}
    assert found | {"row": "", "row_key": ""} == plain | {"row": "", "row_key": ""}
    assert found["row_key"] != plain["row_key"]  # which is guessed by who knows all but a phone number


@pytest.mark.parametrize(("uuid", "stays"), [("A" * 32, True), (None, True), (PHONE, False), ("x" * 500, False)])
def test_an_id_that_is_no_uuid_is_hashed_too(uuid: str | None, stays: bool) -> None:
    hashed = Pseudonyms(Privacy(identity="hash"), b"k" * 32)
    [batch] = rejected_rows(source(event(1) | {"uuid": uuid}), TABLE.content, hashed)
    assert (batch.column("uuid").to_pylist() == [uuid]) == stays


def compared(rows: pa.RecordBatch, published: pa.Table, loaded_by: LoadedBy) -> Collected:
    tables_of = {"rows": pa.Table.from_batches([rows]), "published": published}
    return collect(compare(TABLE.target, loaded_by)(tables_of))


BROKEN = event(1, properties="{broken")


def test_a_letter_keeps_the_row_and_the_reason() -> None:
    [letter] = letters(BROKEN)
    assert letter["reason"] == "properties_invalid"
    assert (letter["uuid"], letter["timestamp"]) == (BROKEN["uuid"], at(1))
    row = json.loads(letter["row"])
    assert (row["properties"], row["distinct_id"]) == ("{broken", "anon-1")
    assert row["timestamp"] == at(1).isoformat()


def test_long_texts_are_cut_and_times_that_cannot_be_are_null() -> None:
    [letter] = letters({**BROKEN, "properties": "x" * 20_000, "uuid": "u" * 20_000})
    assert len(letter["uuid"]) == MAX_ROW_TEXT
    assert len(json.loads(letter["row"])["properties"]) == MAX_ROW_TEXT
    batch = source(BROKEN)
    far = pa.array([2**62], pa.int64()).cast(pa.timestamp("us", "UTC"))
    batch = batch.set_column(batch.schema.get_field_index("timestamp"), "timestamp", far)
    [rows] = rejected_rows(batch, TABLE.content)
    assert rows.column("timestamp").to_pylist() == [None]
    assert json.loads(rows.column("row")[0].as_py())["timestamp"] == 2**62


def test_two_equal_letters_are_one_and_any_difference_is_two() -> None:
    [twice] = rejected_rows(source(BROKEN, BROKEN), TABLE.content)
    assert twice.num_rows == 2
    first = compared(twice, TABLE.bare.empty_table(), FIRST)
    assert first.rows.num_rows == 1
    assert first.counts == {"rejected_events.inserted": 1}

    published = first.rows.select(TABLE.bare.names)
    again = compared(twice, published, SECOND)
    assert again.rows.select(TABLE.bare.names) == published
    assert again.counts == {"rejected_events.unchanged": 1}

    others = [{**BROKEN, "properties": "{other"}, {**BROKEN, "timestamp": at(9)}, {**BROKEN, "event": "x"}]
    keys = {letter["row_key"] for letter in letters(BROKEN, *others)} | {
        letter["row_key"] for letter in letters(BROKEN, reason="session_id_invalid")
    }
    assert len(keys) == 5
    long = "x" * 20_000  # rows that differ only in what is cut
    assert len({letter["row_key"] for letter in letters(*({**BROKEN, "properties": long + end} for end in "ab"))}) == 2


def test_what_is_published_stays_although_it_was_not_read_again() -> None:
    [rows] = rejected_rows(source(BROKEN), TABLE.content)
    published = compared(rows, TABLE.bare.empty_table(), FIRST).rows.select(TABLE.bare.names)
    again = compared(rows.slice(0, 0), published, SECOND)
    assert again.counts == {"rejected_events.unchanged": 1}
    full = LoadedBy("run-3", datetime(2026, 1, 1, tzinfo=UTC))
    assert compared(rows.slice(0, 0), published, full).counts == {"rejected_events.deleted": 1}


def settled(new: list[dict[str, Any]], before: list[dict[str, Any]], *excluded: str) -> Collected:
    """New and published letters through `without_excluded`, of Ann's world."""
    rows = [letter for batch in [source(*new)] for letter in letters_of(batch, TABLE.content)]
    [content] = rejected_rows(source(*before), TABLE.content)
    stamps = [pa.array([at(0)] * len(before), pa.timestamp("us", "UTC")), pa.array(["r"] * len(before), pa.string())]
    published = pa.RecordBatch.from_arrays([*content.columns, *stamps], schema=TABLE.bare)
    identities = unique_users([ANN], excluded).also["identities"]
    given = {
        "rows": pa.Table.from_batches(rows),
        "published": pa.Table.from_batches(list(letters_published(published))),
        "identities": pa.Table.from_batches(
            [made for batch in identities.to_batches() for made in identities_by_form(batch)], identities.schema
        ),
    }
    return collect(without_excluded(TABLE.name, frozenset(excluded))(given))


def whose(letters: pa.Table) -> list[str | None]:
    assert WHO not in letters.schema.names
    return [json.loads(row)["distinct_id"] for row in letters.column("row").to_pylist()]


ROWS = [event(n, distinct_id=who, properties="[]") for n, who in enumerate([PHONE, "u-ann", OTHER, None, "x"])]


@pytest.mark.parametrize("excluded", [PHONE, "u-ann", "0012015550100"])
def test_letters_of_an_excluded_person_leave_whether_new_or_published(excluded: str) -> None:
    found = settled(ROWS, ROWS, excluded)
    assert whose(found.rows) == [OTHER, None, "x"]
    assert whose(found.also["published"]) == [OTHER, None, "x"]
    assert whose(found.also["removed"]) == [PHONE, "u-ann"]
    assert set(found.also["removed"].column("_change").to_pylist()) == {"deleted"}
    assert found.counts == {
        "rejected.properties_invalid": -2,
        "filtered.excluded_user": 2,
        "rejected_events.deleted": 2,
    }


@pytest.mark.parametrize(
    ("text", "theirs"),
    [
        ('{"email": "a@b.c", "phone": "+12015550100"', True),
        ('{"$user_id": "staff-1"', True),
        ("[staff-1]", True),
        ('{"$user_id": "staff-10"', False),
        ('{"$user_id": "my-staff-1"', False),
        ('{"phone": "+120155501001"', False),
    ],
)
def test_an_id_of_the_list_as_a_word_in_the_row_tells_whose_it_is(text: str, theirs: bool) -> None:
    row = event(1, distinct_id=None, properties=text)
    found = settled([row], [row], "staff-1", "001 201 555 0100")
    assert found.rows.num_rows == found.also["published"].num_rows == (0 if theirs else 1)


def test_a_list_of_thousands_is_no_pattern_too_large() -> None:
    ids = [f"id-{n}-{'x' * 300}" for n in range(3_000)]
    found = settled([event(1, distinct_id=None, properties=ids[-1])], ROWS, *ids)
    assert (found.rows.num_rows, found.also["published"].num_rows) == (0, len(ROWS))
