"""BigQuery and Cloud Storage on this machine: bqemulator and fake-gcs-server, from packages, on free ports.

They have a virtual environment of their own (`make` builds it from requirements-emulators.txt), because bqemulator
needs another DuckDB than the oracle. Beam has no option for another endpoint, so its clients are patched here, and
only here.

The emulator proves wiring, types and SQL; what it does not do (atomicity, conflicts, REQUIRED, job ids) is tested with
the strict fake of `tests/bigquery/fake.py`. What else is not as in the cloud, and made good in `_point_clients`:

* DuckDB, with which the emulator writes Avro, leaves out rows: the files of extract jobs are written again;
* an extract job writes past fake-gcs-server, which gives 404 for a file that was not uploaded to it, does not make the
  file's folder, and takes the `*` of its name as it is;
* fake-gcs-server passes over requests of a batch that have no Content-ID, so Beam's deletes fail;
* `tables.patch` with new columns tells of them, but does not make them.

And what is not: a table's number of rows after INSERT or MERGE is that of before (input tables with parsed JSON are
copied: then it is right), its bytes and those of a dry run are 0.
"""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastavro
import google.auth
import google.cloud.bigquery_storage
import google.cloud.bigquery_storage_v1
import grpc
import pyarrow as pa
import pytest
from apache_beam.internal.gcp import auth
from apache_beam.io.gcp import bigquery_tools
from apache_beam.io.gcp.internal.clients import bigquery as beam_bigquery
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

from tests.bigquery.place import Place

PROJECT, BUCKET = "test-project", "bucket"
_READY_SECONDS, _STOP_SECONDS, _TAIL_LINES = 60, 10, 15
#: The emulator copies every table that a statement changes, for queries of the past; here nobody asks for it.
_LEAN = {"BQEMU_TIME_TRAVEL_RETENTION_DAYS": "0", "BQEMU_METRICS_ENABLED": "false", "BQEMU_LOG_LEVEL": "warning"}
_LAUNCHER = Path(__file__).with_name("lean_emulator.py")
_SQL_TYPES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
HOME = Path(os.environ.get("EMULATORS", Path(__file__).parents[2] / ".venv-emulators"))


class EmulatorError(Exception):
    """An emulator is not installed or did not start."""


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

    def _load(self, client: bigquery.Client, target: str, parts: list[pa.Table]) -> None:
        if not self.json_properties:
            return super()._load(client, target, parts)
        super()._load(client, f"{target}_uncounted", parts)
        client.delete_table(target, not_found_ok=True)
        client.copy_table(f"{target}_uncounted", target).result()
        client.delete_table(f"{target}_uncounted")
        return None


@contextmanager
def running(folder: Path) -> Iterator[Emulators]:
    """Start both, wait until they answer, point all clients at them, and stop them in any case.

    Raises:
      EmulatorError: one is not installed or did not start; with the last lines of its log.
    """
    root = folder / "gcs"
    (root / BUCKET).mkdir(parents=True)
    rest, rpc, gcs_port = _free_ports(3)
    found = Emulators(PROJECT, BUCKET, rest, rpc, gcs_port, root / BUCKET)
    gcs = f"http://127.0.0.1:{found.gcs}"
    with ExitStack() as stack:
        bq_ports = ["--rest-port", str(found.rest), "--grpc-port", str(found.grpc)]
        bq_command = ["bqemulator", "start", *bq_ports, "--project", PROJECT, "--ephemeral"]
        bq_variables = _LEAN | {"BQEMU_GCS_LOCAL_ROOT": str(root)}
        bigquery_server = stack.enter_context(_server(bq_command, folder, _LAUNCHER, **bq_variables))
        address = ["-host", "127.0.0.1", "-port", str(found.gcs), "-public-host", gcs.removeprefix("http://")]
        files = ["-backend", "filesystem", "-filesystem-root", str(root)]
        gcs_command = ["fake-gcs-server", "-scheme", "http", *address, "-external-url", gcs, *files]
        gcs_server = stack.enter_context(_server(gcs_command, folder))
        bigquery_server.wait_for(f"http://127.0.0.1:{found.rest}/bigquery/v2/projects/{PROJECT}/datasets")
        gcs_server.wait_for(f"{gcs}/storage/v1/b")
        _point_clients(stack.enter_context(pytest.MonkeyPatch.context()), found)
        yield found


