"""`[privacy]` of a metrics file: what it may say, what does not go together, and that the definitions know it."""

from __future__ import annotations

import pytest

from transforms.metrics.definitions import MetricsError
from transforms.metrics.file import parse_metrics
from transforms.metrics.privacy import Privacy

FILE = '[metrics.taps]\nkind = "count"\nevents = ["tap"]\ndescription = "Taps."\n'


def privacy(text: str) -> Privacy:
    return parse_metrics(f"{FILE}[privacy]\n{text}").privacy


def test_without_the_table_everything_is_kept() -> None:
    found = parse_metrics(FILE).privacy
    assert found == Privacy() == privacy("")
    assert not found.hides_ids
    assert not found.hashes
    assert set(found.columns.values()) == {"keep"}


def test_a_phone_number_goes_with_the_ids() -> None:
    assert privacy("identity = 'hash'").columns["phoneNumber"] == "hash"
    assert privacy("identity = 'hash'\nphoneNumber = 'drop'").columns["phoneNumber"] == "drop"
    assert privacy("phoneNumber = 'hash'").columns["phoneNumber"] == "hash"


@pytest.mark.parametrize(
    ("text", "hides", "hashes"),
    [("email = 'drop'", False, False), ("email = 'hash'", False, True), ("identity = 'hash'", True, True)],
)
def test_only_hashes_take_a_key(text: str, hides: bool, hashes: bool) -> None:
    assert (privacy(text).hides_ids, privacy(text).hashes) == (hides, hashes)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("identity = 'drop'", "privacy: identity 'drop' is not keep or hash"),
        ("email = 'hide'", "privacy: email 'hide' is not keep, drop or hash"),
        ("fullname = 'drop'", "privacy: unknown key 'fullname'; allowed are email, fullName, identity"),
        ("properties = 'user'", "privacy: properties 'user' is not a list of property names"),
        ("properties = ['user']", "properties are hashed as ids are: write identity = "),
        ("identity = 'hash'\nphoneNumber = 'keep'", 'privacy: phoneNumber "keep" would tell whose the hashed ids are'),
    ],
)
def test_what_is_wrong_is_one_line(text: str, told: str) -> None:
    with pytest.raises(MetricsError) as caught:
        privacy(text)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_it_is_a_table() -> None:
    with pytest.raises(MetricsError, match=r"privacy: 'hash' is not a table; write \[privacy\]"):
        parse_metrics(f"privacy = 'hash'\n{FILE}")


def test_tables_of_another_switch_do_not_mix_and_the_default_is_none() -> None:
    digests = [parse_metrics(FILE + text).digest for text in ("", "[privacy]", "[privacy]\nidentity = 'hash'")]
    assert digests[0] == digests[1] != digests[2]
