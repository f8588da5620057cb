"""What an option names instead of holding it: a file, an object of a bucket, or a secret; and files for workers."""

from __future__ import annotations

from pathlib import Path

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError

from pipeline.errors import RunError, UsageError
from pipeline.secrets import read_secret_bytes, version_name

SECRET, BUCKET = "secret://", "gs://"
#: How Beam's filesystems fail.
LOST = (BeamIOError, GoogleAPICallError, GoogleAuthError, OSError)


def content_of(reference: str, project: str | None, option: str) -> bytes:
    """The bytes behind a reference.

    Args:
      reference: a file, `gs://BUCKET/OBJECT`, or `secret://NAME` (see `pipeline.secrets`).
      project: of short secret names.
      option: where it was given, for messages.

    Raises:
      RunError: it cannot be read; the message names it and nothing of its content.
      UsageError: it is no name of a secret or of an object.
    """
    label = f"{option} {reference}"
    bucket, _, name = reference.removeprefix(BUCKET).partition("/")
    if reference.startswith(BUCKET) and not (bucket and name):
        raise UsageError(f"{option} {reference!r} is not gs://BUCKET/OBJECT")
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


def write_below(folder: str, name: str, content: bytes, what: str, mime_type: str) -> str:
    """Write a file for workers elsewhere; the place that it has then.

    Args:
      folder: of a bucket, or one that the workers share.
      name: below it.
      content: of the file.
      what: it is, for messages.
      mime_type: of the content.

    Raises:
      RunError: it cannot be written; the message names the folder and nothing of the content.
    """
    place = f"{folder.rstrip('/')}/{name}"
    try:
        with FileSystems.create(place, mime_type=mime_type) as file:
            file.write(content)
    except LOST as error:
        remedy = ": grant roles/storage.objectUser there" if folder.startswith(BUCKET) else ""
        raise RunError(f"{what} cannot be written to {folder} ({type(error).__name__}){remedy}") from error
    return place
