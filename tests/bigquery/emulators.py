"""BigQuery and GCS on this machine: two servers on free ports, and every client of this process pointed at them.

The servers are bqemulator (BigQuery's REST and Storage Read protocols over DuckDB) and fake-gcs-server, from an
environment of their own that `make test` installs; `EMULATORS` names another one. Both see one folder: a bucket is a
folder in it, so that a load job finds what was uploaded. Beam has no option for another endpoint, so its clients are
patched, here and nowhere else; the pipeline runs in this process.

A green test here proves wiring, types and SQL. What the emulator does not show: a load job never fails, REQUIRED is
not enforced, a transaction is no transaction, dry runs say 0 bytes. Those are the business of the strict fake.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import grpc
from apache_beam.internal.gcp import auth
from apache_beam.io.gcp import bigquery_tools
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, bigquery_storage, bigquery_storage_v1, storage
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

PROJECT = "test"
BUCKET = "test-bucket"
_ENVIRONMENT = Path(os.environ.get("EMULATORS") or Path(__file__).parents[2] / ".venv-emulators").absolute()
_READY_SECONDS = 60
_STOP_SECONDS = 10


class EmulatorError(Exception):
    """An emulator is not installed, or did not start; with the last lines of its log."""


@dataclass(frozen=True)
class Emulators:
    """Where the two servers are.

    Attributes:
      rest: BigQuery's REST endpoint, a URL.
      storage_read: its Storage Read endpoint, host:port.
      gcs: GCS's endpoint, a URL.
      bucket: the folder that is the bucket `BUCKET`.
    """

    rest: str
    storage_read: str
    gcs: str
    bucket: Path

    @property
    def temp_location(self) -> str:
        """For Beam's files."""
        return f"gs://{BUCKET}/temp"

    def client(self) -> bigquery.Client:
        """A client of the emulated BigQuery."""
        return bigquery.Client(PROJECT, AnonymousCredentials(), client_options={"api_endpoint": self.rest})


@contextmanager
def emulators(folder: Path) -> Iterator[Emulators]:
    """Start both servers with their files in a folder, point this process at them, and stop them in any case.

    Raises:
      EmulatorError: naming the server and what to do.
    """
    buckets = folder / "buckets"
    (buckets / BUCKET).mkdir(parents=True)
    port = _free_port()
    gcs = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        stack.enter_context(
            _server(
                "fake-gcs-server",
                [
                    *("-scheme", "http", "-host", "127.0.0.1", "-port", str(port)),
                    *("-public-host", f"127.0.0.1:{port}", "-external-url", gcs),
                    *("-backend", "filesystem", "-filesystem-root", str(buckets)),
                ],
                folder,
                lambda _: _answers(f"{gcs}/storage/v1/b"),
            )
        )
        log = stack.enter_context(
            _server(
                "bqemulator",
                ["start", "--rest-port", "0", "--grpc-port", "0", "--project", PROJECT, "--ephemeral"],
                folder,
                lambda log: len(_ports(log)) == 2,
                BQEMU_GCS_LOCAL_ROOT=str(buckets),
            )
        )
        ports = _ports(log)
        found = Emulators(
            rest=f"http://127.0.0.1:{ports['rest.listen']}",
            storage_read=f"127.0.0.1:{ports['grpc.listen']}",
            gcs=gcs,
            bucket=buckets / BUCKET,
        )
        stack.enter_context(_clients_pointed_at(found))
        yield found


@contextmanager
def _server(
    program: str, arguments: list[str], folder: Path, is_ready: Callable[[Path], bool], **variables: str
) -> Iterator[Path]:
    """Run a server of the emulators' environment; gives its log."""
    path = _ENVIRONMENT / "bin" / program
    if not path.exists():
        raise EmulatorError(
            f"{program} is not in {_ENVIRONMENT.name}: `make test` installs it, `-m 'not emulator'` does without it"
        )
    log = folder / f"{program}.log"
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(_ENVIRONMENT / "home"), **variables}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(path), *arguments], cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + _READY_SECONDS
        while not is_ready(log):
            if process.poll() is not None:
                raise EmulatorError(f"{program} ended with code {process.returncode}:\n{_tail(log)}")
            if time.monotonic() > deadline:
                raise EmulatorError(f"{program} was not ready after {_READY_SECONDS} s:\n{_tail(log)}")
            time.sleep(0.05)
        yield log
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _clients_pointed_at(found: Emulators) -> Iterator[None]:
    """Every Google client that this process makes talks to the emulators, without credentials."""
    read_client = bigquery_storage.BigQueryReadClient
    # row blocks may be of any size; the default of gRPC is 4 MB
    channel = grpc.insecure_channel(found.storage_read, [("grpc.max_receive_message_length", -1)])

    def storage_read(*_: object, **__: object) -> bigquery_storage.BigQueryReadClient:
        return read_client(transport=BigQueryReadGrpcTransport(channel=channel))

    def beam_client(_: object) -> bigquery_tools.bigquery.BigqueryV2:
        url = f"{found.rest}/bigquery/v2/"
        return bigquery_tools.bigquery.BigqueryV2(url=url, credentials=None, get_credentials=False)

    extract_job = bigquery_tools.BigQueryWrapper.perform_extract_job

    def extract(wrapper: object, destination: list[str], *arguments: object, **options: object) -> object:
        # the emulator writes to the path as it is, `*` included, and past the GCS server, which then knows nothing of it
        [uri] = destination
        written = found.bucket.parent / uri.removeprefix("gs://")
        written.parent.mkdir(parents=True, exist_ok=True)
        job = extract_job(wrapper, destination, *arguments, **options)
        content = written.read_bytes()
        written.unlink()
        storage.Client().bucket(BUCKET).blob(
            uri.removeprefix(f"gs://{BUCKET}/").replace("*", "0" * 12)
        ).upload_from_string(content)
        return job

    class Part(storage.batch.MIMEApplicationHTTP):
        """A request of a batch; the emulator passes over those without an id, GCS does not ask for one."""

        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)
            self["Content-ID"] = "request"

    with ExitStack() as stack:
        stack.callback(channel.close)
        variables = {
            "BIGQUERY_EMULATOR_HOST": found.rest,
            "STORAGE_EMULATOR_HOST": found.gcs,
            "GOOGLE_CLOUD_PROJECT": PROJECT,
        }
        for patch in (
            mock.patch.dict(os.environ, variables),
            mock.patch("google.auth.default", lambda *_, **__: (AnonymousCredentials(), PROJECT)),
            mock.patch.object(auth._Credentials, "_credentials_init", False),
            mock.patch.object(auth._Credentials, "_credentials", None),
            mock.patch.object(bigquery_storage, "BigQueryReadClient", storage_read),
            mock.patch.object(bigquery_storage_v1, "BigQueryReadClient", storage_read),  # Beam's name for it
            mock.patch.object(bigquery_tools.BigQueryWrapper, "perform_extract_job", extract),
            mock.patch.object(storage.batch, "MIMEApplicationHTTP", Part),
            mock.patch.object(bigquery_tools.BigQueryWrapper, "_bigquery_client", staticmethod(beam_client)),
        ):
            stack.enter_context(patch)
        yield


def _ports(log: Path) -> dict[str, int]:
    """What bqemulator says that it listens on."""
    ports = {}
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith("{") and '.listen"' in line and line.endswith("}"):
            told = json.loads(line)
            ports[told["event"]] = told["port"]
    return ports


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
