"""From an exception to the one line of cause: ours and the system's are told, all else may quote a row."""

from __future__ import annotations

import errno
import traceback

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import RunError, cause_of

FULL = "the disk is full: No space left on device; nothing is published"


def told_by_a_worker(error: Exception) -> RuntimeError:
    """What Beam raises here for an error there: its traceback as text, once more below the step's name."""
    try:
        try:
            raise error
        except Exception as first:
            raise type(first)(f"{first} [while running 'Publish-ptransform-42']") from first
    except Exception:
        return RuntimeError(f"{traceback.format_exc()}\n")


def without_space() -> OSError:
    """The error of pyarrow's files on a disk that is full."""
    with pytest.raises(OSError, match="writing bytes") as raised, pa.OSFile("/dev/full", "wb") as file:
        file.write(b"x")
    return raised.value


@pytest.mark.parametrize(
    "error",
    [
        RunError("too much"),
        RunError("too much [while running 'Publish']"),
        RuntimeError("pipeline.errors.RunError: too much [while running 'Publish-ptransform-7']"),
        told_by_a_worker(RunError("too much")),
    ],
)
def test_our_own_message_without_the_step(error: Exception) -> None:
    assert cause_of(error) == "too much"


def test_the_cause_behind_another_error() -> None:
    with pytest.raises(ValueError, match="wrapped") as raised:
        try:
            raise RunError("too much")
        except RunError as cause:
            raise ValueError("wrapped") from cause
    assert cause_of(raised.value) == "too much"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        without_space(),
        RuntimeError(f"OSError: {without_space()} [while running 'Stage sessions']"),
        RuntimeError("OSError: [Errno 28] Error writing bytes to file [while running 'Stage sessions']"),
    ],
)
def test_a_full_disk_is_called_that(error: Exception) -> None:
    assert cause_of(error) == FULL


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("Traceback …\npyarrow.lib.ArrowMemoryError: malloc of 64")]
)
def test_so_is_a_lack_of_memory(error: Exception) -> None:
    assert cause_of(error) == "not enough memory; nothing is published"


def test_a_system_error_names_the_file() -> None:
    with pytest.raises(FileNotFoundError) as raised:
        pq.ParquetFile("/nowhere/at all.parquet")
    for error in (raised.value, FileNotFoundError(errno.ENOENT, "No such file", "/nowhere/at all.parquet")):
        assert cause_of(error) == "No such file or directory: /nowhere/at all.parquet; nothing is published"
    assert cause_of(PermissionError(errno.EACCES, "Permission denied")) == "Permission denied; nothing is published"


def test_anything_else_is_not_told() -> None:
    assert cause_of(ValueError("phone +12015550199")) is None
    assert cause_of(RuntimeError("KeyError: '+12015550199' [while running 'Decode events']")) is None


def test_one_line_whatever_the_message() -> None:
    found = cause_of(RunError("a name\nof two lines\r and\ttabs"))
    assert found == "a name of two lines and tabs"
