"""Secrets, credentials and the list of excluded users: every source, every failure one line without content."""

from __future__ import annotations

import pytest
from google.api_core import exceptions

from pipeline.errors import RunError, UsageError
from pipeline.secrets import read_secret, version_name


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("key", "projects/p/secrets/key/versions/latest"),
        ("key/versions/3", "projects/p/secrets/key/versions/3"),
        ("projects/q/secrets/key", "projects/q/secrets/key/versions/latest"),
        ("projects/q/secrets/key/versions/7", "projects/q/secrets/key/versions/7"),
    ],
)
def test_names_of_secrets(name: str, full: str) -> None:
    assert version_name(name, "p", "--credentials_secret") == full


@pytest.mark.parametrize(("name", "project"), [("key", None), ("a b", "p"), ("projects/q/key", "p"), ("", "p")])
def test_bad_names_of_secrets(name: str, project: str | None) -> None:
    with pytest.raises(UsageError, match="--credentials_secret"):
        version_name(name, project, "--credentials_secret")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (exceptions.NotFound("x"), "does not exist"),
        (exceptions.PermissionDenied("x"), "roles/secretmanager.secretAccessor"),
        (exceptions.ServiceUnavailable("x"), "ServiceUnavailable"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_a_secret_that_cannot_be_read(
    secrets: dict[str, bytes | Exception], content: bytes | Exception, told: str
) -> None:
    secrets["projects/p/secrets/key/versions/latest"] = content
    with pytest.raises(RunError, match=told) as caught:
        read_secret("key", "p", "--credentials_secret")
    assert "projects/p/secrets/key/versions/latest" in str(caught.value)
    assert "\n" not in str(caught.value)
