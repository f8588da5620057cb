"""The list of excluded ids for workers elsewhere: a file that a process reads once, and pickles that only name it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from apache_beam.internal import pickler

from pipeline import staged_ids
from pipeline.errors import RunError
from pipeline.staged_ids import stage_ids
from transforms.ids.excluded import Excluded

IDS = frozenset(f"+1201555{number:04}" for number in range(100, 200))


def test_a_pickle_names_the_file_and_another_process_reads_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = stage_ids(IDS, f"{tmp_path}/temp/", "run-1")
    assert staged == IDS
    content = pickle.dumps(staged)
    assert b"+1201555" not in content
    assert f"{tmp_path}/temp/excluded/run-1.json".encode() in content
    monkeypatch.setattr(staged_ids, "_KNOWN", {})  # as in another process
    opened: list[str] = []
    really = staged_ids.FileSystems.open
    monkeypatch.setattr(staged_ids.FileSystems, "open", lambda place: (opened.append(place), really(place))[1])
    assert pickle.loads(content) == IDS
    assert pickle.loads(content) is pickle.loads(content)
    assert opened == [staged.place]  # type: ignore[attr-defined]


def test_what_is_made_of_the_ids_is_made_again() -> None:
    made = Excluded(IDS)
    again: Any = pickler.loads(pickler.dumps(made))
    texts = pa.array(["+12015550100", "(201) 555-0100", "x", None])
    assert again.mask(texts).tolist() == made.mask(texts).tolist()


def test_a_step_carries_the_name_alone(tmp_path: Path) -> None:
    staged = stage_ids(IDS, str(tmp_path), "run-2")
    assert b"+1201555" not in pickle.dumps(Excluded(staged))


def test_the_name_stays_where_the_same_process_knows_the_ids_from_elsewhere(tmp_path: Path) -> None:
    assert pickle.loads(pickle.dumps(Excluded(IDS)))
    staged = Excluded(stage_ids(IDS, str(tmp_path), "run-4"))
    assert b"+1201555" not in pickle.dumps(pickle.loads(pickle.dumps(staged)))


def test_nobody_needs_no_file(tmp_path: Path) -> None:
    assert stage_ids(frozenset(), str(tmp_path), "run-1") == frozenset()
    assert list(tmp_path.iterdir()) == []


def test_a_list_that_cannot_be_written_or_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"^the list of excluded users cannot be written to .*/file ") as caught:
        stage_ids(IDS, f"{tmp_path}/file", "run-1")
    assert "+1201555" not in str(caught.value)
    staged = stage_ids(IDS, str(tmp_path), "run-3")
    content = pickle.dumps(staged)
    (tmp_path / "excluded/run-3.json").unlink()
    monkeypatch.setattr(staged_ids, "_KNOWN", {})
    with pytest.raises(RunError, match=r"run-3\.json cannot be read"):
        pickle.loads(content)
