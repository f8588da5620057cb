"""What equals an excluded id."""

from __future__ import annotations

import json
import pickle

import pyarrow as pa
import pytest

from transforms.ids.excluded import MATCHED, REQUESTED_MATCHED, Excluded, LeftOut, matched_counts

LIST = Excluded(["+12015550100", "staff", "001 201 555 0101", "u-1"])


@pytest.mark.parametrize(
    ("text", "listed"),
    [
        ("+12015550100", "+12015550100"),
        ("+1 (201) 555-0100", "+12015550100"),
        ("12015550101", "001 201 555 0101"),
        ("001 201 555 0101", "001 201 555 0101"),
        ("staff", "staff"),
        ("u-1", "u-1"),
    ],
)
def test_ids_and_phone_numbers_in_any_form(text: str, listed: str) -> None:
    assert LIST.among([text, "x"]) == [True, False]
    assert LIST.listed(pa.array(["x", text, text])) == {listed}


def test_others_and_nulls_are_not() -> None:
    texts = pa.array(["Staff", "u-10", "+12015550102", None, ""])
    assert not LIST.mask(texts).any()
    assert not LIST.mask(pa.chunked_array([texts, texts])).any()
    assert LIST.listed(texts) == set()


def test_an_empty_list_has_nobody() -> None:
    assert not Excluded()
    assert not Excluded().mask(pa.array(["", "x"])).any()
    assert Excluded().mask(pa.array([], pa.string())).tolist() == []


def test_two_forms_of_one_number_are_both_listed() -> None:
    both = Excluded(["+12015550100", "0012015550100"])
    assert both.listed(pa.array(["12015550100"])) == {"+12015550100", "0012015550100"}


def test_it_goes_to_workers() -> None:
    assert pickle.loads(pickle.dumps(LIST)).among(["staff"]) == [True]


def test_an_id_that_occurs_counts_for_the_list_and_for_requests() -> None:
    left_out = LeftOut.of(frozenset({"a", "b"}), frozenset({"b", "c"}))
    assert left_out.every == {"a", "b", "c"}
    found = [count for one in sorted(left_out.every) for count in matched_counts(one, left_out)]
    assert found == [(MATCHED, 1), (MATCHED, 1), (REQUESTED_MATCHED, 1), (REQUESTED_MATCHED, 1)]


def test_all_of_some_texts() -> None:
    assert LIST.has_all("staff", "+1 (201) 555-0100", None)
    assert LIST.has_all(None)
    assert not LIST.has_all("staff", "x")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("of u-1", True),
        ("[u-1]", True),
        ("a line\nu-1", True),  # in a text of JSON its end is a backslash and a letter
        ("\tu-1\r\n", True),
        (r"{\"of\": \"x\nu-1\"}", True),
        ("u-12", False),
        ("su-1", False),
        ("u-1é", False),
        ("éu-1", False),
        ("u-1\u0301", False),
    ],
)
def test_an_id_is_a_word_in_any_script_and_after_the_end_of_a_line(text: str, found: bool) -> None:
    assert LIST.are_words_in(pa.chunked_array([[json.dumps({"row": text}, ensure_ascii=False)]])).tolist() == [found]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r'{"who": "\u002b12015550100"}', True),  # as .NET writes a plus
        (r'{"who": "Ann \u003cann@example.org\u003e"}', True),  # as Go writes `<`
        (r'{"in": "{\\u0022who\\u0022:\\u0022u-1\\u0022}"}', True),  # a text in a text
        (r'{"who": "jos\u00e9"}', True),  # as Python writes all but ASCII
        (r'{"who": "\ud83e\udd8a-1"}', True),
        (r'{"who": "jos\u00e9e"}', False),
        (r'{"who": "\u00e9u-1"}', False),
    ],
)
def test_a_character_that_json_has_by_its_number_is_that_character(text: str, found: bool) -> None:
    listed = Excluded(["u-1", "+12015550100", "ann@example.org", "josé", "🦊-1"])
    rows = pa.chunked_array([[json.dumps({"row": text}, ensure_ascii=False), None, "{}"]])
    assert listed.are_words_in(rows).tolist() == [found, False, False]


def test_an_id_too_long_for_a_pattern_is_nobodys_word() -> None:
    listed = Excluded(["x" * 1_000_000, "u-1"])
    assert listed.are_words_in(pa.chunked_array([["u-1", "x"]])).tolist() == [True, False]
