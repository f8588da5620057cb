"""What every column of every table and view means, from the declarations: `python -m deploy.dictionary` writes it.

`docs/tables.md` is for readers, `docs/tables.json` says the same for tooltips, `deploy/dbt/models/sources.yml` for dbt
(`deploy.dbt_sources`). Examples are from a run on the sample; a test compares all three with the declarations.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from deploy import dbt_sources
from deploy.views_page import TYPES
from pipeline import tables
from pipeline.launcher import main
from pipeline.tables import OutputTable, Table
from pipeline.views.declarations import views
from pipeline.views.local import script
from pipeline.warehouse.bigquery.schema import fields_of
from transforms.metrics.definitions import Metrics
from transforms.metrics.file import load_metrics

ROOT = Path(__file__).parents[1]
MARKDOWN, JSON = ROOT / "docs" / "tables.md", ROOT / "docs" / "tables.json"
_METRICS_FILE = "transforms/metrics/metrics.toml"
#: Examples of columns that differ from run to run or from version to version: a table of docs must not.
_FIXED = {
    "_loaded_at": "2026-01-10 02:04:31 UTC",
    "etl_loaded_at": "2026-01-10 02:04:31 UTC",
    "_run_id": "20260110T020401.263758Z-ca510595",
    "run_id": "20260110T020401.263758Z-ca510595",
    "previous_run_id": "20260109T020358.118204Z-5b1f09e2",
    "started_at": "2026-01-10 02:04:01.263758 UTC",
    "published_at": "2026-01-10 02:04:34.902114 UTC",
    "seconds": "33.638356",
    "bytes_read": "2765110",
    "bytes_total": "2765110",
    "metrics_digest": "83c1…",
    "excluded_digest": "e3b0…",
    "excluded_marks": "{}",
    "deletion_digest": "e3b0…",
    "deletion_marks": "{}",
    "privacy_key_id": "5f0c1d2e9ab84763",
    "code_version": "1.0.0+3f2a…",
    "options": '{"warehouse": "bigquery"}',
}
_LONGEST_EXAMPLE = 60
_HEAD = """\
# Tables

