"""Who there is: numbers and ids that follow from a person alone, and nobody real."""

from __future__ import annotations

import re

from sample.people import PHONES, distinct_id, phone, user_id
from tests.sample.conftest import PHONE


def test_phone_numbers_are_used_up_once() -> None:
    numbers = {phone(person) for person in range(PHONES)}
    assert len(numbers) == PHONES == 72_000
    assert all(PHONE.fullmatch(number) for number in numbers)
    assert re.fullmatch(r"[A-Za-z0-9]{28}", user_id(PHONES))
    assert distinct_id(PHONES) == user_id(PHONES)
