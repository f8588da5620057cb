"""Google's side of a submission, in process: Dataflow's jobs and the few calls to Cloud Storage that staging makes."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import google_crc32c

_OBJECT = re.compile(r"/storage/v1/b/([^/]+)/o/(.+)")


class FakeGoogle:
    """What was asked for, in order, and what was stored.

    Attributes:
      url: where it listens; `localhost`, because Beam speaks plain HTTP to nothing else.
      requests: method and path of every request.
      objects: content by gs:// name.
      jobs: the bodies of the jobs that were created.
      active: names of jobs that are running; another one of that name is refused.
      refuse: an HTTP status and a message with which every job is refused, or None.
      ignore_duplicates: answer a second job of a name with the first one, as Dataflow does for a retried request.
    """

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[str] = []
        self.objects: dict[str, bytes] = {}
        self.jobs: list[dict[str, Any]] = []
        self.active: set[str] = set()
        self.refuse: tuple[int, str] | None = None
        self.ignore_duplicates = False
        self._uploads: dict[str, str] = {}

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Status, JSON body and headers for a request."""
        place = urlsplit(path)
        self.requests.append(f"{method} {place.path}")
        if place.path.startswith("/v1b3/"):
            return (*self._create_job(json.loads(body)), {})
        if place.path.startswith("/upload/"):
            name = f"gs://{place.path.split('/')[5]}/{json.loads(body)['name']}"
            session = f"/session/{len(self._uploads)}"
            self._uploads[session] = name
            return 200, {}, {"Location": self.url + session}
        if place.path in self._uploads:
            self.objects[self._uploads[place.path]] = body
            crc = base64.b64encode(google_crc32c.Checksum(body).digest()).decode()
            return 200, {"name": "object", "crc32c": crc}, {}
        if found := _OBJECT.fullmatch(place.path):
            there = f"gs://{found[1]}/{unquote(found[2])}" in self.objects
            return (200, {"name": unquote(found[2])}, {}) if there else (404, _error(404, "no such object"), {})
        return 200, {"name": place.path.rsplit("/", 1)[-1]}, {}

    def _create_job(self, job: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.refuse:
            return self.refuse[0], _error(*self.refuse)
        name = job["name"]
        if name in self.active:
            if self.ignore_duplicates:
                return 200, {"id": "2026-01-01_00_00_00-1", "name": name, "clientRequestId": "another"}
            text = (
                f"(1234): There is already an active job named {name}. If you want to submit a second job, rename it."
            )
            return 409, _error(409, text)
        self.active.add(name)
        self.jobs.append(job)
        return 200, {"id": "2026-01-01_00_00_00-1", "name": name, "clientRequestId": job["clientRequestId"]}


def _error(code: int, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": {409: "ALREADY_EXISTS"}.get(code, "OTHER")}}


@contextmanager
def serving(google: FakeGoogle | None = None) -> Iterator[FakeGoogle]:
    """A `FakeGoogle` that listens on a free port."""
    google = google or FakeGoogle()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, answer, headers = google.answer(self.command, self.path, body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            for name, value in (headers | {"Content-Type": "application/json"}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _do  # noqa: N815 (names that the library looks for)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("localhost", 0), Handler)
    server.daemon_threads = True
    google.url = f"http://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield google
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
