"""Secrets from Secret Manager: names in all their forms, contents never in a message."""

from __future__ import annotations

import re

from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError

from pipeline.errors import RunError, UsageError

_FULL = re.compile(r"projects/[^/]+/secrets/[^/]+(/versions/[^/]+)?")
_SHORT = re.compile(r"[A-Za-z0-9_-]{1,255}(/versions/(\d+|latest))?")


def version_name(name: str, project: str | None, option: str) -> str:
    """The resource name of a secret's version: the latest, unless the name pins one.

    Args:
      name: `NAME`, `NAME/versions/N`, or `projects/P/secrets/NAME` with or without a version.
      project: for short names.
      option: where the name was given, for the message.

    Raises:
      UsageError: the name has another form, or lacks its project.
    """
    if _SHORT.fullmatch(name):
        if not project:
            raise UsageError(f"{option} {name!r} is a short name; give --project or projects/P/secrets/NAME")
        name = f"projects/{project}/secrets/{name}"
    elif not _FULL.fullmatch(name):
        raise UsageError(f"{option} {name!r} is no secret: NAME, NAME/versions/N or projects/P/secrets/NAME")
    return name if "/versions/" in name else f"{name}/versions/latest"


def read_secret(name: str, project: str | None, option: str) -> str:
    """The text of a secret, which is UTF-8; raises like `read_secret_bytes`."""
    try:
        return read_secret_bytes(name, project, option).decode("utf-8")
    except UnicodeDecodeError as error:
        raise RunError(f"{option}: {version_name(name, project, option)} is not UTF-8 text") from error


def read_secret_bytes(name: str, project: str | None, option: str) -> bytes:
    """The content of a secret.

    Raises:
      RunError: it cannot be read; the message names it and the role that is missing.
      UsageError: see `version_name`.
    """
    # imported late: it takes a quarter of a second, and most runs need no secret
    from google.cloud import secretmanager

    version = version_name(name, project, option)
    try:
        return bytes(secretmanager.SecretManagerServiceClient().access_secret_version(name=version).payload.data)
    except exceptions.NotFound as error:
        raise RunError(f"{option}: {version} does not exist, or has no enabled version") from error
    except exceptions.PermissionDenied as error:
        raise RunError(f"{option}: no permission for {version}: grant roles/secretmanager.secretAccessor") from error
    except (exceptions.GoogleAPICallError, exceptions.RetryError, GoogleAuthError) as error:
        raise RunError(f"{option}: {version} cannot be read ({type(error).__name__})") from error
