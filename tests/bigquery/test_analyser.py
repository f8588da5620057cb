"""Google's own analyser of its SQL (GoogleSQL, formerly ZetaSQL) takes every statement, with the tables as they are.

sqlglot knows the grammar; this knows the types, the functions and the columns. The engine is WebAssembly, and is
compiled for half a minute of CPU time, once a machine.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Any

import pytest
from zetasql.api import Analyzer, CatalogBuilder, TableBuilder, TypeFactory
from zetasql.core import wasm_client
from zetasql.types import AnalyzerOptions, LanguageOptions, TypeKind, ZetaSQLBuiltinFunctionOptions

from pipeline import tables
from pipeline.views import View, views
from pipeline.warehouse.bigquery import sql
from pipeline.warehouse.bigquery.schema import Field, fields_of, staging_fields
from tests import new_table
from tests.builders import METRICS, SMALL_METRICS, WAVES_METRICS
from tests.deploy.dockerfile import ROOT
from tests.pipeline.warehouse.bigquery.test_sql import TABLES, statements
from transforms.metrics.file import load_metrics

pytestmark = pytest.mark.slow
KINDS = {
    "STRING": TypeKind.TYPE_STRING,
    "INTEGER": TypeKind.TYPE_INT64,
    "FLOAT": TypeKind.TYPE_DOUBLE,
    "BOOLEAN": TypeKind.TYPE_BOOL,
    "TIMESTAMP": TypeKind.TYPE_TIMESTAMP,
    "DATE": TypeKind.TYPE_DATE,
    "JSON": TypeKind.TYPE_JSON,
}
PUBLISHED = {table.name: table for table in (*TABLES, new_table.TABLE, tables.RUNS)}
#: Metrics files under which views are made, each in a dataset of its own.
DEFINITIONS = (METRICS, SMALL_METRICS, load_metrics(WAVES_METRICS))


class _Cached(wasm_client.Config):
    """Keeps the compiled engine in the user's cache."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = True


@functools.cache
def analyser() -> tuple[Any, Any]:
    """Options and a catalogue of all tables, inputs as `fields_of` makes them and outputs as they are created."""
    wasm_client.Config = _Cached
    language = LanguageOptions.maximum_features()
    catalog = CatalogBuilder("bigquery")
    fence: list[Field] = [{"name": "run_id", "type": "STRING", "mode": "NULLABLE"}]
    events = [field for field in fields_of(tables.EVENTS) if field["name"] != "properties"]
    json: Field = {"name": "properties", "type": "JSON", "mode": "NULLABLE"}  # what PostHog's export recommends
    found: dict[str, Iterable[Field]] = {
        "project-x.posthog_etl.events": [*events, json],
        "p.firebase.users": fields_of(tables.USERS),
        "project-x.out.run_fence": fence,
        "project-x.out.run_fence_sample": fence,
    }
    for name, table in PUBLISHED.items():
        for place in ("project-x.out", "my-project.posthog_aggregated"):
            found[f"{place}.{name}"] = fields_of(table)
        found[f"project-x.out.{name}_sample"] = fields_of(table)
        found[f"project-x.out._staging_{name}"] = staging_fields(table)
    for number, metrics in enumerate(DEFINITIONS):
        for table in (*tables.outputs(metrics), tables.RUNS):
            found[f"project-x.views_{number}.{table.name}"] = fields_of(table)
        for view in views(metrics):
            kinds = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}
            found[f"project-x.views_{number}.{view.name}"] = [
                {"name": column.name, "type": kinds.get(column.type, column.type), "mode": "NULLABLE"}
                for column in view.columns
            ]
    for name, fields in found.items():
        made = TableBuilder(name)
        for field in fields:
            kind: Any = KINDS[field["type"]]
            made.add_column(
                field["name"],
                TypeFactory.create_array_type(TypeFactory.create_simple_type(kind))
                if field["mode"] == "REPEATED"
                else kind,
            )
        catalog.add_table(made.build())
    built = catalog.with_builtin_functions(ZetaSQLBuiltinFunctionOptions(language_options=language)).build()
    return AnalyzerOptions(language_options=language), built


def analysed(text: str) -> list[str]:
    """The kinds of the statements of a script; raises what is wrong with them."""
    return [type(statement).__name__ for statement in Analyzer.iterate_script(text, *analyser())]


@pytest.mark.parametrize("name", sorted(statements()))
def test_it_is_taken(name: str) -> None:
    kinds = analysed(statements()[name])
    assert kinds
    if name.startswith("publish"):
        assert kinds[0] == "ResolvedBeginStmt"
        assert kinds[-1] == "ResolvedCommitStmt"
        assert ("ResolvedMergeStmt" in kinds) == (name not in ("publish_nothing", "publish_leaving_out"))
        assert ("ResolvedDeleteStmt" in kinds) == (name == "publish_leaving_out")


def test_the_query_of_the_alert_is_taken() -> None:
    text = (ROOT / "deploy/freshness.sql").read_text()
    for name, value in {"PROJECT": "my-project", "AGGREGATED_DATASET": "posthog_aggregated", "CONTENT": "c1"}.items():
        text = text.replace(f"${{{name}}}", value)
    assert analysed(text) == ["ResolvedQueryStmt"]


@pytest.mark.parametrize(
    ("number", "view"), [(number, view) for number, metrics in enumerate(DEFINITIONS) for view in views(metrics)]
)
def test_views_are_taken_and_their_columns_have_the_declared_types(number: int, view: View) -> None:
    dataset = f"project-x.views_{number}"
    text = sql.create_view(f"`{dataset}.{view.name}_made`", view, {name: f"`{dataset}.{name}`" for name in view.reads})
    # the open analyser has a list of columns only without their options, which BigQuery documents
    plain = re.sub(r"^(  `\w+`) OPTIONS\(.*?\)(,?)$", r"\1\2", text, flags=re.MULTILINE)
    [made] = Analyzer.iterate_script(plain, *analyser())
    kinds = {"DOUBLE": "FLOAT64"}
    types = {column.name: str(column.column.type) for column in made.output_column_list}
    assert {name: kinds.get(kind, kind) for name, kind in types.items()} == {
        column.name: column.type for column in view.columns
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("`person_id`", "`persn_id`"), "persn_id"),
        (("target.session_id = staged.session_id", "target.session_id = staged.event_count"), "No matching signature"),
        (("COUNT(DISTINCT session_id)", "COUNT_DISTINCT(session_id)"), "Function not found"),
    ],
)
def test_it_finds_what_a_grammar_does_not(change: tuple[str, str], said: str) -> None:
    text = statements()["publish"]
    assert change[0] in text
    with pytest.raises(Exception, match=re.escape(said)):
        analysed(text.replace(*change))
