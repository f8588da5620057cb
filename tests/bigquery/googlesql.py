"""Google's analyser of its SQL over all tables as they are: what `test_analyser` asks.

Apart from the tests, since it takes most of a second to import, and their file is read where they are left out too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from zetasql.api import Analyzer, CatalogBuilder, TableBuilder, TypeFactory
from zetasql.core import wasm_client
from zetasql.types import AnalyzerOptions, LanguageOptions, TypeKind, ZetaSQLBuiltinFunctionOptions

from pipeline import tables
from pipeline.views.declarations import views
from pipeline.warehouse.bigquery.schema import Field, fields_of, staging_fields
from tests import new_table
from tests.pipeline.warehouse.bigquery.test_sql import TABLES
from transforms.metrics.definitions import Metrics

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


class _Cached(wasm_client.Config):
    """Keeps the compiled engine in the user's cache."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = True


def analyser(definitions: Sequence[Metrics]) -> Callable[[str], list[Any]]:
    """Gives the statements of a script, and raises what is wrong with them.

    It knows all tables, inputs as `fields_of` makes them and outputs as they are created, and the views under each of
    some metrics files, in a dataset of its own.
    """
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
    for number, metrics in enumerate(definitions):
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
    options = AnalyzerOptions(language_options=language)
    return lambda text: list(Analyzer.iterate_script(text, options, built))
