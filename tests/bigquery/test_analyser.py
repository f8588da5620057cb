"""Google's own analyser of its SQL (GoogleSQL, formerly ZetaSQL) takes every statement, with the tables as they are.

sqlglot knows the grammar; this knows the types, the functions and the columns. The engine is WebAssembly, and is
compiled for half a minute of CPU time, once a machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.views.declarations import View, views
from pipeline.warehouse.bigquery import sql
from tests.builders import METRICS, SMALL_METRICS, WAVES_METRICS
from tests.deploy.dockerfile import ROOT
from tests.pipeline.warehouse.bigquery.test_sql import statements
from transforms.metrics.file import load_metrics

pytestmark = pytest.mark.slow
#: Metrics files under which views are made, each in a dataset of its own.
DEFINITIONS = (METRICS, SMALL_METRICS, load_metrics(WAVES_METRICS))

Analyse = Callable[[str], list[Any]]


@pytest.fixture(scope="module")
def statements_of() -> Analyse:
    """The statements of a script; raises what is wrong with them."""
    from tests.bigquery.googlesql import analyser  # only here: see there

    return analyser(DEFINITIONS)


def kinds_of(made: list[Any]) -> list[str]:
    return [type(statement).__name__ for statement in made]


@pytest.mark.parametrize("name", sorted(statements()))
def test_it_is_taken(name: str, statements_of: Analyse) -> None:
    kinds = kinds_of(statements_of(statements()[name]))
    assert kinds
    if name.startswith("publish"):
        assert kinds[0] == "ResolvedBeginStmt"
        assert kinds[-1] == "ResolvedCommitStmt"
        assert ("ResolvedMergeStmt" in kinds) == (name not in ("publish_nothing", "publish_leaving_out"))
        assert ("ResolvedDeleteStmt" in kinds) == (name == "publish_leaving_out")


def test_the_query_of_the_alert_is_taken(statements_of: Analyse) -> None:
    text = (ROOT / "deploy/freshness.sql").read_text()
    for name, value in {"PROJECT": "my-project", "AGGREGATED_DATASET": "posthog_aggregated", "CONTENT": "c1"}.items():
        text = text.replace(f"${{{name}}}", value)
    assert kinds_of(statements_of(text)) == ["ResolvedQueryStmt"]


@pytest.mark.parametrize(
    ("number", "view"), [(number, view) for number, metrics in enumerate(DEFINITIONS) for view in views(metrics)]
)
def test_views_are_taken_and_their_columns_have_the_declared_types(
    number: int, view: View, statements_of: Analyse
) -> None:
    dataset = f"project-x.views_{number}"
    text = sql.create_view(f"`{dataset}.{view.name}_made`", view, {name: f"`{dataset}.{name}`" for name in view.reads})
    # the open analyser has a list of columns only without their options, which BigQuery documents
    plain = re.sub(r"^(  `\w+`) OPTIONS\(.*?\)(,?)$", r"\1\2", text, flags=re.MULTILINE)
    [made] = statements_of(plain)
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
def test_it_finds_what_a_grammar_does_not(change: tuple[str, str], said: str, statements_of: Analyse) -> None:
    text = statements()["publish"]
    assert change[0] in text
    with pytest.raises(Exception, match=re.escape(said)):
        statements_of(text.replace(*change))
