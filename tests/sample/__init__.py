"""Tests of `sample`: how it writes, and what it contains."""
