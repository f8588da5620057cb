"""Tests of `pipeline`, one module a module."""
