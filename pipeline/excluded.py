"""The ids to leave out, from a file or a secret; never from code, never logged."""

from __future__ import annotations

import codecs
import hashlib
from pathlib import Path

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError

from pipeline.errors import RunError
from pipeline.secrets import read_secret_bytes
from transforms.ids.posthog_rules import is_meaningless

#: What can stand around an id in a line.
_AROUND = " \t\v\f\u00a0\ufeff\"',;"
_SECRET, _BUCKET = "secret://", "gs://"


def load_excluded(reference: str | None, project: str | None = None) -> frozenset[str]:
    """The ids behind `--excluded_users`: one a line.

    Lists come out of spreadsheets and editors, so the text may be UTF-8 or UTF-16, with a byte order mark or without,
    its lines may end in any way, ids may stand between quotes and before a comma or semicolon. Blank lines and words
    that identify nobody, such as the heading `distinct_id`, are ignored.

    Args:
      reference: a file, `gs://BUCKET/OBJECT`, `secret://NAME` (see `pipeline.secrets`), or None for nobody.
      project: of short secret names.

    Raises:
      RunError: the reference cannot be read; the message names it and nothing of its content.
    """
    if reference is None:
        return frozenset()
    label = f"--excluded_users {reference}"
    try:
        text = _decoded(_content_of(reference, project, label))
    except UnicodeDecodeError as error:
        raise RunError(f"{label}: the file is not UTF-8 text (nor UTF-16)") from error
    ids = (line.strip(_AROUND) for line in text.splitlines())
    return frozenset(one for one in ids if not is_meaningless(one))


def digest(excluded: frozenset[str]) -> str:
    """SHA-256 of the list, whatever its order: tells whether it changed, and nothing more."""
    return hashlib.sha256("\n".join(sorted(excluded)).encode()).hexdigest()


def _content_of(reference: str, project: str | None, label: str) -> bytes:
    if reference.startswith(_SECRET):
        return read_secret_bytes(reference.removeprefix(_SECRET), project, "--excluded_users")
    try:
        if reference.startswith(_BUCKET):
            with FileSystems.open(reference) as file:
                return bytes(file.read())
        return Path(reference).read_bytes()
    except (BeamIOError, GoogleAPICallError, GoogleAuthError) as error:
        raise RunError(f"{label}: cannot be read; check its name, and grant roles/storage.objectViewer") from error
    except OSError as error:
        raise RunError(f"{label}: {error.strerror or 'cannot be read'}") from error


def _decoded(content: bytes) -> str:
    """UTF-8 or UTF-16; without a byte order mark, UTF-16 shows by the zeros between letters and digits."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    if b"\0" in content:
        return content.decode("utf-16-be" if content.startswith(b"\0") else "utf-16-le")
    return content.decode("utf-8-sig")
