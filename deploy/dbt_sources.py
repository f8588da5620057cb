"""The published tables and their views as dbt sources, from the dictionary: `deploy/dbt/models/sources.yml`.

What the declarations promise are dbt's tests: keys are unique, required columns are never null. The last run is the
freshness. `make test-dbt` lets dbt parse the file, and run its tests on the sample.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "dbt" / "models" / "sources.yml"
SOURCE = "sessions_and_persons"
_LEDGER = "runs"
#: Hours since the last published run: one night and its run, two of them.
_WARN, _ERROR = 26, 50
_HEAD = f"""\
# Made by `make docs` from the declarations of the tables; do not edit. Copy it into a dbt project of 1.10.5 or later,
# with ../tests/generic/unique_together.sql. Variables: `project` and `dataset`, where they are not the target's and the
# default.
version: 2

sources:
  - name: {SOURCE}
    description: "One row a session, one row a person, and how they were made."
    database: "{{{{ var('project', target.database) }}}}"
    schema: "{{{{ var('dataset', 'posthog_aggregated') }}}}"
    tables:
"""
_FRESHNESS = f"""\
        config:
          loaded_at_field: published_at
          freshness:
            warn_after: {{count: {_WARN}, period: hour}}
            error_after: {{count: {_ERROR}, period: hour}}
"""
_EXPOSURE = """\
exposures:
  - name: session_report
    label: Session report
    type: dashboard
    description: "The page that `python -m pipeline.report` makes of these tables and views."
    owner:
      name: Analysts
    depends_on:
"""


def text(tables: Mapping[str, Any], views: Mapping[str, Any]) -> str:
    """The file, from the tables and views of a dictionary (`deploy.dictionary`)."""
    lines = [_HEAD]
    for name, table in tables.items():
        lines += _table(name, table)
    for name, view in views.items():
        lines += _table(name, view | {"key": []})  # nothing is promised but what its columns mean
    lines += ["\n", _EXPOSURE, *(f"      - source('{SOURCE}', '{name}')\n" for name in (*tables, *views))]
    return "".join(lines)


def _table(name: str, table: Mapping[str, Any]) -> Iterator[str]:
    yield f"      - name: {name}\n        description: {_quoted(table['description'])}\n"
    if name == _LEDGER:
        yield _FRESHNESS
    key = table["key"]
    if len(key) > 1:
        columns = json.dumps(key)
        yield f"        data_tests:\n          - unique_together: {{arguments: {{columns: {columns}}}}}\n"
    yield "        columns:\n"
    for column in table["columns"]:
        yield f"          - name: {column['name']}\n            description: {_quoted(column['description'])}\n"
        tests = _tests(column, key)
        if tests:
            yield f"            data_tests: [{', '.join(tests)}]\n"


def _tests(column: Mapping[str, Any], key: Sequence[str]) -> list[str]:
    return ["unique"] * ([column["name"]] == list(key)) + ["not_null"] * column["required"]


def _quoted(value: str) -> str:
    """A text as YAML, which takes JSON's strings; dbt would render braces."""
    return json.dumps(value.replace("{{", "{ {").replace("{%", "{ %"), ensure_ascii=False)
