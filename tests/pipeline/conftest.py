"""What several modules of `pipeline` ask for: a Secret Manager."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from google.api_core import exceptions
from google.cloud import secretmanager


class Secrets:
    """Secret Manager's client with the secrets of a test."""

    held: dict[str, bytes | Exception] = {}  # noqa: RUF012 (one test at a time)

    def access_secret_version(self, name: str) -> SimpleNamespace:
        content = self.held.get(name, exceptions.NotFound("no such secret"))
        if isinstance(content, Exception):
            raise content
        return SimpleNamespace(payload=SimpleNamespace(data=content))


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes | Exception]:
    held: dict[str, bytes | Exception] = {}
    monkeypatch.setattr(Secrets, "held", held)
    monkeypatch.setattr(secretmanager, "SecretManagerServiceClient", Secrets)
    return held
