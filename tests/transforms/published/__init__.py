"""Tests of `transforms.published`, one module a module."""
