"""The columns of slim rows follow from the metrics, and the decoder makes exactly them."""

from __future__ import annotations

import pytest

from tests.builders import METRICS, event, events_batch
from transforms.events.decoder import EventDecoder
from transforms.events.slim_rows import WORD, layout
from transforms.metrics.definitions import Metrics
from transforms.metrics.file import parse_metrics

MANY = "\n".join(
    ['libraries = ["*"]']
    + [f'[metrics.f{n}]\nkind = "flag"\nevents = ["e{n}"]\ndescription = "E."' for n in range(WORD + 1)]
)


@pytest.mark.parametrize(("metrics", "words"), [(METRICS, 1), (parse_metrics(MANY), 2)])
def test_the_decoder_makes_the_columns_of_the_layout(metrics: Metrics, words: int) -> None:
    columns = layout(metrics)
    assert [name for name in columns.numbers if name.startswith("bits")] == [f"bits{i}" for i in range(words)]
    kept = EventDecoder(metrics).decode(events_batch([event(1)])).kept
    assert set(kept.numbers) == set(columns.numbers)
    assert set(kept.texts) == set(columns.texts)
    assert {name: kept.numbers[name].dtype.str[1:] for name in columns.numbers} == dict(columns.numbers)
