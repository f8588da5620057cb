"""Tests of `transforms.incremental`, one module a module."""
