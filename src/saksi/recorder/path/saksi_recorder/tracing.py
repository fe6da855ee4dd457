"""Every operation of one Step, written down: what went in, what came out, and the functions that were on the stack.

Only an audit asks for it (`SAKSI_TRACE`), for one Step that it knows to differ. The trace begins as the Step before
has ended, so that loading, forward, backward and what a program does in between are in it.

Rules: it changes no operation and no generator; what fails here ends the trace and not the training; memory that no
operation has filled yet has no digest.

Known weakness: what is compiled (`torch.compile`, TorchScript) runs past it, as does whatever writes into memory
without an operation of this thread; what that changed is seen as an input that nothing made.
"""

# ruff: noqa: SLF001  (torch gives no public name to what is read here)

from __future__ import annotations

import hashlib
import json
import os
import sys
from typing import Any, Iterator, Optional

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode

from . import bare, guard, memory, modules, session, steps
from .code_digest import code_digest
from .guard import guarded
from .plain import plain, text

VERSION = 1
MAX_ENTRIES = 100_000
MAX_STACK = 200
MAX_VALUES = 4096  # of one operation
MAX_WORDS = 400
MAX_LOOKS = 64  # for modules that were built meanwhile
_UNFILLED = ("aten::empty", "aten::new_empty", "aten::resize_")
_CALLS = ("_call_impl", "_wrapped_call_impl")
_OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep  # noqa: PTH100, PTH120  (plain os: light)

_asked: list[Any] = []
_open: list[Any] = []


def install() -> None:
    """Where an audit asks for the trace of a Step: begin it in time."""
    rank, step, path = [*os.environ.get("SAKSI_TRACE", "").split(":", 2), "", ""][:3]
    if rank.isdigit() and step.isdigit() and path:
        _asked[:] = [int(rank), int(step), path]
        steps.ended.append(_at_step)
        if _asked[1] == 0 and session.world()[0] == _asked[0]:
            _begin()


def restore() -> None:
    """Let go of it."""
    if _asked:
        steps.ended.remove(_at_step)
        _asked.clear()


@guarded("tracing")
def _at_step(step: int) -> None:
    if _open:
        _end()
    elif step == _asked[1] - 1 and session.world()[0] == _asked[0]:
        _begin()


def _begin() -> None:
    trace = Trace(open(_asked[2], "w", encoding="ascii"))  # noqa: SIM115, PTH123  (until the Step has ended)
    if _get_current_dispatch_mode() is not None:  # whoever ends it would end ours in its place
        trace.stop("a mode of the program was in force as the step began")
        trace.file.close()
        return
    _open.append(trace)
    session.modes.append(trace)
    trace.__enter__()


def _end() -> None:
    trace = _open.pop()
    session.modes.clear()
    if _get_current_dispatch_mode() is trace:
        trace.__exit__(None, None, None)
    else:
        trace.stop("a mode of the program was in force as the step ended")
    trace.say({"kind": "end", "operations": trace.entries})
    trace.file.close()
    trace.file = None


