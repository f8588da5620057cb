"""Texts that any exporter wrote become texts that everybody can read, and only those that must."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.machinery.texts import string_buffers, valid_text

BYTES = st.lists(st.one_of(st.none(), st.binary(max_size=8), st.text(max_size=4).map(str.encode)), max_size=6)


def unchecked(values: list[bytes | None]) -> pa.Array:
    """A string array of these bytes, as a file may hold them."""
    return pa.array(values, pa.binary()).view(pa.string())


@given(BYTES, st.integers(0, 3))
def test_what_is_no_utf8_is_replaced_and_nothing_else(values: list[bytes | None], begin: int) -> None:
    found = valid_text(unchecked(values).slice(begin))
    found.validate(full=True)
    assert found.to_pylist() == [None if one is None else one.decode("utf-8", "replace") for one in values[begin:]]


def test_ascii_is_handed_on_as_it_is() -> None:
    texts = pa.array(["a", None, "b"])
    assert valid_text(texts) is texts


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_buffers_are_those_of_the_rows(kind: pa.DataType) -> None:
    values = ["", "ab", "ü", "c"]
    offsets, data = string_buffers(pa.array(["before", *values, "after"], kind).slice(1, len(values)))
    assert [bytes(data[offsets[i] : offsets[i + 1]]).decode() for i in range(len(values))] == values
    offsets, data = string_buffers(pa.array([], kind))
    assert (offsets.tolist(), data.tolist()) == ([0], [])
