"""A command that asks published tables ends with one line at most, and with a code that says whose turn it is."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from pipeline.asking import ended
from pipeline.errors import RunError, UsageError
from transforms.metrics.definitions import MetricsError


def raising(error: BaseException) -> Callable[[], NoReturn]:
    def work() -> NoReturn:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (UsageError("--output\nis a folder"), 2, "--output is a folder"),
        (MetricsError("no such file"), 2, "no such file"),
        (RunError("nothing is published"), 1, "nothing is published"),
        (PermissionError(errno.EACCES, "of a library", "/data"), 1, "Permission denied: /data"),
        (OSError(errno.ENOSPC, "of a library"), 1, "the disk is full: No space left on device"),
        (MemoryError(), 1, "not enough memory"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_an_error_is_one_line_and_a_code(
    error: BaseException, code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended("pipeline.views", raising(error)) == code
    assert capsys.readouterr() == ("", f"pipeline.views: {told}\n")


def test_what_went_well_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("pipeline.views", lambda: sys.stdout.write("a row\n")) == 0
    assert capsys.readouterr() == ("a row\n", "")


def test_what_nobody_foresaw_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        ended("pipeline.views", raising(ZeroDivisionError()))


def printing(to: io.TextIOWrapper, monkeypatch: pytest.MonkeyPatch) -> int:
    """The code of a command that prints a line there; Python tries again to write what could not be, as it ends."""
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", to)
        code = ended("pipeline.views", lambda: sys.stdout.write("a row\n"))
    to.close()
    return code


def test_a_reader_that_has_left_is_not_told_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    assert printing(os.fdopen(writer, "w"), monkeypatch) == 141
    assert capsys.readouterr() == ("", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_rows_that_find_no_room_are_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printing(open("/dev/full", "w"), monkeypatch) == 1  # noqa: SIM115 (closed there)
    assert capsys.readouterr().err == "pipeline.views: the disk is full: No space left on device\n"
