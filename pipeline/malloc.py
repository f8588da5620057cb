"""Settings of glibc's malloc that make runs in several processes take less memory.

By default each thread of a process keeps what it frees in a heap of its own, and large blocks, once freed, come from
heaps that hardly shrink. A runner and its workers, which copy large blocks in many threads, so hold half more memory
than with these settings, for 3 % less time.
"""

from __future__ import annotations

import ctypes
import os

_LARGE = 4 << 20
#: (environment variable for processes to come, parameter of mallopt for this one, value).
_SETTINGS = (
    ("MALLOC_ARENA_MAX", -8, 1),
    ("MALLOC_MMAP_THRESHOLD_", -3, _LARGE),
    ("MALLOC_TRIM_THRESHOLD_", -1, _LARGE),
)


def share_heaps() -> None:
    """Apply the settings to this process and to those that it will start; a variable that is set already decides.

    Other C libraries have no `mallopt` and ignore the variables.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    for variable, parameter, value in _SETTINGS:
        if variable not in os.environ:
            os.environ[variable] = str(value)
            if mallopt is not None:
                mallopt(parameter, value)
