"""Nothing of ours reaches training: what fails here is said once and switched off, and what it costs is counted.

Rules: only `Exception` is caught, and not one that a signal handler of the user raised while we were running (a
time-out by SIGALRM is meant for the training); a part that failed stays off; self time is thread CPU time of the
outermost guarded call.
"""

from __future__ import annotations

import _signal
import functools
import signal
import threading
import time
import types
from contextlib import contextmanager, suppress
from typing import Any, Callable, Iterator, Optional, TypeVar

from . import bare

MAX_BEHIND = 64  # that is looked at behind one handler
_LEADS = (
    (functools.partial, functools.partial.func.__get__),  # type: ignore[attr-defined]
    (types.MethodType, types.MethodType.__func__.__get__),  # type: ignore[attr-defined]
    (staticmethod, staticmethod.__dict__["__func__"].__get__),
)
"""What is called through these, as it lies there."""

Function = TypeVar("Function", bound=Callable[..., Any])

_off: dict[str, str] = {}
_local = threading.local()
_report: list[Callable[[str, str], None]] = []
_spent = {"cpu": 0, "wall": 0}


def report_to(report: Callable[[str, str], None]) -> None:
    """Faults are told to `report(where, error)` from now on."""
    _report[:] = [report]


def is_off(part: str) -> bool:
    """Whether `part` has failed before."""
    return part in _off


@contextmanager
def inside() -> Iterator[None]:
    """A guarded call of a part that sees to its own errors: its time counts, and what it does is the recorder's."""
    outermost = not is_inside()
    _local.inside = True
    began, cpu = time.monotonic_ns(), time.thread_time_ns()
    try:
        yield
    finally:
        if outermost:
            _local.inside = False
            _spent["cpu"] += time.thread_time_ns() - cpu
            _spent["wall"] += time.monotonic_ns() - began


def is_inside() -> bool:
    """Whether this thread is in a guarded call: what it does now is the recorder's."""
    return getattr(_local, "inside", False)


def faults() -> list[tuple[str, str]]:
    """Every part that is off, and the error that it failed of."""
    return list(_off.items())


def cpu_ns() -> int:
    """CPU time spent in guarded calls so far, all threads, the hashing ones included."""
    return _spent["cpu"]


def add_cpu_ns(spent: int) -> None:
    """CPU time of a thread that hashes: it is ours as well."""
    _spent["cpu"] += spent


def wall_ns() -> int:
    """Wall time spent in guarded calls so far, all threads."""
    return _spent["wall"]


def fault(part: str, error: BaseException) -> None:
    """Switch `part` off and say so once."""
    if part in _off:
        return
    _off[part] = type(error).__name__
    with suppress(Exception):  # the words of an error may be the user's
        _off[part] += ": " + str(error)[:1000]
    for report in _report:
        with suppress(Exception):
            report(part, _off[part])


def guarded(part: str, default: Optional[Callable[[], Any]] = None) -> Callable[[Function], Function]:
    """A decorator: the call returns what the function returns, or `default()` once `part` has failed."""

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if part in _off:
                return None if default is None else default()
            outermost = not getattr(_local, "inside", False)
            if outermost:
                _local.inside = True
                began, cpu = time.monotonic_ns(), time.thread_time_ns()
            try:
                return function(*args, **kwargs)
            except Exception as error:
                if is_of_a_signal_handler(error):
                    raise
                fault(part, error)
                return None if default is None else default()
            finally:
                if outermost:
                    _local.inside = False
                    _spent["cpu"] += time.thread_time_ns() - cpu
                    _spent["wall"] += time.monotonic_ns() - began

        return call  # type: ignore[return-value]

    return decorate


def is_of_a_signal_handler(error: BaseException) -> bool:
    """Whether a signal handler of the user raised it while we were running: then it is meant for the training."""
    try:
        ran = set()  # by number: a code object compares what it was given as constants
        step = error.__traceback__
        while step is not None:
            ran.add(id(step.tb_frame.f_code))
            step = step.tb_next
        handlers = [_signal.getsignal(number) for number in signal.valid_signals()]  # `signal` asks them
        return any(id(code) in ran for handler in handlers if callable(handler) for code in _codes_behind(handler))
    except Exception:  # Python's table of handlers cannot be read: then the error counts as ours, and stays in here
        return False


def _codes_behind(handler: Any) -> list[Any]:
    """The code of the functions that are called where a handler is, read without asking it."""
    codes, seen, waiting = [], set(), [handler]
    while waiting and len(seen) < MAX_BEHIND:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if type(one) is types.FunctionType:
            codes.append(one.__code__)
            continue
        if bare.is_a(one, type):
            waiting += [bare.found(one, "__new__"), bare.found(one, "__init__")]
        waiting += [behind(one) for kind, behind in _LEADS if bare.is_a(one, kind)]
        waiting += [bare.found(type(one), "__call__"), dict.get(bare.held(one), "__wrapped__")]
    return codes
