"""The key of the hashes (`transforms.ids.pseudonyms`): where it comes from, and its way to workers; never logged.

Workers elsewhere read it from where it is, a secret or an object of a bucket, and compare its id, so that a key that is
changed meanwhile is no second key of one run. A graph, which lies in a bucket or in an engine's logs, only says where.
"""

from __future__ import annotations

from typing import Any

from pipeline.errors import RunError, UsageError
from pipeline.references import content_of, found_anywhere, write_below
from transforms.ids.pseudonyms import key_id
from transforms.metrics.privacy import Privacy

OPTION = "--privacy_key"
#: A shorter key is found by trying all.
MIN_BYTES = 16
#: By place: what this process has read.
_KNOWN: dict[str, StagedKey] = {}


def load_key(reference: str | None, project: str | None, privacy: Privacy) -> bytes:
    """The key behind `--privacy_key`, without blanks and line ends around it; empty where nothing is hashed.

    Args:
      reference: see `pipeline.references.content_of`, or None when none was given.
      project: of short secret names.
      privacy: what the metrics file hashes.

    Raises:
      UsageError: a key is needed and there is none, there is one and it is not needed, or it is no key.
      RunError: it cannot be read.
    """
    if not privacy.hashes:
        if reference is not None:
            raise UsageError(f"{OPTION} is given, and [privacy] of the metrics file hashes nothing: leave it out")
        return b""
    if reference is None:
        raise UsageError(
            f"[privacy] of the metrics file hashes, and there is no key: give {OPTION} secret://NAME, "
            "gs://BUCKET/OBJECT or FILE (openssl rand -hex 32 makes one)"
        )
    return _read(reference, project)


def stage_key(key: bytes, reference: str | None, project: str | None, folder: str, run_id: str) -> bytes:
    """The same key for a graph that is run elsewhere, whose pickle is its place.

    A key that is in a file of this machine is written to `FOLDER/key/RUN`, which goes as the list of excluded ids does
    (`pipeline.staged_ids`).

    Raises:
      RunError: it cannot be written.
    """
    if reference is None:
        return key
    place = found_anywhere(reference, project, OPTION) or write_below(
        folder, f"key/{run_id}", key, "the key", mime_type="application/octet-stream"
    )
    _KNOWN[place] = StagedKey(key, place)
    return _KNOWN[place]


class StagedKey(bytes):
    """A key that is pickled as the name of its place."""

    place: str

    def __new__(cls, key: bytes, place: str) -> StagedKey:
        """The key at a place."""
        made = super().__new__(cls, key)
        made.place = place
        return made

    def __reduce__(self) -> Any:
        """Where to read it, and which it is."""
        return _known, (self.place, key_id(self))


def _known(place: str, wanted: str) -> StagedKey:
    if place not in _KNOWN:
        _KNOWN[place] = StagedKey(_read(place, None), place)
    if key_id(_KNOWN[place]) != wanted:
        raise RunError(f"{OPTION} {place} was changed while the run was going on; nothing is published")
    return _KNOWN[place]


def _read(reference: str, project: str | None) -> bytes:
    key = content_of(reference, project, OPTION).strip()
    if len(key) < MIN_BYTES:
        raise UsageError(f"{OPTION}: a key has at least {MIN_BYTES} bytes (openssl rand -hex 32 makes one)")
    return key
