"""Tests of `transforms`, one module a module."""
