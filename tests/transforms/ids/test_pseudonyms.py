"""Hashes in place of ids: one a person however the id is written, none of what is nobody's, and none without a key."""

from __future__ import annotations

import hashlib
import hmac
import pickle
import re

import pyarrow as pa
import pytest

from pipeline import tables
from transforms.ids.phones import phone_forms
from transforms.ids.posthog_rules import MEANINGLESS
from transforms.ids.pseudonyms import PLAIN, Pseudonyms, is_pseudonym, key_id
from transforms.metrics.privacy import Privacy

KEY = b"0123456789abcdef" * 2
HASHED = Pseudonyms(Privacy(identity="hash"), KEY)
PHONE = "+12015550100"
#: One number, as distinct ids, address books and Firebase write it.
WRITINGS = [PHONE, "+1 (201) 555-0100", "0012015550100", "12015550100", " +1.201.555.0100 ", "＋1 201 555 0100"]
USER = {
    "user_id": "u-ann",
    "fullName": "Ann Example",
    "phoneNumber": "0012015550100",
    "username": "ann",
    "email": "ann@example.com",
    "businessUser": True,
}


def hashed(*texts: str | None) -> list[str | None]:
    found: list[str | None] = HASHED.ids(pa.array(texts, pa.string())).to_pylist()
    return found


def users(pseudonyms: Pseudonyms) -> dict[str, object]:
    [row] = pseudonyms.users(pa.Table.from_pylist([USER], schema=tables.USERS.bare)).to_pylist()
    return {name: row[name] for name in USER}


def test_a_hash_is_what_any_tool_makes_of_the_key_and_the_normal_form() -> None:
    assert hashed(PHONE) == [f"h_{hmac.new(KEY, PHONE.encode(), hashlib.sha256).hexdigest()[:32]}"]


def test_a_number_has_one_hash_however_it_is_written() -> None:
    assert len(set(hashed(*WRITINGS))) == 1
    assert len(set(hashed(PHONE, "+12015550101", "2015550100", "u-ann"))) == 4


def test_words_for_nobody_blank_texts_and_nulls_stay() -> None:
    texts = [*sorted(MEANINGLESS), "", "  ", "00000000-0000-0000-0000-000000000000", None]
    assert [text and text.strip() for text in hashed(*texts)] == [text and text.strip() for text in texts]
    assert hashed("NAN", "nobody") != ["NAN", "nobody"]  # words that are ids


def test_a_hash_is_no_phone_number_and_tells_nothing_of_the_text() -> None:
    found = pa.array(hashed(*(f"+1201555{number:04}" for number in range(2_000))))
    assert phone_forms(found).equals(found)
    assert all(re.fullmatch(r"h_[0-9a-f]{32}", text) and is_pseudonym(text) for text in found.to_pylist())
    assert len(found.unique()) == 2_000


def test_another_key_gives_other_hashes_and_has_another_id() -> None:
    other = Pseudonyms(Privacy(identity="hash"), KEY[::-1])
    assert other.set_of(frozenset({PHONE})) != HASHED.set_of(frozenset({PHONE}))
    assert len({key_id(KEY), key_id(KEY[::-1]), key_id(b"")}) == 3
    assert KEY.decode() not in key_id(KEY)
    assert key_id(b"") == ""


def test_a_column_that_is_cut_or_chunked_is_hashed_row_by_row() -> None:
    texts = pa.chunked_array([["x", PHONE], ["u-ann", None, PHONE]])
    assert HASHED.ids(texts).to_pylist() == hashed("x", PHONE, "u-ann", None, PHONE)
    assert HASHED.ids(texts.combine_chunks()[1:4]).to_pylist() == hashed(PHONE, "u-ann", None)


def test_both_sides_of_a_match_have_the_same_hash() -> None:
    found = users(HASHED)
    assert [found["user_id"], found["phoneNumber"]] == hashed("u-ann", PHONE)
    assert (found["fullName"], found["email"]) == ("Ann Example", "ann@example.com")
    assert HASHED.pairs([("u-ann", "+1 201 555 0100"), (None, PHONE)]) == [
        tuple(hashed("u-ann", PHONE)),
        tuple(hashed(None, PHONE)),
    ]
    assert HASHED.set_of(frozenset(WRITINGS)) == frozenset(hashed(PHONE))


def test_a_profile_is_kept_dropped_or_hashed() -> None:
    privacy = Privacy(identity="hash", fullName="drop", username="hash", email="drop", phoneNumber="drop")
    wanted = {"user_id": hashed("u-ann")[0], "username": hashed("ann")[0], "businessUser": True}
    assert users(Pseudonyms(privacy, KEY)) == dict.fromkeys(USER) | wanted
    assert users(Pseudonyms(Privacy(phoneNumber="hash"), KEY)) == USER | {"phoneNumber": hashed(PHONE)[0]}
    assert users(Pseudonyms(Privacy(email="drop"))) == USER | {"email": None}


def test_what_is_kept_is_the_same_object() -> None:
    texts = pa.array(WRITINGS)
    assert not PLAIN
    assert PLAIN.ids(texts) is texts
    assert PLAIN.set_of(ids := frozenset(WRITINGS)) is ids
    assert PLAIN.pairs([("u-ann", PHONE)]) == [("u-ann", PHONE)]
    assert users(PLAIN) == USER
    assert PLAIN.digest("row") == hashlib.sha256(b"row").hexdigest()


def test_the_digest_of_a_row_cannot_be_guessed_without_the_key() -> None:
    assert HASHED.digest("row") == hmac.new(KEY, b"row", hashlib.sha256).hexdigest()


def test_it_travels_to_workers() -> None:
    again = pickle.loads(pickle.dumps(HASHED))
    assert again.ids(pa.array([PHONE])).to_pylist() == hashed(PHONE)


def test_hashes_take_a_key() -> None:
    with pytest.raises(ValueError, match="key"):
        Pseudonyms(Privacy(email="hash"))
