"""Which ids identify nobody, and the one form of session ids."""

from __future__ import annotations

import uuid

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.ids.posthog_rules import (
    canonical_session_column,
    canonical_session_id,
    canonical_session_ids,
    is_meaningless,
    known_ids,
    meaningless_column,
)

UUID = "018f0000-0000-7000-8000-00000000ABCD"


@pytest.mark.parametrize(
    "text",
    [
        *("anonymous", "guest", "distinctid", "distinct_id", "id", "not_authenticated", "email", "undefined"),
        *("true", "false", "uNdEfInEd", "GUEST", "[object Object]", "NaN", "None", "none", "null", "0"),
        *("'undefined'", '"null"', "'NaN'", '"Guest"', " null ", "\tundefined\n", "", "   ", "''", '""'),
        *("000", "00000000-0000-0000-0000-000000000000", "0" * 32, '"0"', "'00-00'"),
    ],
)
def test_words_that_identify_nobody(text: str) -> None:
    assert is_meaningless(text)


@pytest.mark.parametrize(
    "text",
    [
        *("nan", "NULL", "NONE", "[object object]", "guest-1", "identity", "user_id", "'undefined", 'undefined"'),
        *("-", "--", "'", "00000000-0000-0000-0000-000000000001", "0.0", "+0", "'\"null\"'", UUID, "+12015550100"),
    ],
)
def test_ids_that_may_be_somebody(text: str) -> None:
    assert not is_meaningless(text)


WORDS = st.sampled_from(["null", "0", "x", "GUEST", "'None'", '"nan"', "0-0", "--", "[object Object]", "K", "ſ"])


@given(st.lists(st.text(max_size=8) | WORDS | WORDS.map(lambda word: f" {word}\u2003\n")))
def test_all_at_once_is_each_by_itself(values: list[str]) -> None:
    alone = [is_meaningless(value) for value in values]
    assert meaningless_column(pa.array(values, pa.string())).to_pylist() == alone
    assert meaningless_column(pa.chunked_array([pa.array(values, pa.string())])).to_pylist() == alone


@pytest.mark.parametrize(
    ("given_id", "wanted"),
    [
        (UUID, UUID.lower()),
        (UUID.lower(), UUID.lower()),
        (UUID.replace("-", ""), UUID.replace("-", "").lower()),  # dashes as given
        ("Session-ABC", "Session-ABC"),
        (f" {UUID}", f" {UUID}"),
        (f"{UUID}\n", f"{UUID}\n"),
        (UUID[:-1], UUID[:-1]),
        ("Ａ" * 32, "Ａ" * 32),  # capitals, but no hexadecimal digits
        ("", ""),
    ],
)
def test_session_ids_that_are_uuids_are_in_lower_case(given_id: str, wanted: str) -> None:
    assert canonical_session_id(given_id) == wanted


FORMS = st.uuids().map(str) | st.uuids().map(lambda value: uuid.UUID(str(value)).hex.upper()) | st.text(max_size=40)


@given(st.lists(st.none() | FORMS | FORMS.map(str.upper)))
def test_a_column_and_a_dictionary_follow_the_same_rule(values: list[str | None]) -> None:
    wanted = [None if value is None else canonical_session_id(value) for value in values]
    column = canonical_session_column(pa.chunked_array([pa.array(values, pa.string())]))
    assert column.to_pylist() == wanted
    texts = [value for value in values if value is not None]
    assert canonical_session_ids(texts) == [value for value in wanted if value is not None]


def test_known_ids_are_those_that_identify_somebody() -> None:
    assert known_ids(pa.array(["u-1", "undefined", " ", None])).to_pylist() == ["u-1", None, None, None]
