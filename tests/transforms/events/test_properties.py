"""JSON texts → typed columns: the strict decoder and the tolerant one agree, and bad values are null."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.events.properties import MAX_DEPTH, MAX_TEXT, PropertyColumns, PropertyDecoder

TYPES = {"id": "text", "name": "text", "size": "number", "two": "both", "any": "present"}
DECODER = PropertyDecoder(TYPES, required="id")  # type: ignore[arg-type]


def decode(*texts: str | None, kind: pa.DataType | None = None) -> PropertyColumns:
    return DECODER.decode(pa.array(texts, kind or pa.string()))


def row(columns: PropertyColumns, index: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = {"id": columns.required[index].as_py()}
    for name, column in columns.texts.items():
        found[name] = column.texts()[index].as_py()
    for name, numbers in columns.numbers.items():
        of = name if name not in found else f"{name} as a number"
        found[of] = None if np.isnan(numbers[index]) else float(numbers[index])
    found["any"] = bool(columns.present["any"][index])
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"name": "Home", "size": 3, "any": []}', {"name": "Home", "size": 3.0, "any": True}),
        ('{"name": null, "size": null, "any": null}', {}),
        ('{"name": ""}', {}),
        ('{"name": 7, "size": "7"}', {"name": "7"}),
        ('{"name": true}', {"name": "true"}),
        ('{"name": 390.50}', {"name": "390.5"}),
        ('{"name": -12, "other": "\\ud83d"}', {"name": "-12"}),
        ('{"name": [1]}', {}),
        ('{"name": NaN}', {}),
        ('{"size": true}', {}),
        ('{"size": 1e400}', {}),
        ('{"size": -1e400, "name": "x"}', {"name": "x"}),
        ('{"size": NaN, "name": "x"}', {"name": "x"}),
        ('{"size": Infinity}', {}),
        ('{"size": 9223372036854775808}', {}),
        ('{"size": 9223372036854774784}', {"size": 9223372036854774784.0}),
        ('{"size": ' + "9" * 5_000 + ', "name": "x"}', {"name": "x"}),
        ('{"name": "\\ud83d"}', {"name": "�"}),
        ('{"name": "a\\ud83db", "size": 1}', {"name": "a�b", "size": 1.0}),
        ('{"name": "\\ud83c\\udf88"}', {"name": "🎈"}),
        ('{"name": "a\\u0000b"}', {"name": "a�b"}),
        ('{"name": "שלום 🎈"}', {"name": "שלום 🎈"}),
        ('{"other": "\\ud83d", "name": "x"}', {"name": "x"}),
        (json.dumps({"name": "x" * 1_000_000}), {"name": "x" * MAX_TEXT}),
        ('{"name": "a", "name": "b"}', {"name": "b"}),
        ('{"two": 7}', {"two": "7", "two as a number": 7.0}),
        ('{"two": -0.50}', {"two": "-0.5", "two as a number": -0.5}),
        ('{"two": "7"}', {"two": "7"}),
        ('{"two": true}', {"two": "true"}),
        ('{"two": 1e300}', {"two": "1e300"}),
        ('{"two": "\\ud83d"}', {"two": "�"}),
        ('{"two": 7, "name": "\\ud83d"}', {"two": "7", "two as a number": 7.0, "name": "�"}),
        ('{"two": [7]}', {}),
        ("{}", {}),
        (' {"size": 1} ', {"size": 1.0}),
    ],
)
def test_values(text: str, expected: dict[str, Any]) -> None:
    columns = decode(text)
    assert columns.valid.tolist() == [True]
    nothing = {"id": None, "name": None, "size": None, "two": None, "two as a number": None, "any": False}
    assert row(columns) == nothing | expected


NOT_OBJECTS = [None, "", " ", "null", "7", '"text"', "[]", '[{"name": "x"}]', '{"name": "x"', "{'name': 'x'}"]
NOT_OBJECTS += ["{", "nope", '{"a":' * 100_000, "[" * 100_000, '{"name": "a\nb"}']


@pytest.mark.parametrize("text", NOT_OBJECTS)
def test_what_is_no_json_object_is_not_valid(text: str | None) -> None:
    assert decode(text).valid.tolist() == [False]


def test_nulled_values_are_counted_by_property() -> None:
    columns = decode('{"name": {}, "size": "1"}', '{"size": true}', '{"size": 1e300}', '{"size": 5}', '{"two": 1e300}')
    assert columns.nulled == {"name": 1, "size": 3, "two": 1}


def test_a_required_text_of_another_type_is_told_apart_from_a_missing_one() -> None:
    columns = decode('{"id": 7}', '{"id": null}', "{}", '{"id": "x"}', '{"id": ["x"]}')
    assert columns.not_text.tolist() == [True, False, False, False, True]


def test_large_strings_slices_and_no_rows() -> None:
    texts = ['{"name": "a"}', '{"name": "b"}', '{"name": "c"}']
    assert row(decode(*texts, kind=pa.large_string()), 2)["name"] == "c"
    sliced = pa.array(texts).slice(1)
    assert [row(DECODER.decode(sliced), i)["name"] for i in range(2)] == ["b", "c"]
    assert len(decode().valid) == 0


def nested(depth: int, text: str = "") -> str:
    """An object that is nested so deep, its own braces included, in a property that nobody asks for."""
    return f'{{"name": "a", "zz": "{text}", "b": {"[" * (depth - 1)}{"]" * (depth - 1)}}}'


def called_from(frames: int, text: str) -> bool:
    """Whether a text is valid for a decoder that so many Python frames call."""
    return called_from(frames - 1, text) if frames else bool(decode(text).valid[0])


@pytest.mark.parametrize("other", ["", "\\ud800", '[{\\"' * 2_000])
@pytest.mark.parametrize("frames", [0, 500])
def test_one_depth_is_the_limit_whatever_calls_the_decoder(frames: int, other: str) -> None:
    assert called_from(frames, nested(MAX_DEPTH, other))
    assert not called_from(frames, nested(MAX_DEPTH + 1, other))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from([*TYPES, "x"]), VALUES))
def test_the_strict_and_the_tolerant_decoder_agree(content: dict[str, Any]) -> None:
    text = json.dumps(content)
    # a lone surrogate in another property forces the tolerant way
    forced = json.dumps({**content, "zz": "\ud800"})
    assert row(decode(text)) == row(decode(forced))
    assert decode(text).valid.all()


@pytest.mark.parametrize("digits", ["18446744073709551615", "18446744073709551616", "-9223372036854775809", "9" * 400])
def test_a_large_whole_number_is_the_same_text_whatever_else_the_row_holds(digits: str) -> None:
    strict, tolerant = (
        decode(f'{{"name": {digits}, "two": {digits}, "size": {other}}}') for other in ("1", '"no number"')
    )
    for found in (strict, tolerant):
        assert (row(found)["name"], row(found)["two"], row(found)["two as a number"]) == (digits, digits, None)
    assert (strict.nulled, tolerant.nulled) == ({"two": 1}, {"two": 1, "size": 1})
