"""Tests of `transforms.machinery`, one module a module."""
