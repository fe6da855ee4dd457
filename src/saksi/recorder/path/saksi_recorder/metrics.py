"""What the program reports to a tracker: names and values as the tracker was given them.

Patched, because there is no hook, and only once somebody has loaded them: `add_scalar` and `add_scalars` of
`torch.utils.tensorboard.writer.SummaryWriter`, `log` of `wandb.sdk.wandb_run.Run` (which `wandb.log` becomes),
`log_metric` and `log_metrics` of `mlflow.tracking.fluent` (also in `mlflow`). What is printed is not read.

Rules: nothing is said of a call that raised; only what Python, torch or numpy call a number is read, and nothing asks
an object of another class; a number on a device is asked for and comes later; at most `MAX_VALUES` are said between two
updates, the others are counted.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any, Callable, Iterator, Optional

import torch

from . import bare, deferred, memory, readings, session
from .guard import guarded
from .plain import number, text

MAX_NAME = 200
MAX_VALUES = 64  # between two updates, and so in one frame
MAX_DEPTH = 3  # of dictionaries in dictionaries, whose names wandb joins by dots
MAX_PENDING = 16  # frames that wait for a device

TENSORBOARD = "torch.utils.tensorboard.writer"
WANDB = "wandb.sdk.wandb_run"
MLFLOW = "mlflow.tracking.fluent"
BEYOND = "metrics beyond the first %d between two updates" % MAX_VALUES
NOT_READ = "metrics in tensors that were not read"

_replaced: list[tuple[Any, str, Any]] = []
_pending: list["Report"] = []
_omitted = [0]


class Report:
    """One call, whose values may still come."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields

    def is_there(self) -> bool:
        """Whether every value has come."""
        return all(value.reading.there for _, value in self.fields["values"] if isinstance(value, readings.Awaited))

    def say(self) -> None:
        """Say it with what has come; what has not is counted."""
        said = []
        for name, given in self.fields["values"]:
            value = _come(given) if isinstance(given, readings.Awaited) else given
            if value is None:
                _leave_out(NOT_READ, "the device had not delivered them in time")
            else:
                said.append([name, value])
        session.say("metric", dict(self.fields, values=said, omitted=_omitted[0]))


def _come(awaited: Any) -> Any:
    found = awaited.value() if awaited.reading.there else None
    return number(found) if isinstance(found, int) else found


def install() -> None:
    """Nothing to be put in place before a tracker is loaded; what lacks for it is found now."""
    deferred.pollers.append(_look)
    deferred.waiting.append(_waits)
    deferred.enders.append(_end)


def install_tensorboard() -> None:
    """Put the wrappers in place, once `torch.utils.tensorboard.writer` has been loaded."""
    writer = _own(session.loaded(TENSORBOARD), "SummaryWriter")
    _replace([writer], "add_scalar", "tensorboard", _scalar)
    _replace([writer], "add_scalars", "tensorboard", _scalars)


def install_wandb() -> None:
    """Put the wrapper in place, once `wandb.sdk.wandb_run` has been loaded."""
    _replace([_own(session.loaded(WANDB), "Run")], "log", "wandb", _logged)


def install_mlflow() -> None:
    """Put the wrappers in place, once `mlflow.tracking.fluent` has been loaded; `mlflow` takes its names from there."""
    homes = [session.loaded(MLFLOW), session.loaded("mlflow")]
    _replace(homes, "log_metric", "mlflow", _metric)
    _replace(homes, "log_metrics", "mlflow", _metrics)


INSTALLERS = ((TENSORBOARD, install_tensorboard), (WANDB, install_wandb), (MLFLOW, install_mlflow))


def restore() -> None:
    """Put the originals back."""
    while _replaced:
        owner, name, original = _replaced.pop()
        setattr(owner, name, original)


def _replace(owners: list[Any], name: str, tracker: str, read: Callable[[dict[str, Any]], Any]) -> None:
    original = _own(owners[0], name)
    if not callable(original):
        return
    told = _told(original, tracker, read)
    for owner in owners:
        if _own(owner, name) is original:
            _replaced.append((owner, name, original))
            setattr(owner, name, told)


def _own(owner: Any, name: str) -> Any:
    """What a class or a module itself holds under a name."""
    return (bare.attributes(owner) if bare.is_a(owner, type) else bare.held(owner)).get(name)


def _told(original: Any, tracker: str, read: Callable[[dict[str, Any]], Any]) -> Any:
    signature = inspect.signature(original)

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling():
            return original(*args, **kwargs)
        result = original(*args, **kwargs)
        reported(tracker, signature, read, args, kwargs)
        return result

    return call


