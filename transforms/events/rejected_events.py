"""Event rows that could not be understood → rows of `rejected_events`: the dead letters.

They keep the original row, which holds personal data: they go to a table with the access rules of the
source, never to a log line, a counter's name or an error message. Of excluded persons there are none: neither new ones,
nor those that were published before the person was excluded. A dead letter is of such a person when its distinct id is
one of theirs, or when an id of the list is a word anywhere in the row (a broken row may have lost its distinct id).

Where ids are hashed (`transforms.ids.pseudonyms`), a broken row may have any of them anywhere. So of the original row
its ids, hashed, and its times remain, and it is of a person only by its distinct id: no word is left to be found.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection

from transforms.ids.excluded import Excluded
from transforms.ids.phones import phone_forms
from transforms.ids.pseudonyms import PLAIN, Pseudonyms
from transforms.machinery.join import JoinByKey, JoinFunction, Outcome, Results, Side, all_counts
from transforms.machinery.record_batches import rows_to_batch
from transforms.machinery.steps import flat_map
from transforms.machinery.texts import valid_text
from transforms.machinery.uuids import parse_uuids
from transforms.published.changes import CompareWithPublished, LoadedBy, Target, as_they_were, change_counts
from transforms.schemas.fields import TEXT
from transforms.users.users import IDENTITIES

#: Texts of an original row are cut here, in characters.
MAX_ROW_TEXT = 10_000
#: Whose a dead letter is: the normal form of its distinct id, empty for none.
WHO = "_who"
_as_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MIN_MICROS = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_MAX_MICROS = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


def rejected_rows(batch: pa.RecordBatch, schema: pa.Schema, pseudonyms: Pseudonyms = PLAIN) -> Iterator[pa.RecordBatch]:
    """The source's columns plus `reason` → the columns of `schema` (rejected_events without run columns).

    The key is a hash of the whole row and the reason, so that reading a row again adds nothing.
    """
    rows = []
    given = _readable(batch)
    for row, ids in zip(given.to_pylist(), _hashed_ids(given, pseudonyms), strict=True):
        reason = row.pop("reason")
        times = {name: row[name] for name in ("timestamp", "bq_ingested_timestamp")}
        row |= {name: _iso(value) for name, value in times.items()}
        whole = _as_json(row)
        shown = {name: row[name] for name in times} | ids if pseudonyms else row
        cut = {name: _cut(value) for name, value in shown.items()}
        values = {
            "row_key": pseudonyms.digest(f"{reason}\n{whole}"),
            "reason": reason,
            "uuid": cut["uuid"],
            **{name: _in_range(value) for name, value in times.items()},
            "row": whole if cut == row else _as_json(cut),
        }
        rows.append([values[name] for name in schema.names])
    yield rows_to_batch(rows, schema)


def letters_of(batch: pa.RecordBatch, schema: pa.Schema, pseudonyms: Pseudonyms = PLAIN) -> Iterator[pa.RecordBatch]:
    """`rejected_rows` with `WHO`."""
    [rows] = rejected_rows(batch, schema, pseudonyms)
    yield rows.append_column(WHO, _who(pseudonyms.ids(valid_text(batch.column("distinct_id")))))


def letters_published(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Published dead letters with `WHO`, from the original row that they keep."""
    given = [json.loads(row).get("distinct_id") for row in batch.column("row").to_pylist()]
    ids = pa.array([one if isinstance(one, str) else None for one in given], pa.string())
    yield batch.append_column(WHO, _who(ids))


