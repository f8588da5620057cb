"""Errors whose message is the whole answer to the user: one line, no traceback."""

from __future__ import annotations

import errno
import os
import re

from transforms.machinery.guard import TellableError, UnexpectedError


class UsageError(Exception):
    """An option is wrong: exit code 2. The message names the bad and the allowed value."""


class RunError(TellableError):
    """The run cannot go on: exit code 1, nothing published. One line of cause, no row content."""


#: What runners append to a message: no user knows the steps.
_STEP = re.compile(r" \[while running [^\n]*$", re.MULTILINE)
_RAISED = re.compile(r"\bRunError: ([^\n]*)$", re.MULTILINE)
#: What is left of an error that nobody foresaw; see `transforms.machinery.guard`.
_UNEXPECTED = re.compile(r"\bUnexpectedError: ([^\n]*)$", re.MULTILINE)
#: The number says what happened; the text beside it is that of the library which met it, and may name a file.
_SYSTEM = re.compile(r"\[Errno (\d+)\][^\n']*(?:'(/[^'\n]*)')?")
_MEMORY = re.compile(r"^(?:\w+\.)*(?:Arrow)?MemoryError\b", re.MULTILINE)


def cause_of(error: BaseException) -> str | None:
    """The message of the `RunError` or system error (disk full) behind an error of a runner; None for others.

    Runners wrap what a worker raised as text, so the text is searched for what is known to hold no row.
    """
    seen: BaseException | None = error
    while seen is not None:
        found = _cause_in(seen)
        if found is not None:
            return " ".join(found.split())
        seen = seen.__cause__ or seen.__context__
    return None


def _cause_in(error: BaseException) -> str | None:
    text = _STEP.sub("", str(error))
    if isinstance(error, RunError):
        return text
    raised = _RAISED.findall(text)
    if raised:
        return str(raised[-1])
    if isinstance(error, MemoryError) or _MEMORY.search(text):
        return "not enough memory; nothing is published"
    system = _SYSTEM.search(text)
    if system is not None:
        return f"{system_text(int(system[1]), system[2])}; nothing is published"
    unexpected = [text] if isinstance(error, UnexpectedError) else _UNEXPECTED.findall(text)
    return f"{unexpected[-1]}; nothing is published" if unexpected else None


def system_text(number: int, path: str | None) -> str:
    """What the number of a system error says, in the same words whoever met it."""
    text = os.strerror(number)
    if number == errno.ENOSPC:
        text = f"the disk is full: {text}"
    return f"{text}: {path}" if path else text
