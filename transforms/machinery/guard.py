"""What goes wrong with a row is told without the row: the kind of the error and the step, nothing else.

Errors of Arrow, JSON and Python quote the values that they stumble over (`Could not convert 'Jane …'`), and runners
write the traceback of a step to logs that outlive the rows. So the steps that touch rows are wrapped, in workers too:

    @guarded("Decode events")
    class _Decode(beam.DoFn): ...

    batches | beam.FlatMap(guarded("Only changes")(only_changes))
"""

from __future__ import annotations

import functools
import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

_LOG = logging.getLogger("pipeline")
_Guarded = TypeVar("_Guarded", bound=Callable[..., Any])
#: What Beam calls with elements, or with what was made of them.
_METHODS = (
    *("setup", "start_bundle", "process", "finish_bundle", "teardown"),
    *("create_accumulator", "add_input", "add_inputs", "merge_accumulators", "compact", "extract_output"),
)


class TellableError(Exception):
    """An error whose message holds nothing of a row, so that it may be shown and logged as it is."""


#: Whose text holds no row: those of the system's memory name a size.
_PASS = (TellableError, MemoryError)


class UnexpectedError(TellableError):
    """An error that nobody foresaw: its kind, its step and where in the code, nothing of its own message."""


def guarded(step: str) -> Callable[[_Guarded], _Guarded]:
    """A decorator that lets no error leave a step with more than its kind.

    It goes on a DoFn, on a CombineFn (of each it wraps the methods that the class itself defines) or on a function,
    and follows a generator to its end. Errors that are `TellableError` and those of memory pass as they are.

    Args:
      step: the name of the step, as the console shows it.
    """

    def decorate(target: _Guarded) -> _Guarded:
        if not isinstance(target, type):
            return _wrapped(target, step)
        for name in _METHODS:
            if name in vars(target):
                setattr(target, name, _wrapped(vars(target)[name], step))
        return target

    return decorate


def _wrapped(function: Any, step: str) -> Any:
    @functools.wraps(function)  # Beam reads types and extra parameters (timestamps, windows) from the signature
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            result = function(*args, **kwargs)
        except _PASS:
            raise
        except Exception as error:
            told = _told(error, step)
        else:
            return _followed(result, step) if isinstance(result, Iterator) else result
        raise UnexpectedError(told)  # out here: in the handler it would carry the first error along as its context

    return call


def _followed(results: Iterator[Any], step: str) -> Iterator[Any]:
    try:
        yield from results
    except _PASS:
        raise
    except Exception as error:
        told = _told(error, step)
    else:
        return
    raise UnexpectedError(told)


def _told(error: Exception, step: str) -> str:
    """Kind, step, and the innermost line of code."""
    if _LOG.level == logging.DEBUG:  # set by --verbose in this process alone: never on a worker elsewhere
        _LOG.debug("details of the failure in %s", step, exc_info=error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    number = f" [Errno {error.errno}]" if isinstance(error, OSError) and error.errno else ""  # a full disk, say
    return f"unexpected {type(error).__name__}{number} in {step} ({Path(frame.filename).name}:{frame.lineno})"
