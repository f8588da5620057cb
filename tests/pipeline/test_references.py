"""What an option names: its content, the name that another machine understands, and files for workers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from google.api_core import exceptions

from pipeline.errors import RunError, UsageError
from pipeline.references import content_of, found_anywhere, write_below

LATEST = "projects/p/secrets/list/versions/latest"


def failing(error: Exception) -> Any:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_a_file_an_object_and_a_secret(
    tmp_path: Path, secrets: dict[str, bytes | Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "list").write_bytes(b"\x00\xff of a file")
    monkeypatch.setattr(FileSystems, "open", lambda place: io.BytesIO(f"of {place}".encode()))
    secrets[LATEST] = b"of a secret"
    assert content_of(str(tmp_path / "list"), None, "--list") == b"\x00\xff of a file"
    assert content_of("gs://b/list", None, "--list") == b"of gs://b/list"
    assert content_of("secret://list", "p", "--list") == b"of a secret"


@pytest.mark.parametrize(
    "error", [BeamIOError("secret words"), exceptions.Forbidden("secret words"), OSError(5, "secret words")]
)
def test_an_object_that_cannot_be_read_is_named_and_nothing_else(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileSystems, "open", failing(error))
    with pytest.raises(RunError, match=r"^--list gs://b/list: ") as caught:
        content_of("gs://b/list", None, "--list")
    assert isinstance(error, OSError) or "secret words" not in str(caught.value)


@pytest.mark.parametrize("reference", ["gs://", "gs://bucket", "gs://bucket/", "gs:///object"])
def test_a_bucket_without_an_object_is_no_reference(reference: str) -> None:
    with pytest.raises(UsageError, match=f"^--list '{reference}' is not gs://BUCKET/OBJECT$"):
        content_of(reference, None, "--list")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=rf"^--list {tmp_path}: Is a directory$"):
        content_of(str(tmp_path), None, "--list")


def test_another_machine_reads_the_same_version_of_a_secret_and_no_file_of_this_one() -> None:
    assert found_anywhere("secret://list", "p", "--list") == f"secret://{LATEST}"
    assert found_anywhere("secret://list/versions/2", "p", "--list") == "secret://projects/p/secrets/list/versions/2"
    assert found_anywhere("gs://b/list", None, "--list") == "gs://b/list"
    assert found_anywhere("/etc/list", "p", "--list") is None
    with pytest.raises(UsageError, match="--list 'list' is a short name"):
        found_anywhere("secret://list", None, "--list")


@pytest.mark.parametrize("end", ["", "/"])
def test_a_file_for_workers_lies_below_the_folder(tmp_path: Path, end: str) -> None:
    place = write_below(f"{tmp_path}/temp{end}", "excluded/run-1.json", b"content", "the list", "application/json")
    assert place == f"{tmp_path}/temp/excluded/run-1.json"
    assert Path(place).read_bytes() == b"content"


@pytest.mark.parametrize(
    ("folder", "remedy"), [("gs://b/temp", ": grant roles/storage.objectUser there"), ("/mnt/shared", "")]
)
def test_a_folder_that_cannot_be_written_is_named_with_what_helps(
    folder: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileSystems, "create", failing(exceptions.Forbidden("secret words")))
    with pytest.raises(RunError) as caught:
        write_below(folder, "key/run-1", b"secret words", "the key", "text/plain")
    assert str(caught.value) == f"the key cannot be written to {folder} (Forbidden){remedy}"
