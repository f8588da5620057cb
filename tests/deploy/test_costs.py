"""What a night costs: the tables of docs/deploy.md are the calculation, and the calculation is one by hand."""

from __future__ import annotations

import pytest

from deploy import costs
from tests.deploy.dockerfile import ROOT

DEPLOY = (ROOT / "docs/deploy.md").read_text()


def test_the_costs_are_the_calculation() -> None:
    for table in (costs.prices_table(), costs.assumptions_table(), costs.table()):
        assert table in DEPLOY, "run `python -m deploy.costs` and put its tables into docs/deploy.md"


def test_the_calculation_by_hand() -> None:
    """A million events a day, step by step."""
    night = costs.Night(1e6)
    assert costs.DAYS_READ == 1 + 1 + 3 + 1
    assert night.events_read == 6_000_000
    assert night.sessions_kept == 4_500_000
    assert night.table_bytes == 4_500_000 * (600 + 700) + 450_000 * 400
    seconds = 6 * 28 + 4.5 * 30
    assert night.vcpu_hours == pytest.approx(0.3 + seconds / 3600 / 0.6)
    assert night.workers == pytest.approx(night.vcpu_hours * (0.0616 + 4 * 0.0039127))
    assert night.shuffle == pytest.approx(
        (6_000_000 * costs.SHUFFLED_BYTES_AN_EVENT + 4_500_000 * (500 + 350)) * 2 / 1e9 * 0.011
    )
    assert night.reads == pytest.approx((6_000_000 * 1200 + night.table_bytes) / 2**40 * 1.10)
    assert night.queries == pytest.approx((night.table_bytes + 90e6 * 16) / 2**40 * 6.25)
    assert night.total == pytest.approx(night.workers + night.shuffle + night.reads + night.queries)
    assert night.month == pytest.approx(30 * night.total + night.table_bytes / 2**30 * 0.02)
