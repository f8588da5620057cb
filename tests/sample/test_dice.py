"""Draws: a function of seed, stream and id."""

from __future__ import annotations

import re

import numpy as np
import pytest

from sample.dice import Dice, uuids
from tests.sample.conftest import UUID


def test_draws_depend_on_the_id_alone() -> None:
    dice, ids = Dice(7), np.arange(10_000)
    whole = dice.below("stream", ids, 1_000)
    assert (whole[5_000:] == dice.below("stream", ids[5_000:], 1_000)).all()
    assert (whole != dice.below("other stream", ids, 1_000)).mean() > 0.99
    assert (whole != Dice(8).below("stream", ids, 1_000)).mean() > 0.99
    assert (whole.min(), whole.max()) == (0, 999)
    with pytest.raises(ValueError, match="at most"):
        dice.below("stream", ids, (1 << 31) + 1)
    texts = uuids(dice, "id", ids, ids, ids % 2 == 0).to_pylist()
    assert all(re.fullmatch(UUID % (4, 7)[n % 2 == 0], str(text)) for n, text in enumerate(texts))
    assert len(set(texts)) == len(ids)
