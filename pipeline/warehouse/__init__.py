"""The I/O seam: a local folder of Parquet files or BigQuery, behind one interface (`base.Warehouse`)."""
