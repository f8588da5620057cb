"""The distinct ids to leave out, from a file; never from code, never logged."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.errors import RunError


def load_excluded(reference: str | None) -> frozenset[str]:
    """The ids behind `--excluded_users`: one a line, blank lines ignored.

    Raises:
      RunError: the reference cannot be read; the message names it and nothing of its content.
    """
    if reference is None:
        return frozenset()
    try:
        text = Path(reference).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RunError(f"--excluded_users {reference}: the file is not UTF-8 text") from error
    except OSError as error:
        raise RunError(f"--excluded_users {reference}: {error.strerror}") from error
    return frozenset(line.strip() for line in text.splitlines() if line.strip())


def digest(excluded: frozenset[str]) -> str:
    """SHA-256 of the list, whatever its order: tells whether it changed, and nothing more."""
    return hashlib.sha256("\n".join(sorted(excluded)).encode()).hexdigest()
