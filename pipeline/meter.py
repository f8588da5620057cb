"""How far the steps of a local run are: workers append numbers to a file, and whoever shows progress adds them up."""

from __future__ import annotations

import contextlib
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import apache_beam as beam
import pyarrow as pa

from transforms.machinery.steps import flat_map

#: What is told of, in the order in which a run comes to it: rows of events read, blocks of sessions aggregated, the
#: sessions in them, sessions whose fate is decided, rows of the tables written, and that publishing has begun.
READ, BLOCKS, AGGREGATED, CONCLUDED, SESSIONS, PERSONS, PUBLISHING = STEPS = (
    "events",
    "blocks",
    "aggregated",
    "concluded",
    "sessions",
    "persons",
    "publishing",
)
_Block: TypeAlias = tuple[str, pa.RecordBatch]
_RECORD = struct.Struct("<BI")


@dataclass(frozen=True)
class Meter:
    """A file to which all processes of a run may append."""

    path: Path

    def tell(self, step: str, number: int) -> None:
        """Add to the number of a step; another word than those of `STEPS` is passed over."""
        if step not in STEPS:
            return
        # an engine may try the end of a run again when its folder is gone
        with contextlib.suppress(FileNotFoundError), self.path.open("ab") as file:
            file.write(_RECORD.pack(STEPS.index(step), number))  # one small append is atomic, also among processes

    def told(self) -> Counter[str]:
        """The numbers of all steps so far."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return Counter()
        found = Counter[str]()
        for step, number in _RECORD.iter_unpack(content[: len(content) // _RECORD.size * _RECORD.size]):
            found[STEPS[step]] += number
        return found


class _Tell(beam.PTransform):
    """PCollections → the same, told of on the way where there is a meter."""

    def __init__(self, meter: Meter | None, tell: Callable[[Any, Meter], list[Any]], kind: Any) -> None:
        super().__init__()
        self._meter, self._tell, self._kind = meter, tell, kind

    def expand(self, parts: tuple[beam.PCollection[Any], ...]) -> tuple[beam.PCollection[Any], ...]:
        """One pass, fused with what comes before; no step where nobody listens."""
        if self._meter is None:
            return parts
        return tuple(
            part | f"Tell {i}" >> flat_map(self._tell, self._meter, takes=self._kind, gives=self._kind)
            for i, part in enumerate(parts)
        )


class TellBlocks(_Tell):
    """PCollections of (block, record batch of its sessions); see `_Tell`."""

    def __init__(self, meter: Meter | None) -> None:
        super().__init__(meter, _tell, _Block)


class TellConcluded(_Tell):
    """PCollections of pa.RecordBatch, sessions whose fate is decided; see `_Tell`."""

    def __init__(self, meter: Meter | None) -> None:
        super().__init__(meter, _tell_rows, pa.RecordBatch)


def _tell_rows(batch: pa.RecordBatch, meter: Meter) -> list[pa.RecordBatch]:
    meter.tell(CONCLUDED, batch.num_rows)
    return [batch]


def _tell(block: _Block, meter: Meter) -> list[_Block]:
    meter.tell(AGGREGATED, block[1].num_rows)
    meter.tell(BLOCKS, 1)
    return [block]
