"""What BigQuery asks of the options: a project, a bucket where it writes; and what they are made into."""

from __future__ import annotations

from typing import Any

import pytest
from apache_beam.options.pipeline_options import GoogleCloudOptions

from pipeline.command_line import parse
from pipeline.errors import UsageError
from pipeline.options import OPTIONS
from pipeline.warehouse.bigquery.inputs import Places
from pipeline.warehouse.bigquery.options import check, open_warehouse
from pipeline.warehouse.datasets import Datasets

VALUES: dict[str, str | None] = {option.name: option.default for option in OPTIONS} | {
    "warehouse": "bigquery",
    "project": "my-project",
}
BUCKET = ["--temp_location=gs://files/temp"]


def checked(values: dict[str, Any], *argv: str) -> str | None:
    """The project that Beam is told."""
    options = parse(argv)
    check(VALUES | values, options)
    found: str | None = options.view_as(GoogleCloudOptions).project
    return found


def test_the_project_is_handed_on_to_beam() -> None:
    assert checked({}, *BUCKET) == "my-project"
    assert checked({"project": "example.com:old-project"}, *BUCKET) == "example.com:old-project"


@pytest.mark.parametrize("project", [None, "", "Bad_Name", "x"])
def test_without_a_project_nothing_can_be_asked(project: str | None) -> None:
    wrong = f"{project!r} is no project id" if project else "is missing"
    with pytest.raises(UsageError, match=f"^--project {wrong}; --warehouse bigquery needs one$"):
        checked({"project": project}, *BUCKET)


@pytest.mark.parametrize("argv", [[], ["--temp_location=/tmp/files"], ["--temp_location=s3://bucket"]])
def test_load_files_need_a_bucket_but_a_plan_loads_nothing(argv: list[str]) -> None:
    wrong = " '.*' is not gs://BUCKET/FOLDER" if argv else " gs://BUCKET/FOLDER is missing"
    with pytest.raises(UsageError, match=rf"^--temp_location{wrong}; load files go there$"):
        checked({}, *argv)
    assert checked({"plan_only": "true"}, *argv) == "my-project"


def test_what_is_opened_knows_projects_datasets_method_and_bucket() -> None:
    given = {"posthog_dataset": "other-project.events", "aggregated_dataset": "out", "read_method": "ARROW"}
    opened = open_warehouse(VALUES | given, parse(BUCKET))
    assert opened._at == Places("my-project", Datasets("other-project.events", "firebase_etl_prod", "out", "privacy"))
    assert (opened._method, opened._temp_location) == ("ARROW", "gs://files/temp")
