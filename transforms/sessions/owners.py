"""Which person a session belongs to: distinct ids → user, resolved anew in every run.

A session's user is the one whose phone number equals any of its distinct ids, else the one whose user id, or the id of
an alias of theirs, does; of several at one level the smallest user id. Phone numbers are compared in their normal form.
Without a user the session belongs to its first distinct id. Because the session keeps all its distinct ids, a user who
signs up later gets older sessions as well, and one who is deleted upstream, or gave up a number, loses them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.events.distinct_ids import SESSION_IDS, distinct_ids
from transforms.ids.posthog_rules import canonical_session_column
from transforms.ids.pseudonyms import PLAIN, Pseudonyms
from transforms.machinery.join import JoinByKey, Outcome, Results, Side
from transforms.machinery.keys import first_of_each, rows_of_keys
from transforms.machinery.steps import flat_map
from transforms.schemas.fields import columns_of
from transforms.schemas.inputs import ACQUISITION
from transforms.schemas.outputs import SESSION
from transforms.users.users import IDENTITIES

#: `match` and `excluded` as in `IDENTITIES`.
MATCHES = pa.schema([*columns_of(SESSION_IDS, "session_id", "fresh"), *columns_of(IDENTITIES, "match", "excluded")])
#: Names of counts about PostHog's own sessions: those that are known, and those of which a column says something else.
OF_POSTHOG, DIFFERS = "posthog_sessions.", "_differs"
IN_BOTH = f"{OF_POSTHOG}matched"
_ACQUISITION = [one.name for one in ACQUISITION]
#: What `with_person` adds to session facts.
PERSON = columns_of(SESSION, "user_id", "person_id", *_ACQUISITION)


def fresh_ids(dealt: tuple[str, pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """`distinct_ids` of a block of facts."""
    return distinct_ids(dealt[1], True)


def match_users(tables: dict[str, pa.Table]) -> Results:
    """`ids` (`SESSION_IDS`) and `identities` with the same keys → `MATCHES` of sessions with a user."""
    ids = tables["ids"]
    best = _smallest(tables["identities"], "key", "match")
    found = rows_of_keys(best, "key", ids.column("distinct_id"), ["match", "excluded"])
    columns = {name: (ids if name in ids.schema.names else found).column(name) for name in MATCHES.names}
    return Results([pa.table(columns, schema=MATCHES).filter(pc.is_valid(found.column("match")))])


class MatchUsers(beam.PTransform):
    """(fresh facts, what was left out of them, published sessions, `IDENTITIES`) → `Outcome` of `MATCHES`.

    `left out` are `SESSION_IDS` of events with an excluded distinct id: they are no part of the facts, but they tell
    whose the session is. Facts are a tuple of PCollection[(block, pa.RecordBatch)], the others
    PCollection[pa.RecordBatch].
    """

    def __init__(self, partitions: int) -> None:
        super().__init__()
        self._partitions = partitions

    def expand(self, inputs: tuple[Any, ...]) -> Outcome:
        """One shuffle by distinct id, of ids only."""
        fresh, left_out, published, identities = inputs
        ids = (
            *(
                facts | f"Fresh ids {i}" >> flat_map(fresh_ids, takes=tuple[str, pa.RecordBatch])
                for i, facts in enumerate(fresh)
            ),
            left_out,
            published | "Published ids" >> flat_map(distinct_ids, False),
        ) | "All ids" >> beam.Flatten()
        sides = {"ids": Side("distinct_id", SESSION_IDS), "identities": Side("key", IDENTITIES)}
        return {"ids": ids, "identities": identities} | "Join by id" >> JoinByKey(match_users, sides, self._partitions)


def have_excluded_user(sessions: pa.Table, matches: pa.Table) -> npt.NDArray[np.bool_]:
    """Which sessions have an id of an excluded user among theirs; arguments as of `with_person`.

    Any id, not the one that decides whose the session is: that depends on other users as well, and a session that has
    left could not come back when they change.
    """
    out = matches.column("session_id").filter(matches.column("excluded"))
    return np.asarray(pc.is_in(sessions.column("session_id"), out.combine_chunks()))


def with_person(
    sessions: pa.Table, matches: pa.Table, acquisition: pa.Table, pseudonyms: Pseudonyms = PLAIN
) -> pa.Table:
    """Session facts plus the columns of `PERSON`.

    Args:
      sessions: any columns, `session_id` and `distinct_id` among them.
      matches: `MATCHES` of these sessions, of the kind (fresh or published) that they are.
      acquisition: one row a session, as `latest_acquisition` gives.
      pseudonyms: hash the user of a match, as all other ids are already.
    """
    keys = sessions.column("session_id")
    best = _smallest(matches, "session_id", "match")
    match = rows_of_keys(best, "session_id", keys, ["match"]).column("match")
    user_id = pseudonyms.ids(pc.utf8_slice_codeunits(match, 1))
    known = rows_of_keys(acquisition, "session_id", keys, _ACQUISITION)
    added = {name: known.column(name) for name in _ACQUISITION}
    added |= {"user_id": user_id, "person_id": pc.coalesce(user_id, sessions.column("distinct_id"))}
    for field in PERSON:
        sessions = sessions.append_column(field, added[field.name])
    return sessions


def canonical_acquisition(sessions: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Rows of PostHog's sessions with their ids in the form of ours (`transforms.ids.posthog_rules`)."""
    index = sessions.schema.get_field_index("session_id")
    columns = list(sessions.columns)
    columns[index] = canonical_session_column(columns[index])
    yield pa.RecordBatch.from_arrays(columns, schema=sessions.schema)


def latest_acquisition(sessions: pa.Table) -> pa.Table:
    """One row a session id: the latest end, then the smallest channel type, then not bounced."""
    order = pc.sort_indices(
        sessions,
        sort_keys=[
            ("session_id", "ascending", "at_end"),
            ("end_timestamp", "descending", "at_end"),
            ("channel_type", "ascending", "at_end"),
            ("is_bounce", "ascending", "at_end"),
        ],
    )
    return first_of_each(sessions.take(order), "session_id")


def differences(facts: pa.Table, acquisition: pa.Table) -> dict[str, int]:
    """How often PostHog's sessions, which go stale for late events, disagree with the events."""
    known = rows_of_keys(acquisition, "session_id", facts.column("session_id"), acquisition.schema.names)
    counts = {IN_BOTH: known.num_rows - known.column("session_id").null_count}
    for name in ("start_timestamp", "end_timestamp", "autocapture_count", "screen_count"):
        if name in facts.schema.names:
            differs = pc.not_equal(facts.column(name), known.column(name)).fill_null(False)
            counts[f"{OF_POSTHOG}{name}{DIFFERS}"] = int(np.asarray(differs).sum())
    return counts


def _smallest(table: pa.Table, key: str, value: str) -> pa.Table:
    return first_of_each(table.sort_by([(key, "ascending"), (value, "ascending")]), key)
