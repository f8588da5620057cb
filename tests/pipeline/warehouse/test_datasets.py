"""Names of datasets: which are names, which may have a project, and that no output goes among the inputs."""

from __future__ import annotations

import re

import pytest

from pipeline import tables
from pipeline.errors import UsageError
from pipeline.warehouse.datasets import DATASET, INPUTS, OPTIONS, PROJECT, Datasets
from tests.builders import METRICS

VALUES: dict[str, str | None] = {option.name: option.default for option in OPTIONS} | {"project": None}


def test_the_defaults_are_four_datasets() -> None:
    assert Datasets.of(VALUES) == Datasets("posthog_etl", "firebase_etl_prod", "posthog_aggregated", "privacy")
    assert {option.name for option in OPTIONS} - {"aggregated_dataset"} == {*INPUTS}


@pytest.mark.parametrize("name", INPUTS)
def test_an_input_may_be_of_another_project_and_of_the_own_one_it_is_the_name_alone(name: str) -> None:
    field = name.removesuffix("_dataset")
    for given, wanted in (("other-project.data", "other-project.data"), ("my-project.data", "data")):
        found = Datasets.of(VALUES | {name: given, "project": "my-project"})
        assert getattr(found, field) == wanted


@pytest.mark.parametrize("name", [*INPUTS, "aggregated_dataset"])
@pytest.mark.parametrize("value", [None, "", "a-b", "a b", "a`b", "a.b.c", "../data", "ünde", "x" * 1_001])
def test_what_is_no_name_is_refused_with_what_would_be(name: str, value: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        Datasets.of(VALUES | {name: value})
    assert str(caught.value).startswith(f"--{name} {value!r} is not a dataset name: letters, digits and _ only")
    assert ("PROJECT.DATASET" in str(caught.value)) == (name in INPUTS)
    [pattern] = [option.pattern for option in OPTIONS if option.name == name]
    assert value is None or not re.fullmatch(pattern, value), "a form for launches refuses it as well"


def test_the_output_has_no_project_and_is_no_input() -> None:
    with pytest.raises(UsageError, match=r"letters, digits and _ only$"):
        Datasets.of(VALUES | {"aggregated_dataset": "my-project.data"})
    for given in ("same", "my-project.same"):
        with pytest.raises(UsageError, match=r"^--aggregated_dataset 'same' is an input dataset; choose another$"):
            Datasets.of(VALUES | {"privacy_dataset": given, "aggregated_dataset": "same", "project": "my-project"})


@pytest.mark.parametrize(
    ("text", "is_project"),
    [
        ("my-project", True),
        ("example.com:my-project", True),
        ("short", False),
        ("My-project", False),
        ("1-project", False),
        ("my-project-", False),
        ("a" * 31, False),
    ],
)
def test_projects(text: str, is_project: bool) -> None:
    assert bool(PROJECT.fullmatch(text)) == is_project


def test_a_name_of_the_greatest_length_is_one() -> None:
    assert DATASET.fullmatch("x" * 1_000)


def test_a_table_is_in_the_dataset_of_its_source() -> None:
    given = Datasets("posthog", "firebase", "out", "asked")
    wanted = {"posthog": "posthog", "firebase": "firebase", "privacy": "asked"}
    assert [given.holding(table) for table in tables.INPUTS] == [wanted[table.source] for table in tables.INPUTS]
    assert given.label(tables.DELETION_REQUESTS) == "asked.deletion_requests"
    assert given.holding(tables.RUNS) == given.holding(tables.SESSIONS.under(METRICS)) == "out"
