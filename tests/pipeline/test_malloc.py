"""What a process that `share_heaps` was called in, and one that it starts, do with memory that is freed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

#: Frees a block of 8 MB, after which glibc would by default take the next one from a heap, and looks where it is from.
PROGRAM = """
import ctypes
from pipeline.malloc import share_heaps
if {call}:
    share_heaps()
class Found(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena a b blocks mapped c d e f g".split()]
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes, libc.mallinfo2.restype = ctypes.c_void_p, [ctypes.c_void_p], Found
libc.free(libc.malloc(8 << 20))
before = libc.mallinfo2().blocks
block = libc.malloc(8 << 20)
print(libc.mallinfo2().blocks - before)
"""


def mapped_blocks(*, call: bool, **environment: str) -> int:
    """Large blocks that the second allocation maps: 1, or 0 when a heap has it."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")} | environment
    program = PROGRAM.format(call=call)
    done = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_large_blocks_are_given_back() -> None:
    assert mapped_blocks(call=False) == 0
    assert mapped_blocks(call=True) == 1


def test_who_has_set_a_variable_decides() -> None:
    assert mapped_blocks(call=True, MALLOC_MMAP_THRESHOLD_=str(16 << 20)) == 0


def test_processes_to_come_inherit_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline import malloc

    monkeypatch.setattr(malloc.ctypes, "CDLL", lambda _: object())  # a C library without mallopt
    monkeypatch.setattr(os, "environ", {"MALLOC_ARENA_MAX": "7"})
    malloc.share_heaps()
    assert os.environ["MALLOC_ARENA_MAX"] == "7"
    assert int(os.environ["MALLOC_MMAP_THRESHOLD_"]) == int(os.environ["MALLOC_TRIM_THRESHOLD_"]) == 4 << 20
