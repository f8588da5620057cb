"""`flex_template.json` says what the options say, and refuses before a launch what the parser would refuse."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
from typing import Any

import pytest
import re2
from google.cloud import dataflow_v1beta3 as dataflow
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy import template
from pipeline.command_line import parse
from pipeline.errors import UsageError
from pipeline.option import Option
from pipeline.options import OPTIONS, settings_of

METADATA: dict[str, Any] = json.loads(template.FILE.read_text())
PARAMETERS = {parameter["name"]: parameter for parameter in METADATA["parameters"]}
LAUNCH = template.launch_options()
NO_GCLOUD = "gcloud is not installed; the metadata is checked against Dataflow's own types by another test"
#: What Dataflow itself passes to the launcher, from the environment of the launch.
PASSED_BY_DATAFLOW = {
    "runner", "project", "region", "job_name", "template_location", "temp_location", "staging_location", "labels",
    "service_account_email", "sdk_container_image", "machine_type", "max_num_workers", "num_workers", "network",
    "subnetwork", "disk_size_gb", "experiments",
}  # fmt: skip

ODD = (
    *("", " ", "0", "00", "-1", "1e3", ".5", "1.0", "1.01", "nan", "inf", "true", "True", "yes"),
    *("2024-02-29", "2000-02-29", "2026-02-29", "2100-02-28", "1999-12-31", "2026-1-5", "٢٠٢٦-٠١-٠١"),
    *("gs://a/b", "secret://x"),
)


@functools.cache
def refused(option: Option, value: str) -> bool:
    """Whether the parser refuses this value of this option, whatever the others are."""
    try:
        settings_of(parse([f"--{option.name}={value}"]))
    except UsageError as error:
        return str(error).startswith(f"--{option.name} {value!r} is not ")
    return False


def test_the_committed_file_is_the_generated_one() -> None:
    assert template.FILE.read_text() == template.text(), "run `make template`"


def test_it_is_what_dataflow_calls_template_metadata() -> None:
    found = dataflow.TemplateMetadata.from_json(template.text(), ignore_unknown_fields=False)
    assert [parameter.name for parameter in found.parameters] == [option.name for option in LAUNCH]
    with pytest.raises(json_format.ParseError):
        dataflow.TemplateMetadata.from_json(template.text().replace("isOptional", "is_optionl"))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcloud") is None, reason=NO_GCLOUD)
def test_gcloud_builds_a_template_of_it() -> None:
    command = (
        "gcloud dataflow flex-template build gs://bucket/template.json --image=europe-docker.pkg.dev/p/r/i:1 "
        f"--sdk-language=PYTHON --metadata-file={template.FILE} --print-only --format=json"
    )
    done = subprocess.run(command.split(), capture_output=True, text=True, check=True)
    assert json.loads(json.loads(done.stdout))["metadata"] == METADATA


def test_every_option_is_a_parameter_or_left_out_for_a_reason() -> None:
    names = {option.name for option in OPTIONS}
    assert set(PARAMETERS) == names - set(template.NOT_IN_A_LAUNCH)
    assert set(PARAMETERS).isdisjoint(PASSED_BY_DATAFLOW)
    assert all(template.NOT_IN_A_LAUNCH.values())


@pytest.mark.parametrize("option", LAUNCH, ids=lambda option: option.name)
def test_optionality_default_choices_and_help_agree(option: Option) -> None:
    parameter = PARAMETERS[option.name]
    required = option.name in template.REQUIRED
    assert parameter["isOptional"] is not required
    assert parameter.get("defaultValue") == (None if required else option.default)
    assert option.help in parameter["helpText"]
    if option.default is not None and not required:
        assert f"Default: {option.default}." in parameter["helpText"]
    choices = template.REQUIRED.get(option.name, () if option.is_flag else option.choices)
    assert tuple(entry["value"] for entry in parameter.get("enumOptions", [])) == choices
    assert (parameter["paramType"] == "BOOLEAN") == option.is_flag
    assert (parameter["paramType"] == "ENUM") == bool(choices)


@pytest.mark.parametrize("option", LAUNCH, ids=lambda option: option.name)
def test_the_example_in_the_help_is_a_good_value(option: Option) -> None:
    example = PARAMETERS[option.name]["helpText"].rpartition("Example: ")[2]
    assert example
    assert re.fullmatch(PARAMETERS[option.name]["regexes"][0], example)
    if option.name not in template.REQUIRED:
        assert not refused(option, example)


@pytest.mark.parametrize("option", LAUNCH, ids=lambda option: option.name)
def test_an_expression_is_portable(option: Option) -> None:
    """Dataflow checks launches with RE2: no look-around, no flags, no class that depends on Unicode."""
    (regex,) = PARAMETERS[option.name]["regexes"]
    re2.compile(regex)
    assert regex.startswith("^")
    assert regex.endswith("$")
    assert not re.search(r"\(\?|\\[dwsb]", regex)


def test_the_engine_of_the_template_service_refuses_a_thousand_and_one() -> None:
    re2.compile("^a{1,1000}$")
    options = re2.Options()
    options.log_errors = False
    with pytest.raises(re2.error, match="invalid repetition size"):
        re2.compile("^a{1,1001}$", options)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("option", LAUNCH, ids=lambda option: option.name)
def test_an_expression_takes_what_the_parser_takes(option: Option, data: st.DataObject) -> None:
    (regex,) = PARAMETERS[option.name]["regexes"]
    value = data.draw(_values(option, regex))
    takes = re2.fullmatch(regex, value) is not None
    if option.name in template.REQUIRED:
        assert takes == (value in template.REQUIRED[option.name]), value
    else:
        assert takes != refused(option, value), value


def _values(option: Option, regex: str) -> st.SearchStrategy[str]:
    """Good values, good values with a slip, and anything."""
    line = st.characters(exclude_categories=("Cs", "Cc"))
    good = st.from_regex(regex, fullmatch=True, alphabet=line)
    slip = st.builds(
        lambda text, at, new: text[:at] + new + text[at + 1 :],
        good,
        st.integers(0, 12),
        st.one_of(st.just(""), st.sampled_from("0139-.eE+_ `';٣Ⅷ"), line),
    )
    odd = st.sampled_from(ODD)
    return st.one_of(good, slip, odd, st.text(line, max_size=20))
