"""Every column is declared once: what travels between the steps takes name and type from there."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import tables
from tests.builders import METRICS
from transforms.schemas.fields import TEXT, bare, column, columns_of, description

ROOT = Path(__file__).parents[3]
SCHEMAS, KINDS = ROOT / "transforms" / "schemas", ROOT / "transforms" / "metrics" / "kinds"
INPUTS = tables.INPUTS
OUTPUTS = (*tables.outputs(METRICS), tables.RUNS)
#: The names of all columns that the code declares (those of metrics come from their kinds).
NAMES = {field.name for table in (*INPUTS, *OUTPUTS) for field in table.schema} - {
    one.name for one in (*METRICS.columns, *METRICS.rollups)
}
#: What makes a type, where a name and a type stand beside each other.
_TYPES = {"TEXT", "INTEGER", "FLOAT", "BOOLEAN", "TIMESTAMP", "DATE", "TEXTS"}


def is_type(node: ast.expr) -> bool:
    """Whether an expression is an Arrow type: a constant of `schemas.fields`, or a call of pyarrow."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        makes = getattr(pa, node.func.attr, None)
        return isinstance(node.func.value, ast.Name) and node.func.value.id == "pa" and _makes_type(makes)
    return isinstance(node, ast.Name) and node.id in _TYPES


def _makes_type(makes: object) -> bool:
    return getattr(makes, "__module__", "") == "pyarrow.lib" and getattr(makes, "__name__", "") in (
        *("string", "int8", "int64", "float64", "bool_", "timestamp", "date32", "list_", "struct"),
    )


def declared(text: str) -> Iterator[str]:
    """The column names that a source puts beside a type, whether in a tuple, `pa.field` or `column`."""
    for node in ast.walk(ast.parse(text)):
        parts = node.elts if isinstance(node, ast.Tuple) else node.args if isinstance(node, ast.Call) else []
        if len(parts) >= 2 and is_type(parts[1]) and isinstance(parts[0], ast.Constant):
            yield str(parts[0].value)


@pytest.mark.parametrize(
    "path",
    [
        str(path.relative_to(ROOT))
        for package in ("transforms", "pipeline")
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.parent not in (SCHEMAS, KINDS) and path.name != "tables.py"
    ],
)
def test_no_column_is_declared_beside_the_schemas(path: str) -> None:
    assert set(declared((ROOT / path).read_text())) & NAMES == set()


def test_a_declaration_is_found_in_any_form() -> None:
    forms = (
        'pa.schema([("user_id", pa.string())])',
        'pa.field("createdAt", pa.timestamp("us", "UTC"))',
        'column("email", TEXT, "The address.")',
        '[("start_timestamp", TIMESTAMP)]',
    )
    assert [name for form in forms for name in declared(form)] == ["user_id", "createdAt", "email", "start_timestamp"]
    assert list(declared('pa.array([], pa.string()); ("a", "b"); f(x, pa.int64())')) == []


def test_no_column_is_written_twice() -> None:
    written = Counter[str]()
    for path in (*SCHEMAS.glob("*.py"), ROOT / "pipeline" / "tables.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "column":
                meaning = node.args[2]
                if isinstance(meaning, ast.Constant):
                    written[str(meaning.value)] += 1
    assert len(written) > 60
    assert {meaning for meaning, number in written.items() if number > 1} == set()


def test_every_column_says_what_it_means_and_stands_in_a_table_once() -> None:
    for table in (*INPUTS, *OUTPUTS):
        names = table.schema.names
        assert len(names) == len(set(names))
        assert all(description(field).endswith(".") for field in table.schema), table.name


def test_schemas_derive() -> None:
    field = column("a", TEXT, "An a.", required=True)
    assert (field.nullable, description(field)) == (False, "An a.")
    assert bare([field]) == pa.schema([("a", TEXT)])
    assert columns_of([field, column("b", TEXT, "A b.")], "b") == pa.schema([("b", TEXT)])
    with pytest.raises(KeyError):
        columns_of([field], "c")
