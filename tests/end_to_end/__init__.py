"""Whole runs of the pipeline, from Parquet files to published tables."""
