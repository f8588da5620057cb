"""Rows as columns: numpy for numbers, dictionaries for texts, and their packed form for a shuffle.

A text column is codes into a dictionary; both travel as plain Arrow record batches without their schema, which both
ends know: many small slices go through a shuffle, and a schema and a dictionary message would cost each more than its
rows do. One zstd frame holds a slice.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_ZSTD = pa.Codec("zstd", 1)
_SIZES = struct.Struct("<II")
#: The table of (slice, text) that makes local dictionaries may have so many cells a row.
_CELLS = 8

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TextColumn:
    """Texts of n rows, dictionary-encoded."""

    codes: npt.NDArray[np.int32]
    """Index into `values`, −1 for null."""
    values: pa.StringArray
    """Without nulls. A text may occur twice, unless the column comes out of `Columns.concat`: then texts ascend."""

    def take(self, rows: Any) -> TextColumn:
        """Some of the rows."""
        return TextColumn(self.codes[rows], self.values)

    def texts(self) -> pa.Array:
        """One text a row."""
        return self.values.take(pa.array(self.codes, mask=self.codes < 0))


@dataclass(frozen=True)
class Layout:
    """Which columns rows have: numbers with their numpy types, and texts."""

    numbers: Mapping[str, str]
    texts: tuple[str, ...]

    @functools.cached_property
    def rows(self) -> pa.Schema:
        """The schema of packed rows."""
        kinds = [(name, pa.from_numpy_dtype(np.dtype(kind))) for name, kind in self.numbers.items()]
        return pa.schema([*kinds, *((name, pa.int32()) for name in self.texts)])

    @functools.cached_property
    def dictionaries(self) -> pa.Schema:
        """The schema of packed dictionaries, one row a slice."""
        return pa.schema([(name, pa.list_(pa.string())) for name in self.texts])


@dataclass(frozen=True)
class Columns:
    """n rows; see `Layout`."""

    numbers: dict[str, npt.NDArray[Any]]
    texts: dict[str, TextColumn]

    def __len__(self) -> int:
        return len(next(iter(self.numbers.values())))

    def take(self, rows: npt.NDArray[Any]) -> Columns:
        """Some of the rows, by index or mask."""
        return Columns(
            {name: values[rows] for name, values in self.numbers.items()},
            {name: column.take(rows) for name, column in self.texts.items()},
        )

    @staticmethod
    def concat(parts: Sequence[Columns]) -> Columns:
        """The rows of one or more parts; dictionaries come out ascending and unique, so that codes order like texts."""
        first = parts[0]
        texts = {}
        for name in first.texts:
            columns = [part.texts[name] for part in parts]
            shifts = np.cumsum([0, *(len(column.values) for column in columns[:-1])])
            codes = np.concatenate(
                [
                    np.where(column.codes < 0, -1, column.codes + shift)
                    for column, shift in zip(columns, shifts, strict=True)
                ]
            )
            texts[name] = _unified(codes, pa.concat_arrays([column.values for column in columns]))
        return Columns(
            {name: np.concatenate([part.numbers[name] for part in parts]) for name in first.numbers},
            texts,
        )

    def slices(self, bounds: Ints, layout: Layout) -> Iterator[tuple[int, bytes]]:
        """(number of rows, packed) for the rows between each two bounds; the first is 0 and the last n."""
        sizes = np.diff(bounds)
        of = np.repeat(np.arange(len(sizes)), sizes)
        local = {name: _local(self.texts[name], of, len(sizes)) for name in layout.texts}
        rows = pa.RecordBatch.from_arrays(
            [pa.array(self.numbers[name]) for name in layout.numbers]
            + [pa.array(codes) for codes, _ in local.values()],
            schema=layout.rows,
        )
        dictionaries = pa.RecordBatch.from_arrays([values for _, values in local.values()], schema=layout.dictionaries)
        for i, (begin, size) in enumerate(zip(bounds.tolist(), sizes.tolist(), strict=False)):
            head, tail = rows.slice(begin, size).serialize(), dictionaries.slice(i, 1).serialize()
            content = _ZSTD.compress(b"".join([head, tail]), asbytes=True)
            yield size, _SIZES.pack(head.size, head.size + tail.size) + content

    @staticmethod
    def unpack(packed: Sequence[bytes], layout: Layout) -> Columns:
        """The rows of one or more slices; dictionaries ascend as those of `concat`."""
        schemas = layout.rows, layout.dictionaries
        batches: tuple[list[pa.RecordBatch], list[pa.RecordBatch]] = [], []
        for content in packed:
            split, size = _SIZES.unpack_from(content)
            raw = _ZSTD.decompress(memoryview(content)[_SIZES.size :], size)
            for schema, found, part in zip(schemas, batches, (raw[:split], raw[split:]), strict=True):
                found.append(pa.ipc.read_record_batch(part, schema))
        rows, dictionaries = (pa.concat_batches(found) for found in batches)
        sizes = [batch.num_rows for batch in batches[0]]
        texts = {}
        for name in layout.texts:
            lists = dictionaries.column(name)
            ends = lists.offsets.to_numpy()
            codes = rows.column(name).to_numpy()
            shifted = codes + np.repeat(ends[:-1] - ends[0], sizes).astype(np.int32)
            texts[name] = _unified(np.where(codes < 0, np.int32(-1), shifted), lists.flatten())
        return Columns({name: rows.column(name).to_numpy() for name in layout.numbers}, texts)


def dictionary(texts: pa.Array, clean: Callable[[pa.Array], pa.Array] | None = None) -> TextColumn:
    """Dictionary-encode a string array, its different texts passed through `clean` (which may make some null)."""
    encoded = texts.dictionary_encode()
    codes = encoded.indices
    codes = codes.fill_null(-1) if codes.null_count else codes
    values = encoded.dictionary
    cleaned = clean(values) if clean else values
    found = codes.to_numpy().astype(np.int32, copy=False)
    if cleaned.null_count:
        there = np.asarray(cleaned.is_valid())
        renamed = np.append(np.where(there, np.cumsum(there) - 1, -1), -1).astype(np.int32)
        return TextColumn(renamed[found], cleaned.drop_null())
    return TextColumn(found, cleaned)


def different(column: TextColumn, starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """(group, code) of every text of each group of rows, each once, ascending."""
    groups = np.repeat(np.arange(len(starts)), ends - starts)
    there = column.codes >= 0
    width = len(column.values) + 1
    # not np.unique, which hashes integers: ten times the time where most are different
    pairs = np.sort(groups[there] * width + column.codes[there])
    pairs = pairs[np.diff(pairs, prepend=-1) > 0]
    return pairs // width, pairs % width


def lists_of_different(column: TextColumn, starts: Ints, ends: Ints, limit: int) -> tuple[pa.ListArray, Ints]:
    """The different texts of each group of rows, the first `limit` by code, and how many there are."""
    groups, codes = different(column, starts, ends)
    sizes = np.bincount(groups, minlength=len(starts))
    place = np.arange(len(groups)) - (np.cumsum(sizes) - sizes)[groups]
    offsets = np.append(0, np.cumsum(np.minimum(sizes, limit))).astype(np.int32)
    texts = column.values.take(pa.array(codes[place < limit]))
    return pa.ListArray.from_arrays(pa.array(offsets), texts), sizes


def _unified(codes: npt.NDArray[Any], values: pa.StringArray) -> TextColumn:
    """The same texts with a dictionary that ascends and has each once."""
    encoded = values.dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    renamed = np.append(rank[encoded.indices.to_numpy()], np.int32(-1))
    return TextColumn(renamed[codes], encoded.dictionary.take(pa.array(order)))


def _local(column: TextColumn, of: Ints, slices: int) -> tuple[npt.NDArray[np.int32], pa.ListArray]:
    """Codes into a dictionary of each slice's own, and those dictionaries; `of` is the slice of each row, ascending."""
    codes, size = column.codes, len(column.values)
    there = codes >= 0
    if slices * size <= _CELLS * len(codes):
        seen = np.zeros(slices * size, bool)
        cell = of * size + codes
        seen[cell[there]] = True
        number = np.cumsum(seen.reshape(slices, size), axis=1, dtype=np.int32) - 1
        local = np.where(there, number.ravel()[np.where(there, cell, 0)] if size else -1, -1)
        used = np.flatnonzero(seen)
        counts = seen.reshape(slices, size).sum(axis=1)
        values = column.values.take(pa.array(used % max(size, 1)))
    else:  # many different texts, as distinct ids are: a run of one text is an entry
        changes = np.empty(len(codes), bool)
        changes[0] = True
        changes[1:] = (codes[1:] != codes[:-1]) | (of[1:] != of[:-1])
        begins = changes & there
        counts = np.bincount(of[begins], minlength=slices)
        run = np.cumsum(begins) - 1
        local = np.where(there, run - (np.cumsum(counts) - counts)[of], -1)
        values = column.values.take(pa.array(codes[begins]))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return local.astype(np.int32, copy=False), pa.ListArray.from_arrays(pa.array(offsets), values)
