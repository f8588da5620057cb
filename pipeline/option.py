"""One option, and what its value may be: whoever has options, as a warehouse has, declares and checks them with it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from pipeline.errors import UsageError

#: Option → what was given for it, or its default.
Values = Mapping[str, str | None]
#: The days of this century: exact, so that a launch form refuses 2026-02-30 as well.
DATE_PATTERN = (
    r"^(20([0-9]{2}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    r"|02-(0[1-9]|1[0-9]|2[0-8]))|(0[048]|[2468][048]|[13579][26])-02-29))?$"
)
COUNT = re.compile(r"[1-9][0-9]{0,11}")
WHOLE = re.compile(r"[0-9]{1,4}")
RATIO = re.compile(r"0(\.[0-9]+)?|1(\.0+)?")


@dataclass(frozen=True)
class Option:
    """One option: what argparse, the README's table and `flex_template.json` say of it."""

    name: str
    default: str | None
    help: str
    metavar: str
    env: str | None = None
    is_flag: bool = False
    choices: tuple[str, ...] = ()
    pattern: str = ""
    """Regular expression of the values that the parser accepts, where `choices` do not say it."""

    @property
    def fallback(self) -> str | None:
        """The value when the option is not given: from the environment, else the default."""
        return (os.environ.get(self.env) if self.env else None) or self.default


def choice(option: Option, value: str | None) -> str:
    """One of the option's choices, in any letter case."""
    folded = str(value).lower() if option.is_flag else str(value).upper()
    if folded not in option.choices:
        raise UsageError(f"--{option.name} {value!r} is not one of {', '.join(option.choices)}")
    return folded


def day(name: str, value: str | None) -> date | None:
    """A day of this century, None for none."""
    if not value:
        return None
    try:
        if re.fullmatch(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}", value):
            return date.fromisoformat(value)
    except ValueError:
        pass  # a day that no month has
    raise UsageError(f"--{name} {value!r} is not a day of 2000 to 2099 such as 2026-01-31")


def count(name: str, value: str) -> int:
    """A whole number from 1 on."""
    if not COUNT.fullmatch(value):
        raise UsageError(f"--{name} {value!r} is not a whole number from 1 on")
    return int(value)


def whole(name: str, value: str | None) -> int:
    """A whole number from 0 to 9999."""
    if value is None or not WHOLE.fullmatch(value):
        raise UsageError(f"--{name} {value!r} is not a whole number from 0 to 9999")
    return int(value)


def ratio(name: str, value: str | None) -> float:
    """A number from 0 to 1."""
    if value is None or not RATIO.fullmatch(value):
        raise UsageError(f"--{name} {value!r} is not a number from 0 to 1 such as 0.05")
    return float(value)
