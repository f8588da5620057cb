"""The distinct ids to leave out, from a file or a secret; never from code, never logged."""

from __future__ import annotations

import hashlib
from pathlib import Path

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError

from pipeline.errors import RunError
from pipeline.secrets import read_secret

_SECRET, _BUCKET = "secret://", "gs://"


def load_excluded(reference: str | None, project: str | None = None) -> frozenset[str]:
    """The ids behind `--excluded_users`: one a line, blank lines ignored.

    Args:
      reference: a file, `gs://BUCKET/OBJECT`, `secret://NAME` (see `pipeline.secrets`), or None for nobody.
      project: of short secret names.

    Raises:
      RunError: the reference cannot be read; the message names it and nothing of its content.
    """
    if reference is None:
        return frozenset()
    return frozenset(line.strip() for line in _text_of(reference, project).splitlines() if line.strip())


def digest(excluded: frozenset[str]) -> str:
    """SHA-256 of the list, whatever its order: tells whether it changed, and nothing more."""
    return hashlib.sha256("\n".join(sorted(excluded)).encode()).hexdigest()


def _text_of(reference: str, project: str | None) -> str:
    label = f"--excluded_users {reference}"
    if reference.startswith(_SECRET):
        return read_secret(reference.removeprefix(_SECRET), project, "--excluded_users")
    try:
        if reference.startswith(_BUCKET):
            with FileSystems.open(reference) as file:
                return str(file.read().decode("utf-8"))
        return Path(reference).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RunError(f"{label}: the file is not UTF-8 text") from error
    except (BeamIOError, GoogleAPICallError, GoogleAuthError) as error:
        raise RunError(f"{label}: cannot be read; check its name, and grant roles/storage.objectViewer") from error
    except OSError as error:
        raise RunError(f"{label}: {error.strerror or 'cannot be read'}") from error