def identities_by_form(identities: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """`IDENTITIES` of excluded users, their keys in the form of `WHO`."""
    out = identities.filter(identities.column("excluded"))
    yield out.set_column(out.schema.get_field_index("key"), "key", _who(out.column("key")))


def without_excluded(table: str, excluded: frozenset[str]) -> JoinFunction:
    """The join function of `rows` and `published` letters (with `WHO`) and excluded `identities`, by whose they are.

    Gives the rows that stay and, without `WHO`, `published`, which stay, and `removed`, which are deleted. What was
    counted as rejected and does not stay is counted as filtered instead.
    """
    listed = Excluded(excluded)

    def theirs(letters: pa.Table, identities: pa.Table) -> npt.NDArray[np.bool_]:
        who = letters.column(WHO)
        users = pc.is_in(who, identities.column("key").combine_chunks())
        return np.asarray(users) | listed.mask(who) | listed.are_words_in(letters.column("row"))

    def split(tables: dict[str, pa.Table]) -> Results:
        rows, published = tables["rows"], tables["published"]
        out = theirs(rows, tables["identities"])
        counts = Counter[str]()
        for reason, number in zip(*np.unique(np.asarray(rows.column("reason"))[out], return_counts=True), strict=True):
            counts[f"rejected.{reason}"] -= int(number)
            counts["filtered.excluded_user"] += int(number)
        gone = theirs(published, tables["identities"])
        published = published.drop_columns([WHO])
        counts.update(change_counts(table, np.repeat("deleted", gone.sum())))
        also = {
            "published": [published.filter(pa.array(~gone))],
            "removed": [as_they_were(published.filter(pa.array(gone)), "deleted")],
        }
        return Results([rows.filter(pa.array(~out)).drop_columns([WHO])], also, counts)

    return split


class CompareRejected(beam.PTransform):
    """(rejected source rows, published dead letters, `IDENTITIES`) → `Outcome` of dead letters with their change.

    All PCollection[pa.RecordBatch]; the source rows have a `reason` as well.
    """

    def __init__(
        self,
        target: Target,
        loaded_by: LoadedBy,
        partitions: int,
        excluded: frozenset[str],
        pseudonyms: Pseudonyms = PLAIN,
    ) -> None:
        super().__init__()
        self._target, self._loaded_by, self._partitions, self._excluded = target, loaded_by, partitions, excluded
        self._pseudonyms = pseudonyms

    def expand(self, inputs: tuple[PCollection[pa.RecordBatch], ...]) -> Outcome:
        """A shuffle by key, and before it one by whose they are when somebody is excluded."""
        rows, published, identities = inputs
        target, content = self._target, self._target.content
        compare = "Compare" >> CompareWithPublished(target, self._loaded_by, self._partitions)
        if not self._excluded:
            return (rows | "Rows" >> flat_map(rejected_rows, content, self._pseudonyms), published) | compare
        who = pa.field(WHO, TEXT)
        sides = {
            "rows": Side(WHO, content.append(who)),
            "published": Side(WHO, target.schema.append(who)),
            "identities": Side("key", IDENTITIES),
        }
        letters = {
            "rows": rows | "Rows" >> flat_map(letters_of, content, self._pseudonyms),
            "published": published | "Published" >> flat_map(letters_published),
            "identities": identities | "Excluded users" >> flat_map(identities_by_form),
        }
        stay = letters | "Drop excluded" >> JoinByKey(
            without_excluded(target.name, self._excluded), sides, self._partitions, also=("published", "removed")
        )
        compared = (stay.rows, stay.also["published"]) | compare
        return compared._replace(
            rows=(compared.rows, stay.also["removed"]) | "All letters" >> beam.Flatten(),
            counts=all_counts(stay, compared) | "Counts" >> beam.Flatten(),
        )


def _who(ids: pa.Array) -> pa.Array:
    return pc.fill_null(phone_forms(ids), "")


def _hashed_ids(rows: pa.RecordBatch, pseudonyms: Pseudonyms) -> list[dict[str, str | None]]:
    """What of the texts of rows may be seen where ids are hashed: an id that is no UUID may be anything that slipped
    into its column."""
    if not pseudonyms:
        return [{}] * rows.num_rows
    uuids = rows.column("uuid")
    are_uuids = pa.array(parse_uuids(uuids, dashless=True).is_uuid)
    hashed = {
        "uuid": pc.if_else(are_uuids, uuids, pseudonyms.ids(uuids)),
        "distinct_id": pseudonyms.ids(rows.column("distinct_id")),
    }
    return list(pa.RecordBatch.from_pydict(hashed).to_pylist())


def _cut(value: Any) -> Any:
    return value[:MAX_ROW_TEXT] if isinstance(value, str) else value


def _readable(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Times as µs, which Python's datetime cannot always hold, and texts as UTF-8, which a broken row need not be."""
    columns = []
    for column in batch.columns:
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        elif pa.types.is_string(column.type):
            column = valid_text(column)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)


def _in_range(micros: int | None) -> int | None:
    """A time that BigQuery can hold, else None."""
    return micros if micros is not None and _MIN_MICROS <= micros <= _MAX_MICROS else None


def _iso(micros: int | None) -> str | int | None:
    if micros is None or _in_range(micros) is None:
        return micros
    return (_EPOCH + timedelta(microseconds=micros)).isoformat()
