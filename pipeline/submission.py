"""Handing the graph to a runner, and what Dataflow says when it does not take it: one line, no traceback.

Dataflow only takes the job and runs it elsewhere, so nothing may follow that needs its end. Under a Flex Template
not even the job exists yet: the launcher writes its description and Dataflow starts it afterwards.
"""

from __future__ import annotations

import re

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, StandardOptions
from apache_beam.runners.runner import PipelineResult

from pipeline.errors import RunError

_CONSOLE = "https://console.cloud.google.com/dataflow/jobs"


def only_submits(options: PipelineOptions) -> bool:
    """Whether the runner returns before the job has run."""
    return "Dataflow" in (options.view_as(StandardOptions).runner or "")


def start(pipeline: beam.Pipeline, options: PipelineOptions) -> PipelineResult:
    """Run or submit the pipeline.

    Raises:
      RunError: Dataflow refused the job; nothing was started.
    """
    try:
        return pipeline.run()
    except Exception as error:
        cause = _refusal(error, options) if only_submits(options) else None
        if cause is None:
            raise
        raise RunError(cause) from error


def submitted_text(result: PipelineResult, options: PipelineOptions) -> str:
    """Where to follow a submitted job."""
    cloud = options.view_as(GoogleCloudOptions)
    if not result.has_job:
        return f"The job {cloud.job_name} is handed to Dataflow, which starts it; follow it in {_CONSOLE}"
    job = result.job_id()
    return f"Submitted {cloud.job_name}: {_CONSOLE}/{cloud.region}/{job}?project={cloud.project}"


def _refusal(error: Exception, options: PipelineOptions) -> str | None:
    """One line for what Google's services answered; they have seen no row of the data yet. None for other errors."""
    from apache_beam.runners.dataflow.internal.apiclient import DataflowJobAlreadyExistsError
    from google.api_core.exceptions import GoogleAPICallError

    cloud = options.view_as(GoogleCloudOptions)
    code = error.code if isinstance(error, GoogleAPICallError) else None
    if isinstance(error, DataflowJobAlreadyExistsError) or code == 409:
        return (
            f"a Dataflow job named {cloud.job_name} is already running in {cloud.region}: nothing was started; "
            f"wait for it (gcloud dataflow jobs list --region={cloud.region} --status=active) "
            "or give another --job_name"
        )
    if isinstance(error, GoogleAPICallError):
        hint = "; docs/deploy.md lists the roles" if code in (401, 403) else ""
        return f"Dataflow does not take the job ({int(code or 0)}): {_first_line(error.message)}{hint}"
    if isinstance(error, OSError) and str(error).startswith("Could not upload to GCS path"):
        return (
            f"cannot write below --temp_location ({cloud.temp_location}): the bucket must exist, and the service "
            "account needs roles/storage.objectUser on it"
        )
    return None


def _first_line(text: str | None) -> str:
    """Without the request that the client puts before the service's words."""
    line = (text or "no reason given").strip().splitlines()[0]
    return re.sub(r"^[A-Z]+ https?://\S+: ", "", line)[:300]
