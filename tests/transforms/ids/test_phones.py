"""Phone numbers in one normal form, against the field's library."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import phonenumbers
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from transforms.ids.phones import are_ambiguous, phone_forms

NUMBER = "+12015550100"


@pytest.mark.parametrize(
    "text",
    [
        NUMBER,
        *(" +12015550100 ", "+1 201 555 0100", "+1 (201) 555-0100", "+1-201-555-0100", "+1.201.555.0100"),
        *("0012015550100", "00 1 201 555 01 00", "12015550100", "1 (201) 555-0100", "+1/201/5550100"),
        *("\u202a+1 (201) 555-0100\u202c", "＋１２０１５５５０１００", "(+1) 201 555 0100", "+1\u00a0201\u00a05550100"),
    ],
)
def test_one_number_in_many_forms(text: str) -> None:
    assert phone_form(text) == NUMBER


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("+44 (0)20 7946 0958", "+442079460958"),  # a trunk zero
        ("+4402079460958", "+442079460958"),
        ("0044 20 7946 0958", "+442079460958"),
        ("+49 0151 23456789", "+4915123456789"),
        ("+39 06 1234 5678", "+390612345678"),  # in Italy the zero belongs to the number
        ("+7 8 912 345 67 89", "+79123456789"),
        ("+15550100001", "+15550100001"),  # no such area, but a number
    ],
)
def test_a_zero_after_the_country_code_is_dropped_where_it_is_no_digit_of_the_number(text: str, form: str) -> None:
    assert phone_form(text) == form


@pytest.mark.parametrize(
    ("text", "form", "ambiguous"),
    [
        ("(201) 555-0100", "2015550100", True),  # North America, or Egypt's +20 …
        ("020 7946 0958", "02079460958", True),
        ("12015550100", "+12015550100", True),
        ("99912345678", "99912345678", True),
        ("1767600000000", "1767600000000", True),  # a moment in milliseconds has too many digits for its country
        ("0012015550100", NUMBER, False),
        ("0 0 1 201 5550100", NUMBER, False),
        (NUMBER, NUMBER, False),
        ("0000000012345", "0000000012345", False),  # no country has the code 0
        ("+999123", "+999123", False),
        ("+99 91 23 45 67 89", "+999123456789", False),  # no country
    ],
)
def test_numbers_without_a_country_code_are_ambiguous(text: str, form: str, ambiguous: bool) -> None:
    assert phone_form(text) == form
    assert are_ambiguous(pa.array([text])).to_pylist() == [ambiguous]


@pytest.mark.parametrize("text", ["anon-1", "a12015550100", "+1201555", "12-34", "u+12015550100", "1e400", "", "tel"])
def test_other_texts_are_their_own_form(text: str) -> None:
    assert phone_form(text) == text


@pytest.mark.parametrize(("digits", "has_shape"), [(6, False), (7, True), (19, True), (20, False)])
@pytest.mark.parametrize("write", [lambda digits: digits, " ".join, lambda digits: f"({digits}) "])
def test_a_number_has_seven_to_nineteen_digits(write: Callable[[str], str], digits: int, has_shape: bool) -> None:
    text = write("3" * digits)
    assert are_ambiguous(pa.array([text])).to_pylist() == [has_shape]
    assert (phone_form(text) != text.strip()) == (has_shape and text.strip() != "3" * digits)


def test_a_column_keeps_its_nulls_and_repeats() -> None:
    texts = [None, "0012015550100", "anon", "0012015550100", NUMBER, " x "]
    assert phone_forms(pa.array(texts)).to_pylist() == [None, NUMBER, "anon", NUMBER, NUMBER, "x"]
    assert are_ambiguous(pa.array([None, "anon"])).to_pylist() == [None, False]


@given(st.uuids())
def test_uuids_are_no_phone_numbers(value: uuid.UUID) -> None:
    assert phone_form(str(value)) == str(value)


def phone_form(text: str) -> str:
    """`phone_forms` of one text."""
    return str(phone_forms(pa.array([text], pa.string()))[0].as_py())


def library_form(text: str) -> str:
    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        return text
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@given(st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True))
@example("+12015550100")
def test_what_is_normal_at_a_glance_is_so_for_the_library(text: str) -> None:
    assert phone_form(text) == library_form(text)


@pytest.mark.parametrize("code", sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE))
def test_numbers_of_every_country_are_those_of_the_library(code: int) -> None:
    """One number of each kind that the library has as an example, also with a trunk zero and `00`."""
    for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]:
        number = (
            phonenumbers.example_number_for_non_geo_entity(code)
            if region == "001"
            else phonenumbers.example_number(region)
        )
        wanted = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        international = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
        for text in (wanted, international, f"00{wanted[1:]}"):
            assert phone_form(text) == wanted


@given(st.lists(st.none() | st.text("+0123456789 ()-.abc", max_size=16)))
def test_the_form_of_a_text_does_not_depend_on_the_others(texts: list[str | None]) -> None:
    alone = [None if text is None else phone_form(text) for text in texts]
    assert phone_forms(pa.array(texts, pa.string())).to_pylist() == alone


@example("+49 00102364")  # a zero after a zero
@given(st.from_regex(r"(\+|00|)[0-9]{1,3}0{0,4}[0-9]{4,12}", fullmatch=True))
def test_a_form_is_its_own_form(text: str) -> None:
    """Where ids are hashed, a form is brought to its form once more."""
    assert phone_form(phone_form(text)) == phone_form(text)
