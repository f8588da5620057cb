"""The SQL that is sent: BigQuery's dialect, and noticed when it changes.

The golden files are written anew by `python -m tests.pipeline.warehouse.bigquery.test_sql`; read the difference before
you commit it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import expressions as exp

from pipeline import tables
from pipeline.warehouse.bigquery import sql
from tests import new_table
from tests.builders import SMALL_METRICS
from transforms.ids.pseudonyms import PREFIX
from transforms.incremental.window import EVERYTHING, Window
from transforms.machinery.times import micros
from transforms.schemas.fields import FLOAT, INTEGER, TEXT, TEXTS, TIMESTAMP

GOLDEN = Path(__file__).with_name("golden")
DAY = datetime(2026, 1, 31, 2, 3, 4, 5, tzinfo=UTC)
START = micros(DAY - timedelta(days=4))
INCREMENTAL = Window(scan_start=START, new_from=micros(DAY), undated_from=micros(DAY - timedelta(days=2)))
TIMES = ("timestamp", "bq_ingested_timestamp")
READ = ["uuid", "timestamp"]
WINDOWS = {
    "full": EVERYTHING,
    "incremental": INCREMENTAL,
    "without_late": INCREMENTAL,
    "backfill": Window(scan_start=START, scan_end=micros(DAY), days=(START, micros(DAY))),
}
EVENTS, RUNS = "`project-x.posthog_etl.events`", "`project-x.out.runs`"


def statements() -> dict[str, str]:
    """Every kind of SQL, by the name of its golden file."""
    row = {field.name: None for field in tables.RUNS.schema} | {
        "run_id": "run-2",
        "previous_run_id": "run-1",
        "watermark": DAY,
        "rows_read": 7,
        "seconds": 1.5,
        "too_old_sessions": ["it's", "\\"],
        "options": '{"limit": "5"}',
    }
    changes = {
        f"`project-x.out.{table.name}`": (table, f"`project-x.out._staging_{table.name}`", 3) for table in TABLES
    }
    fence = sql.Fence("`project-x.out.run_fence`", "run-1", "run-2")
    samples = sql.Fence("`project-x.out.run_fence_sample`", "", "run-2")
    nothing = {target: (table, staging, 0) for target, (table, staging, _) in changes.items()}
    sample = {"`project-x.out.sessions_sample`": (TABLES[0], "`project-x.out._staging_sessions`", 3)}
    selects = {
        f"read_{name}": sql.select(
            EVENTS, ["uuid", "timestamp"], sql.in_window(window, TIMES, late=name == "incremental")
        )
        for name, window in WINDOWS.items()
    }
    visits = {"`project-x.out.visits`": (new_table.TABLE, "`project-x.out._staging_visits`", 3)}
    without = sql.in_window(INCREMENTAL, TIMES[:1], late=True)
    return selects | {
        "read_without_arrival": sql.select(EVENTS, ["uuid", "timestamp"], without),
        "publish": sql.publish_script(changes, fence, row, RUNS),
        "publish_nothing": sql.publish_script(nothing, fence, row, RUNS),
        "publish_leaving_out": sql.publish_script(nothing, fence, row, RUNS, (), list(sample)),
        "publish_sample": sql.publish_script(sample, samples, None, RUNS),
        "publish_many_days": sql.publish_script(sample, samples, None, RUNS, {next(iter(sample))}),
        "publish_visits": sql.publish_script(visits, samples, None, RUNS),
        "publish_visits_of_many_days": sql.publish_script(visits, samples, None, RUNS, set(visits)),
        "count_days_of_visits": sql.count_days("`project-x.out._staging_visits`", new_table.TABLE),
        "count_days": sql.count_days("`project-x.out._staging_sessions`", TABLES[0]),
        "copy_of": sql.copy_of("`project-x.out.copy`", sql.select(EVENTS, ["uuid"], "uuid IS NULL"), DAY, 7),
        "count_of": sql.count_of(EVENTS),
        "make_fence": sql.make_fence("`project-x.out.run_fence`", RUNS),
        "make_fence_sample": sql.make_fence(samples.table, None),
        "fence_row": sql.fence_row(samples.table),
        "broken_fence": sql.broken_fence("`project-x.out.run_fence`", RUNS),
        "mend_fence": sql.mend_fence("`project-x.out.run_fence`", RUNS),
        "last_runs": sql.last_runs(RUNS, 30),
        "count_rows": sql.count_rows({"sessions": "`project-x.out.sessions`", "persons": "`project-x.out.persons`"}),
        "committed": sql.committed(RUNS, "run-2"),
        "count_late": sql.count_late(EVENTS, INCREMENTAL, TIMES) or "",
        "latest_end": sql.latest_end("`project-x.out.sessions`", DAY, DAY + timedelta(days=1)),
        "accounts": sql.accounts("`p.firebase.users`", ACCOUNTS, ["u-1", "it's"], ["12015550100"]),
        "earliest_with": sql.earliest_with("`project-x.out.sessions`", ["+12015550100", "it's"]),
        "earliest_with_hashes": sql.earliest_with("`project-x.out.sessions`", [f"{PREFIX}{'0123' * 8}"]),
    }


ACCOUNTS = {
    "user_id": "`user_id`",
    "phoneNumber": "`PHONENUMBER`",
    "document_id": "NULL",
    "etl_loaded_at": "`etl_loaded_at`",
}
#: Not those of the packaged metrics: a metric more is no other SQL.
TABLES = tables.outputs(SMALL_METRICS)
ANEW = "python -m tests.pipeline.warehouse.bigquery.test_sql writes it anew: read the difference"


@pytest.mark.parametrize("name", sorted(statements()))
def test_it_is_bigquery_and_as_it_was(name: str) -> None:
    text = statements()[name]
    parsed = sqlglot.parse(text, dialect="bigquery", error_level=sqlglot.ErrorLevel.RAISE)
    assert parsed
    assert not any(isinstance(statement, exp.Command) for statement in parsed), "not understood"
    assert (GOLDEN / f"{name}.sql").read_text() == text.rstrip("\n") + "\n", ANEW


def test_every_golden_file_is_sent() -> None:
    assert {file.stem for file in GOLDEN.glob("*.sql")} == set(statements())


def test_a_transaction_holds_what_it_may_and_merges_every_column() -> None:
    parsed = sqlglot.parse(statements()["publish"], dialect="bigquery")
    kinds = {type(statement) for statement in parsed if statement}
    assert kinds == {exp.Transaction, exp.Select, exp.Update, exp.Merge, exp.Insert, exp.Commit}
    merges = [statement for statement in parsed if isinstance(statement, exp.Merge)]
    for table, merge in zip(TABLES, merges, strict=True):
        columns = {column.name for column in merge.find_all(exp.Column)} | {
            key.name for key in merge.find_all(exp.Identifier)
        }
        assert set(table.schema.names) <= columns
        assert len(merge.args["whens"].expressions) == 3


def test_where_nothing_changed_nothing_is_merged_but_that_is_checked() -> None:
    parsed = sqlglot.parse(statements()["publish_nothing"], dialect="bigquery")
    assert not any(isinstance(statement, exp.Merge) for statement in parsed)
    looked_at = {found.name for statement in parsed if statement for found in statement.find_all(exp.Table)}
    assert looked_at >= {f"_staging_{table.name}" for table in TABLES}


@given(st.text())
def test_any_text_is_one_literal(text: str) -> None:
    parsed = sqlglot.parse_one(f"SELECT {sql.literal(text, pa.string())}", dialect="bigquery")
    [literal] = parsed.expressions
    assert isinstance(literal, exp.Literal)


@given(st.datetimes(min_value=datetime(2015, 1, 1), max_value=datetime(2050, 1, 1)))
def test_moments_keep_their_microseconds(moment: datetime) -> None:
    text = sql.literal(moment.replace(tzinfo=UTC), TIMESTAMP)
    assert datetime.fromisoformat(text.removeprefix("TIMESTAMP '").removesuffix("'")) == moment.replace(tzinfo=UTC)


def test_lists_numbers_and_nulls() -> None:
    assert sql.literal(["a", "b"], TEXTS) == '["a", "b"]'
    assert sql.literal(None, TEXTS) == "[]"
    assert [sql.literal(value, kind) for value, kind in ((None, TEXT), (7, INTEGER), (0.1, FLOAT))] == [
        "NULL",
        "7",
        "0.1",
    ]


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for stem, content in statements().items():
        (GOLDEN / f"{stem}.sql").write_text(content.rstrip("\n") + "\n")
