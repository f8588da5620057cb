"""Whose data is left out: the list of excluded ids, requests to be deleted, and what equals one of their ids.

An id of the list is a distinct id, a user id or a phone number. It excludes the *person*: every event with that
distinct id, every session that belongs to that user, whatever other ids it has (`transforms.sessions.fate`), and their
dead letters (`transforms.events.rejected_events`). Phone numbers are compared in their normal form
(`transforms.ids.phones`).

A deletion request is the same and more: a session that has any of its ids goes whole, whether the id is somebody's
account or nobody's (`requested_ids`). Of the list only the events with such an id go then. So nothing changes when the
account goes from the users table, which is what a request leads to.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection

from transforms.ids.phones import phone_forms
from transforms.machinery.counts import Count, some_of
from transforms.machinery.steps import flat_map

#: RE2 refuses patterns above some size. Longer ids are nobody's, since events with such a distinct id are rejected.
_IDS_A_PATTERN, _LONGEST = 200, 1_000
#: What words are made of, in any script (RE2's `\w` knows ASCII alone), as part of a class of characters.
_OF_WORDS = r"\p{L}\p{M}\p{N}_\-"
#: The end of a line or a tab as JSON has it, also of a text in a text: its letter is no part of the word after it.
_ESCAPED_BLANK = r"\\+[bfnrt]"
#: Characters that JSON has by their numbers: all but ASCII in Python's, `<` and `>` in Go's, a plus in .NET's.
_NUMBERED, _NUMBER = r"(?:\\+u[0-9a-fA-F]{4})+", re.compile("u(.{4})")

#: Counts of a run: excluded ids, and those that some event, published session or user of the run has.
LISTED, MATCHED = "excluded.ids", "excluded.matched"
#: The same of the ids of deletion requests.
REQUESTED, REQUESTED_MATCHED = "deletion.requested", "deletion.matched"


@dataclass(frozen=True)
class LeftOut:
    """Whose data a run leaves out."""

    listed: frozenset[str] = frozenset()
    """Ids of the list."""
    requested: frozenset[str] = frozenset()
    """Ids of deletion requests."""
    every: frozenset[str] = frozenset()
    """Both."""

    @classmethod
    def of(cls, listed: frozenset[str], requested: frozenset[str]) -> LeftOut:
        """The two united."""
        return cls(listed, requested, listed | requested)

    def staged(self, stage: Callable[[frozenset[str], str], frozenset[str]]) -> LeftOut:
        """The same with each different set as `stage` gives it, which is told its name."""
        names = {ids: name for name, ids in vars(self).items()}
        made = {ids: stage(ids, name) for ids, name in names.items()}
        return LeftOut(*(made[ids] for ids in vars(self).values()))


class Excluded:
    """A list of excluded ids; picklable, and false when it is empty."""

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self.ids = ids if isinstance(ids, frozenset) else frozenset(ids)
        """As they were given, blanks around them aside."""
        given = sorted(self.ids)
        forms = phone_forms(pa.array(given, pa.string())).to_pylist()
        self._listed: dict[str, set[str]] = {}
        for key, listed in (*zip(given, given, strict=True), *zip(forms, given, strict=True)):
            self._listed.setdefault(key, set()).add(listed)
        keys = sorted(self._listed)
        self._keys = pa.array(keys, pa.string())
        keys = [key for key in keys if len(key) <= _LONGEST]
        starts = range(0, len(keys), _IDS_A_PATTERN)
        self._patterns = ["|".join(map(re.escape, keys[i : i + _IDS_A_PATTERN])) for i in starts]

    def __reduce__(self) -> Any:
        """Only the ids travel to workers, in their own way (`pipeline.staged_ids`); the rest follows from them."""
        return _excluded_of, (self.ids,)

    def __bool__(self) -> bool:
        return bool(self.ids)

    def mask(self, texts: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.bool_]:
        """Which texts of a string column are excluded ids, as they are or as phone numbers; null is not."""
        if not self.ids or not len(texts):
            return np.zeros(len(texts), bool)
        if isinstance(texts, pa.ChunkedArray):
            texts = texts.combine_chunks()
        found = pc.or_(pc.is_in(texts, self._keys), pc.is_in(phone_forms(texts), self._keys))
        return np.asarray(found)

    def are_words_in(self, texts: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
        """Which JSON texts hold an excluded id, in one of its two forms, as a whole word; null does not."""
        found = np.zeros(len(texts), bool)
        if len(texts) and self._patterns:
            texts = pc.replace_substring_regex(_with_characters(texts), _ESCAPED_BLANK, " ")
            for words in self._patterns:
                hits = pc.match_substring_regex(texts, rf"(?:^|[^{_OF_WORDS}+])(?:{words})(?:$|[^{_OF_WORDS}])")
                found |= np.asarray(hits.fill_null(False))
        return found

    def has_all(self, *texts: str | None) -> bool:
        """Whether all of these that are not None are excluded ids."""
        return bool(self.mask(known).all()) if (known := pa.array(texts, pa.string()).drop_null()) else True

    def among(self, values: Sequence[str]) -> list[bool]:
        """`mask` of each value of a dictionary."""
        return self.mask(pa.array(values, pa.string())).tolist()

    def listed(self, texts: pa.Array | pa.ChunkedArray) -> set[str]:
        """The ids of the list that these texts equal."""
        found = pc.unique(texts.filter(pa.array(self.mask(texts))))
        keys = {*found.to_pylist(), *phone_forms(found).to_pylist()}
        return set().union(*(self._listed.get(key, ()) for key in keys))


def _with_characters(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """JSON texts with the characters that they have by their numbers, also those of a text in a text."""
    if not pc.any(pc.match_substring_regex(texts, _NUMBERED)).as_py():
        return texts
    made = [text and re.sub(_NUMBERED, _characters, text) for text in texts.to_pylist()]
    return pa.chunked_array([pa.array(made, pa.string())])


def _characters(numbered: re.Match[str]) -> str:
    units = bytes.fromhex("".join(_NUMBER.findall(numbered[0])))
    return units.decode("utf-16-be", "replace")  # beyond 16 bits a character is two numbers


def listed_in(batch: pa.RecordBatch, column: str, excluded: Excluded) -> Iterator[str]:
    """The excluded ids that a column of texts, or of lists of texts, has."""
    texts = batch.column(column)
    yield from excluded.listed(pc.list_flatten(texts) if pa.types.is_list(texts.type) else texts)


class CountExcluded(beam.PTransform):
    """{column with ids: PCollection[pa.RecordBatch]} → PCollection[Count]: ids left out, and those that occur."""

    def __init__(self, left_out: LeftOut) -> None:
        super().__init__()
        self._left_out, self._excluded = left_out, Excluded(left_out.every)

    def expand(self, sources: Mapping[str, PCollection[pa.RecordBatch]]) -> PCollection[Count]:
        """A tiny shuffle by id; nothing where nobody is left out."""
        begin = next(iter(sources.values())).pipeline
        numbers = {LISTED: len(self._left_out.listed), REQUESTED: len(self._left_out.requested)}
        counts = list(some_of(numbers).items())
        read = begin | "Ids" >> beam.Create(counts).with_output_types(Count)
        if not counts:
            return read
        found = [
            batches | f"Listed {column}" >> flat_map(listed_in, column, self._excluded, gives=str)
            for column, batches in sources.items()
        ]
        unique = found | "All" >> beam.Flatten() | "Distinct" >> beam.Distinct().with_output_types(str)
        matched = unique | "Count each" >> flat_map(matched_counts, self._left_out, takes=str, gives=Count)
        return (read, matched) | beam.Flatten()


def matched_counts(one: str, left_out: LeftOut) -> Iterator[Count]:
    """An id that occurs, as counts: it can be of the list and of a request."""
    for ids, name in ((left_out.listed, MATCHED), (left_out.requested, REQUESTED_MATCHED)):
        if one in ids:
            yield name, 1


@functools.lru_cache(maxsize=4, typed=True)  # equal ids travel in their own way each: see `__reduce__`
def _excluded_of(ids: frozenset[str]) -> Excluded:
    return Excluded(ids)
