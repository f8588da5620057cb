"""The distinct ids of sessions, one a row: what says whose a session is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.ids.phones import phone_forms
from transforms.schemas.fields import BOOLEAN, columns_of
from transforms.schemas.outputs import SESSION

#: A session can be known twice, from this run's events (`fresh`) and as published, with different ids.
SESSION_IDS = pa.schema([*columns_of(SESSION, "session_id", "distinct_id"), ("fresh", BOOLEAN)])


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
    yield pa.RecordBatch.from_pydict({"session_id": keys, "distinct_id": ids, "fresh": marks}, schema=SESSION_IDS)


def session_ids(pairs: Iterable[tuple[str, str]]) -> pa.RecordBatch:
    """(session id, distinct id) of this run's events → `SESSION_IDS`, phone numbers in their normal form as well."""
    sessions, ids = zip(*sorted(pairs), strict=True)
    lists = pa.RecordBatch.from_pydict(
        {"session_id": sessions, "distinct_ids": [[one] for one in ids]},
        schema=columns_of(SESSION, "session_id", "distinct_ids"),
    )
    [batch] = distinct_ids(lists, True)
    return batch