@guarded("metrics")
def reported(tracker: str, signature: Any, read: Callable[[dict[str, Any]], Any], args: Any, kwargs: Any) -> None:
    """A tracker has taken something: say the numbers in it."""
    if session.dormant:
        return
    step, pairs = read(signature.bind(*args, **kwargs).arguments)
    with memory.quiet():
        values = list(_numbers(pairs))
        at = _whole(step)
    if values:
        _take(Report({"tracker": tracker, "at": at, "step": session.step, "values": values, "omitted": 0}))


def _take(report: Report) -> None:
    if not _pending and report.is_there():
        report.say()
        return
    if len(_pending) >= MAX_PENDING:
        _pending.pop(0).say()
    _pending.append(report)


def _numbers(pairs: Iterator[tuple[Any, Any]]) -> Iterator[list[Any]]:
    gathered = session.gathered
    for name, value in pairs:
        found = _number(value)
        if found is None:
            continue
        if gathered.metrics >= MAX_VALUES:
            _leave_out(BEYOND, "they are counted, and not in the record")
            continue
        gathered.metrics += 1
        yield [text(name, MAX_NAME), found]


def _leave_out(what: str, reason: str) -> None:
    _omitted[0] += 1
    session.uncovered(what, reason)


def _number(value: Any) -> Any:
    """A number, or one that a device has been asked for; None where there is none to be said."""
    if bare.is_a(value, float):
        return number(float.__float__(value))
    if bare.is_a(value, int):
        whole = int.__index__(value)
        return float(whole) if -(2**63) <= whole < 2**63 else None
    if bare.is_a(value, torch.Tensor):
        if value.numel() != 1 or not memory.has_number(value.dtype):
            return None
        known = memory.as_number(value)
        if known is not None:
            return known
        awaited = readings.scalar(value)
        if awaited is None:
            _leave_out(NOT_READ, memory.NOT_READ)
        return awaited
    numpy = session.loaded("numpy")
    if numpy is not None and type(value) in (numpy.float64, numpy.float32, numpy.float16, *_integers(numpy)):
        return number(float(value))
    if numpy is not None and type(value) is numpy.ndarray and value.size == 1 and value.dtype.kind in "fiu":
        return number(float(value.reshape(())[()]))
    return None


def _integers(numpy: Any) -> tuple[type, ...]:
    return (numpy.int64, numpy.int32, numpy.int16, numpy.int8, numpy.uint64, numpy.uint32, numpy.uint16, numpy.uint8)


def _whole(value: Any) -> Optional[int]:
    """The tracker's own step, where it is a whole number that a frame holds."""
    numpy = session.loaded("numpy")
    if numpy is not None and type(value) in _integers(numpy):
        value = int(value)
    if value is True or value is False or not bare.is_a(value, int):
        return None
    whole = int.__index__(value)
    return whole if -(2**63) <= whole < 2**63 else None


def _scalar(given: dict[str, Any]) -> Any:
    """`add_scalar(tag, scalar_value, global_step=None, …)`."""
    return given.get("global_step"), _pairs({given.get("tag"): given.get("scalar_value")})


def _scalars(given: dict[str, Any]) -> Any:
    """`add_scalars(main_tag, tag_scalar_dict, global_step=None, …)`."""
    return given.get("global_step"), _pairs({given.get("main_tag"): given.get("tag_scalar_dict")}, "/")


def _logged(given: dict[str, Any]) -> Any:
    """`Run.log(data, step=None, commit=None, …)`."""
    return given.get("step"), _pairs(given.get("data"))


def _metric(given: dict[str, Any]) -> Any:
    """`log_metric(key, value, step=None, …)`."""
    return given.get("step"), _pairs({given.get("key"): given.get("value")})


def _metrics(given: dict[str, Any]) -> Any:
    """`log_metrics(metrics, step=None, …)`."""
    return given.get("step"), _pairs(given.get("metrics"))


def _pairs(given: Any, between: str = ".", before: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Names and values; of a dictionary in a dictionary, with both names."""
    if not bare.is_a(given, dict):
        return
    for key, value in bare.items(given):
        if not bare.is_a(key, str):
            continue
        name = before + bare.word(key)[: MAX_NAME + 1]
        if bare.is_a(value, dict):
            if depth < MAX_DEPTH:
                yield from _pairs(value, between, name + between, depth + 1)
        else:
            yield name, value


def _look() -> None:
    while _pending and _pending[0].is_there():
        _pending.pop(0).say()


def _waits() -> bool:
    return bool(_pending)


@guarded("metrics")
def _end(_ends: bool) -> None:  # noqa: FBT001  (called by position)
    while _pending:
        _pending.pop(0).say()


def after_fork_in_child() -> None:
    """A child waits for nothing that the parent asked for; its memory is not let go here."""
    readings.bury(list(_pending))
    _pending.clear()
    _omitted[0] = 0
