"""What Beam asks of the methods of a step, each once.

Beam asks about ten times for the arguments, the types, the state and the timers of every method of every DoFn while it
makes, translates and starts a graph, and looks anew each time: thirty thousand times here, a third of what a small run
takes. Nearly all are the methods of Beam's own base class. What a function returns it infers from the function's code,
and from that of all that it calls, which are the same few functions for every read and every load.
"""

from __future__ import annotations

import contextlib
import functools
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from apache_beam.transforms import core, userstate
from apache_beam.typehints import trivial_inference
from apache_beam.typehints.decorators import IOTypeHints

#: Constants that are equal only where they are the same for what is inferred: unlike 1 and True.
_TOLD_APART = (str, bytes, type(None), type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType)


@contextlib.contextmanager
def signatures_once() -> Iterator[None]:
    """While entered, Beam inspects a method, a class of steps and a function's code once."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_instead(core, "get_function_args_defaults", _arguments_once))
        stack.enter_context(_instead(userstate, "get_dofn_specs", _specs_once))
        stack.enter_context(_instead(IOTypeHints, "from_callable", _of_method_once))
        stack.enter_context(_instead(trivial_inference, "infer_return_type_func", _inferred_once))
        stack.enter_context(_instead(trivial_inference, "dis", _disassembled_once))
        stack.enter_context(_instead(core, "_check_fn_use_yield_and_return", _read_once))
        yield


@contextlib.contextmanager
def _instead(place: Any, name: str, wrapped: Callable[[Any], Any]) -> Iterator[None]:
    """While entered, what a module or a class of Beam's calls by a name is what `wrapped` makes of it."""
    beams = vars(place)[name]
    setattr(place, name, wrapped(getattr(place, name)))
    try:
        yield
    finally:
        setattr(place, name, beams)


_Arguments = tuple[list[str], list[Any]]


def _of_method_once(inspect: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What a function's signature tells; of a method, whatever instance it is bound to, once."""

    @functools.cache
    def of_method(function: Any) -> Any:
        return inspect(types.MethodType(function, object()))

    def of(function: Any) -> Any:
        return of_method(function.__func__) if isinstance(function, types.MethodType) else inspect(function)

    return of


def _arguments_once(inspect: Callable[[Any], _Arguments]) -> Callable[[Any], _Arguments]:
    """The names of a function's arguments and their defaults, in lists that are the caller's own."""
    once = _of_method_once(inspect)

    def arguments(function: Any) -> _Arguments:
        names, defaults = once(function)
        return [*names], [*defaults]

    return arguments


def _read_once(check: Callable[[Callable[..., Any]], bool]) -> Callable[[Callable[..., Any]], bool]:
    """Whether the source of a function both yields and returns, which Beam warns of; its file is read for that."""
    known = dict[Any, bool]()

    def checked(function: Callable[..., Any]) -> bool:
        code = getattr(function, "__code__", None)  # also of a method, whose instances have one
        if code is None:
            return check(function)
        if code not in known:
            known[code] = check(function)
        return known[code]

    return checked


_Specs = tuple[set[Any], set[Any]]


def _specs_once(inspect: Callable[[Any], _Specs]) -> Callable[[Any], _Specs]:
    """The state and the timers of a DoFn; they are its class's, but where an instance has methods of its own."""
    of_class = dict[type, _Specs]()

    def specs(dofn: Any) -> _Specs:
        if any(isinstance(own, types.MethodType) for own in vars(dofn).values()):
            return inspect(dofn)
        kind = type(dofn)
        if kind not in of_class:
            of_class[kind] = inspect(dofn)
        states, timers = of_class[kind]
        return {*states}, {*timers}

    return specs


def _inferred_once(infer: Callable[..., Any]) -> Callable[..., Any]:
    """The type that a function returns for inputs of some types; one that sees an object's own values is not kept."""
    known = dict[tuple[Any, ...], Any]()

    def inferred(function: Callable[..., Any], inputs: Sequence[Any], debug: bool = False, depth: int = 0) -> Any:
        key = (function, depth, *map(_input, inputs))
        try:
            if key in known:
                return known[key]
        except TypeError:  # not hashable
            return infer(function, inputs, debug, depth)
        found = infer(function, inputs, debug, depth)
        if not debug:
            known[key] = found
        return found

    return inferred


def _input(kind: Any) -> Any:
    """What tells an input of an inference from others; an object where nothing does."""
    if not isinstance(kind, trivial_inference.Const):
        return type(kind), kind
    return (type(kind.value), kind.value) if isinstance(kind.value, _TOLD_APART) else object()


def _disassembled_once(dis: Any) -> Any:
    """The module `dis`, which gives the instructions of a function's code again when it is asked for them again."""

    @functools.cache
    def of_code(code: types.CodeType, show_caches: bool) -> tuple[Any, ...]:
        return tuple(dis.get_instructions(code, show_caches=show_caches))

    def instructions(function: types.FunctionType, show_caches: bool = False) -> tuple[Any, ...]:
        return of_code(function.__code__, show_caches)

    return types.SimpleNamespace(**{**vars(dis), "get_instructions": instructions})
