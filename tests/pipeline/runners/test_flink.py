"""A job that is cancelled is cancelled on the cluster too, and no other one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pipeline.command_line import parse
from pipeline.runners.engines import finish
from pipeline.runners.flink import cancel_on_cluster


@dataclass
class Cluster:
    """Flink's interface as far as it is asked, with the jobs that it tells of."""

    port: int
    answer: str = json.dumps(
        {
            "jobs": [
                {"jid": "1", "name": "App-root-1", "state": "RUNNING"},
                {"jid": "2", "name": "App-root-2", "state": "RUNNING"},
                {"jid": "3", "name": "App-root-1", "state": "FINISHED"},
                {"jid": "4", "name": "App-root-1", "state": "RESTARTING"},
            ]
        }
    )
    cancelled: list[str] = field(default_factory=list)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, found.answer if self.path == "/jobs/overview" else "{}")

        def do_PATCH(self) -> None:
            found.cancelled.append(self.path)
            self._answer(202, "{}")

        def _answer(self, status: int, text: str) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("localhost", 0), Handler) as server:
        found = Cluster(server.server_port)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_what_a_cluster_runs_of_a_job_is_cancelled(cluster: Cluster, scheme: str) -> None:
    cancel_on_cluster(f"{scheme}localhost:{cluster.port}", "App-root-1_0f2c")
    assert cluster.cancelled == ["/jobs/1?mode=cancel", "/jobs/4?mode=cancel"]


def test_a_run_that_is_interrupted_cancels_its_job_there(cluster: Cluster) -> None:
    class Job:
        """As Beam's runner shows it: the job server says at once that it is cancelled."""

        state, _job_id = "CANCELLED", "App-root-2_0f2c"

        def wait_until_finish(self) -> None:
            raise KeyboardInterrupt

    job: Any = Job()
    with pytest.raises(KeyboardInterrupt):
        finish(job, parse(["--runner=FlinkRunner", f"--flink_master=localhost:{cluster.port}"]))
    assert cluster.cancelled == ["/jobs/2?mode=cancel"]


@pytest.mark.parametrize("answer", ["no JSON", "{}"])
def test_a_cluster_that_answers_otherwise_changes_nothing(cluster: Cluster, answer: str) -> None:
    cluster.answer = answer
    cancel_on_cluster(f"localhost:{cluster.port}", "App-root-1_0f2c")
    assert cluster.cancelled == []


@pytest.mark.parametrize("master", ["[auto]", "[local]", "localhost:1"])
def test_a_cluster_that_is_not_there_changes_nothing(master: str) -> None:
    cancel_on_cluster(master, "App-root-1_0f2c")
