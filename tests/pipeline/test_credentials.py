"""Credentials: every way to a key, what is left of it, and that no message holds anything of it."""

from __future__ import annotations

import json
import os
import signal
import stat
import time
from pathlib import Path

import pytest

from pipeline.credentials import VARIABLE, check_key, credentials
from pipeline.errors import RunError
from tests.builders import run

KEY = {"type": "service_account", "client_email": "etl@example.com", "private_key": "PRIVATE", "token_uri": "https://t"}


def test_a_key_from_a_secret_is_private_and_gone_in_the_end(
    secrets: dict[str, bytes | Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "mine")
    secrets["projects/p/secrets/key/versions/latest"] = json.dumps(KEY).encode()
    files = []

    def use(fail: bool) -> None:
        with credentials(None, "key", "p"):
            file = Path(os.environ[VARIABLE])
            files.append(file)
            assert json.loads(file.read_text()) == KEY
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
            if fail:
                raise KeyboardInterrupt

    use(fail=False)
    with pytest.raises(KeyboardInterrupt):
        use(fail=True)
    assert os.environ[VARIABLE] == "mine"
    assert not any(file.exists() or file.parent.exists() for file in files)


def test_a_key_from_a_secret_is_gone_after_a_termination(secrets: dict[str, bytes | Exception]) -> None:
    secrets["projects/p/secrets/key/versions/latest"] = json.dumps(KEY).encode()
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), credentials(None, "key", "p"):
        file = Path(os.environ[VARIABLE])
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)  # the signal ends it
    assert not file.exists()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_key_file_is_used_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    file = tmp_path / "key.json"
    file.write_text(json.dumps(KEY))
    with credentials(str(file), None, None):
        assert os.environ[VARIABLE] == str(file)
    assert VARIABLE not in os.environ
    with credentials(None, None, None):
        assert VARIABLE not in os.environ
    with pytest.raises(RunError, match="No such file"), credentials(str(tmp_path / "none"), None, None):
        pass


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("PRIVATE", "no JSON"),
        ("[]", "type must be service_account"),
        (json.dumps({**KEY, "type": "authorized_user"}), "type must be service_account"),
        (json.dumps({**KEY, "private_key": ""}), "private_key missing"),
    ],
)
def test_what_is_no_key_is_told_without_its_content(content: str, told: str) -> None:
    with pytest.raises(RunError, match=told) as caught:
        check_key(content, "--credentials_secret")
    assert "PRIVATE" not in str(caught.value)
    assert "example.com" not in str(caught.value)


def test_a_bad_key_ends_a_run_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "key.json").write_text("PRIVATE")
    assert run(tmp_path, "--credentials_path", str(tmp_path / "key.json")) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "not a service account key" in err
    assert "PRIVATE" not in err
