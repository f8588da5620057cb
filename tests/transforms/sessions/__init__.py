"""Tests of `transforms.sessions`, one module a module."""