Every column of every table and view: its type (BigQuery's word; Parquet files have the same columns), what it means,
where its rule is, and an example from the sample. Columns with what belongs to a person have none. Times are UTC. A
column that is not required may be null. This page is made by `make docs`; [tables.json](tables.json) says the same for
tooltips.
"""


def dictionary(metrics: Metrics, examples: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """What each is and its columns, by name: `tables` (with their keys), `views`, `inputs`.

    Args:
      metrics: the metric definitions.
      examples: table name → column → a value as text.
    """
    found: dict[str, Any] = {}
    for table in tables.outputs(metrics):
        output = table.output
        rules = dict(_rules(table, metrics))
        found[table.name] = {
            "description": output.description,
            "key": list(output.key),
            "partition_by": output.partition_by,
            "columns": _columns(table, rules, examples.get(table.name, {})),
        }
    rules = dict.fromkeys(tables.RUNS.schema.names, "pipeline/ledger.py")
    found[tables.RUNS.name] = {
        "description": tables.RUNS_DESCRIPTION,
        "key": [tables.RUNS_KEY],
        "partition_by": None,
        "columns": _columns(tables.RUNS, rules, examples.get(tables.RUNS.name, {})),
    }
    inputs = {f"{table.source}.{table.name}": {"columns": _columns(table, {}, {})} for table in tables.INPUTS}
    return {"tables": found, "views": dict(_views(metrics, examples)), "inputs": inputs}


def _views(metrics: Metrics, examples: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for view in views(metrics):
        known = examples.get(view.name, {})
        columns = [
            {
                "name": column.name,
                "type": TYPES.get(column.type, column.type),
                "required": False,
                "description": column.description,
                "personal": column.name in tables.PERSONAL,
                "rule": f"pipeline/views/{view.name}.sql",
            }
            | ({"example": known[column.name]} if column.name in known else {})
            for column in view.columns
        ]
        yield view.name, {"description": view.description, "columns": columns}


def _columns(table: Table, rules: Mapping[str, str], examples: Mapping[str, str]) -> list[dict[str, Any]]:
    columns = []
    for field in fields_of(table):
        name = field["name"]
        column = {
            "name": name,
            "type": f"REPEATED {field['type']}" if field["mode"] == "REPEATED" else field["type"],
            "required": field["mode"] == "REQUIRED",
            "description": field["description"],
            "personal": name in tables.PERSONAL,
        }
        column |= {"rule": rules[name]} if name in rules else {}
        column |= {"example": examples[name]} if name in examples else {}
        columns.append(column)
    return columns


def _rules(table: OutputTable, metrics: Metrics) -> Iterator[tuple[str, str]]:
    """Column → where its rule is: an entry of the metrics file, or a module."""
    entries = {column.name: entry.name for entry in metrics.entries for column in entry.columns()}
    entries |= {rollup.name: entry.name for entry in metrics.entries for rollup in entry.rollups()}
    for name in table.schema.names:
        yield name, f"{_METRICS_FILE} {entries[name]}" if name in entries else table.output.rule(name)


def markdown(found: Mapping[str, Any]) -> str:
    """The page of a dictionary."""
    parts = [_HEAD]
    for name, table in found["tables"].items():
        key = ", ".join(f"`{column}`" for column in table["key"])
        partitioned = f" Partitioned by the day of `{table['partition_by']}`." if table["partition_by"] else ""
        parts.append(f"## {name}\n\n{table['description']} Key: {key}.{partitioned}\n")
        parts.append(markdown_table(("column", "type", "meaning", "rule", "example"), map(_row, table["columns"])))
    parts.append(
        "## Views\n\nThey are made of the tables when they are read; [views.md](views.md) tells how to ask them.\n"
    )
    for name, view in found["views"].items():
        parts.append(f"### {name}\n\n{view['description']}\n")
        parts.append(markdown_table(("column", "type", "meaning", "rule", "example"), map(_row, view["columns"])))
    parts.append(
        "## What is read\n\nOf these columns, in these types or others that can be read as them "
        "([architecture.md](architecture.md#inputs-as-they-come)); all but `posthog.events` may be missing.\n"
    )
    for name, table in found["inputs"].items():
        parts.append(f"### {name}\n")
        rows = ((f"`{c['name']}`", _type(c), _escaped(c["description"])) for c in table["columns"])
        parts.append(markdown_table(("column", "type", "meaning"), rows))
    return "\n".join(parts)


def _row(column: Mapping[str, Any]) -> tuple[str, ...]:
    module, *entry = column["rule"].split()
    shown = f"[{entry[0] if entry else Path(module).stem}](../{module})"
    example = "personal" if column["personal"] else f"`{_escaped(column['example'])}`" if "example" in column else ""
    return f"`{column['name']}`", _type(column), _escaped(column["description"]), shown, example


def _type(column: Mapping[str, Any]) -> str:
    return f"{column['type']}, required" if column["required"] else str(column["type"])


def markdown_table(head: Sequence[str], rows: Any) -> str:
    """Rows of texts under a head, as Markdown has it."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def examples_in(folder: Path) -> dict[str, dict[str, str]]:
    """Table name → column → a value, of the published tables in a folder: the first by key that there is."""
    found = {}
    keys = {output.name: output.key for output in tables.OUTPUTS} | {tables.RUNS.name: (tables.RUNS_KEY,)}
    for name, key in keys.items():
        table = pq.read_table(folder / name)
        table = table.sort_by([(column, "ascending") for column in key])
        values = {column: _first(table.column(column)) for column in table.schema.names}
        known = {column: _told(value) for column, value in values.items() if value is not None}
        found[name] = known | {column: text for column, text in _FIXED.items() if column in values}
    return found | _examples_of_views(folder)


def _examples_of_views(folder: Path) -> dict[str, dict[str, str]]:
    """View name → column → a value: the first in the order of all columns that there is."""
    made, found = views(load_metrics()), {}
    with duckdb.connect() as connection:
        connection.execute(script(folder.resolve(), made))
        for view in made:
            rows = connection.sql(f"FROM {view.name} ORDER BY ALL").to_arrow_table()
            values = {column: _first(rows.column(column)) for column in rows.schema.names}
            known = {column: _told(value) for column, value in values.items() if value is not None}
            found[view.name] = known | {column: text for column, text in _FIXED.items() if column in values}
    return found


def _first(column: pa.ChunkedArray) -> Any:
    return next((value for value in column.to_pylist() if value not in (None, "", [], "{}")), None)


def _told(value: Any) -> str:
    if isinstance(value, datetime):
        text = value.isoformat(" ").replace("+00:00", " UTC")
    elif isinstance(value, float):
        text = f"{value:.6g}"
    else:
        text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= _LONGEST_EXAMPLE else f"{text[:_LONGEST_EXAMPLE]}…"


@contextmanager
def run_on_sample() -> Iterator[Path]:
    """The folder of the tables that a run on the sample publishes, for as long as it is looked at."""
    from sample import write_sample  # beside the package in the repository

    with tempfile.TemporaryDirectory() as folder:
        write_sample(Path(folder))
        with redirect_stdout(StringIO()):
            assert main(["--warehouse", folder, "--quiet"]) == 0
        yield Path(folder) / "posthog_aggregated"


def shown_examples(published: Path) -> dict[str, dict[str, str]]:
    """The examples in the tables of a run, without those of personal columns.

    Args:
      published: the folder of the output tables.
    """
    return {
        table: {name: value for name, value in values.items() if name not in tables.PERSONAL}
        for table, values in examples_in(published).items()
    }


def known_examples() -> dict[str, dict[str, str]]:
    """The examples that are written down."""
    page = json.loads(JSON.read_text(encoding="utf-8"))
    known = page["tables"] | page["views"]
    return {
        name: {column["name"]: column["example"] for column in table["columns"] if "example" in column}
        for name, table in known.items()
    }


def files(examples: Mapping[str, Mapping[str, str]]) -> dict[Path, str]:
    """Every file that is made from the declarations, with its content."""
    found = dictionary(load_metrics(), examples)
    return {
        MARKDOWN: markdown(found),
        JSON: json.dumps(found, indent=1, ensure_ascii=False) + "\n",
        dbt_sources.FILE: dbt_sources.text(found["tables"], found["views"]),
    }


if __name__ == "__main__":
    with run_on_sample() as published:
        examples = shown_examples(published)
    for path, content in files(examples).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