class Trace(TorchDispatchMode):
    """Sees every operation before and after it is done; in force until the Step has ended."""

    def __init__(self, file: Any) -> None:
        super().__init__()
        self.file: Any = file
        self.entries = 0
        self.stopped = False
        self._functions: dict[int, tuple[int, Any]] = {}  # by code object, which is kept with its number
        self._unfilled: set[int] = set()
        self._modules: dict[int, str] = {}
        self._tensors: dict[int, str] = {}
        self._looks = 0
        self._roots = sorted({os.path.abspath(one) for one in [*sys.path, sys.prefix] if one}, key=len, reverse=True)  # noqa: PTH100
        self.say({"kind": "trace", "version": VERSION})
        self._look()

    def say(self, what: dict[str, Any]) -> None:
        """One line."""
        self.file.write(json.dumps(what, separators=(",", ":")) + "\n")

    def stop(self, reason: str) -> None:
        """Nothing more is written down, for this reason."""
        self.say({"kind": "stopped", "reason": reason})
        self.stopped = True

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.file is None or self.stopped or guard.is_inside() or func.namespace == "profiler":
            return func(*args, **kwargs)
        begun = self._before(func, args, kwargs)
        out = func(*args, **kwargs)
        if begun is not None:
            self._after(begun, out)
        return out

    @guarded("tracing")
    def _before(self, func: Any, args: Any, kwargs: Any) -> Any:
        named = list(_named(func, args, kwargs))
        written = [value for argument, value in named if _is_written(argument)]
        operation = func._schema.name
        entry = {
            "kind": "operation",
            "op": operation + ("." + func._schema.overload_name if func._schema.overload_name else ""),
            "args": [],
            "ins": [],
            "module": "",
            "stack": [],
        }
        for argument, value in named:
            only_written = argument is not None and getattr(argument, "is_out", False)
            self._take_in(entry, "" if argument is None else argument.name, value, only_written=only_written)
        if torch.Tag.nondeterministic_seeded in getattr(func, "tags", ()):
            entry["args"].append("generator=" + _generator(kwargs))
        self._look_up(entry)
        return entry, operation, written

    @guarded("tracing")
    def _after(self, begun: Any, out: Any) -> None:
        entry, operation, written = begun
        results = [one for _, one in memory.tensors_in(out)][:MAX_VALUES]
        changed = [one for value in written for _, one in memory.tensors_in([value])][:MAX_VALUES]
        if operation.startswith(_UNFILLED):
            self._unfilled.update(filter(None, map(_storage, results)))
        else:
            for one in changed:
                if _fills(one):
                    self._unfilled.discard(_storage(one))
            if not changed and not any("?" in each[2] for each in entry["ins"]):
                self._unfilled.difference_update(map(_storage, results))  # new memory, where freed memory was before
        entry["outs"] = [self._described(one) for one in [*results, *changed]]
        self.say(entry)
        self.entries += 1
        if self.entries == MAX_ENTRIES:
            self.stop("more operations than are kept")

    def _take_in(self, entry: dict[str, Any], name: str, value: Any, *, only_written: bool) -> None:
        for path, one in memory.leaves_in(value):
            if len(entry["ins"]) + len(entry["args"]) >= MAX_VALUES:
                return
            if isinstance(one, torch.Tensor):
                described = self._described(one)
                entry["ins"].append([described[0], described[1], "?"] if only_written else described)
            elif one is not None:
                said = one if isinstance(one, (bool, int, float, complex, str)) else plain(one)
                entry["args"].append(text(name + path + "=" + repr(said), MAX_WORDS))

    def _described(self, one: Any) -> list[str]:
        """Name of the parameter or buffer, form, and digest of what it holds, "?" where that says nothing."""
        value = memory.shard(one)
        form = str(one.dtype)[6:] + str(list(one.shape)).replace(" ", "")
        if memory.unreadable(value) is not None or _storage(value) in self._unfilled:
            return ["", form, "?"]
        held = memory.hold(value)
        digest = hashlib.blake2b(held.view, digest_size=16).hexdigest()
        return [self._tensors.get(value.data_ptr(), "") if held.nbytes else "", form, digest]

    def _look_up(self, entry: dict[str, Any]) -> None:
        """The functions that are on the stack, the innermost first, and the module that is called by them."""
        frame: Any = sys._getframe(1)
        while frame is not None and len(entry["stack"]) < MAX_STACK:
            code = frame.f_code
            if not code.co_filename.startswith(_OWN):
                entry["stack"].append([self._number_of(code), frame.f_lineno or 0])
                if not entry["module"] and code.co_name in _CALLS:
                    entry["module"] = self._module(frame.f_locals.get("self"))
            frame = frame.f_back
        if not entry["module"]:
            node = getattr(torch._C, "_current_autograd_node", lambda: None)()
            entry["module"] = "" if node is None else text("backward of " + node.name().rpartition("::")[2], MAX_WORDS)

    def _number_of(self, code: Any) -> int:
        known = self._functions.get(id(code))
        if known is None:
            known = self._functions[id(code)] = (len(self._functions), code)
            path = code.co_filename
            path = path if path.startswith("<") else os.path.abspath(path)  # noqa: PTH100
            root = next((one for one in self._roots if path.startswith(one + os.sep)), "")
            self.say(
                {
                    "kind": "function",
                    "number": known[0],
                    "file": text(path),
                    "within": text(path[len(root) + 1 :] if root else path),
                    "name": text(getattr(code, "co_qualname", code.co_name), MAX_WORDS),
                    "code": _digest_of(code),
                    "line": code.co_firstlineno or 0,
                }
            )
        return known[0]

    def _module(self, module: Any) -> str:
        if id(module) not in self._modules and self._looks < MAX_LOOKS:
            self._look()
        return self._modules.get(id(module), "")

    def _look(self) -> None:
        self._looks += 1
        for _, top in modules.top_level():
            for name, module in modules.within(top):
                self._modules[id(module)] = text(name or bare.name_of(type(module)), MAX_WORDS)
            for name, tensor in modules.parameters_of(top):
                self._tensors.setdefault(memory.shard(tensor).data_ptr(), text(name, MAX_WORDS))


def _named(func: Any, args: Any, kwargs: Any) -> Iterator[tuple[Any, Any]]:
    """Each argument with what the operation's schema says of it."""
    arguments = func._schema.arguments
    for position, value in enumerate(args):
        yield (arguments[position] if position < len(arguments) else None), value
    for argument in arguments[len(args) :]:
        if argument.name in kwargs:
            yield argument, kwargs[argument.name]


def _is_written(argument: Any) -> bool:
    alias = getattr(argument, "alias_info", None)
    return alias is not None and bool(alias.is_write)


def _storage(value: Any) -> Optional[int]:
    try:
        return int(memory.shard(value).untyped_storage().data_ptr()) or None
    except (RuntimeError, NotImplementedError, AttributeError):  # a wrapper, or a kind of tensor without one
        return None


def _fills(value: Any) -> bool:
    """Whether it is all of its memory."""
    try:
        return bool(value.numel() * value.element_size() == value.untyped_storage().nbytes())
    except (RuntimeError, NotImplementedError):
        return False


def _generator(kwargs: Any) -> str:
    given = kwargs.get("generator")
    state = (torch.default_generator if given is None else given).get_state()
    return hashlib.blake2b(memory.hold(state).view, digest_size=8).hexdigest()


def _digest_of(code: Any) -> str:
    try:
        return code_digest(code)
    except ValueError:
        return ""
