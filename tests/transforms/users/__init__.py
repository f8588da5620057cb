"""Tests of `transforms.users`, one module a module."""
