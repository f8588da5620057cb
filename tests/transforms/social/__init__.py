"""Tests of `transforms.persons`, one module a module."""
