"""The options that only BigQuery has, and their checks. Imports none of its clients: every run knows its options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from pipeline.errors import UsageError
from pipeline.option import Option, Values
from pipeline.warehouse.datasets import PROJECT, Datasets

if TYPE_CHECKING:
    from pipeline.warehouse.bigquery.warehouse import BigQueryWarehouse

#: What `--warehouse` says.
WORD = "bigquery"
OPTIONS = (
    Option(
        "project",
        None,
        "Google Cloud project; needed with bigquery.",
        "PROJECT",
        env="GOOGLE_CLOUD_PROJECT_ID",
        pattern=rf"^({PROJECT.pattern})?$",
    ),
    Option(
        "read_method",
        "DIRECT_READ",
        "How BigQuery is read: DIRECT_READ and EXPORT are Beam's ReadFromBigQuery, ARROW needs less CPU time.",
        "METHOD",
        choices=("DIRECT_READ", "EXPORT", "ARROW"),
        pattern="^(DIRECT_READ|EXPORT|ARROW)$",
    ),
    Option(
        "credentials_path",
        None,
        "Service account key (JSON) for a run on this machine against BigQuery; by default Google's own rules.",
        "PATH",
        env="BIGQUERY_CREDENTIALS_PATH",
        pattern=r"^.*$",
    ),
    Option(
        "credentials_secret",
        None,
        "The same from Secret Manager: a name, a full resource name, or a pinned version.",
        "SECRET",
        env="BIGQUERY_SECRET_NAME",
        pattern=r"^.*$",
    ),
)


def check(values: Values, options: PipelineOptions) -> None:
    """What BigQuery needs; hands the project on to Beam.

    Raises:
      UsageError: naming the option, the bad value and what is needed.
    """
    cloud = options.view_as(GoogleCloudOptions)
    project = values["project"]
    if not project or not PROJECT.fullmatch(project):
        wrong = f"--project {project!r} is no project id" if project else "--project is missing"
        raise UsageError(f"{wrong}; --warehouse {WORD} needs one")
    cloud.project = project
    if values["plan_only"] != "true" and not (cloud.temp_location or "").startswith("gs://"):
        given = cloud.temp_location
        wrong = (
            f"--temp_location {given!r} is not gs://BUCKET/FOLDER"
            if given
            else "--temp_location gs://BUCKET/FOLDER is missing"
        )
        raise UsageError(f"{wrong}; load files go there")


def open_warehouse(values: Values, options: PipelineOptions) -> BigQueryWarehouse:
    """The warehouse of checked options."""
    # imported late: its clients take half a second, and a local run needs none
    from pipeline.warehouse.bigquery.inputs import Places
    from pipeline.warehouse.bigquery.warehouse import BigQueryWarehouse

    places = Places(str(values["project"]), Datasets.of(values))
    return BigQueryWarehouse(places, str(values["read_method"]), options.view_as(GoogleCloudOptions).temp_location)
