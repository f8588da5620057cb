"""Tests of `pipeline.sample`: how it writes, and what it contains."""
