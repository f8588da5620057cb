"""What a submission tells: where the job is, or why Dataflow does not take it. tests/deploy submits for real."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from google.api_core import exceptions

from pipeline.errors import RunError
from pipeline.submission import only_submits, start, submitted_text

CLOUD = ["--project=my-project", "--region=europe-west1", "--job_name=sessions", "--temp_location=gs://bucket/temp"]
DATAFLOW = PipelineOptions(["--runner=DataflowRunner", *CLOUD])


class Failing(beam.Pipeline):
    """A pipeline that does not start."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def run(self, *_: Any, **__: Any) -> Any:
        raise self._error


def test_only_dataflow_submits() -> None:
    assert only_submits(DATAFLOW)
    assert not only_submits(PipelineOptions(["--runner=FnApiRunner"]))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (exceptions.AlreadyExists("There is already an active job named sessions"), "sessions is already running in"),
        (exceptions.Forbidden("no"), "(403): no; docs/deploy.md lists the roles"),
        (
            exceptions.BadRequest("POST http://host/jobs?x=y: The workflow is wrong.\nMany causes"),
            "(400): The workflow",
        ),
        (exceptions.ServiceUnavailable(""), "(503): no reason given"),
        (OSError("Could not upload to GCS path gs://bucket/temp/x: 404"), "--temp_location (gs://bucket/temp)"),
    ],
)
def test_what_google_answers_becomes_one_line(error: Exception, told: str) -> None:
    with pytest.raises(RunError) as caught:
        start(Failing(error), DATAFLOW)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(TypeError):
        start(Failing(TypeError("a bug")), DATAFLOW)
    with pytest.raises(exceptions.Forbidden):  # of a run that is not submitted: it may quote what the run has read
        start(Failing(exceptions.Forbidden("no")), PipelineOptions(["--runner=FnApiRunner"]))


def test_where_to_follow_a_job() -> None:
    submitted = submitted_text(SimpleNamespace(has_job=True, job_id=lambda: "2026-1"), DATAFLOW)
    assert submitted.endswith("/dataflow/jobs/europe-west1/2026-1?project=my-project")
    launched = submitted_text(SimpleNamespace(has_job=False), DATAFLOW)
    assert "sessions is handed to Dataflow" in launched
