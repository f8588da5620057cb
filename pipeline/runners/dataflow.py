"""Handing a job to Dataflow: where it is then, and why Dataflow does not take it, as one line each.

Only of submitting: what happens to the job later is told in its own log, and the tables are as they were until its last
step has published them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, StandardOptions
from apache_beam.runners.runner import PipelineResult
from google.api_core import exceptions
from google.auth.exceptions import DefaultCredentialsError

from pipeline.errors import RunError

_CONSOLE = "https://console.cloud.google.com/dataflow/jobs"


def is_dataflow(options: PipelineOptions) -> bool:
    """Whether the runner only submits."""
    return "Dataflow" in (options.view_as(StandardOptions).runner or "")


def submitted_text(result: PipelineResult, options: PipelineOptions) -> str:
    """Where to follow a job that was submitted, or that a template's launcher has prepared for Dataflow to start."""
    cloud = options.view_as(GoogleCloudOptions)
    if not result.has_job:
        return f"Handed {cloud.job_name} to Dataflow, which starts it; follow it in {_CONSOLE}"
    return f"Submitted {cloud.job_name}: {_CONSOLE}/{cloud.region}/{result.job_id()}?project={cloud.project}"


@contextlib.contextmanager
def submission_told(options: PipelineOptions) -> Iterator[None]:
    """Turn a refusal into a RunError with what would help; other runners' errors pass as they are."""
    cloud = options.view_as(GoogleCloudOptions)
    try:
        yield
    except Exception as error:
        if not is_dataflow(options):
            raise
        # the runner's own exception; its module is not imported in a run on this machine
        if isinstance(error, exceptions.Conflict) or type(error).__name__ == "DataflowJobAlreadyExistsError":
            raise RunError(
                f"a Dataflow job named {cloud.job_name} is at work in {cloud.region}: wait for its end, then run again"
            ) from error
        if isinstance(error, exceptions.Forbidden):
            raise RunError(
                f"no permission to start Dataflow jobs in project {cloud.project}: grant roles/dataflow.developer "
                "there and roles/iam.serviceAccountUser on the workers' service account"
            ) from error
        if isinstance(error, exceptions.NotFound):
            raise RunError(f"Dataflow finds no project {cloud.project} or region {cloud.region}") from error
        if isinstance(error, exceptions.GoogleAPICallError):
            raise RunError(f"Dataflow refuses the job ({type(error).__name__}); nothing was started") from error
        if isinstance(error, DefaultCredentialsError):
            raise RunError("no Google credentials: run `gcloud auth application-default login`") from error
        raise
