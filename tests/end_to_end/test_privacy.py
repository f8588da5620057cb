"""`[privacy]`, through the pipeline: nothing published names anybody, and everything else is as without it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline import tables
from sample import EXCLUDED_IDS, write_sample
from tests.builders import (
    OUTPUTS,
    assert_adds_up,
    at,
    event,
    has_published,
    ledger,
    notes,
    published,
    put_users,
    run,
    tables_of,
    write_events,
    write_table,
)
from transforms.ids.posthog_rules import is_meaningless
from transforms.ids.pseudonyms import key_id
from transforms.metrics.file import PACKAGED

DAY = 86_400
KEY, OTHER_KEY = b"0123456789abcdef" * 2, b"fedcba9876543210" * 2
PHONE, OTHER = "+12015550100", "+12015550101"
ANN = {
    "user_id": "u-ann",
    "phoneNumber": "+1 (201) 555-0100",
    "fullName": "Ann Example",
    "username": "annie",
    "email": "ann@example.com",
}
BOB = {"user_id": "u-bob", "phoneNumber": "0012015550101", "fullName": "Bob Example", "email": "bob@example.com"}
#: What nothing that is published may have in it.
PLAIN = ("u-ann", "u-bob", "5550100", "5550101", "555-0100", "Ann", "annie", "Bob", "example.com", "anon-", "guest-7")
HASHING = "identity = 'hash'\nfullName = 'drop'\nusername = 'hash'\nemail = 'drop'\nproperties = ['inviter']"
#: A metric and a link whose values are ids.
INVITERS = """
[metrics.inviter]
kind = "last"
property = "inviter"
description = "Who invited, last."
[links.inviter]
property = "inviter"
actions = { invited = ["view_event"] }
description = "Who invited."
"""
TOLERANT = ("--max_rejected_ratio", "0.9")


def with_privacy(folder: Path, privacy: str = HASHING, key: bytes | None = KEY, more: str = "") -> tuple[str, ...]:
    """The options of a run under the packaged metrics and a `[privacy]`."""
    metrics, file = folder / "metrics.toml", folder / "key"
    metrics.write_text(f"{PACKAGED.read_text()}{more}\n[privacy]\n{privacy}\n")
    options = ("--metrics_file", str(metrics), *TOLERANT)
    if key is None:
        return options
    file.write_bytes(key + b"\n")
    return (*options, "--privacy_key", str(file))


def texts_of(warehouse: Path) -> str:
    """Every text of every table that is published, the ledger too."""
    return "\n".join(str(published(warehouse, name, run_columns=True).to_pylist()) for name in OUTPUTS)


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    """Sessions of Ann and Bob under ids and numbers in several writings, of others, and broken rows that name them."""
    seen = {"event_id": "party", "inviter": "+1 201 555 0101"}
    write_events(
        tmp_path,
        [
            event(1, "a", name="view_event", distinct_id="0012015550100", properties=seen),
            event(2, "b", distinct_id="u-ann", seconds=2 * DAY),
            event(3, "c", distinct_id="anon-1"),
            event(4, "c", distinct_id=" +1 (201) 555-0100"),
            event(5, "d", name="join_event", distinct_id=OTHER, properties={"event_id": "party"}),
            event(6, "e", distinct_id="anon-2"),
            event(7, "e", distinct_id="undefined"),
            event(10, distinct_id=PHONE, properties="[]"),
            event(11, distinct_id=None, properties={"$user_id": "u-bob", "phone": OTHER, "name": "Bob Example"}),
            event(12, distinct_id="guest-7", properties="Ann Example, ann@example.com") | {"uuid": "+1 201 555 0100"},
            event(13, distinct_id="anon-3") | {"timestamp": None, "event": "annie"},
        ],
    )
    put_users(tmp_path, ANN, BOB)
    created = [
        {"user_id": "u-ann", "createdAt": at(60), "document_id": "party"},
        {"user_id": "u-bob", "createdAt": at(9)},
    ]
    write_table(tmp_path, "firebase_etl_prod", tables.FIREBASE_EVENTS, created)
    invited = [{"user_id": "u-bob", "createdAt": at(70), "status": "invited", "event_id": "party"}]
    write_table(tmp_path, "firebase_etl_prod", tables.USER_INVITES, invited)
    return tmp_path


@pytest.mark.usefixtures("place")
def test_nothing_names_anybody_and_sessions_find_their_users(
    warehouse: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(warehouse, *with_privacy(warehouse, more=INVITERS)) == 0
    assert f"with the key {key_id(KEY)}" in capsys.readouterr().out
    told = texts_of(warehouse)
    assert [text for text in PLAIN if text in told] == []
    rows = {row["session_id"]: row for row in published(warehouse, "sessions").to_pylist()}
    ann = rows["a"]["user_id"]
    assert [rows[name]["user_id"] for name in "abcde"] == [ann, ann, ann, rows["d"]["user_id"], None]
    assert rows["a"]["distinct_ids"] == [rows["a"]["phoneNumber"]]
    assert set(rows["a"]["distinct_ids"]) < set(rows["c"]["distinct_ids"])
    assert rows["a"]["inviter"] == rows["d"]["distinct_id"]
    links = [row["value"] for row in published(warehouse, "session_links").to_pylist() if row["link"] == "inviter"]
    assert links == [rows["d"]["distinct_id"]]
    hosts = {row["social_event_id"]: row["person_id"] for row in published(warehouse, "social_events").to_pylist()}
    assert hosts["party"] == ann
    [row] = ledger(warehouse)
    assert_adds_up(row)
    assert row["privacy_key_id"] == key_id(KEY)
    assert KEY.decode() not in told


def test_dead_letters_keep_what_says_why_and_nothing_that_says_who(warehouse: Path) -> None:
    assert run(warehouse, *with_privacy(warehouse)) == 0
    letters = published(warehouse, "rejected_events").to_pylist()
    assert sorted(row["reason"] for row in letters) == [
        "distinct_id_meaningless",
        "distinct_id_missing",
        "properties_invalid",
        "properties_invalid",
        "timestamp_missing",
    ]
    assert {row["uuid"][:2] for row in letters} == {"00", "h_"}
    assert '"distinct_id": "undefined"' in str([row["row"] for row in letters])
    assert not any("properties" in row["row"] or '"event"' in row["row"] for row in letters)


def test_an_exclusion_and_a_request_find_their_person_behind_the_hash(warehouse: Path) -> None:
    options = (*with_privacy(warehouse), "--excluded_users", str(warehouse / "list"))
    (warehouse / "list").write_text("")
    assert run(warehouse, *options) == 0
    assert published(warehouse, "sessions").num_rows == 5
    (warehouse / "list").write_text("+1-201-555-0101")
    write_table(warehouse, "privacy", tables.DELETION_REQUESTS, [{"user_id": "u-ann", "distinct_id": "12015550100"}])
    assert run(warehouse, *options) == 0
    assert ledger(warehouse)[-1]["mode"] == "incremental"
    assert published(warehouse, "sessions").column("session_id").to_pylist() == ["e"]
    assert (notes(warehouse)["excluded.matched"], notes(warehouse)["deletion.matched"]) == (1, 2)
    before = tables_of(warehouse), published(warehouse, "rejected_events")
    assert run(warehouse, *options, "--full_load") == 0
    assert (tables_of(warehouse), published(warehouse, "rejected_events")) == before
    put_users(warehouse, BOB)
    assert run(warehouse, *options) == 0
    assert [text for text in PLAIN if text in texts_of(warehouse)] == []


@pytest.mark.on_bigquery
@pytest.mark.usefixtures("place")
def test_incremental_runs_equal_a_full_load(warehouse: Path) -> None:
    options = with_privacy(warehouse)
    assert run(warehouse, *options) == 0
    later = [
        event(20, "b", distinct_id="+12015550100", seconds=2 * DAY + 60),
        event(21, "f", distinct_id="u-bob", seconds=3 * DAY),
        event(22, "g", distinct_id="u-cleo", seconds=3 * DAY),
    ]
    write_events(warehouse, later, "part-1")
    put_users(warehouse, ANN, BOB | {"phoneNumber": None}, {"user_id": "u-cleo", "phoneNumber": OTHER})
    assert run(warehouse, *options) == 0
    assert ledger(warehouse)[-1]["mode"] == "incremental"
    owners = {row["session_id"]: row["user_id"] for row in published(warehouse, "sessions").to_pylist()}
    assert owners["d"] == owners["g"] != owners["f"]
    before = tables_of(warehouse), published(warehouse, "rejected_events")
    assert run(warehouse, *options, "--full_load") == 0
    assert (tables_of(warehouse), published(warehouse, "rejected_events")) == before


@pytest.mark.parametrize(
    ("privacy", "key", "told"),
    [
        (HASHING, OTHER_KEY, "--privacy_key is another key than that of the last run"),
        ("identity = 'hash'", KEY, "the metric definitions changed since the last run"),
        ("", None, "the metric definitions changed since the last run"),
    ],
)
def test_another_key_or_switch_asks_for_a_full_load(
    warehouse: Path, privacy: str, key: bytes | None, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(warehouse, *with_privacy(warehouse)) == 0
    before = tables_of(warehouse)
    changed = with_privacy(warehouse, privacy, key)
    assert run(warehouse, *changed) == 1
    error = capsys.readouterr().err
    assert told in error
    assert "--full_load" in error
    assert error.count("\n") == 1
    assert tables_of(warehouse) == before
    assert run(warehouse, *changed, "--full_load") == 0
    assert ledger(warehouse)[-1]["privacy_key_id"] == (key_id(key) if key else None)


@pytest.mark.parametrize(
    ("privacy", "key", "told"),
    [
        (HASHING, None, "there is no key: give --privacy_key"),
        (HASHING, b"short", "--privacy_key: a key has at least 16 bytes"),
        ("email = 'drop'", KEY, "--privacy_key is given, and [privacy] of the metrics file hashes nothing"),
    ],
)
def test_a_key_too_few_or_too_many_is_told_before_anything_runs(
    warehouse: Path, privacy: str, key: bytes | None, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(warehouse, *with_privacy(warehouse, privacy, key)) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not has_published(warehouse)


def test_a_profile_is_dropped_without_a_key(warehouse: Path) -> None:
    assert run(warehouse, *with_privacy(warehouse, "fullName = 'drop'\nphoneNumber = 'drop'", key=None)) == 0
    rows = published(warehouse, "persons").to_pylist()
    assert {(row["fullName"], row["phoneNumber"]) for row in rows} == {(None, None)}
    assert {row["email"] for row in rows} == {ANN["email"], BOB["email"], None}
    assert ledger(warehouse)[-1]["privacy_key_id"] is None


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    warehouse = tmp_path_factory.mktemp("sample")
    write_sample(warehouse, events=10_000)
    (warehouse / "excluded").write_text("\n".join(EXCLUDED_IDS))
    return warehouse


def personal_texts(warehouse: Path) -> Iterator[str]:
    """Ids and names of the inputs."""
    of = {"events": ["distinct_id"], "users": ["user_id", "phoneNumber", "fullName", "username", "email"]}
    for table, columns in of.items():
        for file in warehouse.glob(f"*_etl*/{table}/*.parquet"):
            content = pq.read_table(file)
            for name in {*columns} & {*content.schema.names}:
                yield from pc.unique(content.column(name)).drop_null().to_pylist()


def without_ids(table: pa.Table) -> list[dict[str, Any]]:
    """Rows without the columns that `[privacy]` changes, in an order of their own."""
    hidden = tables.PERSONAL - {"session_id", "uuid"} | {"social_event_id"}
    kept = table.select([name for name in table.schema.names if name not in hidden])
    return sorted(kept.to_pylist(), key=str)


def test_the_sample_has_the_same_sessions_and_persons_and_no_id(generated: Path, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("plain", "hashed")]
    for folder in folders:
        shutil.copytree(generated, folder)
    excluded = ("--excluded_users", str(generated / "excluded"))
    assert run(folders[0], *excluded) == 0
    assert run(folders[1], *excluded, *with_privacy(folders[1])) == 0
    for output in tables.OUTPUTS:
        plain, hashed = (published(folder, output.name) for folder in folders)
        assert without_ids(plain) == without_ids(hashed), output.name
    pairs = zip(*(published(folder, "sessions").column("person_id").to_pylist() for folder in folders), strict=True)
    persons = [published(folder, "persons").num_rows for folder in folders]
    assert len(set(pairs)) == persons[0] == persons[1]
    told = texts_of(folders[1])
    texts = {text.strip() for text in personal_texts(generated)}
    assert len(texts) > 400
    assert [text for text in texts if not is_meaningless(text) and text in told] == []
