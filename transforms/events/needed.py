"""What the declared metrics need of events, as columns of slim rows: bits of conditions, numbers and texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from transforms.events.properties import PropertyColumns, values_of
from transforms.events.slim_rows import WORD
from transforms.ids.pseudonyms import PLAIN, Pseudonyms
from transforms.machinery.columns import TextColumn
from transforms.metrics.definitions import Metrics
from transforms.metrics.kinds.conditions import EVENT_NAME, Condition
from transforms.metrics.kinds.kind import Kind, Ratio
from transforms.metrics.kinds.links import Link


class NeededColumns:
    """Makes the columns that `metrics.needs` names; texts that name a person are hashed as ids are."""

    def __init__(self, metrics: Metrics, pseudonyms: Pseudonyms = PLAIN) -> None:
        self._metrics, self._pseudonyms = metrics, pseudonyms
        conditions = metrics.needs.conditions
        self._words = [conditions[begin : begin + WORD] for begin in range(0, len(conditions), WORD)]
        self._admitted = [_admitted(word) for word in self._words]

    def numbers(self, names: TextColumn, columns: PropertyColumns, rows: Any) -> dict[str, npt.NDArray[Any]]:
        """`bits<i>` and `number <i>` of some rows, by the events' names and properties of all."""
        found: dict[str, npt.NDArray[Any]] = {
            f"bits{i}": word[rows] for i, word in enumerate(self._bits(names, columns))
        }
        for i, (ratio, values) in enumerate(zip(self._metrics.needs.numbers, self._numbers(columns), strict=True)):
            found[f"number {i}"] = self._needed(ratio, values, names, np.nan)[rows]
        return found

    def texts(self, names: TextColumn, columns: PropertyColumns, rows: Any) -> dict[str, TextColumn]:
        """`text <property>` of some rows, by the events' names and properties of all."""
        found = {}
        for name in self._metrics.needs.texts:
            column = columns.texts[name]
            if name in self._metrics.privacy.properties:
                column = TextColumn(column.codes, self._pseudonyms.ids(column.values))
            found[f"text {name}"] = TextColumn(self._needed(name, column.codes, names, -1), column.values).take(rows)
        return found

    def matches(self, numbers: Mapping[str, npt.NDArray[Any]]) -> dict[str, int]:
        """Metric of some events only, or link → how many of the rows with these numbers match its conditions."""
        return {
            entry.name: self._matching(entry, numbers) for entry in self._metrics.declared if entry.needs().conditions
        }

    def _matching(self, entry: Kind | Link, numbers: Mapping[str, npt.NDArray[Any]]) -> int:
        """How many rows match the conditions of a metric or link."""
        found = 0
        for condition in entry.needs().conditions:
            word, bit = divmod(self._metrics.needs.conditions.index(condition), WORD)
            found += int(np.count_nonzero(numbers[f"bits{word}"] & np.uint64(1 << bit)))
        return found

    def _needed(
        self, what: str | Ratio, values: npt.NDArray[Any], names: TextColumn, nothing: float
    ) -> npt.NDArray[Any]:
        """Values of a text or number, `nothing` for events of which it is not needed."""
        wanted = self._metrics.needed_of.get(what)
        if wanted is None:
            return values
        there = values_of(names.codes, [name in wanted for name in names.values.to_pylist()], bool)
        return np.where(there, values, values.dtype.type(nothing))

    def _bits(self, names: TextColumn, columns: PropertyColumns) -> Iterator[npt.NDArray[np.uint64]]:
        """A column for every 64 conditions; each different text is looked at once, not each row."""
        events = names.values.to_pylist()
        for word, admitted in zip(self._words, self._admitted, strict=True):
            found = values_of(
                names.codes, [_bits(one.admits(EVENT_NAME, name) for one in word) for name in events], "u8"
            )
            for name, (known, other) in admitted.items():
                column = columns.texts[name]
                found &= np.array([*(known.get(text, other) for text in column.values.to_pylist()), other], "u8")[
                    column.codes
                ]
            for bit, condition in enumerate(word):
                if condition.property:
                    found &= np.where(columns.present[condition.property], _EVERY, _EVERY ^ np.uint64(1 << bit))
            yield found

    def _numbers(self, columns: PropertyColumns) -> Iterator[npt.NDArray[np.float64]]:
        for ratio in self._metrics.needs.numbers:
            values = columns.numbers[ratio.property]
            if ratio.divided_by:
                divisor = columns.numbers[ratio.divided_by]
                with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                    values = np.where(divisor > 0, values / divisor, np.nan)
                    values = np.where(np.isfinite(values), values, np.nan)
            if ratio.clip:
                values = np.clip(values, *ratio.clip)
            yield values + 0.0  # −0.0 becomes 0.0: equal numbers must be equal bytes


def _admitted(word: Sequence[Condition]) -> dict[str, tuple[dict[str, int], int]]:
    """Property → which conditions admit an event by its text: bits by text, and those of any other text and of none."""
    listed: dict[str, set[str]] = {}
    for condition in word:
        for name, texts in condition.where:
            if name != EVENT_NAME:
                listed.setdefault(name, set()).update(texts)
    return {
        name: (
            {text: _bits(one.admits(name, text) for one in word) for text in texts},
            _bits(one.admits(name, None) for one in word),
        )
        for name, texts in listed.items()
    }


def _bits(holds: Iterable[bool]) -> int:
    """Bit i is the i-th value."""
    return sum(value << bit for bit, value in enumerate(holds))


_EVERY = ~np.uint64(0)
