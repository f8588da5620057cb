"""The distinct ids of sessions, one a row: what says whose a session is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.ids.phones import phone_forms

#: A session can be known twice, from this run's events (`fresh`) and as published, with different ids.
SESSION_IDS = pa.schema([("session_id", pa.string()), ("fresh", pa.bool_()), ("distinct_id", pa.string())])


def distinct_ids(sessions: pa.RecordBatch, fresh: bool) -> Iterator[pa.RecordBatch]:
    """Session facts or rows → `SESSION_IDS`: one row a distinct id of a session, and one more for its normal form where
    it is a phone number in another."""
    lists = sessions.column("distinct_ids")
    keys = sessions.column("session_id").take(pc.list_parent_indices(lists))
    ids = pc.list_flatten(lists)
    forms = phone_forms(ids)
    differs = pc.not_equal(ids, forms)
    if pc.any(differs).as_py():
        keys = pa.concat_arrays([keys, keys.filter(differs)])
        ids = pa.concat_arrays([ids, forms.filter(differs)])
    marks = pa.array(np.full(len(keys), fresh))
    yield pa.RecordBatch.from_arrays([keys, marks, ids], schema=SESSION_IDS)


def session_ids(pairs: Iterable[tuple[str, str]]) -> pa.RecordBatch:
    """(session id, distinct id) of this run's events → `SESSION_IDS`, phone numbers in their normal form as well."""
    sessions, ids = zip(*sorted(pairs), strict=True)
    lists = pa.RecordBatch.from_arrays(
        [pa.array(sessions, pa.string()), pa.array([[one] for one in ids], pa.list_(pa.string()))],
        ["session_id", "distinct_ids"],
    )
    [batch] = distinct_ids(lists, True)
    return batch
