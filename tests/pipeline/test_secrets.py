"""Secrets, credentials and the list of excluded users: every source, every failure one line without content."""

from __future__ import annotations

import json
import os
import signal
import stat
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from google.api_core import exceptions
from google.cloud import secretmanager

from pipeline.credentials import VARIABLE, check_key, credentials
from pipeline.errors import RunError, UsageError
from pipeline.excluded import digest, load_excluded
from pipeline.secrets import read_secret, version_name
from tests.builders import run

KEY = {"type": "service_account", "client_email": "etl@example.com", "private_key": "PRIVATE", "token_uri": "https://t"}


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


def test_a_key_from_a_secret_is_private_and_gone_in_the_end(
    secrets: dict[str, bytes | Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "mine")
    secrets["projects/p/secrets/key/versions/latest"] = json.dumps(KEY).encode()
    files = []

    def use(fail: bool) -> None:
        with credentials(None, "key", "p"):
            file = Path(os.environ[VARIABLE])
            files.append(file)
            assert json.loads(file.read_text()) == KEY
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
            if fail:
                raise KeyboardInterrupt

    use(fail=False)
    with pytest.raises(KeyboardInterrupt):
        use(fail=True)
    assert os.environ[VARIABLE] == "mine"
    assert not any(file.exists() or file.parent.exists() for file in files)


def test_a_key_from_a_secret_is_gone_after_a_termination(secrets: dict[str, bytes | Exception]) -> None:
    secrets["projects/p/secrets/key/versions/latest"] = json.dumps(KEY).encode()
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), credentials(None, "key", "p"):
        file = Path(os.environ[VARIABLE])
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)  # the signal ends it
    assert not file.exists()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_key_file_is_used_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    file = tmp_path / "key.json"
    file.write_text(json.dumps(KEY))
    with credentials(str(file), None, None):
        assert os.environ[VARIABLE] == str(file)
    assert VARIABLE not in os.environ
    with credentials(None, None, None):
        assert VARIABLE not in os.environ
    with pytest.raises(RunError, match="No such file"), credentials(str(tmp_path / "none"), None, None):
        pass


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("PRIVATE", "no JSON"),
        ("[]", "type must be service_account"),
        (json.dumps({**KEY, "type": "authorized_user"}), "type must be service_account"),
        (json.dumps({**KEY, "private_key": ""}), "private_key missing"),
    ],
)
def test_what_is_no_key_is_told_without_its_content(content: str, told: str) -> None:
    with pytest.raises(RunError, match=told) as caught:
        check_key(content, "--credentials_secret")
    assert "PRIVATE" not in str(caught.value)
    assert "example.com" not in str(caught.value)


def test_excluded_users_from_a_file_a_bucket_and_a_secret(
    tmp_path: Path, secrets: dict[str, bytes | Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "excluded.txt"
    file.write_bytes(b" a \n\nb\r\n")
    monkeypatch.setattr(FileSystems, "open", lambda path: file.open("rb") if path == "gs://b/list" else None)
    secrets["projects/p/secrets/list/versions/2"] = b"a\nb"
    expected = frozenset({"a", "b"})
    for reference in (str(file), "gs://b/list", "secret://list/versions/2"):
        assert load_excluded(reference, "p") == expected
    assert load_excluded(None) == frozenset()
    assert digest(expected) == digest(frozenset(["b", "a"])) != digest(frozenset())


def test_excluded_users_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: str) -> None:
        raise BeamIOError("not found")

    monkeypatch.setattr(FileSystems, "open", missing)
    with pytest.raises(RunError, match="gs://b/list: cannot be read; check its name, and grant roles/storage"):
        load_excluded("gs://b/list")
    with pytest.raises(RunError, match="No such file"):
        load_excluded(str(tmp_path / "none"))
    (tmp_path / "binary").write_bytes(b"\xff")
    with pytest.raises(RunError, match="not UTF-8"):
        load_excluded(str(tmp_path / "binary"))


def test_a_bad_key_ends_a_run_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "key.json").write_text("PRIVATE")
    assert run(tmp_path, "--credentials_path", str(tmp_path / "key.json")) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "not a service account key" in err
    assert "PRIVATE" not in err
