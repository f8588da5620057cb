"""Tests of `transforms.metrics`, one module a module."""
