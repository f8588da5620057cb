"""dbt's sources: what the declarations promise is what dbt tests."""

from __future__ import annotations

from deploy.dbt_sources import text


def test_a_key_of_several_columns_is_unique_together_for_dbt() -> None:
    column = {"type": "STRING", "description": 'Of "{{ them }}".', "required": True}
    table = {"description": "Days.", "key": ["a", "b"], "columns": [{**column, "name": name} for name in "ab"]}
    made = text({"days": table}, {})
    assert '- unique_together: {arguments: {columns: ["a", "b"]}}' in made
    assert "[unique" not in made
    assert made.count("data_tests: [not_null]") == 2
    assert r'"Of \"{ { them }}\"."' in made  # dbt would render it
