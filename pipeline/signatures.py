"""Beam's look at the methods of a step, once a method.

Beam asks for the arguments of every method of every DoFn about ten times while it makes, translates and starts a graph,
and inspects each anew: thirty thousand times here, a third of what a small run takes. Nearly all are the methods of
Beam's own base class.
"""

from __future__ import annotations

import contextlib
import functools
import types
from collections.abc import Callable, Iterator
from typing import Any

from apache_beam.transforms import core


@contextlib.contextmanager
def signatures_once() -> Iterator[None]:
    """While entered, Beam inspects a method once, whatever instance it is bound to."""
    inspect = core.get_function_args_defaults

    @functools.cache
    def of_method(function: Callable[..., Any]) -> tuple[list[str], list[Any]]:
        names, defaults = inspect(types.MethodType(function, object()))
        return names, defaults

    def arguments(function: Callable[..., Any]) -> tuple[list[str], list[Any]]:
        if not isinstance(function, types.MethodType):
            names, defaults = inspect(function)
            return names, defaults
        names, defaults = of_method(function.__func__)
        return [*names], [*defaults]

    core.get_function_args_defaults = arguments
    try:
        yield
    finally:
        core.get_function_args_defaults = inspect
