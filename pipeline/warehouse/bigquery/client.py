"""The few calls to BigQuery outside Beam's connectors, and what their failures mean to the user.

Everything that `publish.py` needs is in `Api`, so that its retries can be tested against a strict fake.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from google.api_core import exceptions
from google.api_core.retry import Retry
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.cloud import bigquery
from google.cloud.bigquery.table import PrimaryKey, TableConstraints
from requests.exceptions import ConnectionError as RequestError
from requests.exceptions import Timeout

from pipeline.errors import RunError
from pipeline.warehouse.bigquery.schema import About, Field
from pipeline.warehouse.bigquery.sql import name_of, path_of

#: Failures after which the same call can succeed.
TRANSIENT = (exceptions.ServerError, exceptions.TooManyRequests, exceptions.RetryError, RequestError, Timeout)
#: A call that may be repeated is given this long; a job that runs has no limit.
_RETRY = Retry(predicate=lambda error: isinstance(error, TRANSIENT), timeout=120)


@dataclass(frozen=True)
class TableInfo:
    """What a table's metadata says."""

    fields: tuple[Field, ...]
    rows: int
    bytes: int
    kind: str = "TABLE"
    """BigQuery's word for it: TABLE, VIEW, MATERIALIZED_VIEW, EXTERNAL, SNAPSHOT."""
    about: About | None = None


@dataclass(frozen=True)
class JobState:
    """A job as BigQuery tells of it."""

    done: bool
    reason: str = ""
    """Why it failed, as BigQuery's error reason; empty when it did not."""
    message: str = ""


class Api(Protocol):
    """What publishing asks of BigQuery; all of it may raise google.api_core.exceptions."""

    def submit(self, job_id: str, script: str) -> None:
        """Start a script as a job of this id; Conflict when there is one already."""

    def job(self, job_id: str) -> JobState | None:
        """The state of a job, None when there is none of this id."""

    def number(self, query: str) -> int:
        """The single number that a query gives; reading only, so repeated as needed."""


