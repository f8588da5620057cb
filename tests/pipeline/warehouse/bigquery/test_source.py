"""Reading from BigQuery: what is asked of it, in which order, and what is told of what is not there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from pipeline import tables
from pipeline.errors import RunError
from pipeline.plan import Plan
from pipeline.warehouse.bigquery import source as module
from pipeline.warehouse.bigquery.inputs import Places
from pipeline.warehouse.bigquery.read import Selection
from pipeline.warehouse.binding import Binding
from transforms.incremental.window import EVERYTHING


@pytest.mark.parametrize("failing", ["check_bucket", "check_streams"])
def test_a_check_that_fails_comes_before_anything_is_made(failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []

    def check(name: str) -> Any:
        def run(*arguments: object) -> None:
            checked.append((name, arguments))
            if name == failing:
                raise RunError(name)

        return run

    for name in ("check_bucket", "check_streams"):
        monkeypatch.setattr(module, name, check(name))
    warehouse = module.BigQuerySource(Places("p", "in", "in", "out", "privacy"), "DIRECT_READ", "gs://files/temp")
    binding = Binding(tables.EVENTS, "in.events", {"uuid": "uuid"}, {}, {})
    warehouse._location, warehouse._bindings = "EU", {"in.events": binding}
    vars(warehouse)["_client"] = client = Mock()
    run: Any = SimpleNamespace(plan=Plan("full", EVERYTHING, "", None))
    with pytest.raises(RunError, match=failing):
        warehouse.prepare(run)
    assert client.method_calls == []
    expected = [
        ("check_bucket", ("gs://files/temp", "EU")),
        ("check_streams", (Selection("p", "in", "events", ("uuid",)),)),
    ]
    assert checked == expected[: 1 if failing == "check_bucket" else 2]
