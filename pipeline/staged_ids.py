"""The list of excluded ids on its way to workers elsewhere: a file of the warehouse, not a part of the graph.

A Dataflow job's graph may have 10 MB, and each step that knows the list would carry it again; what is more, the graph
lies in the staging folder, or in an engine's memory and logs, for everybody who may look at the job. The file is below
`--temp_location`, whose lifecycle rule removes it, or in the staging folder of a local warehouse, which goes with the
run; a worker process reads it once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from apache_beam.io.filesystems import FileSystems

from pipeline.errors import RunError
from pipeline.references import LOST, write_below

#: By the file's name: what this process has written or read.
_KNOWN: dict[str, StagedIds] = {}


class StagedIds(frozenset[str]):
    """A set of ids that is pickled as the name of its file."""

    place: str

    def __new__(cls, ids: Iterable[str], place: str) -> StagedIds:
        """The ids of a file."""
        made = super().__new__(cls, ids)
        made.place = place
        return made

    def __reduce__(self) -> Any:
        """Where to read it."""
        return _read, (self.place,)


def stage_ids(ids: frozenset[str], folder: str, run_id: str) -> frozenset[str]:
    """The same ids, for a graph that is run elsewhere; they are written to `FOLDER/excluded/RUN.json`.

    Raises:
      RunError: they cannot be written.
    """
    if not ids:
        return ids
    content = json.dumps(sorted(ids)).encode()
    place = write_below(
        folder, f"excluded/{run_id}.json", content, "the list of excluded users", mime_type="application/json"
    )
    _KNOWN[place] = StagedIds(ids, place)
    return _KNOWN[place]


def _read(place: str) -> StagedIds:
    if place not in _KNOWN:
        try:
            with FileSystems.open(place) as file:
                _KNOWN[place] = StagedIds(json.loads(file.read()), place)
        except LOST as error:
            raise RunError(f"the list of excluded users {place} cannot be read ({type(error).__name__})") from error
    return _KNOWN[place]
