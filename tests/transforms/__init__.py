"""Tests of `transforms`, a folder a room, a module a module."""
