"""Rows of sessions → rows of persons."""
