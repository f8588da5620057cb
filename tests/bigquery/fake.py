"""A strict BigQuery in this process, for publishing: real transactions on DuckDB, and faults where a test wants them.

Unlike the emulator it refuses what BigQuery refuses: a job id twice (Conflict), a MERGE with a repeated source key, a
script that breaks off keeps nothing. It executes the very SQL that is sent, parsed as BigQuery's dialect.
"""

from __future__ import annotations

import functools
import itertools
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import duckdb
import sqlglot
from google.api_core import exceptions
from sqlglot import expressions as exp

from pipeline.warehouse.bigquery.client import JobState
from pipeline.warehouse.bigquery.sql import name_of

#: Of databases.
_NUMBERS = itertools.count()


@functools.cache
def _server() -> duckdb.DuckDBPyConnection:
    """DuckDB, in which every fake has a database: to start it takes longer than all that a test asks of it."""
    return duckdb.connect(config={"threads": 1})  # on a few rows several only wait


def _forget(database: duckdb.DuckDBPyConnection, name: str) -> None:
    """A database lives in memory, in a server that outlives its fake."""
    database.close()
    _server().execute(f"DETACH {name}")


class Killed(BaseException):
    """The process ends here."""


@dataclass
class FakeBigQuery:
    """Implements `client.Api`, and what `BigQueryWarehouse.publish` uses beside it."""

    project: str = "test-project"
    faults: dict[int, Callable[[], None]] = field(default_factory=dict)
    """Number of a call (from 1) → what happens instead of its answer; the call itself has taken effect."""
    before: dict[int, Callable[[], None]] = field(default_factory=dict)
    """The same, but the call never reaches the service."""
    conflicts: int = 0
    """So many of the next transactions are cancelled because of a concurrent update."""
    calls: list[str] = field(default_factory=list)
    jobs: dict[str, JobState] = field(default_factory=dict)
    slow: int = 1
    """A job is running for so many looks."""
    _looks: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        name = f"warehouse_{next(_NUMBERS)}"
        self.database = _server().cursor()
        self.database.execute(f"ATTACH ':memory:' AS {name}")
        self.database.execute(f"USE {name}")
        weakref.finalize(self, _forget, self.database, name)

    # what publishing calls

    def submit(self, job_id: str, script: str) -> None:
        """See `Api`."""
        self._call("submit", lambda: self._start(job_id, script))

    def job(self, job_id: str) -> JobState | None:
        """See `Api`."""
        found: JobState | None = self._call("job", lambda: self._look(job_id))
        return found

    def number(self, query: str) -> int:
        """See `Api`."""
        [[value]] = self._call("number", lambda: self._execute(query))
        return int(value)

    def name(self, dataset: str, table: str) -> str:
        """See `BigQueryClient`."""
        return name_of(self.project, dataset, table)

    def delete_table(self, dataset: str, name: str) -> None:
        """See `BigQueryClient`."""
        table = f"{self.project}.{dataset}.{name}"
        self._call("delete_table", lambda: self.database.execute(f'DROP TABLE IF EXISTS "{table}"'))

    # what it does

    def _call(self, name: str, effect: Callable[[], Any]) -> Any:
        self.calls.append(name)
        number = len(self.calls)
        if number in self.before:
            self.before.pop(number)()
        result = effect()
        if number in self.faults:
            self.faults.pop(number)()
        return result

    def _look(self, job_id: str) -> JobState | None:
        if job_id not in self.jobs:
            return None
        self._looks[job_id] = self._looks.get(job_id, 0) + 1
        return JobState(False) if self._looks[job_id] <= self.slow else self.jobs[job_id]

    def _start(self, job_id: str, script: str) -> None:
        if job_id in self.jobs:
            raise exceptions.Conflict(f"Already Exists: Job {job_id}")
        try:
            self._run(script)
        except (duckdb.Error, ValueError) as error:
            reason = "invalidQuery" if "concurrent update" not in str(error) else "invalid"
            self.jobs[job_id] = JobState(True, reason, str(error))
        else:
            self.jobs[job_id] = JobState(True)

    def _run(self, script: str) -> None:
        self.database.execute("BEGIN")
        try:
            for repeated_keys, statement in _transaction(script):
                if repeated_keys and self.database.execute(repeated_keys).fetchall():
                    raise ValueError("UPDATE/MERGE must match at most one source row for each target row")
                self.database.execute(statement)
            if self.conflicts:
                self.conflicts -= 1
                raise ValueError("Transaction is aborted due to concurrent update against table sessions")
            self.database.execute("COMMIT")
        except BaseException:
            self.database.execute("ROLLBACK")
            raise

    def _execute(self, query: str) -> list[tuple[Any, ...]]:
        return self.database.execute(_query(query)).fetchall()


# a text is translated once: a publish that is killed at every call sends the same script every time


@functools.cache
def _transaction(script: str) -> tuple[tuple[str, str], ...]:
    """Of each statement of a transaction: the query of keys that its source repeats (of a MERGE), and itself."""
    begin, *statements, commit = [statement for statement in sqlglot.parse(script, dialect="bigquery") if statement]
    assert isinstance(begin, exp.Transaction)
    assert isinstance(commit, exp.Commit)
    return tuple(
        (_repeated_keys(statement) if isinstance(statement, exp.Merge) else "", _duckdb(statement))
        for statement in statements
    )


@functools.cache
def _query(query: str) -> str:
    [statement] = sqlglot.parse(query, dialect="bigquery")
    assert statement is not None
    return _duckdb(statement)


def _repeated_keys(merge: exp.Merge) -> str:
    source = _duckdb(merge.args["using"].copy())
    key = ", ".join(f'"{same.right.name}"' for same in merge.args["on"].find_all(exp.EQ))
    return f"SELECT 1 FROM {source} GROUP BY {key} HAVING COUNT(*) > 1"


def _duckdb(statement: exp.Expression) -> str:
    """A statement in DuckDB's dialect; a table's three names become one."""

    def flat(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.Table) and node.db:
            name = ".".join(part.name for part in node.parts)
            return exp.Table(this=exp.to_identifier(name, quoted=True), alias=node.args.get("alias"))
        return node

    return statement.transform(flat).sql(dialect="duckdb")
