"""The inputs: what sessions and persons take of them is what the inputs declare."""

from __future__ import annotations

import pyarrow as pa

from transforms.schemas import inputs


def names(fields: object) -> list[str]:
    return [field.name for field in fields]  # type: ignore[attr-defined]


def test_what_is_taken_is_a_part_of_its_table() -> None:
    assert set(names(inputs.PROFILE)) < set(inputs.USERS.names)
    assert set(names(inputs.ACQUISITION)) < set(inputs.POSTHOG_SESSIONS.names)
    assert set(names(inputs.SOCIAL_EVENT)) < set(inputs.FIREBASE_EVENTS.names)


def test_documents_tell_their_versions_alike() -> None:
    for table in (inputs.USERS, inputs.FIREBASE_EVENTS):
        assert table.field(inputs.DOCUMENT_ID.name).equals(inputs.DOCUMENT_ID)
        assert table.field(inputs.EXPORTED_AT.name).equals(inputs.EXPORTED_AT)


def test_without_what_is_required_a_row_means_nothing() -> None:
    required = {field.name for field in inputs.EVENTS if not field.nullable}
    assert required == {"uuid", "event", "properties", "distinct_id", "timestamp"}
    assert [field.name for field in inputs.USERS if not field.nullable] == ["user_id"]
    assert pa.types.is_timestamp(inputs.EVENTS.field("bq_ingested_timestamp").type)