@dataclass
class _Server:
    """A service that was started."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def wait_for(self, url: str) -> None:
        """Return when it answers."""
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            with suppress(urllib.error.URLError, OSError):
                urllib.request.urlopen(url, timeout=5).close()
                return
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
            if self.process.poll() is not None:
                raise EmulatorError(f"{self.name} ended with code {self.process.returncode}:\n{tail}")
            if time.monotonic() > deadline:
                raise EmulatorError(f"{self.name} does not answer after {_READY_SECONDS} s:\n{tail}")
            time.sleep(0.1)


@contextmanager
def _server(command: list[str], folder: Path, launcher: Path | None = None, **variables: str) -> Iterator[_Server]:
    """Run a program of the emulators' environment, or a script that becomes it, until the end of the context."""
    name, *arguments = command
    programs = HOME.absolute() / "bin"
    if not (programs / name).exists():
        raise EmulatorError(f"{name} is not in {HOME}: `make test` installs it; -m 'not emulator' leaves it out")
    log = folder / f"{name}.log"
    environment = os.environ | {"HOME": str(HOME.absolute() / "home")} | variables
    start = [programs / name] if launcher is None else [programs / "python", launcher]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*start, *arguments], cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield _Server(name, process, log)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _point_clients(patch: pytest.MonkeyPatch, emulators: Emulators) -> None:
    rest = f"http://127.0.0.1:{emulators.rest}"
    patch.setenv("BIGQUERY_EMULATOR_HOST", rest)
    patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{emulators.gcs}")
    patch.setattr(auth._Credentials, "_credentials_init", False)  # Beam keeps what it has found
    patch.setattr(auth._Credentials, "_credentials", None)
    patch.setattr(google.auth, "default", lambda *args, **kwargs: (AnonymousCredentials(), PROJECT))

    def beam_client(*_: object) -> beam_bigquery.BigqueryV2:
        return beam_bigquery.BigqueryV2(url=f"{rest}/bigquery/v2/", credentials=None, get_credentials=False)

    patch.setattr(bigquery_tools.BigQueryWrapper, "_bigquery_client", staticmethod(beam_client))
    extract = bigquery_tools.BigQueryWrapper.perform_extract_job

    def extract_as_objects(
        wrapper: object,
        destination: list[str],
        job_id: str,
        table: beam_bigquery.TableReference,
        *args: Any,
        **kwargs: Any,
    ) -> object:
        # the emulator makes no folder, and writes a file of which fake-gcs-server knows nothing
        folder = (emulators.folder / Path(destination[0].removeprefix(f"gs://{BUCKET}/"))).parent
        folder.mkdir(parents=True)
        job = extract(wrapper, destination, job_id, table, *args, **kwargs)
        name = f"{table.projectId}.{table.datasetId}.{table.tableId}"
        rows = [dict(row) for row in emulators.client().list_rows(name)]
        contents = [(file.name.replace("*", "000000000000"), _avro(file, rows)) for file in folder.iterdir()]
        shutil.rmtree(folder)
        for name, content in contents:
            path = (folder / name).relative_to(emulators.folder)
            storage.Client.create_anonymous_client().bucket(BUCKET).blob(str(path)).upload_from_string(content)
        return job

    patch.setattr(bigquery_tools.BigQueryWrapper, "perform_extract_job", extract_as_objects)

    class RequestOfBatch(storage.batch.MIMEApplicationHTTP):
        """A part of a batch; fake-gcs-server passes over those without an id, Cloud Storage does not ask for one."""

        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)
            self["Content-ID"] = "request"

    patch.setattr(storage.batch, "MIMEApplicationHTTP", RequestOfBatch)
    update = bigquery.Client.update_table

    def update_columns_too(
        client: bigquery.Client, table: bigquery.Table, fields: list[str], **options: object
    ) -> object:
        # the emulator tells of new columns then, but does not make them
        known = {column.name for column in client.get_table(table.reference).schema} if "schema" in fields else set()
        for column in [column for column in table.schema if "schema" in fields and column.name not in known]:
            kind = _SQL_TYPES.get(column.field_type, column.field_type)
            client.query(f"ALTER TABLE `{table}` ADD COLUMN IF NOT EXISTS `{column.name}` {kind}").result()
        return update(client, table, fields, **options)

    patch.setattr(bigquery.Client, "update_table", update_columns_too)
    plain = google.cloud.bigquery_storage_v1.BigQueryReadClient

    def read_client() -> Any:
        limits = [("grpc.max_receive_message_length", -1)]
        channel = grpc.insecure_channel(f"127.0.0.1:{emulators.grpc}", limits)
        return plain(transport=BigQueryReadGrpcTransport(channel=channel))

    for module in (google.cloud.bigquery_storage_v1, google.cloud.bigquery_storage):
        patch.setattr(module, "BigQueryReadClient", read_client)


def _free_ports(number: int) -> list[int]:
    """Ports that are free now; held together, so that none comes twice."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for found in sockets:
            found.bind(("127.0.0.1", 0))
        return [int(found.getsockname()[1]) for found in sockets]


def _avro(file: Path, rows: list[dict[str, Any]]) -> bytes:
    """An Avro file of these rows with the schema of a file."""
    with file.open("rb") as content:
        schema = fastavro.reader(content).writer_schema
    written = io.BytesIO()
    fastavro.writer(written, schema, rows)
    return written.getvalue()
