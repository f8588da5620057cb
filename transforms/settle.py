"""Which session facts a run uses: freshly aggregated ones, or those of the published table.

A full load uses what it aggregated. An incremental run aggregated only the events of its window, so a
session's fresh facts count when the session is touched (an event arrived since the last run) and lies
whole in the window; every other session keeps its published facts. A backfill replaces the sessions that
start in its days.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection

from transforms.elements import flat_map
from transforms.join import EachBatch, JoinByKey, Outcome, Result, Side
from transforms.scope import Scope
from transforms.sessions import ARRIVAL, ROWS

_Bools = npt.NDArray[np.bool_]


def settle(scope: Scope, excluded: frozenset[str]) -> Callable[[dict[str, pa.Table]], Iterator[Result]]:
    """The join function of `facts` (of the scan) and `published` (fact columns) by session id.

    Gives the facts to go on with, counts of input rows (`kept`, `duplicates`, `filtered.<reason>`), and the
    ids of sessions that are touched but too old for the window.
    """

    def settled(tables: dict[str, pa.Table]) -> Iterator[Result]:
        facts, published = tables["facts"], tables["published"]
        position = pc.index_in(facts.column("session_id"), value_set=published.column("session_id").combine_chunks())
        banned = _has_any(published.column("distinct_ids"), excluded)
        start = _micros(facts.column("start_timestamp"))
        before = _micros(published.column("start_timestamp").take(position).fill_null(2**62))
        use, stale = (_in_days if scope.days else _touched)(scope, facts, start, before)
        if scope.scan_start is not None:  # a session with a banned id is made anew, whatever arrived
            row = np.asarray(position.fill_null(-1))
            again = np.append(banned, False)[row] & (before >= scope.scan_start)
            use, stale = use | again, stale & ~again
        yield from _used(facts.filter(pa.array(use)))
        for reason, where in (("too_old", stale), ("untouched", ~use & ~stale)):
            rows = int(_ints(facts.column(ROWS))[where].sum())
            if rows:
                yield f"filtered.session_{reason}", rows
        if stale.any():
            yield from facts.column("session_id").filter(pa.array(stale)).to_pylist()
        replaced = np.isin(np.arange(published.num_rows), np.asarray(position.fill_null(-1))[use])
        if scope.days:  # what starts in these days and was not found again is gone
            first, beyond = scope.days
            begins = _micros(published.column("start_timestamp"))
            replaced |= (begins >= first) & (begins < beyond)
        yield published.filter(pa.array(~replaced & ~banned))

    return settled


class SettleFacts(beam.PTransform):
    """(facts, published) → `Outcome` of the session facts to go on with; `texts` are sessions too old.

    `facts` come from this run's events (`schema`), `published` are sessions rows as last published, cut to
    the fact columns here; both PCollection[pa.RecordBatch].
    """

    def __init__(self, scope: Scope, schema: pa.Schema, excluded: frozenset[str], partitions: int) -> None:
        super().__init__()
        self._scope, self._schema, self._excluded = scope, schema, excluded
        self._partitions = partitions

    def expand(self, inputs: tuple[PCollection[pa.RecordBatch], ...]) -> Outcome:
        """One shuffle by session id; none in a full load, which only counts."""
        facts, published = inputs
        if self._scope.is_full:
            return facts | "Use all" >> EachBatch(_used)
        columns = settled_schema(self._schema)
        published = published | "Fact columns" >> flat_map(_select, columns.names)
        sides = {
            "facts": Side("session_id", self._schema),
            "published": Side("session_id", columns),
        }
        function = settle(self._scope, self._excluded)
        joined = {"facts": facts, "published": published}
        return joined | "Join by session" >> JoinByKey(function, sides, self._partitions)


def _select(batch: pa.RecordBatch, names: list[str]) -> list[pa.RecordBatch]:
    return [batch.select(names)]


def settled_schema(facts: pa.Schema) -> pa.Schema:
    """The schema of facts after `SettleFacts`: the columns that the sessions table keeps."""
    return pa.schema([field for field in facts if field.name not in (ROWS, ARRIVAL)])


def _touched(
    scope: Scope, facts: pa.Table, start: npt.NDArray[np.int64], before: npt.NDArray[np.int64]
) -> tuple[_Bools, _Bools]:
    """(use the fresh facts, touched but too old) for an incremental run."""
    assert scope.new_after is not None
    assert scope.scan_start is not None
    news = "end_timestamp" if scope.new_by_timestamp else ARRIVAL
    touched = _micros(facts.column(news)) > scope.new_after
    unknown = before == 2**62
    whole = (before >= scope.scan_start) & (start >= scope.scan_start)
    return (touched | unknown) & whole, touched & ~whole


def _has_any(lists: pa.ChunkedArray, wanted: frozenset[str]) -> _Bools:
    """Whether each list of distinct ids holds an excluded one."""
    found = np.zeros(len(lists), bool)
    if wanted:
        values = pa.array(sorted(wanted), pa.string())
        flat = lists.combine_chunks()
        hits = pc.list_parent_indices(flat).filter(pc.is_in(pc.list_flatten(flat), values))
        found[np.asarray(hits)] = True
    return found


def _in_days(
    scope: Scope, facts: pa.Table, start: npt.NDArray[np.int64], before: npt.NDArray[np.int64]
) -> tuple[_Bools, _Bools]:
    """(use the fresh facts, none) for a backfill: sessions that start in the days, now or as published."""
    assert scope.days is not None
    first, beyond = scope.days
    use = ((start >= first) & (start < beyond)) | ((before >= first) & (before < beyond))
    return use, np.zeros(len(use), bool)


def _used(facts: pa.Table) -> Iterator[Result]:
    """Facts without their run columns, and how their input rows add up."""
    rows = _ints(facts.column(ROWS))
    events = _ints(facts.column("event_count"))
    oversized = np.asarray(facts.column("is_oversized"))
    kept = np.where(oversized, rows, events)  # beyond the limit duplicates cannot be told from events
    yield "kept", int(kept.sum())
    yield "duplicates", int((rows - kept).sum())
    if oversized.any():
        yield "sessions.oversized", int(oversized.sum())
    yield facts.drop_columns([ROWS, ARRIVAL])


def _micros(times: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    return _ints(times.cast(pa.int64()))


def _ints(values: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    return np.asarray(values.to_numpy())
