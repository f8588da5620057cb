"""A column more in the users' profile is one line, whatever its type and wherever it stands."""

from __future__ import annotations

import ast
import os
import random
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import tables
from tests.builders import event, published, write_events, write_table
from transforms.metrics import file

ROOT = Path(__file__).parents[2]
INPUTS = Path("transforms/schemas/inputs.py")
LINE = '    column("{name}", {kind}, "{name} of a user."),\n'
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
#: Types and the value of the nth user.
KINDS = {
    "TIMESTAMP": lambda n: FIRST + timedelta(days=n),
    "TEXT": lambda n: f"text {n}",
    "BOOLEAN": lambda n: n % 2 == 0,
    "INTEGER": lambda n: 10 + n,
}


def with_line(text: str, line: str, position: int) -> str:
    """The source of the inputs with one line more in the profile."""
    [profile] = [
        node.value
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PROFILE"
    ]
    assert isinstance(profile, ast.Tuple)
    places = [one.lineno - 1 for one in profile.elts] + [(profile.end_lineno or 0) - 1]
    lines = text.splitlines(keepends=True)
    return "".join([*lines[: places[position]], line, *lines[places[position] :]])


@pytest.mark.parametrize("seed", range(4))
def test_its_values_are_right_wherever_it_stands(seed: int, tmp_path: Path) -> None:
    chosen = random.Random(seed)
    kind = list(KINDS)[seed]
    position = chosen.randrange(len([name for name in tables.USERS.schema.names if name != "user_id"]) - 1)
    for package in ("pipeline", "transforms"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    source = tmp_path / INPUTS
    source.write_text(with_line(source.read_text(), LINE.format(name="extra", kind=kind), position))
    warehouse = tmp_path / "warehouse"
    users = [
        {"user_id": f"u{n}", "fullName": f"name {n}", "createdAt": FIRST - timedelta(days=n), "extra": KINDS[kind](n)}
        for n in range(5)
    ]
    write_events(warehouse, [event(n, f"s{n}", distinct_id=f"u{n}") for n in range(5)])
    write_table(warehouse, "firebase_etl_prod", tables.USERS, users)
    path = warehouse / "firebase_etl_prod/users/part-0.parquet"
    content = pq.read_table(path)
    pq.write_table(content.append_column("extra", pa.array([user["extra"] for user in users])), path)
    command = [sys.executable, "-m", "pipeline", "--runner", "DirectRunner", "--quiet", "--warehouse", str(warehouse)]
    command += ["--metrics_file", str(file.PACKAGED)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for expected in ("inserted", "unchanged"):  # the second run compares what it has made with what is published
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert f"(5 {expected})" in done.stdout
    for table in ("sessions", "persons"):
        found = {row["user_id"]: row for row in published(warehouse, table).to_pylist()}
        for user in users:
            row = found[user["user_id"]]
            assert {name: row[name] for name in user} == user