class BigQueryClient:
    """`Api` and the calls of the warehouse, on google-cloud-bigquery; every one names what it was about."""

    def __init__(self, project: str, location: str | None = None) -> None:
        self._project, self._location = project, location
        with told(f"project {project}"):
            self._client = bigquery.Client(project=project, location=location)

    def dataset_location(self, dataset: str) -> str | None:
        """Where a dataset is; None when it does not exist."""
        with told(f"dataset {dataset}", "roles/bigquery.dataViewer"):
            try:
                return self._client.get_dataset(self._path(dataset), retry=_RETRY).location or "US"
            except exceptions.NotFound:
                return None

    def create_dataset(self, dataset: str, location: str) -> None:
        """Make a dataset unless it is there."""
        with told(f"dataset {dataset}", "roles/bigquery.dataOwner"):
            made = bigquery.Dataset(self._path(dataset))
            made.location = location
            self._client.create_dataset(made, exists_ok=True, retry=_RETRY)

    def table(self, dataset: str, name: str) -> TableInfo | None:
        """A table's metadata; None when it does not exist. RunError for one that lets nobody ask for all of it."""
        with told(f"table {dataset}.{name}", "roles/bigquery.dataViewer"):
            try:
                found = self._client.get_table(f"{self._path(dataset)}.{name}", retry=_RETRY)
            except exceptions.NotFound:
                return None
        if found.require_partition_filter:  # BigQuery would refuse a dry run, and a stream when the job is under way
            raise RunError(
                f"table {dataset}.{name} requires a partition filter, and runs ask for all of it: ALTER TABLE "
                f"{self.name(dataset, name)} SET OPTIONS (require_partition_filter = FALSE)"
            )
        fields = tuple(field.to_api_repr() for field in found.schema)
        key = found.table_constraints.primary_key if found.table_constraints else None
        about = About(found.description or "", tuple(key.columns) if key else (), dict(found.labels))
        kind = found.table_type or "TABLE"
        return TableInfo(fields, int(found.num_rows or 0), int(found.num_bytes or 0), kind, about)

    def create_table(
        self,
        dataset: str,
        name: str,
        fields: Sequence[Field],
        *,
        partition_by: str | None = None,
        cluster_by: Sequence[str] = (),
        lives: timedelta | None = None,
        about: About | None = None,
    ) -> None:
        """Make a table unless it is there."""
        table = bigquery.Table(f"{self._path(dataset)}.{name}", schema=_schema(fields))
        if about:
            _describe(table, about)
        if partition_by:
            table.time_partitioning = bigquery.TimePartitioning(field=partition_by)
        if cluster_by:
            table.clustering_fields = list(cluster_by)
        if lives:
            table.expires = datetime.now(UTC) + lives
        with told(f"table {dataset}.{name}", "roles/bigquery.dataEditor"):
            self._client.create_table(table, exists_ok=True, retry=_RETRY)

    def add_columns(self, dataset: str, name: str, fields: Sequence[Field]) -> None:
        """Append columns to a table."""
        with told(f"table {dataset}.{name}", "roles/bigquery.dataEditor"):
            table = self._client.get_table(f"{self._path(dataset)}.{name}", retry=_RETRY)
            table.schema = [*table.schema, *_schema(fields)]
            self._client.update_table(table, ["schema"], retry=_RETRY)

    def describe(self, dataset: str, name: str, fields: Sequence[Field], about: About) -> None:
        """Let a table that is there, with these columns, say what it is; labels that others have given it stay."""
        with told(f"table {dataset}.{name}", "roles/bigquery.dataEditor"):
            table = self._client.get_table(f"{self._path(dataset)}.{name}", retry=_RETRY)
            table.schema = _schema(fields)
            _describe(table, about)
            parts = ["schema", "description", "labels", "table_constraints"]
            self._client.update_table(table, parts, retry=_RETRY)

    def delete_table(self, dataset: str, name: str) -> None:
        """Remove a table; nothing happens when there is none."""
        with told(f"table {dataset}.{name}", "roles/bigquery.dataEditor"):
            self._client.delete_table(f"{self._path(dataset)}.{name}", not_found_ok=True, retry=_RETRY)

    def rows(self, query: str, what: str | None = None) -> list[dict[str, Any]]:
        """The rows that a query gives; `what` says in errors what it is for."""
        with told(what or f"a query in project {self._project}", "roles/bigquery.jobUser"):
            job = self._client.query(query, retry=_RETRY, job_retry=None)
            return [dict(row) for row in job.result(retry=_RETRY, job_retry=None)]

    def run(self, query: str, what: str | None = None) -> None:
        """Run a statement to its end."""
        self.rows(query, what)

    def bytes_of(self, query: str) -> int:
        """Bytes that a query would be billed for."""
        config = bigquery.QueryJobConfig(dry_run=True, use_query_cache=False)
        with told(f"a dry run in project {self._project}", "roles/bigquery.jobUser"):
            return int(self._client.query(query, job_config=config, retry=_RETRY).total_bytes_processed or 0)

    def submit(self, job_id: str, script: str) -> None:
        """See `Api`; a single attempt, because whoever calls must look before trying again."""
        self._client.query(script, job_id=job_id, retry=None, job_retry=None)

    def job(self, job_id: str) -> JobState | None:
        """See `Api`."""
        try:
            job = self._client.get_job(job_id, location=self._location, retry=_RETRY)
        except exceptions.NotFound:
            return None
        error = job.error_result or {}
        return JobState(job.state == "DONE", error.get("reason", ""), error.get("message", ""))

    def number(self, query: str) -> int:
        """See `Api`."""
        [row] = self.rows(query)
        return int(next(iter(row.values())))

    def name(self, dataset: str, table: str) -> str:
        """The quoted name of a table in SQL."""
        return name_of(self._project, dataset, table)

    def _path(self, dataset: str) -> str:
        return path_of(self._project, dataset)


