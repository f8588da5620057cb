"""Errors whose message is the whole answer to the user: one line, no traceback."""

from __future__ import annotations

import re


class UsageError(Exception):
    """An option is wrong: exit code 2. The message names the bad and the allowed value."""


class RunError(Exception):
    """The run cannot go on: exit code 1, nothing published. One line of cause, no row content."""


_SYSTEM = re.compile(r"\[Errno \d+\] ([A-Z][a-z ]+)")
_RAISED = re.compile(r"RunError: ([^\n]*?)(?: \[while running [^\n]*)?$", re.MULTILINE)


def cause_of(error: BaseException) -> str | None:
    """The message of the `RunError` or system error (disk full) behind an error of a runner; None for others.

    Runners wrap what a worker raised as text, so the text is searched for what is known to hold no row.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, RunError):
            return str(seen)
        found = _RAISED.findall(str(seen))
        if found:
            return str(found[-1])
        system = _SYSTEM.search(str(seen))
        if system:
            return f"{system.group(1)}; nothing is published"
        seen = seen.__cause__ or seen.__context__
    return None
