"""Event properties (JSON text) → typed columns of the declared properties, nothing else.

The JSON of an event is 1 to 2 KB with about 40 keys, of which the metrics need about ten. A typed msgspec
decoder skips the rest without making Python objects. It is strict, so a row that it refuses (a number sent
as text, a lone surrogate, NaN) goes through `json` once more, property by property, under the same rules.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.machinery.columns import TextColumn, dictionary
from transforms.machinery.texts import string_buffers
from transforms.metrics.definitions import PropertyType

#: Longer property texts are cut here, in characters, so that an accumulator stays bounded.
MAX_TEXT = 1_024
#: JSON may be nested so deep, here and in every worker; each level takes two characters at least.
MAX_DEPTH = 1_000
#: So deep may the two parsers recurse, whatever called them: above `MAX_DEPTH`, far below what a thread's stack holds.
_RECURSION = 10_000
#: Rows decoded at once: their objects are read again while they still are in the processor's cache.
_CHUNK = 1_024
#: Numbers of this magnitude and above are null: beyond it integers no longer survive every format.
_MAX_NUMBER = 2.0**63
_SURROGATE = re.compile("[\ud800-\udfff]")
#: A bracket, or a whole string (closed or not), whose brackets do not count.
_BRACKETS = re.compile(rb'[\[\]{}]|"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_REPLACEMENT = "�"


@dataclass(frozen=True)
class PropertyColumns:
    """The declared properties of n rows."""

    valid: npt.NDArray[np.bool_]
    """False where the text was no JSON object."""
    required: pa.StringArray
    """The property that a row cannot do without, as it is."""
    texts: dict[str, TextColumn]
    """The others; cleaned, null where empty."""
    numbers: dict[str, npt.NDArray[np.float64]]
    """NaN for null."""
    present: dict[str, npt.NDArray[np.bool_]]
    """For every declared property, whether the row has a usable value."""
    not_text: npt.NDArray[np.bool_]
    """Rows whose session id is there but no text (a property the row cannot do without)."""
    nulled: Counter[str]
    """Property → values that were set to null: wrong type, not finite, or out of range."""


class PropertyDecoder:
    """Decodes the properties named in `types`; `required` is the text property told apart in `not_text`."""

    def __init__(self, types: Mapping[str, PropertyType], required: str) -> None:
        sys.setrecursionlimit(max(sys.getrecursionlimit(), _RECURSION))
        self._types = dict(types)
        self._required = required
        self._slots = {name: f"p{i}" for i, name in enumerate(self._types)}
        annotations = {
            "text": (str | bool | int | float | None, None),
            "both": (str | bool | int | float | None, None),
            "number": (float | None, None),
            "present": (msgspec.Raw, msgspec.Raw(b"")),
        }
        self._struct = msgspec.defstruct(
            "Properties",
            [
                (self._slots[name], *(annotations[kind] if name != required else (str | None, None)))
                for name, kind in self._types.items()
            ],
            rename={slot: name for name, slot in self._slots.items()},
            gc=False,
        )
        self._decode = msgspec.json.Decoder(self._struct).decode
        self._empty = self._struct()

    def decode(self, texts: pa.Array) -> PropertyColumns:
        """The columns of a string or large_string array of JSON texts (null is not valid)."""
        nulled: Counter[str] = Counter()
        chunks = [self._chunk(texts.slice(i, _CHUNK), nulled) for i in range(0, max(len(texts), 1), _CHUNK)]
        valid, not_text, *columns = zip(*chunks, strict=True)
        found: dict[str, TextColumn] = {}
        numbers: dict[str, npt.NDArray[np.float64]] = {}
        present: dict[str, npt.NDArray[np.bool_]] = {}
        for (name, kind), column in zip(self._types.items(), columns, strict=True):
            if name == self._required:
                required = pa.concat_arrays(column)
            elif kind == "text":
                found[name] = dictionary(pa.concat_arrays(column), clean_texts)
                present[name] = found[name].codes >= 0
            elif kind == "number":
                numbers[name] = _in_range(np.concatenate(column), name, nulled)
                present[name] = ~np.isnan(numbers[name])
            elif kind == "both":
                texts_of, numbers_of = zip(*column, strict=True)
                found[name] = dictionary(pa.concat_arrays(texts_of), clean_texts)
                numbers[name] = _in_range(np.concatenate(numbers_of), name, nulled)
                present[name] = found[name].codes >= 0
            else:
                present[name] = np.concatenate(column)
        whole = np.concatenate(valid), required, found, numbers, present, np.concatenate(not_text)
        return PropertyColumns(*whole, nulled)

    def _chunk(self, texts: pa.Array, nulled: Counter[str]) -> list[Any]:
        """Some rows: valid, not_text, then an array a property."""
        rows, *found = self._rows(texts, nulled)
        values = zip(*map(msgspec.structs.astuple, rows), strict=True) if rows else [()] * len(self._types)
        for kind, column in zip(self._types.values(), values, strict=True):
            if kind == "text":
                found.append(_text_array(column))
            elif kind == "number":
                found.append(np.array(column, dtype=np.float64))
            elif kind == "both":
                found.append((_text_array(column), np.array([_number_or_none(value) for value in column], np.float64)))
            else:
                found.append(np.array([bytes(raw) not in (b"", b"null") for raw in column], bool))
        return found

    def _rows(self, texts: pa.Array, nulled: Counter[str]) -> list[Any]:
        """The rows, which of them are valid, and which are `not_text`."""
        count = len(texts)
        valid = np.ones(count, bool)
        not_text = np.zeros(count, bool)
        offsets, content = string_buffers(texts)
        data, ends = content.data, offsets.tolist()
        decode = self._decode
        rows = [self._empty] * count
        begin = ends[0]
        for i in range(count):
            end = ends[i + 1]
            if end - begin > 2 * MAX_DEPTH and _too_deep(bytes(data[begin:end])):
                valid[i], begin = False, end
                continue
            try:
                rows[i] = decode(data[begin:end])
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                rows[i], valid[i], not_text[i] = self._tolerant(bytes(data[begin:end]), nulled)
            begin = end
        return [rows, valid, not_text]

    def _tolerant(self, text: bytes, nulled: Counter[str]) -> tuple[Any, bool, bool]:
        """(row, whether it is a JSON object, whether the required text is there as something else)."""
        try:
            content = json.loads(text, parse_int=_number)
        except (ValueError, RecursionError):
            return self._empty, False, False
        if not isinstance(content, dict):
            return self._empty, False, False
        fields: dict[str, Any] = {}
        not_text = False
        for name, kind in self._types.items():
            value = content.get(name)
            if value is None:
                continue
            is_number = type(value) is int or (type(value) is float and math.isfinite(value))
            if kind == "present":
                fields[self._slots[name]] = msgspec.Raw(b"1")
            elif kind in ("text", "both") and isinstance(value, str):
                fields[self._slots[name]] = _SURROGATE.sub(_REPLACEMENT, value)
            elif kind in ("text", "both") and name != self._required and (is_number or isinstance(value, bool)):
                fields[self._slots[name]] = value
            elif kind == "number" and is_number and abs(value) < _MAX_NUMBER:
                fields[self._slots[name]] = float(value)
            else:
                nulled[name] += 1
                not_text = not_text or name == self._required
        return self._struct(**fields), True, not_text


def _too_deep(text: bytes) -> bool:
    """Whether JSON is nested deeper than `MAX_DEPTH`; only texts with as many brackets are walked."""
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return False
    depth = deepest = 0
    for bracket in _BRACKETS.finditer(text):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(bracket[0], 0)
        deepest = max(deepest, depth)
    return deepest > MAX_DEPTH


def _number(digits: str) -> int | float:
    """An integer as msgspec has it, with all its digits; beyond 4,300, which both refuse, infinity."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


