"""Text that is valid UTF-8, whatever an exporter made of it: what is not becomes U+FFFD.

A column of text in a file need not be UTF-8 (a character cut in the middle), and nothing notices until one value of it
is looked at. Texts of inputs are made valid where they are read; only the JSON of events is not, where it would cost a
tenth of the reading: its decoder checks what it takes, and dead letters are made valid on their way.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from transforms.elements import string_buffers


def valid_text(texts: pa.Array) -> pa.Array:
    """A string array → the same, each part that is no UTF-8 as U+FFFD."""
    offsets, data = string_buffers(texts)
    # almost all text is ASCII, and that is seen three times as fast as that it is UTF-8
    used = data[offsets[0] : offsets[-1]].view(np.int8)
    if not len(used) or used.min() >= 0:
        return texts
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        raw = texts.view(pa.binary()).to_pylist()
        return pa.array([None if value is None else value.decode("utf-8", "replace") for value in raw], pa.string())
    return texts
