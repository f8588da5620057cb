"""`python -m sample`: what it says, and that it leaves alone what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from sample.__main__ import main
from tests.sample.conftest import contents


def test_existing_data_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--warehouse", str(tmp_path / "w"), "--events", "1000"]
    assert main(arguments) == 0
    assert "1,000 events" in capsys.readouterr().out
    before = contents(tmp_path)
    assert main(arguments) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "exists already" in message
    assert str(tmp_path / "w") in message
    assert contents(tmp_path) == before


@pytest.mark.parametrize("bad", [("--events", "0"), ("--days", "0"), ("--days", "4000")])
def test_bad_options(tmp_path: Path, capsys: pytest.CaptureFixture[str], bad: tuple[str, str]) -> None:
    assert main(["--warehouse", str(tmp_path / "w"), *bad]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert f"not {bad[1]}" in message
    assert list(tmp_path.iterdir()) == []
