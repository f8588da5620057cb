"""Which code made a row: the version and a digest of the sources, so that nobody can forget to raise it.

A run keeps published persons only when the same code made them. A comment that changed makes them anew once, which
costs seconds; a rule that changed and left them as they were would be wrong for good.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

import pipeline
import transforms

_LENGTH = 12


def digest_of(files: Iterable[tuple[str, bytes]]) -> str:
    """Of (name, content), in any order."""
    found = hashlib.sha256()
    for name, content in sorted(files):
        found.update(f"{name}\0{len(content)}\0".encode())
        found.update(content)
    return found.hexdigest()[:_LENGTH]


def sources() -> list[tuple[str, bytes]]:
    """What makes rows: the rooms of `transforms`, and the casts of what is read."""
    rooms = Path(transforms.__file__).parent
    casts = Path(pipeline.__file__).parent / "warehouse"
    files = {f"transforms/{path.relative_to(rooms)}": path for path in rooms.rglob("*.py")}
    files |= {f"pipeline/warehouse/{path.name}": path for path in casts.glob("cast*.py")}
    return [(name, path.read_bytes()) for name, path in files.items()]


@functools.cache
def code_version() -> str:
    """As the ledger has it: `1.0.0+3f2a…`."""
    return f"{pipeline.__version__}+{digest_of(sources())}"
