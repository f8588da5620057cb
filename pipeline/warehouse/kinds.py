"""The kinds of warehouses by the word that `--warehouse` says; any other value is a folder.

A kind brings its own options and their checks. A new one is a `Source`, a `Sink` or both (`base`), and its line here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.option import Option, Values
from pipeline.warehouse import folder_options
from pipeline.warehouse.base import Warehouse
from pipeline.warehouse.bigquery import options as bigquery


@dataclass(frozen=True)
class Kind:
    """A kind of warehouse."""

    options: tuple[Option, ...]
    """Those that only it has."""
    check: Callable[[Values, PipelineOptions], None]
    """Raises UsageError about options that do not go together with it."""
    open_warehouse: Callable[[Values, PipelineOptions], Warehouse]
    """What the options stand for, once they are checked."""


FOLDER = Kind((), folder_options.check, folder_options.open_warehouse)
KINDS = {bigquery.WORD: Kind(bigquery.OPTIONS, bigquery.check, bigquery.open_warehouse)}


def kind_of(warehouse: str | None) -> Kind:
    """The kind of a value of `--warehouse`."""
    return KINDS.get(warehouse or "", FOLDER)
