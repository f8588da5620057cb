"""What would fail only when a job is under way, found out before: reading streams, and the bucket of the load files.

Each check is one free call. Dry runs and metadata (`warehouse.py`) have proven the rest by then.
"""

from __future__ import annotations

from apache_beam.io.gcp.gcsio import GcsIO
from google.api_core import exceptions

from pipeline.errors import RunError
from pipeline.warehouse.bigquery.client import told
from pipeline.warehouse.bigquery.read import Selection, open_session


def check_streams(source: Selection) -> None:
    """Open a read session of a source and leave it; it costs nothing until its streams are read.

    Raises:
      RunError: the account may not read streams, or the table has none (a view).
    """
    open_session(source, streams=1)


def check_bucket(temp_location: str, dataset_location: str) -> None:
    """See that load files can go to `gs://BUCKET/FOLDER` and from there into a dataset of this location.

    Raises:
      RunError: there is no such bucket, no permission, or it is too far away; the message names it.
    """
    name, _, folder = temp_location.removeprefix("gs://").partition("/")
    label = f"bucket {name} of --temp_location"
    with told(label, "roles/storage.objectUser on it"):
        client = GcsIO().client
        try:
            next(iter(client.list_blobs(name, prefix=folder, max_results=1)), None)
        except exceptions.NotFound as error:
            raise RunError(f"{label} does not exist: make it, or give another --temp_location") from error
        try:
            bucket = client.get_bucket(name)
        except exceptions.Forbidden:
            return  # who may write objects need not see the bucket itself; the load will tell
    if _is_far(bucket.location or "", bucket.location_type or "", dataset_location):
        raise RunError(
            f"{label} is in {bucket.location}, the datasets are in {dataset_location}, and load jobs need both in one "
            "place: give a --temp_location there"
        )


def _is_far(bucket: str, kind: str, dataset: str) -> bool:
    """Whether BigQuery surely refuses loads; dual regions and odd places get the benefit of the doubt."""
    bucket, dataset = bucket.upper(), dataset.upper()
    if dataset == "US" or bucket == dataset:
        return False  # datasets of the US multi-region load from everywhere
    if dataset == "EU":
        return kind == "region" and not bucket.startswith("EUROPE-")
    return kind == "region"
