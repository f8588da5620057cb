"""A metrics file that no hand has written: one short line and exit code 2, not the parser's limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.launcher import main
from transforms.metrics.definitions import MetricsError
from transforms.metrics.file import PACKAGED, load_metrics

FLAG = '[metrics.a]\nkind = "flag"\nevents = ["x"]\ndescription = "d"\n'
RATIO = '[metrics.a]\nkind = "max"\nproperty = "p"\ndescription = "d"\n'
TOO_MUCH = "a value is nested too deep or too large"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"libraries = {'[' * 5_000}{']' * 5_000}", TOO_MUCH),
        (f"a = {'{a=' * 2_000}1{'}' * 2_000}", TOO_MUCH),
        (f"{'.'.join('a' * 5_000)} = 1\n{FLAG}", TOO_MUCH),
        (f"[{'.'.join(['metrics'] * 1_000)}]\n", TOO_MUCH),
        (f"max_events_per_session = {'9' * 5_000}\n{FLAG}", TOO_MUCH),
        (f"max_events_per_session = 0x{'f' * 20_000}\n{FLAG}", TOO_MUCH),
        (f"{RATIO}clip = [0, 1{'0' * 400}]\n", f"metric 'a': clip: {TOO_MUCH}"),
        (f"max_events_per_session = {'9' * 4_000}\n{FLAG}", "max_events_per_session: 999"),
        (f"{'k' * 50_000} = 1\n{FLAG}", "the file: unknown key 'kkk"),
        ("[metrics.new]\nkind = ['flag']", "metric 'new': kind ['flag'] is not one of flag, "),
        ("[metrics.new]\ndescription = 'y'", "metric 'new': kind is missing: one of flag, "),
        (f"#{'x' * 200_000}\n{FLAG}", "larger than 100,000 bytes"),
    ],
)
def test_one_short_line(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "metrics.toml"
    path.write_text(text)
    with pytest.raises(MetricsError) as raised:
        load_metrics(path)
    line = str(raised.value)
    assert line.startswith(f"metrics file {path}: {told}")
    assert "\n" not in line
    assert len(line) < 500


def test_it_is_an_option_that_is_wrong(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "metrics.toml"
    path.write_text(f"libraries = {'[' * 5_000}{']' * 5_000}")
    assert main(["--metrics_file", str(path), "--warehouse", str(tmp_path)]) == 2
    assert capfd.readouterr().err == f"pipeline: metrics file {path}: {TOO_MUCH}\n"


def test_the_packaged_file_is_far_from_the_limits() -> None:
    assert PACKAGED.stat().st_size < 20_000
    assert load_metrics() == load_metrics(PACKAGED)
