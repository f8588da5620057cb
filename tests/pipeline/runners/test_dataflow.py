"""When Dataflow does not take a job: one line, the staging area is removed, nothing is published."""

from __future__ import annotations

import pytest
from apache_beam.runners.dataflow.internal.apiclient import DataflowJobAlreadyExistsError
from google.api_core import exceptions

from pipeline.command_line import parse
from pipeline.errors import RunError
from pipeline.runners.dataflow import submission_told

DATAFLOW = ["--runner=DataflowRunner", "--project=p", "--region=europe-west1", "--job_name=nightly"]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (exceptions.AlreadyExists("row"), "a Dataflow job named nightly is at work in europe-west1: wait"),
        (DataflowJobAlreadyExistsError("row"), "a Dataflow job named nightly is at work in europe-west1: wait"),
        (exceptions.PermissionDenied("row"), "project p: grant roles/dataflow.developer"),
        (exceptions.NotFound("row"), "no project p or region europe-west1"),
        (exceptions.InvalidArgument("row"), "refuses the job (InvalidArgument); nothing was started"),
    ],
)
def test_every_refusal_is_one_line(error: Exception, told: str) -> None:
    with pytest.raises(RunError) as caught, submission_told(parse(DATAFLOW)):
        raise error
    assert told in str(caught.value)
    assert "row" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_errors_of_other_runners_pass() -> None:
    with pytest.raises(exceptions.NotFound), submission_told(parse([])):
        raise exceptions.NotFound("a table")
    with pytest.raises(KeyError), submission_told(parse(DATAFLOW)):
        raise KeyError("a bug")
