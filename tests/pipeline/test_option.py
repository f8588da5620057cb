"""What the value of an option may be, at its edges, and that a form for launches refuses the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import pytest

from pipeline.errors import UsageError
from pipeline.option import COUNT, DATE_PATTERN, RATIO, WHOLE, Option, choice, count, day, ratio, whole

FLAG = Option("full_load", "false", "Everything anew.", "true|false", is_flag=True, choices=("true", "false"))
METHOD = Option("read_method", "ARROW", "How to read.", "METHOD", choices=("ARROW", "EXPORT"))


def accepts(check: Callable[[str], object], value: str) -> bool:
    """Whether a value passes; a bad one is named."""
    try:
        check(value)
    except UsageError as error:
        return repr(value) not in str(error)
    return True


@pytest.mark.parametrize(
    ("value", "given"), [("true", "true"), ("TRUE", "true"), ("False", "false"), ("yes", None), ("", None)]
)
def test_a_flag_is_true_or_false_in_any_case(value: str, given: str | None) -> None:
    if given is None:
        with pytest.raises(UsageError, match=f"^--full_load '{value}' is not one of true, false$"):
            choice(FLAG, value)
    else:
        assert choice(FLAG, value) == given


def test_other_choices_are_upper_case() -> None:
    assert choice(METHOD, "arrow") == "ARROW"
    with pytest.raises(UsageError, match=r"^--read_method None is not one of ARROW, EXPORT$"):
        choice(METHOD, None)


def test_a_value_that_is_not_given_is_the_environments_else_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    option = replace(METHOD, env="READ_METHOD_OF_A_TEST")
    assert (METHOD.fallback, option.fallback) == ("ARROW", "ARROW")
    monkeypatch.setenv("READ_METHOD_OF_A_TEST", "EXPORT")
    assert (METHOD.fallback, option.fallback) == ("ARROW", "EXPORT")
    monkeypatch.setenv("READ_METHOD_OF_A_TEST", "")
    assert option.fallback == "ARROW"


def test_a_form_accepts_the_days_that_the_parser_accepts() -> None:
    """Of a leap year, of one that is none, and of the two ends of the century."""
    for year in (2000, 2026, 2028, 2099):
        first = date(year, 1, 1)
        for number in range((date(year, 12, 31) - first).days + 1):
            text = (first + timedelta(days=number)).isoformat()
            assert re.fullmatch(DATE_PATTERN, text), text
            assert day("start_date", text) == first + timedelta(days=number)


@pytest.mark.parametrize(
    "text",
    ["2026-02-29", "2100-01-01", "1999-12-31", "2026-00-10", "2026-13-01", "2026-04-31", "2026-1-5", "20260105", "x"],
)
def test_what_is_no_day_is_refused_by_both(text: str) -> None:
    assert not re.fullmatch(DATE_PATTERN, text)
    assert not accepts(lambda value: day("start_date", value), text)


def test_no_day_is_none() -> None:
    assert day("start_date", None) is day("start_date", "") is None
    assert re.fullmatch(DATE_PATTERN, "")


@pytest.mark.parametrize(
    ("check", "pattern", "good", "bad"),
    [
        (lambda text: count("limit", text), COUNT, ["1", "999999999999"], ["0", "01", "-1", "1.0", "9" * 13, "٣", ""]),
        (lambda text: whole("lateness_days", text), WHOLE, ["0", "9999"], ["10000", "-1", "1.5", "²", ""]),
        (
            lambda text: ratio("max_rejected_ratio", text),
            RATIO,
            ["0", "1", "0.05", "1.0"],
            ["1.1", "-0", ".5", "1e-3", "nan", ""],
        ),
    ],
)
def test_numbers_and_their_patterns_agree(
    check: Callable[[str], object], pattern: re.Pattern[str], good: list[str], bad: list[str]
) -> None:
    for text in (*good, *bad):
        assert accepts(check, text) == bool(pattern.fullmatch(text)) == (text in good), text


def test_a_number_is_what_it_says() -> None:
    assert (count("limit", "12"), whole("overlap_hours", "024"), ratio("max_rejected_ratio", "0.25")) == (12, 24, 0.25)
    for check in (whole, ratio):
        with pytest.raises(UsageError, match="--name None"):
            check("name", None)
