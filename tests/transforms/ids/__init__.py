"""Tests of `transforms.ids`, one module a module."""
