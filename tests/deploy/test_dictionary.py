"""The dictionary of the tables and dbt's sources are what the declarations say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy import dictionary
from pipeline import tables
from pipeline.views.declarations import views
from tests.builders import METRICS

ROOT = Path(__file__).parents[2]
FOUND = dictionary.dictionary(METRICS, {})


@pytest.mark.parametrize("path", dictionary.files({}), ids=lambda path: path.name)
def test_what_is_made_is_up_to_date(path: Path) -> None:
    """Its examples are compared by the next test, which takes a run."""
    assert path.read_text() == dictionary.files(dictionary.known_examples())[path], "run `make docs`"


@pytest.mark.slow
def test_the_examples_are_those_of_a_run_on_the_sample(published_sample: Path) -> None:
    assert dictionary.known_examples() == dictionary.shown_examples(published_sample), "run `make docs`"


def test_every_table_and_column_is_described_and_its_rule_is_a_file() -> None:
    assert list(FOUND["tables"]) == [*(output.name for output in tables.OUTPUTS), "runs"]
    for name, table in FOUND["tables"].items():
        assert table["description"].endswith("."), name
        for column in table["columns"]:
            assert column["description"].endswith("."), (name, column["name"])
            module, *entry = column["rule"].split()
            assert (ROOT / module).is_file(), (name, column["name"])
            assert not entry or f"[metrics.{entry[0]}]" in (ROOT / module).read_text()


def test_every_view_is_there_with_its_columns_and_an_example_of_most() -> None:
    made = views(METRICS)
    assert list(FOUND["views"]) == [view.name for view in made]
    for view in made:
        columns = FOUND["views"][view.name]["columns"]
        assert [column["name"] for column in columns] == [column.name for column in view.columns]
        assert all(column["description"].endswith(".") and (ROOT / column["rule"]).is_file() for column in columns)
    known = dictionary.known_examples()
    named = [column["name"] in known[name] for name, view in FOUND["views"].items() for column in view["columns"]]
    assert sum(named) > 0.8 * len(named)


def test_columns_of_metrics_name_their_entry_in_persons_too() -> None:
    rules = {
        (name, column["name"]): column["rule"]
        for name in ("sessions", "persons")
        for column in FOUND["tables"][name]["columns"]
    }
    entry = "transforms/metrics/metrics.toml viewed_event"
    assert rules["sessions", "viewed_event"] == rules["persons", "viewed_event_sum"] == entry
    assert rules["sessions", "session_number"] == "transforms/sessions/rows.py"
    assert rules["sessions", "_run_id"] == "transforms/published/changes.py"


def test_no_example_is_personal() -> None:
    page = json.loads(dictionary.JSON.read_text())
    known = page["tables"] | page["views"]
    shown = {column["name"] for table in known.values() for column in table["columns"] if "example" in column}
    assert shown
    assert not shown & tables.PERSONAL
    personal = {column["name"] for table in known.values() for column in table["columns"] if column["personal"]}
    assert {"person_id", "user_id", "fullName", "phoneNumber", "email", "username", "row"} <= personal
