"""A BigQuery, real or emulated, that stands for local warehouses: their input tables go in, published ones come out."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from google.api_core.exceptions import NotFound
from google.cloud import bigquery

_ARROW = {
    ("STRING", False): pa.string(),
    ("STRING", True): pa.list_(pa.string()),
    ("INTEGER", False): pa.int64(),
    ("FLOAT", False): pa.float64(),
    ("BOOLEAN", False): pa.bool_(),
    ("TIMESTAMP", False): pa.timestamp("us", "UTC"),
    ("DATE", False): pa.date32(),
}
_TYPES = {
    pa.string(): "STRING",
    pa.binary(): "BYTES",
    pa.int64(): "INTEGER",
    pa.uint64(): "INTEGER",
    pa.uint8(): "INTEGER",
    pa.bool_(): "BOOLEAN",
    pa.float64(): "FLOAT",
    pa.date32(): "DATE",
    pa.decimal128(38, 9): "NUMERIC",
}


@dataclass
class Place:
    """Places of a project, and a bucket for load files."""

    project: str
    bucket: str
    copied: dict[Path, tuple[object, ...]] = field(default_factory=dict, kw_only=True)
    """What of which folder is there."""
    json_properties: bool = field(default=False, kw_only=True)
    """Whether `properties` become a column of type JSON."""

    def client(self) -> bigquery.Client:
        """A client of the project."""
        return bigquery.Client(self.project)

    @staticmethod
    def datasets(warehouse: Path) -> dict[str, str]:
        """The datasets that stand for the folders of a local warehouse."""
        prefix = "".join(letter if letter.isalnum() else "_" for letter in str(warehouse)).lstrip("_")
        names = ("posthog_etl", "firebase_etl_prod", "privacy", "posthog_aggregated")
        return {name: f"{prefix}_{name}" for name in names}

    def options(self, warehouse: Path) -> list[str]:
        """The command line for the tables of a local warehouse."""
        names = self.datasets(warehouse)
        return [
            f"--project={self.project}",
            "--warehouse=bigquery",
            f"--temp_location=gs://{self.bucket}/temp",
            f"--posthog_dataset={names['posthog_etl']}",
            f"--firebase_dataset={names['firebase_etl_prod']}",
            f"--privacy_dataset={names['privacy']}",
            f"--aggregated_dataset={names['posthog_aggregated']}",
        ]

    def copy(self, warehouse: Path) -> None:
        """Make the input tables what the Parquet files of a local warehouse are."""
        client = self.client()
        datasets = self.datasets(warehouse)
        for folder in [folder for folder in self.copied if folder.parent.parent == warehouse and not folder.exists()]:
            client.delete_table(f"{self.project}.{datasets[folder.parent.name]}.{folder.name}")
            del self.copied[folder]
        for dataset, name in datasets.items():
            for folder in sorted(warehouse.glob(f"{dataset}/*")) if dataset != "posthog_aggregated" else []:
                files = sorted(folder.glob("*.parquet"))
                signature = (self.json_properties, *((file.name, file.stat().st_mtime_ns) for file in files))
                if not files or self.copied.get(folder) == signature:
                    continue
                client.create_dataset(name, exists_ok=True)
                self._load(client, f"{self.project}.{name}.{folder.name}", [pq.read_table(file) for file in files])
                self.copied[folder] = signature

    def _load(self, client: bigquery.Client, target: str, parts: list[pa.Table]) -> None:
        content = pa.concat_tables(parts, promote_options="permissive")
        schema = [self._column(field) for field in content.schema]
        client.delete_table(target, not_found_ok=True)
        client.create_table(bigquery.Table(target, schema))
        if not content.num_rows:
            return
        documents = {column.name for column in schema if column.field_type == "JSON"}
        # no load of Parquet fills a column of type JSON ("Unsupported field type: JSON"): as text, and parsed there
        loaded = f"{target}_as_text" if documents else target
        texts = [bigquery.SchemaField(one.name, "STRING") if one.name in documents else one for one in schema]
        file = io.BytesIO()
        pq.write_table(content, file)
        config = bigquery.LoadJobConfig(source_format="PARQUET", schema=texts, write_disposition="WRITE_TRUNCATE")
        client.load_table_from_file(file, loaded, rewind=True, job_config=config).result()
        if documents:
            names = [column.name for column in schema]
            values = [
                f"PARSE_JSON(`{one}`, wide_number_mode => 'round')" if one in documents else f"`{one}`" for one in names
            ]
            columns = ", ".join(f"`{name}`" for name in names)
            client.query(f"INSERT INTO `{target}` ({columns}) SELECT {', '.join(values)} FROM `{loaded}`").result()
            client.delete_table(loaded)

    def _column(self, field: pa.Field) -> bigquery.SchemaField:
        if pa.types.is_struct(field.type):
            parts = [self._column(field.type.field(number)) for number in range(field.type.num_fields)]
            return bigquery.SchemaField(field.name, "RECORD", fields=parts)
        if pa.types.is_list(field.type):
            return bigquery.SchemaField(field.name, _TYPES[field.type.value_type], "REPEATED")
        if self.json_properties and field.name == "properties":
            return bigquery.SchemaField(field.name, "JSON")
        if pa.types.is_timestamp(field.type):
            return bigquery.SchemaField(field.name, "TIMESTAMP" if field.type.tz else "DATETIME")
        kind = _TYPES[field.type]
        return bigquery.SchemaField(field.name, kind)

    def read(self, warehouse: Path, table: str) -> pa.Table | None:
        """A published table with the column types of a local warehouse; None when it does not exist."""
        name = f"{self.project}.{self.datasets(warehouse)['posthog_aggregated']}.{table}"
        client = self.client()
        try:
            columns = client.get_table(name).schema
        except NotFound:
            return None
        schema = pa.schema([(column.name, _ARROW[column.field_type, column.mode == "REPEATED"]) for column in columns])
        return pa.Table.from_pylist([dict(row) for row in client.query(f"SELECT * FROM `{name}`").result()], schema)

    def tables(self, warehouse: Path) -> list[str]:
        """The names of all tables in the output dataset."""
        return self._of_type(warehouse, "TABLE")

    def views(self, warehouse: Path) -> list[str]:
        """The names of all views in the output dataset."""
        return self._of_type(warehouse, "VIEW")

    def _of_type(self, warehouse: Path, kind: str) -> list[str]:
        dataset = self.datasets(warehouse)["posthog_aggregated"]
        found = self.client().list_tables(f"{self.project}.{dataset}")
        return sorted(table.table_id for table in found if table.table_type == kind)

    def metadata(self, warehouse: Path, table: str) -> bigquery.Table:
        """Columns, partitions and clusters of an output table."""
        dataset = self.datasets(warehouse)["posthog_aggregated"]
        return self.client().get_table(f"{self.project}.{dataset}.{table}")
