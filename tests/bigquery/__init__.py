"""Tests of the warehouse in BigQuery."""
