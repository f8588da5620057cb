"""Input tables on BigQuery: where they are, and copies of those that give no streams.

The Storage Read API reads tables and snapshots. Views (the Firestore extension makes them), materialized views and
external tables only a query can read: it copies the columns and rows that a run needs beside the staging tables, and
the copy is read like any other table, by every method, at one state. It expires like them.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.warehouse.base import Problem
from pipeline.warehouse.bigquery.client import TableInfo
from pipeline.warehouse.bigquery.sql import path_of
from pipeline.warehouse.datasets import Datasets

_STREAMED = frozenset({"TABLE", "SNAPSHOT", "CLONE"})


@dataclass(frozen=True)
class Places:
    """Where the tables are. A dataset of another project is `project.dataset`."""

    project: str
    """Pays for everything and holds what is published."""
    datasets: Datasets

    def place(self, dataset: str) -> tuple[str, str]:
        """Project and name of a dataset as it is given."""
        project, _, name = path_of(self.project, dataset).rpartition(".")
        return project, name


def needs_copy(info: TableInfo) -> bool:
    """Whether only a query can read it."""
    return info.kind not in _STREAMED


def copy_problem(info: TableInfo, label: str) -> list[Problem]:
    """One line about a table that is copied, none about others."""
    if not needs_copy(info):
        return []
    kind = "an external table" if info.kind == "EXTERNAL" else f"a {info.kind.lower().replace('_', ' ')}"
    return [Problem(f"{label} is {kind}, which has no streams to read: each run copies it by a query first")]
