"""docs/deploy.md and docs/operate.md: commands that exist, names that are in the code, numbers that add up."""

from __future__ import annotations

import ast
import fnmatch
import re
from pathlib import Path

from deploy import template
from pipeline.tables import OUTPUTS
from tests.deploy.cloud import SETTINGS, run
from tests.deploy.dockerfile import ROOT
from tests.deploy.test_bodies import ALERTS
from transforms.events.outcomes import FILTERED, REJECTED
from transforms.published.changes import CHANGES, count_name

DEPLOY = (ROOT / "docs/deploy.md").read_text()
OPERATE = (ROOT / "docs/operate.md").read_text()
SOURCES = "".join(path.read_text() for path in (ROOT / "pipeline").rglob("*.py"))


def section(text: str, title: str) -> str:
    """What is below a heading."""
    return re.split(r"^## ", text.split(f"## {title}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


def first_cells(text: str) -> list[str]:
    """The first cell of every row of the tables of a text."""
    return re.findall(r"^\| (.+?) \|", text, re.MULTILINE)


def names(cells: list[str]) -> list[str]:
    """What stands in backticks."""
    return [name for cell in cells for name in re.findall(r"`(.+?)`", cell)]


# counters


def counters_in_the_code() -> tuple[set[str], set[str]]:
    """Counters and distributions that the graph makes, from its source; `*` stands for what is filled in."""
    counters, distributions = set(), set()
    for path in (ROOT / "transforms").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("BeamMetrics.distribution"):
                distributions.add(_pattern(node.args[1]))
            if isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple):
                counters.add(_pattern(node.value.elts[0]))
            if isinstance(node, ast.Dict | ast.DictComp | ast.Subscript):  # counts are gathered by name
                counters |= {_pattern(key) for key in _keys(node)}
    return {name for name in counters if "." in name or name in ("read", "kept", "duplicates")}, distributions


def _keys(node: ast.Dict | ast.DictComp | ast.Subscript) -> list[ast.expr]:
    if isinstance(node, ast.Dict):
        return [key for key in node.keys if key]
    return [node.key if isinstance(node, ast.DictComp) else node.slice]


def _pattern(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in node.values)
    return ""


def test_every_counter_is_documented_and_every_documented_one_exists() -> None:
    counters, distributions = counters_in_the_code()
    tables = section(OPERATE, "Counters").split("| distribution |")
    documented = names(first_cells(tables[0]))
    assert set(names(first_cells(tables[1]))) == distributions
    families = {
        *(f"filtered.{reason}" for reason in FILTERED),
        *(f"rejected.{reason}" for reason in REJECTED),
        *(count_name(output.name, change) for output in OUTPUTS for change in CHANGES),
        "sessions.too_old",  # counted where the ids are listed
        "watermark_age_seconds",  # when the run is published
        "checks.off.<check>",  # then as well
        "views.not_made",  # after that
    }
    assert families <= set(documented)
    assert len(documented) == len(set(documented))
    for name in documented:
        plain = re.sub(r"<\w+>", "x", name)
        assert name in families or any(fnmatch.fnmatch(plain, known) for known in counters), name
    for known in counters:
        assert any(fnmatch.fnmatch(re.sub(r"<\w+>", "x", name), known) for name in documented), known


# files


def test_scripts_and_files_that_the_docs_name_exist() -> None:
    for text in (DEPLOY, OPERATE):
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
            assert (ROOT / "docs" / link).exists(), link
        for script in re.findall(r"\bdeploy/\w+\.sh\b", text):
            assert (ROOT / script).exists(), script
    described = section(DEPLOY, "What the files are")
    for path in (ROOT / "deploy").iterdir():
        if path.suffix in (".sh", ".sql") or (path.is_dir() and path.name != "__pycache__"):
            assert f"(../deploy/{path.name})" in described, path


# what setup.sh does


def test_the_table_of_roles_is_what_the_script_grants() -> None:
    told = run("setup.sh", "--dry-run", **SETTINGS)
    granted = set(re.findall(r"--member=serviceAccount:([a-z-]+)@\S+ --role=(\S+)", told))
    granted |= {
        (account, role) for role, account in re.findall(r"GRANT\\ \\`(roles/\S+?)\\`.*?serviceAccount:([a-z-]+)@", told)
    }
    rows = re.findall(
        r"^\| ([a-z, -]+) \| `(roles/\S+)` \| (.+?) \| (.+?) \|$",
        section(DEPLOY, "3. Set the project up"),
        re.MULTILINE,
    )
    assert {(account, role) for accounts, role, _, _ in rows for account in accounts.split(", ")} == granted


def test_every_variable_of_the_scripts_is_documented_with_its_default() -> None:
    scripts = "".join((ROOT / "deploy" / name).read_text() for name in ("names.sh", "settings.sh"))
    defaults = dict(re.findall(r'^: "\$\{(\w+):=(.*?)\}"', scripts, re.MULTILINE))
    documented: dict[str, str] = {}
    for row in re.findall(r"^\| (`[A-Z_`, ]+`) \| (.+?) \|", section(DEPLOY, "2. Names"), re.MULTILINE):
        documented |= dict(zip(names([row[0]]), names([row[1]]), strict=True))
    assert documented == defaults


def test_the_docs_say_what_a_launch_cannot_set() -> None:
    said = section(DEPLOY, "What the files are")
    for name in template.NOT_IN_A_LAUNCH:
        if not name.startswith(("credentials", "project")):
            assert f"--{name}" in said


def test_the_alerts_are_documented_with_their_metrics() -> None:
    said = section(OPERATE, "Alerts")
    for file, (_, metric) in ALERTS.items():
        title = re.search(r'"displayName": "sessions: (.*)"', (ROOT / f"deploy/alerts/{file}.json").read_text())
        assert title
        assert f"| {title[1]} |" in said
        assert metric in said


def test_messages_in_the_troubleshooting_are_those_of_the_code() -> None:
    symptoms = names(first_cells(section(OPERATE, "Troubleshooting")))
    services = {"PERMISSION_DENIED", "NOT_FOUND", "ALREADY_EXISTS", "Template launch failed"}  # Google's own words
    services |= {"due to quota restrictions, Cloud Build cannot run builds …"}
    parts = [part.strip() for text in symptoms for part in re.split("…", text) if text not in services]
    messages = [part for part in parts if " " in part]
    assert len(messages) >= 5
    for message in messages:
        assert message in SOURCES, message


# costs


def test_the_docs_hold_no_path_of_a_machine() -> None:
    for path in [*(ROOT / "docs").glob("*.md"), *(ROOT / "deploy").rglob("*.*")]:
        if path.suffix != ".pyc":
            assert str(Path.home()) not in path.read_text(), path
