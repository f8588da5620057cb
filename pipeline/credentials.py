"""Credentials of a run on this machine: Google's default, a key file, or a key from Secret Manager.

Beam's connectors know one way only, Google's default credentials, so a key is handed over through the environment
of this process; one from a secret lies in a private temporary file while the run lasts. On Dataflow the workers are
the service account of the job, and need no key.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import RunError
from pipeline.secrets import read_secret

VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"
_NEEDED = ("client_email", "private_key", "token_uri")


@contextlib.contextmanager
def credentials(path: str | None, secret: str | None, project: str | None) -> Iterator[None]:
    """Let everything in the block use a service account key; without one nothing changes.

    Raises:
      RunError: there is no such key, or it is none; the message holds nothing of it.
    """
    with contextlib.ExitStack() as stack:
        if secret:
            text = read_secret(secret, project, "--credentials_secret")
            check_key(text, "--credentials_secret")
            stack.enter_context(_orderly_termination())
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="key-")))  # only the owner may look in
            file = folder / "key.json"
            file.touch(mode=0o600)
            file.write_text(text, encoding="utf-8")
            stack.enter_context(_environment(str(file)))
        elif path:
            check_key(_text_of(path), f"--credentials_path {path}")
            stack.enter_context(_environment(path))
        yield


def check_key(text: str, label: str) -> None:
    """Raise RunError unless a text is a service account key."""
    try:
        key = json.loads(text)
    except ValueError as error:
        raise RunError(f"{label}: not a service account key (no JSON)") from error
    if not isinstance(key, dict) or key.get("type") != "service_account":
        raise RunError(f"{label}: not a service account key (its type must be service_account)")
    missing = [name for name in _NEEDED if not key.get(name)]
    if missing:
        raise RunError(f"{label}: not a whole service account key ({', '.join(missing)} missing)")


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise RunError(f"--credentials_path {path}: {reason}") from error


@contextlib.contextmanager
def _orderly_termination() -> Iterator[None]:
    """Make SIGTERM an exception, as Ctrl-C is, so that what is open is closed and removed."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:  # somebody sees to it already
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _environment(path: str) -> Iterator[None]:
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = path
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
