"""What the report asks: of tables and views only, by their names, of groups and never of somebody.

What the queries give is compared with SQL on the files in `test_numbers`.
"""

from __future__ import annotations

from string import Template

import pytest
import sqlglot
from sqlglot import expressions as exp

from pipeline import tables
from pipeline.report.questions import ALL, FEWEST, Question
from pipeline.report.section import TITLES
from pipeline.report.sections import sections
from pipeline.views.declarations import NAMES, views
from tests.builders import METRICS

KNOWN = {
    **{table.name: set(table.schema.names) for table in (*tables.outputs(METRICS), tables.RUNS)},
    **{view.name: {column.name for column in view.columns} for view in views(METRICS)},
}
QUESTIONS = pytest.mark.parametrize("question", ALL.values(), ids=list(ALL))


def parsed(question: Question) -> exp.Expression:
    text = Template(question.sql).substitute({name: name for name in question.reads})
    return sqlglot.parse_one(text, read="bigquery")


@QUESTIONS
def test_a_question_names_all_that_it_reads_and_no_more(question: Question) -> None:
    query = parsed(question)
    assert isinstance(query, exp.Select)
    own = {table.alias for table in query.find_all(exp.TableAlias)}
    assert {table.name for table in query.find_all(exp.Table)} - own == set(question.reads)
    assert set(question.reads) <= {*NAMES, *(output.name for output in tables.OUTPUTS), "runs"}


@QUESTIONS
def test_the_columns_that_a_metrics_file_may_lack_are_asked_for(question: Question) -> None:
    named = {column.name for column in parsed(question).find_all(exp.Column)}
    assert set(question.columns) <= named
    assert set(question.columns) <= KNOWN.get(question.reads[0], set())


@QUESTIONS
def test_nothing_personal_leaves_a_query(question: Question) -> None:
    query = parsed(question)
    assert not tables.PERSONAL & set(query.named_selects), "ids are counted, never told"


@pytest.mark.parametrize("name", ["entry", "exit", "hours", "versions"])
def test_a_group_of_few_persons_does_not_leave_its_query(name: str) -> None:
    having = parsed(ALL[name]).find(exp.Having)
    assert having is not None
    assert having.sql() == f"HAVING COUNT(DISTINCT person_id) >= {FEWEST}"


def test_every_answer_is_a_section() -> None:
    assert set(ALL) - {"runs"} <= set(TITLES)
    empty = sections({name: [] for name in ALL if name != "runs"})
    assert {one.name for one in empty} == set(ALL) - {"runs"}
    assert all(one.told for one in empty)
