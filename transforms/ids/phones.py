"""Phone numbers in one normal form, so that `+1 (201) 555-0100`, `0012015550100` and `12015550100` are one.

The form is E.164 (`+`, country code, number, digits only), as Google's library `phonenumbers` makes it: it knows in
which countries a zero after the country code is a trunk prefix (`+44 (0)20 …`) and in which it belongs to the number
(`+39 06 …`). Whether a number exists is not asked: numbers of tests and of yesterday are numbers too.

* A text has the shape of a phone number when it has 7 to 19 digits, perhaps a plus before them, and else only blanks,
  brackets, dashes, dots, slashes and invisible marks. Any other text is its own normal form, blanks around it aside.
* `+` or `00` in front says that a country code follows.
* Without either, a number is *ambiguous*: nothing says in which country it would be dialled. Where its 11 to 15 digits
  can only be read as a usual number with its country code, it is one; else it stays digits without a plus, which equal
  the same digits and nothing else.

Most distinct ids are UUIDs, so columns are looked at with a few regular expressions, and only a text that is a phone
number in another than the normal form costs Python.
"""

from __future__ import annotations

import functools

import phonenumbers
import pyarrow as pa
import pyarrow.compute as pc

#: Blanks, brackets, dashes, dots, slashes, and the direction marks that address books leave around numbers.
_FILL = r"[\s\x{a0}\x{2000}-\x{2015}\x{2028}-\x{202f}\x{2060}\x{2066}-\x{2069}\x{3000}\x{feff}()\[\]./\-]"
_CHARACTERS = rf"^{_FILL}*[+\x{{ff0b}}]?(?:{_FILL}|\p{{Nd}})*$"
_FEWEST_DIGITS, _MOST_DIGITS = 7, 19
_PLAIN = rf"^\+?[0-9]{{{_FEWEST_DIGITS},{_MOST_DIGITS}}}$"
#: Country codes after which a number never begins with a zero and the library changes nothing else (North America,
#: then codes whose trunk prefix is a zero or none): such texts are normal already. A test compares with the library.
_USUAL = r"(?:1[2-9][0-9]{9}|(?:20|27|3[0-4]|39|4[01356789]|5[12368]|6[02-6]|84|9[0-5]|98)[1-9][0-9]{6,12})"
_NORMAL = rf"^\+{_USUAL}$"
_ONLY_DIGITS = rf"^{_USUAL}$"
_AMBIGUOUS_DIGITS = range(11, 16)
_PLUS = ("+", "＋")


def phone_forms(texts: pa.Array) -> pa.Array:
    """The normal form of each text of a string array (see the module docstring); nulls stay."""
    trimmed = pc.utf8_trim_whitespace(texts)
    strange = _have_shape(trimmed)
    if not pc.any(strange).as_py():
        return trimmed
    strange = pc.and_(strange, pc.invert(pc.match_substring_regex(trimmed, _NORMAL)))
    if not pc.any(strange).as_py():
        return trimmed
    encoded = trimmed.filter(strange).dictionary_encode()
    forms = pa.array([_form_of_number(text) for text in encoded.dictionary.to_pylist()], pa.string())
    return pc.replace_with_mask(trimmed, strange.fill_null(False), forms.take(encoded.indices))


def are_ambiguous(texts: pa.Array) -> pa.Array:
    """Which texts are phone numbers without a country code; null for null."""
    shaped = _have_shape(texts)
    if not pc.any(shaped).as_py():
        return shaped
    no_code = pc.invert(pc.match_substring_regex(texts, rf"^{_FILL}*(?:[+\x{{ff0b}}]|0{_FILL}*0)"))
    return pc.and_(shaped, no_code)


def _have_shape(texts: pa.Array) -> pa.Array:
    """Which texts have the shape of a phone number; null for null.

    Digits of unusual texts are counted apart. A pattern that repeats a digit and what can be between two so often takes
    longer to compile, which is done for every array, than a thousand texts to look at.
    """
    plain = pc.match_substring_regex(texts, _PLAIN)
    if pc.all(plain).as_py():
        return plain
    unusual = pc.and_not(pc.match_substring_regex(texts, _CHARACTERS), plain)
    if not pc.any(unusual).as_py():
        return plain
    digits = pc.count_substring_regex(pc.if_else(unusual, texts, ""), r"\p{Nd}")
    counted = pc.and_(pc.greater_equal(digits, _FEWEST_DIGITS), pc.less_equal(digits, _MOST_DIGITS))
    return pc.or_(plain, counted)


@functools.lru_cache(maxsize=65_536)
def _form_of_number(text: str) -> str:
    """The normal form of a text with the shape of a phone number: its own normal form is itself.

    The library takes one trunk prefix at a time, and a form is brought to its form again where it is hashed.
    """
    form = _less_a_prefix(text)
    while len(phonenumbers.normalize_digits_only(form)) >= _FEWEST_DIGITS:
        shorter = _less_a_prefix(form)
        if len(shorter) >= len(form):
            break
        form = shorter
    return form


def _less_a_prefix(text: str) -> str:
    digits = phonenumbers.normalize_digits_only(text)
    if text.startswith(_PLUS) or any(plus in text for plus in _PLUS):
        return _international(digits) or f"+{digits}"
    if digits.startswith("00"):
        return _international(digits.removeprefix("00")) or digits
    if len(digits) in _AMBIGUOUS_DIGITS and pc.match_substring_regex(pa.array([digits]), _ONLY_DIGITS)[0].as_py():
        return f"+{digits}"
    return str(digits)


def _international(digits: str) -> str | None:
    """Digits that begin with a country code → E.164, or None when they do not."""
    try:
        number = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
