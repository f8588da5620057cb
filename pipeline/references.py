"""What an option names instead of holding it: a file, an object of a bucket, or a secret."""

from __future__ import annotations

from pathlib import Path

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError

from pipeline.errors import RunError
from pipeline.secrets import read_secret_bytes, version_name

SECRET, BUCKET = "secret://", "gs://"


def content_of(reference: str, project: str | None, option: str) -> bytes:
    """The bytes behind a reference.

    Args:
      reference: a file, `gs://BUCKET/OBJECT`, or `secret://NAME` (see `pipeline.secrets`).
      project: of short secret names.
      option: where it was given, for messages.

    Raises:
      RunError: it cannot be read; the message names it and nothing of its content.
      UsageError: it is no name of a secret.
    """
    label = f"{option} {reference}"
    if reference.startswith(SECRET):
        return read_secret_bytes(reference.removeprefix(SECRET), project, option)
    try:
        if reference.startswith(BUCKET):
            with FileSystems.open(reference) as file:
                return bytes(file.read())
        return Path(reference).read_bytes()
    except (BeamIOError, GoogleAPICallError, GoogleAuthError) as error:
        raise RunError(f"{label}: cannot be read; check its name, and grant roles/storage.objectViewer") from error
    except OSError as error:
        raise RunError(f"{label}: {error.strerror or 'cannot be read'}") from error


def found_anywhere(reference: str, project: str | None, option: str) -> str | None:
    """The same reference as another machine understands it; None for a file, which only this one has."""
    if reference.startswith(SECRET):
        return SECRET + version_name(reference.removeprefix(SECRET), project, option)
    return reference if reference.startswith(BUCKET) else None
