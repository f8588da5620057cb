"""`flex_template.json` from `pipeline.options.OPTIONS`: `python -m deploy.template` writes it.

Dataflow shows the metadata as a form and checks a launch against it before it starts a machine. It is
generated so that it cannot drift from the options; what only a launch needs is said here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.option import Option
from pipeline.options import OPTIONS

FILE = Path(__file__).parents[1] / "flex_template.json"

#: Options that a launch cannot set, and why.
NOT_IN_A_LAUNCH = {
    "plan_only": "a launcher that writes no job is a failed launch; plan on your own machine",
    "quiet": "a launcher has no terminal to show progress on",
    "verbose": "a traceback may quote rows, which must not reach Cloud Logging",
    "metrics_file": "the image carries the metrics: changing them is a release",
    "project": "Dataflow passes it",
    "credentials_path": "launcher and workers run as the service account of the job",
    "credentials_secret": "launcher and workers run as the service account of the job",
}
#: Options that a launch must set, and the values that work on Dataflow: workers do not see a local folder.
REQUIRED = {"warehouse": ("bigquery",)}
#: An example for the form, where the default is not one.
EXAMPLES = {
    "warehouse": "bigquery",
    "read_method": "ARROW",
    "full_load": "true",
    "start_date": "2026-01-05",
    "end_date": "2026-01-07",
    "limit": "100000",
    "excluded_users": "secret://excluded-users",
    "privacy_key": "secret://privacy-key",
    "aggregated_dataset": "posthog_aggregated_dev",
    "overlap_hours": "48",
    "lateness_days": "7",
    "max_rejected_ratio": "0.2",
    "max_filtered_ratio": "1",
}
_NUMBERS = {"limit", "overlap_hours", "lateness_days", "max_rejected_ratio", "max_filtered_ratio"}


def launch_options() -> list[Option]:
    """The options that a launch may set."""
    return [option for option in OPTIONS if option.name not in NOT_IN_A_LAUNCH]


def metadata() -> dict[str, Any]:
    """What `gcloud dataflow flex-template build --metadata-file` takes (a `TemplateMetadata`)."""
    return {
        "name": "Sessions and persons",
        "description": "Sessions and persons from PostHog and Firebase exports in BigQuery, incrementally by default.",
        "parameters": [_parameter(option) for option in launch_options()],
    }


def _parameter(option: Option) -> dict[str, Any]:
    required = REQUIRED.get(option.name, ())
    choices = required or option.choices
    default = None if required else option.default
    parameter: dict[str, Any] = {
        "name": option.name,
        "label": _label(option.name),
        "helpText": " ".join(_help(option, default)),
        "isOptional": not required,
        "paramType": _type(option, choices),
        "regexes": [f"^({'|'.join(required)})$" if required else _regex(option)],
    }
    if choices and not option.is_flag:
        parameter["enumOptions"] = [{"value": choice, "label": choice} for choice in choices]
    if default is not None:
        parameter["defaultValue"] = default
    return parameter


def _help(option: Option, default: str | None) -> Iterable[str]:
    yield option.help
    if default is not None:
        yield f"Default: {default}."
    example = EXAMPLES.get(option.name)
    if example or default:
        yield f"Example: {example or default}"


def _type(option: Option, choices: tuple[str, ...]) -> str:
    if option.is_flag:
        return "BOOLEAN"
    if choices:
        return "ENUM"
    return "NUMBER" if option.name in _NUMBERS else "TEXT"


def _regex(option: Option) -> str:
    """One expression for the whole value; an empty value means "not given"."""
    if option.choices:
        return f"^({'|'.join(map(_any_case, option.choices))})?$"
    if re.fullmatch(option.pattern, ""):
        return option.pattern
    return f"^({option.pattern.removeprefix('^').removesuffix('$')})?$"


def _any_case(word: str) -> str:
    """The parser folds the case of what it compares with choices; inline flags are not portable."""
    return "".join(f"[{letter.upper()}{letter}]" if letter.isalpha() else re.escape(letter) for letter in word)


def _label(name: str) -> str:
    words = name.replace("_", " ").replace("posthog", "PostHog")
    return words[0].upper() + words[1:]


def text() -> str:
    """The content of `flex_template.json`."""
    return json.dumps(metadata(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
