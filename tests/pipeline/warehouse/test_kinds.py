"""Which kind of warehouse a word stands for; every kind brings checks and options of its own."""

from __future__ import annotations

import pytest

from pipeline.options import OPTIONS
from pipeline.warehouse.bigquery import options as bigquery
from pipeline.warehouse.kinds import FOLDER, KINDS, kind_of


@pytest.mark.parametrize("warehouse", [None, "", "./warehouse", "BigQuery", "./bigquery", "bigquery/"])
def test_any_other_value_is_a_folder(warehouse: str | None) -> None:
    assert kind_of(warehouse) is FOLDER


def test_bigquery_is_a_word() -> None:
    kind = kind_of("bigquery")
    assert kind is KINDS[bigquery.WORD]
    assert (kind.options, kind.check, kind.open_warehouse) == (
        *(bigquery.OPTIONS, bigquery.check, bigquery.open_warehouse),
    )


def test_the_options_of_a_kind_are_options_of_the_pipeline_once() -> None:
    names = [option.name for option in OPTIONS]
    for kind in (FOLDER, *KINDS.values()):
        assert {option.name for option in kind.options} <= set(names)
    assert len(names) == len(set(names))
