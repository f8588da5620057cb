"""What failures of Google's clients mean to the user, and what is sent about tables."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions
from google.auth.exceptions import DefaultCredentialsError, RefreshError
from google.cloud import bigquery
from requests.exceptions import ConnectionError as RequestError

from pipeline import tables
from pipeline.errors import RunError
from pipeline.warehouse.bigquery.client import BigQueryClient, told
from pipeline.warehouse.bigquery.schema import About, about, fields_of
from tests.builders import METRICS


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (exceptions.Forbidden("row"), "no permission for table in.events: grant roles/bigquery.dataViewer"),
        (exceptions.NotFound("row"), "table in.events does not exist; check --project"),
        (exceptions.BadRequest("row", errors=[{"reason": "invalidQuery"}]), "refuses table in.events: invalidQuery"),
        (exceptions.ServiceUnavailable("row"), "BigQuery does not answer for table in.events (ServiceUnavailable)"),
        (RequestError("row"), "BigQuery does not answer for table in.events (ConnectionError)"),
        (DefaultCredentialsError("row"), "gcloud auth application-default login"),
        (RefreshError("row"), "credentials do not work for table in.events: RefreshError"),
    ],
)
def test_every_failure_is_one_line_with_resource_and_remedy(error: Exception, line: str) -> None:
    with pytest.raises(RunError) as caught, told("table in.events", "roles/bigquery.dataViewer"):
        raise error
    assert line in str(caught.value)
    assert "row" not in str(caught.value)
    assert "\n" not in str(caught.value)


class Service:
    """What is sent to BigQuery about tables; it keeps the last one."""

    def __init__(self) -> None:
        self.sent: dict[str, Any] = {}
        self.parts: list[str] = []

    def create_table(self, table: bigquery.Table, **_: Any) -> None:
        self.sent = table.to_api_repr()

    def get_table(self, name: str, **_: Any) -> bigquery.Table:
        return bigquery.Table.from_api_repr({**self.sent, "labels": {"team": "growth"}})

    def update_table(self, table: bigquery.Table, parts: list[str], **_: Any) -> None:
        self.sent, self.parts = table.to_api_repr(), parts


def test_tables_say_what_they_are_and_what_is_unique_in_them() -> None:
    """The emulator does not keep the key."""
    client, service = object.__new__(BigQueryClient), Service()
    client._project, client._client = "p", service
    table = tables.SESSIONS.under(METRICS)
    client.create_table("out", "sessions", fields_of(table), about=about(table))
    assert service.sent["tableConstraints"] == {"primaryKey": {"columns": ["session_id"]}}
    assert service.sent["description"] == table.output.description
    assert service.sent["labels"] == about(table).labels
    known = client.table("out", "sessions")
    assert known is not None
    assert known.about == About(table.output.description, ("session_id",), {"team": "growth"})
    client.describe("out", "sessions", fields_of(table), about(table))
    assert service.sent["labels"] == {"team": "growth", **about(table).labels}
    assert service.parts == ["schema", "description", "labels", "table_constraints"]


def test_a_table_that_lets_nobody_ask_for_all_of_it_is_refused_with_what_would_help() -> None:
    """Queries and streams without such a filter end with an error, of which nothing but invalidQuery is told."""
    client, service = object.__new__(BigQueryClient), Service()
    client._project, client._client = "p", service
    client.create_table("in", "events", fields_of(tables.EVENTS))
    assert client.table("in", "events") is not None
    service.sent["requirePartitionFilter"] = True
    with pytest.raises(RunError) as caught:
        client.table("in", "events")
    assert "ALTER TABLE `p.in.events` SET OPTIONS (require_partition_filter = FALSE)" in str(caught.value)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("User does not have bigquery.jobs.create permission in project p.", "grant roles/bigquery.jobUser "),
        ("User does not have permission to query table p:d.t, or perhaps", "grant roles/bigquery.dataViewer "),
        ("Permission bigquery.tables.create denied on dataset p:d", "grant roles/bigquery.dataEditor "),
        ("User does not have bigquery.datasets.create permission", "grant roles/bigquery.user "),
        (
            "Access Denied: Dataset p:d: Permission bigquery.datasets.get denied on dataset p:d (or it may not exist).",
            "no permission for a query, or it does not exist: grant roles/bigquery.dataViewer ",
        ),
        (
            "Access Denied: BigQuery BigQuery: User has neither fine-grained reader nor masked get permission to get "
            'protected by policy tag "pii : names" on column p.d.t.c.',
            "grant roles/datacatalog.categoryFineGrainedReader on the policy tags of its columns ",
        ),
        (
            "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: abc",
            "a query: the organization's VPC Service Controls forbid it",
        ),
        ("something else", "no permission for a query: grant roles/given "),
        ("BigQuery API has not been used in project 1 before", "gcloud services enable bigquery.googleapis.com"),
        (
            "BigQuery Storage API has not been used in project 1",
            "gcloud services enable bigquerystorage.googleapis.com",
        ),
        (
            "GET https://bigquery.googleapis.com/bigquery/v2/projects/p/jobs: Some API has not been used in project 1 "
            "before or it is disabled. Enable it by visiting "
            "https://console.developers.google.com/apis/api/bigqueryconnection.googleapis.com/overview?project=1",
            "gcloud services enable bigqueryconnection.googleapis.com",
        ),
        (
            'it is disabled. [reason: "SERVICE_DISABLED" domain: "googleapis.com" metadata { key: "service" '
            'value: "storage-api.googleapis.com" }]',
            "gcloud services enable storage-api.googleapis.com",
        ),
    ],
)
def test_the_role_is_the_one_that_googles_message_points_at(message: str, line: str) -> None:
    with pytest.raises(RunError) as caught, told("a query", "roles/given"):
        raise exceptions.Forbidden(message)
    assert line in str(caught.value)
    assert message not in str(caught.value)
