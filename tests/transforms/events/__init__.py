"""Tests of `transforms.events`, one module a module."""
