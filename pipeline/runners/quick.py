"""Beam on this machine, quick with a small graph: whoever makes, translates or works on its steps enters this."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pipeline.runners.bundles import small_bundles
from pipeline.runners.pickles import quick_pickles
from pipeline.runners.signatures import signatures_once


@contextlib.contextmanager
def quick_steps() -> Iterator[None]:
    """While entered, steps are inspected once, pickled quickly and told of their own collections only."""
    with signatures_once(), quick_pickles(), small_bundles():
        yield
