"""The key of the hashes: where it comes from, its way to workers, and that it is nowhere else."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest
from apache_beam.internal import pickler
from google.cloud import secretmanager

from pipeline import privacy_key
from pipeline.errors import RunError, UsageError
from pipeline.privacy_key import MIN_BYTES, load_key, stage_key
from transforms.ids.pseudonyms import Pseudonyms, key_id
from transforms.metrics.privacy import Privacy

KEY = b"0123456789abcdef" * 2
HASHING = Privacy(identity="hash")


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What Secret Manager holds."""
    held = {"projects/p/secrets/key/versions/latest": KEY}

    class Secrets:
        def access_secret_version(self, name: str) -> SimpleNamespace:
            return SimpleNamespace(payload=SimpleNamespace(data=held[name]))

    monkeypatch.setattr(secretmanager, "SecretManagerServiceClient", Secrets)
    monkeypatch.setattr(privacy_key, "_KNOWN", {})
    return held


def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in another process."""
    monkeypatch.setattr(privacy_key, "_KNOWN", {})


@pytest.mark.parametrize("content", [KEY, KEY + b"\n", b" " + KEY + b"\r\n"])
def test_a_key_in_a_file_or_secret(tmp_path: Path, secret: dict[str, bytes], content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    secret["projects/p/secrets/key/versions/latest"] = content
    assert load_key(str(tmp_path / "key"), None, HASHING) == KEY
    assert load_key("secret://key", "p", HASHING) == KEY


def test_no_key_where_nothing_is_hashed() -> None:
    assert load_key(None, None, Privacy(email="drop")) == b""
    with pytest.raises(UsageError, match="hashes nothing"):
        load_key("key", None, Privacy(email="drop"))


def test_no_key_where_something_is() -> None:
    with pytest.raises(UsageError, match="--privacy_key secret://NAME"):
        load_key(None, None, Privacy(email="hash"))


def test_a_key_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY[: MIN_BYTES - 1] + b"\n")
    with pytest.raises(UsageError, match="at least 16 bytes") as caught:
        load_key(str(tmp_path / "key"), None, HASHING)
    assert KEY[:8].decode() not in str(caught.value)
    with pytest.raises(RunError, match="No such file"):
        load_key(str(tmp_path / "none"), None, HASHING)


def test_a_graph_names_the_secret_and_workers_read_it(
    tmp_path: Path, secret: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = stage_key(KEY, "secret://key", "p", str(tmp_path), "run-1")
    for content in (pickle.dumps(staged), pickler.dumps(Pseudonyms(HASHING, staged))):
        assert KEY[:8] not in pickle.dumps(content)
    assert b"projects/p/secrets/key/versions/latest" in pickle.dumps(staged)
    assert list(tmp_path.iterdir()) == []
    elsewhere(monkeypatch)
    assert pickle.loads(pickle.dumps(staged)) == KEY


def test_a_key_that_changes_during_a_run_is_no_second_one(
    tmp_path: Path, secret: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = pickle.dumps(stage_key(KEY, "secret://key", "p", str(tmp_path), "run-1"))
    secret["projects/p/secrets/key/versions/latest"] = KEY[::-1]
    elsewhere(monkeypatch)
    with pytest.raises(RunError, match="was changed while the run was going on"):
        pickle.loads(content)


def test_a_file_of_this_machine_is_put_where_workers_find_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_bytes(KEY)
    staged = stage_key(KEY, str(tmp_path / "key"), None, f"{tmp_path}/temp/", "run-1")
    (tmp_path / "key").unlink()
    content = pickle.dumps(staged)
    assert KEY[:8] not in content
    assert f"{tmp_path}/temp/key/run-1".encode() in content
    elsewhere(monkeypatch)
    again = pickle.loads(content)
    assert (again, key_id(again)) == (KEY, key_id(KEY))
    assert stage_key(b"", None, None, str(tmp_path), "run-2") == b""


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(KEY)
    with pytest.raises(RunError, match="the key cannot be written to") as caught:
        stage_key(KEY, str(tmp_path / "file"), None, f"{tmp_path}/file", "run-1")
    assert KEY[:8].decode() not in str(caught.value)