@contextlib.contextmanager
def told(what: str, role: str = "roles/bigquery.user") -> Iterator[None]:
    """Turn a failure of Google's clients into one line that names the resource and what would fix it."""
    try:
        yield
    except exceptions.Forbidden as error:
        raise RunError(_forbidden(error, what, role)) from error
    except exceptions.NotFound as error:
        raise RunError(f"{what} does not exist; check --project and the dataset options") from error
    except exceptions.BadRequest as error:
        raise RunError(f"BigQuery refuses {what}: {_reason(error)}") from error
    except DefaultCredentialsError as error:
        raise RunError(
            f"no Google credentials for {what}: run `gcloud auth application-default login`, or give "
            "--credentials_path or --credentials_secret"
        ) from error
    except GoogleAuthError as error:
        raise RunError(f"the Google credentials do not work for {what}: {type(error).__name__}") from error
    except (exceptions.GoogleAPICallError, *TRANSIENT) as error:
        raise RunError(f"BigQuery does not answer for {what} ({type(error).__name__}); try again later") from error


#: What Google's message names → the smallest role that has it.
_ROLES = {
    "bigquery.jobs.create": "roles/bigquery.jobUser",
    "bigquery.readsessions": "roles/bigquery.readSessionUser",
    "bigquery.datasets.create": "roles/bigquery.user",
    "bigquery.tables.create": "roles/bigquery.dataEditor",
    "bigquery.tables.update": "roles/bigquery.dataEditor",
    "bigquery.tables.delete": "roles/bigquery.dataEditor",
    "bigquery.tables.get": "roles/bigquery.dataViewer",
    "bigquery.datasets.get": "roles/bigquery.dataViewer",
    "permission to query table": "roles/bigquery.dataViewer",
    "protected by policy tag": "roles/datacatalog.categoryFineGrainedReader on the policy tags of its columns",
}
#: How Google says that no role would help: a perimeter of VPC Service Controls.
_PERIMETER = "prohibited by organization's policy"
_DISABLED = ("has not been used in project", "it is disabled", "SERVICE_DISABLED", "accessNotConfigured")
#: How Google's message names the API that is disabled: in the link that enables it, or in the details of gRPC.
_API = re.compile(
    r"""/apis/(?:api|library)/([a-z0-9-]+\.googleapis\.com)|"service"\s+value: "([a-z0-9-]+\.googleapis\.com)"""
)


def _forbidden(error: exceptions.Forbidden, what: str, role: str) -> str:
    """One line with the role that is missing: the one that Google's message points at, else the given one."""
    text = str(error)
    if any(sign in text for sign in _DISABLED):
        return f"{what}: the API is not enabled in the project: gcloud services enable {_api(text)}"
    if _PERIMETER in text:
        return f"{what}: the organization's VPC Service Controls forbid it, whatever roles there are"
    named = next((found for permission, found in _ROLES.items() if permission in text), role)
    # whoever may not see it is not told whether it is there
    absent = ", or it does not exist" if "it may not exist" in text else ""
    return f"no permission for {what}{absent}: grant {named} to the account that runs this"


def _api(text: str) -> str:
    """The API that a message says is disabled. The address of the call is no sign: one API may ask another."""
    if named := _API.search(text):
        return str(named[1] or named[2])
    return "bigquerystorage.googleapis.com" if "BigQuery Storage API" in text else "bigquery.googleapis.com"


def _reason(error: exceptions.GoogleAPICallError) -> str:
    """BigQuery's reason code; its message may quote values of rows."""
    errors = getattr(error, "errors", None) or [{}]
    return str(errors[0].get("reason") or type(error).__name__)


def _describe(table: bigquery.Table, about: About) -> None:
    table.description = about.description
    table.labels = {**table.labels, **about.labels}
    table.table_constraints = TableConstraints(PrimaryKey(list(about.key)), None)


def _schema(fields: Sequence[Field]) -> list[bigquery.SchemaField]:
    return [bigquery.SchemaField.from_api_repr(field) for field in fields]
