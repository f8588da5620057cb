"""The views over a local warehouse, as a script for DuckDB: translated by sqlglot, never written twice.

Needs the extra `views` of this package (sqlglot, and duckdb to run the script); runs need neither.
"""

from __future__ import annotations

import glob
from collections.abc import Collection, Iterator
from pathlib import Path

import sqlglot
from sqlglot import expressions as exp

from pipeline.views.declarations import View
from pipeline.warehouse.folders import files_of


def script(snapshot: Path, made: Collection[View]) -> str:
    """DuckDB's SQL that makes the tables of a published run and the views over them.

    Args:
      snapshot: the folder of one run, links resolved: files of another run never mix with it.
      made: the views; those of tables that the run does not have are left out.
    """
    return ";\n\n".join(_statements(snapshot, made)) + ";\n"


def _statements(snapshot: Path, made: Collection[View]) -> Iterator[str]:
    yield "SET TimeZone = 'UTC'"
    there = set[str]()
    for folder in sorted(snapshot.iterdir()):
        if folder.is_dir() and files_of(folder):
            there.add(folder.name)
            files = _text(f"{glob.escape(str(folder))}/*.parquet")  # a name with brackets is no pattern
            # files of the ledger that an earlier version wrote lack later columns
            yield f"CREATE OR REPLACE VIEW {folder.name} AS SELECT * FROM read_parquet({files}, union_by_name = true)"
    for view in made:
        if view.reads <= there:
            there.add(view.name)
            yield f"CREATE OR REPLACE VIEW {view.name} AS\n{translated(view)}"
            yield f"COMMENT ON VIEW {view.name} IS {_text(view.description)}"
            for column in view.columns:
                yield f'COMMENT ON COLUMN {view.name}."{column.name}" IS {_text(column.description)}'


def translated(view: View) -> str:
    """The query of a view in DuckDB's SQL, over tables of their plain names.

    Sums are HUGEINT and days that were added to are TIMESTAMP in DuckDB: the types are made those that are declared.
    Its COUNT_IF is null where no condition is true or false, which BigQuery counts as 0.
    """
    query = sqlglot.parse_one(view.over({name: name for name in view.reads}), read="bigquery")
    assert isinstance(query, exp.Select)
    types = {column.name: column.type for column in view.columns}
    for chosen in list(query.expressions):
        kind = exp.DataType.build(types[chosen.name], dialect="bigquery")
        chosen.replace(exp.alias_(exp.cast(chosen.copy(), kind), chosen.name, quoted=True))
    for counted in list(query.find_all(exp.CountIf)):
        counted.replace(exp.Filter(this=exp.Count(this=exp.Star()), expression=exp.Where(this=counted.this.copy())))
    return query.sql(dialect="duckdb", pretty=True, unsupported_level=sqlglot.ErrorLevel.RAISE)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