def _text_array(values: Sequence[Any]) -> pa.StringArray:
    """Texts as they are, numbers and booleans as their JSON text."""
    with suppress(pa.ArrowTypeError, pa.ArrowInvalid, TypeError):
        return pa.array(values, pa.string())
    with suppress(pa.ArrowTypeError, pa.ArrowInvalid, TypeError):
        return pa.array(values, pa.bool_()).cast(pa.string())  # most properties that are no text
    texts = [value if value is None or isinstance(value, str) else _json_text(value) for value in values]
    return pa.array(texts, pa.string())


def _in_range(numbers: npt.NDArray[np.float64], name: str, nulled: Counter[str]) -> npt.NDArray[np.float64]:
    """Numbers below `_MAX_NUMBER`; NaN for others, which are counted."""
    with np.errstate(invalid="ignore"):
        out_of_range = np.abs(numbers) >= _MAX_NUMBER
    if out_of_range.any():
        nulled[name] += int(out_of_range.sum())
        numbers[out_of_range] = np.nan
    return numbers


def _number_or_none(value: str | bool | float | None) -> float | None:
    """A number as it is, or infinity where it is too large for a float; a text and a boolean are none."""
    if isinstance(value, str | bool):
        return None
    return math.inf if type(value) is int and abs(value) >= _MAX_NUMBER else value


def _json_text(value: float | bool) -> str:
    return msgspec.json.encode(value).decode()


def clean_texts(texts: pa.StringArray) -> pa.StringArray:
    """NUL → U+FFFD, at most `MAX_TEXT` characters, empty → null; nearly always there is nothing to clean."""
    offsets, data = string_buffers(texts)
    sizes = np.diff(offsets)
    if not len(sizes) or (sizes.min() > 0 and sizes.max() <= MAX_TEXT and data[offsets[0] : offsets[-1]].min() > 0):
        return texts
    return pa.array([clean_text(value) or None for value in texts.to_pylist()], pa.string())


def clean_text(text: str) -> str:
    """NUL → U+FFFD, at most `MAX_TEXT` characters."""
    return text.replace("\0", _REPLACEMENT)[:MAX_TEXT]


def values_of(codes: npt.NDArray[np.int32], values: Sequence[Any], dtype: Any) -> npt.NDArray[Any]:
    """`values[code]` for every code; a zero of `dtype` where the code is −1."""
    return np.array([*values, 0], dtype)[codes]
