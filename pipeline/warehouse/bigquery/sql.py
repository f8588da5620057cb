"""The SQL that is sent to BigQuery, as text. Pure.

Identifiers come from validated options and from `pipeline.tables`; values pass `literal`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

import pyarrow as pa

from pipeline import tables
from pipeline.tables import OutputTable
from pipeline.views.declarations import View
from transforms.ids.pseudonyms import is_pseudonym
from transforms.incremental.window import EVENT_TIME, Comparison, Window
from transforms.published.changes import CHANGE
from transforms.schemas.fields import TEXT, TEXTS, TIMESTAMP
from transforms.sessions.facts import MAX_DISTINCT_IDS

#: Beginnings of the messages with which the transaction stops itself.
FENCE, DUPLICATES, COUNTS = "another run was published meanwhile", "repeated keys in", "rows missing in"
#: One row: the run that was published last. All transactions update it, so that two never both commit: BigQuery lets
#: INSERTs of two transactions pass side by side, but cancels one of two that update the same table.
FENCE_TABLE = "run_fence"
#: A statement may change 4,000 partitions, a transaction a hundred thousand; a row that moves changes two.
PARTITIONS_A_STATEMENT = 3_600
#: Where a merge that would change more days is cut: no part of 2015 to 2050 has more than nine years.
_CUTS = (datetime(2024, 1, 1, tzinfo=UTC), datetime(2033, 1, 1, tzinfo=UTC), datetime(2042, 1, 1, tzinfo=UTC))
#: So many last digits of a phone number are compared.
_LAST_DIGITS = 7


def path_of(project: str, dataset: str) -> str:
    """A dataset with its project: its own (`other-project.dataset`), else the given one."""
    return dataset if "." in dataset else f"{project}.{dataset}"


def name_of(project: str, dataset: str, table: str) -> str:
    """A quoted table name; for `dataset` see `path_of`."""
    return f"`{path_of(project, dataset)}.{table}`"


def literal(value: Any, kind: pa.DataType) -> str:
    """A value as BigQuery reads it."""
    if pa.types.is_list(kind):
        return f"[{', '.join(literal(one, kind.value_type) for one in value or [])}]"
    if value is None:
        return "NULL"
    if pa.types.is_timestamp(kind):
        assert isinstance(value, datetime)
        return f"TIMESTAMP '{value.astimezone(UTC).isoformat(' ', 'microseconds')}'"
    if pa.types.is_date(kind):
        assert isinstance(value, date)
        return f"DATE '{value:%Y-%m-%d}'"
    if pa.types.is_string(kind):
        # JSON's escapes are a subset of GoogleSQL's; surrogate pairs are not, so only ASCII controls are escaped
        return json.dumps(value, ensure_ascii=False)
    if pa.types.is_floating(kind):
        return repr(float(value))
    return str(int(value))


def in_window(window: Window, columns: Collection[str], *, late: bool) -> str | None:
    """The rows of the events table that a window must see (`Window.wanted`), as a condition; None for all of them.

    The conditions on `timestamp` prune day partitions. With `late`, rows that arrived since the last run but happened
    before the window are read as well (they are listed, never dropped in silence), which no partition can prune: see
    `count_late`.

    Args:
      window: of the run.
      columns: those that the table has.
      late: whether there are late rows.
    """
    if window.is_full:
        return None
    # what is common goes before the parenthesis, where BigQuery prunes by it for sure
    by_time = dict[str, list[str]]()
    for alternative in window.wanted:
        if alternative != window.late or late:
            time, others = (
                _all([one for one in alternative if (one.column == EVENT_TIME) is of_time], columns)
                for of_time in (True, False)
            )
            if time and others:
                by_time.setdefault(time, []).append(others)
    return " OR ".join(f"({time} AND ({' OR '.join(others)}))" for time, others in by_time.items())


def count_late(events: str, window: Window, columns: Collection[str]) -> str | None:
    """How many rows are news but happened before the window, from two columns; None where that cannot be."""
    condition = _all(window.late, columns) if window.late else None
    return f"SELECT COUNT(*) AS number FROM {events} WHERE {condition}" if condition else None


def _all(comparisons: Sequence[Comparison], columns: Collection[str]) -> str | None:
    """Comparisons that must all hold; of a column that the table lacks every row is null. None: no row can."""
    texts = []
    for one in comparisons:
        if one.column not in columns:
            if one.sign != "is null":
                return None
        elif one.sign == "is null":
            texts.append(f"{one.column} IS NULL")
        else:
            texts.append(f"{one.column} {one.sign} {literal(_moment(one.value), TIMESTAMP)}")
    return " AND ".join(texts) or "TRUE"


def select(table: str, columns: Sequence[str], condition: str | None) -> str:
    """The query that reads what a scan reads, for a dry run."""
    where = f" WHERE {condition}" if condition else ""
    return f"SELECT {', '.join(f'`{name}`' for name in columns)} FROM {table}{where}"


def copy_of(target: str, query: str, expires: datetime, limit: int | None) -> str:
    """What a query gives (`select`), at most `limit` rows, as a table that goes away by itself."""
    rows = f" LIMIT {limit}" if limit is not None else ""
    options = f"OPTIONS(expiration_timestamp = {literal(expires, TIMESTAMP)})"
    return f"CREATE OR REPLACE TABLE {target} {options} AS {query}{rows}"


def count_of(table: str) -> str:
    """How many rows there are, where the metadata does not tell: of a view."""
    return f"SELECT COUNT(*) AS number FROM {table}"


@dataclass(frozen=True)
class Fence:
    """A table like `FENCE_TABLE`, what its row must still be when a run is published, and what it is then."""

    table: str
    before: str
    after: str


def make_fence(fence: str, runs: str | None) -> str:
    """The fence table with its one row, in one atomic step, unless it is there; samples have no `runs`."""
    first = _latest(runs) if runs else "''"
    return f"CREATE TABLE IF NOT EXISTS {fence} AS SELECT {first} AS run_id"


def fence_row(fence: str) -> str:
    """The run that was published last."""
    return f"SELECT MAX(run_id) AS run_id FROM {fence}"


def broken_fence(fence: str, runs: str) -> str:
    """1 when the fence is not the latest row of the ledger, as after someone has edited either by hand, else 0."""
    return f"SELECT COUNTIF(run_id != {_latest(runs)}) AS number FROM {fence}"


def mend_fence(fence: str, runs: str) -> str:
    """Make the fence what the ledger says; without effect on a fence that another run has moved meanwhile."""
    latest = _latest(runs)
    return f"UPDATE {fence} SET run_id = {latest} WHERE run_id != {latest}"


def last_runs(runs: str, days: int) -> str:
    """The latest row of the ledger, then those of the days before, with the columns that they have."""
    latest = _latest(runs)
    recent = f"watermark >= (SELECT TIMESTAMP_SUB(MAX(watermark), INTERVAL {days} DAY) FROM {runs})"
    return f"SELECT * FROM {runs} WHERE run_id = {latest} OR {recent} ORDER BY run_id = {latest} DESC"


def _latest(runs: str) -> str:
    """The id of the run that no other one follows, whatever the clocks said; '' before the first.

    Should several have no follower, as after someone has edited the ledger, it is the one with the greatest id.
    """
    followed = f"SELECT IFNULL(previous_run_id, '') FROM {runs}"
    return f"(SELECT IFNULL(MAX(run_id), '') FROM {runs} WHERE run_id NOT IN ({followed}))"


def count_rows(names: Mapping[str, str]) -> str:
    """One row: the number of rows of each table, under its name. Free of charge."""
    return f"SELECT {', '.join(f'(SELECT COUNT(*) FROM {table}) AS {name}' for name, table in names.items())}"


def committed(runs: str, run_id: str) -> str:
    """Whether a run is in the ledger: one row, one number."""
    return f"SELECT COUNT(*) AS number FROM {runs} WHERE run_id = {literal(run_id, TEXT)}"


def earliest_with(sessions: str, ids: Sequence[str]) -> str:
    """Start of the earliest session that may have one of these ids among others, or ids that are not in its row: those
    beyond the most that are listed, or beyond the sample of an oversized session.

    Phone numbers are compared by their last digits, which are the same in every form; more sessions only make a run
    read more. Of a hash there is one form.
    """
    digits = [re.sub("[^0-9]", "", one)[-_LAST_DIGITS:] for one in ids if not is_pseudonym(one)]
    # never an empty list, which would have no type: no number ends with "-"
    ends = literal(sorted({end for end in digits if len(end) == _LAST_DIGITS}) or ["-"], TEXTS)
    wanted = literal(list(ids), TEXTS)
    end = f"RIGHT(REGEXP_REPLACE(id, '[^0-9]', ''), {_LAST_DIGITS})"
    return (
        "SELECT MIN(start_timestamp) AS earliest FROM "
        "(SELECT start_timestamp, is_oversized, ARRAY_LENGTH(distinct_ids) AS ids, "
        f"(SELECT COUNTIF(id IN UNNEST({wanted})) FROM UNNEST(distinct_ids) AS id) AS banned, "
        f"(SELECT COUNTIF({end} IN UNNEST({ends})) FROM UNNEST(distinct_ids) AS id) AS alike FROM {sessions}) "
        f"WHERE banned + alike > 0 AND banned < ids OR ids >= {MAX_DISTINCT_IDS} OR is_oversized"
    )


def latest_end(sessions: str, first: datetime, beyond: datetime) -> str:
    """End of the sessions that start in [first, beyond)."""
    start, end = (literal(moment, TIMESTAMP) for moment in (first, beyond))
    return (
        f"SELECT MAX(end_timestamp) AS latest FROM {sessions} "
        f"WHERE start_timestamp >= {start} AND start_timestamp < {end}"
    )


def count_days(staging: str, table: OutputTable) -> str:
    """How many days, which are partitions, the rows of a staging table are of."""
    column = table.output.partition_by
    assert column is not None, "only of a table with partitions"
    day = column if pa.types.is_date(table.schema.field(column).type) else f"DATE({column})"
    return f"SELECT COUNT(DISTINCT {day}) AS number FROM {staging}"


def digits_of(column: str) -> str:
    """The digits of a phone number without the zeros before them, which is less than its normal form, but SQL."""
    return f"LTRIM(REGEXP_REPLACE({column}, r'[^0-9]', ''), '0')"


def accounts(users: str, columns: Mapping[str, str], ids: Sequence[str], digits: Sequence[str]) -> str:
    """Some columns of the users with one of these ids or phone numbers, of those who share one, and of all versions of
    their documents, which may have other ids or none.

    Args:
      users: the table.
      columns: by name (`ACCOUNTS` of `transforms.users.users`) what they are in the table; NULL for none.
      ids: user ids.
      digits: phone numbers, as `digits_of` gives them.
    """
    listed = f"user_id IN UNNEST({literal(list(ids), TEXTS)})"
    numbered = f"digits IN UNNEST({literal(list(digits), TEXTS)})"
    texts = [f"CAST({columns[one]} AS STRING) AS {one}" for one in ("user_id", "phoneNumber", "document_id")]
    theirs = "user_id IN (SELECT user_id FROM listed) OR digits IN (SELECT digits FROM listed WHERE digits != '')"
    return (
        f"WITH users AS (SELECT *, {digits_of('phoneNumber')} AS digits FROM (SELECT {', '.join(texts)}, "
        f"{columns['etl_loaded_at']} AS etl_loaded_at FROM {users}))"
        f", listed AS (SELECT user_id, digits FROM users WHERE {listed} OR {numbered})\n"
        f"SELECT user_id, phoneNumber, document_id, etl_loaded_at FROM users WHERE {theirs} OR document_id IN "
        f"(SELECT document_id FROM users WHERE ({theirs}) AND TRIM(document_id) != '')"
    )


#: A table, its staging table, and the rows that must be there.
Change = tuple[OutputTable, str, int]


def publish_script(
    changes: Mapping[str, Change],
    fence: Fence,
    ledger: Mapping[str, Any] | None,
    runs: str,
    cut: Collection[str] = (),
    emptied: Sequence[str] = (),
) -> str:
    """The one transaction that publishes a run.

    Args:
      changes: target → what is done to it.
      fence: what no other run may have moved since.
      ledger: the row of `tables.RUNS`, or None for a sample, which has none.
      runs: the ledger's table.
      cut: targets whose merge is cut into several, by their partitions.
      emptied: tables whose rows go.
    """
    before = literal(fence.before, TEXT)
    holds = f"(SELECT MAX(run_id) FROM {fence.table}) = {before}"
    if ledger is not None:
        holds += f" AND {_latest(runs)} = {before}"
    statements = [
        "BEGIN TRANSACTION",
        _ensure(holds, FENCE),
        f"UPDATE {fence.table} SET run_id = {literal(fence.after, TEXT)} WHERE TRUE",
    ]
    for target, (table, staging, rows) in changes.items():
        where = f"the staging table of {table.name}"
        statements.append(_ensure(f"(SELECT COUNT(*) FROM {staging}) = {rows}", f"{COUNTS} {where}"))
        if rows:  # a merge of nothing would be billed for the whole target
            parts = _parts(staging, table) if target in cut else [staging]
            statements.append(_ensure(f"{_count_keys(table, staging)} = {rows}", f"{DUPLICATES} {where}"))
            statements += [_merge(target, table, part) for part in parts]
    statements += [f"DELETE FROM {table} WHERE TRUE" for table in emptied]
    if ledger is not None:
        names = tables.RUNS.schema.names
        values = ", ".join(literal(ledger.get(field.name), field.type) for field in tables.RUNS.schema)
        statements.append(f"INSERT INTO {runs} ({', '.join(names)})\nVALUES ({values})")
    statements.append("COMMIT TRANSACTION")
    return ";\n".join(statements) + ";\n"


def _count_keys(table: OutputTable, staging: str) -> str:
    """How many different keys there are; one with a null is none."""
    if len(table.output.key) == 1:
        return f"(SELECT COUNT(DISTINCT {table.output.key[0]}) FROM {staging})"
    names = ", ".join(table.output.key)
    known = " AND ".join(f"{name} IS NOT NULL" for name in table.output.key)
    return f"(SELECT COUNT(*) FROM (SELECT DISTINCT {names} FROM {staging} WHERE {known}))"


def _parts(staging: str, table: OutputTable) -> list[str]:
    """What to merge from, one after the other: every row of the staging table is in one part."""
    column = table.output.partition_by
    assert column is not None, "only of a table with partitions"
    times = [literal(moment, table.schema.field(column).type) for moment in _CUTS]
    conditions = [
        f"{column} IS NULL OR {column} < {times[0]}",
        *(f"{column} >= {start} AND {column} < {end}" for start, end in pairwise(times)),
        f"{column} >= {times[-1]}",
    ]
    return [f"(SELECT * FROM {staging} WHERE {condition})" for condition in conditions]


def _merge(target: str, table: OutputTable, staging: str) -> str:
    names = table.schema.names
    columns = ", ".join(f"`{name}`" for name in names)
    values = ", ".join(f"staged.`{name}`" for name in names)
    updates = ", ".join(f"`{name}` = staged.`{name}`" for name in names if name not in table.output.key)
    same = " AND ".join(f"target.{name} = staged.{name}" for name in table.output.key)
    return (
        f"MERGE {target} AS target USING {staging} AS staged ON {same}\n"
        f"WHEN MATCHED AND staged.{CHANGE} = 'deleted' THEN DELETE\n"
        f"WHEN MATCHED THEN UPDATE SET {updates}\n"
        f"WHEN NOT MATCHED AND staged.{CHANGE} != 'deleted' THEN INSERT ({columns}) VALUES ({values})"
    )


def _ensure(condition: str, message: str) -> str:
    """A statement that ends the script, and so the transaction, unless a condition holds."""
    return f"SELECT IF({condition}, 1, ERROR('{message}'))"


def _moment(micros: int) -> datetime:
    return datetime.fromtimestamp(micros // 1_000_000, UTC).replace(microsecond=micros % 1_000_000)


def create_view(target: str, view: View, names: Mapping[str, str]) -> str:
    """A view with its description and those of its columns, in place of one that is there.

    Args:
      target: its quoted name.
      view: what it tells.
      names: the quoted names of all that it reads.
    """
    columns = ",\n".join(
        f"  `{column.name}` OPTIONS(description = {literal(column.description, TEXT)})" for column in view.columns
    )
    told = literal(view.description, TEXT)
    return f"CREATE OR REPLACE VIEW {target} (\n{columns}\n) OPTIONS(description = {told}) AS\n{view.over(names)}"
