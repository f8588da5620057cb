"""Tests of the BigQuery warehouse."""
