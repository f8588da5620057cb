"""Tests of `transforms.schemas`."""
