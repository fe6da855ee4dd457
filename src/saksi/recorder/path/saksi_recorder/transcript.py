"""Every operation of one Step, written down: what went in, what came out, and the functions that were on the stack.

Only an audit asks for it (`SAKSI_TRANSCRIPT`), for one Step that it knows to differ. The transcript begins as the Step
before has ended, so that loading, forward, backward and what a program does in between are in it.

Rules: it changes no operation and no generator; what fails here ends the transcript and not the training; memory that
no operation has filled yet has no digest, nor has what a collective has not finished. The file gets its name once the
Step has ended, so that a process which only inherited the variable leaves nothing there.

Known weakness: what is compiled (`torch.compile`, TorchScript) runs past it, as does whatever writes into memory
without an operation of this thread; what that changed is seen as an input that nothing made.
"""

# ruff: noqa: SLF001  (torch gives no public name to what is read here)

from __future__ import annotations

import hashlib
import json
import os
import sys
from typing import Any, Callable, Iterator, Optional

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode

from . import bare, guard, memory, modules, session, steps
from .code_digest import code_digest
from .guard import guarded
from .plain import plain, text

VERSION = 1
MAX_OPERATIONS = 99_999
MAX_BYTES = 60 * 1024 * 1024
MAX_STACK = 200
MAX_VALUES = 4096  # of one operation
MAX_WORDS = 400
MAX_LOOKS = 64  # for modules that were built meanwhile
_UNFILLED = ("aten::empty", "aten::new_empty", "aten::resize_")
_LATER = ("c10d::", "_c10d_functional::", "_dtensor::")  # collectives: their results come later
_CALLS = ("_call_impl", "_wrapped_call_impl")

_asked: list[Any] = []
_open: list[Any] = []


def install() -> None:
    """Where an audit asks for the operations of a Step: begin in time."""
    rank, step, path = [*os.environ.get("SAKSI_TRANSCRIPT", "").split(":", 2), "", ""][:3]
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
    if _open:
        _end()


def after_fork_in_child() -> None:
    """A child writes nothing down: the file is its parent's."""
    for transcript in _open:
        transcript.leave()
    _open.clear()
    if _asked:
        steps.ended.remove(_at_step)
        _asked.clear()


@guarded("transcript")  # a part of its own: where writing down fails, the end has to be said all the same
def _at_step(step: int) -> None:
    if _open:
        _end()
    elif step == _asked[1] - 1 and session.world()[0] == _asked[0]:
        _begin()


def _begin() -> None:
    transcript = Transcript(_asked[2])
    if _get_current_dispatch_mode() is not None:  # whoever ends it would end ours in its place
        transcript.stop("a mode of the program was in force as the step began")
        transcript.close()
        return
    _open.append(transcript)
    transcript.__enter__()


def _end() -> None:
    transcript = _open.pop()
    if _get_current_dispatch_mode() is transcript:
        transcript.__exit__(None, None, None)
    else:
        transcript.stop("another mode or another thread was in force as the step ended")
    transcript.close()


class Transcript(TorchDispatchMode):
    """Sees every operation before and after it is done; in force until the Step has ended."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._paths = "%s.%d" % (path, os.getpid()), path
        mode = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        # Line by line: what waits in a buffer would be written by a forked child as well.
        self._file: Any = open(os.open(self._paths[0], mode, 0o600), "w", 1, encoding="ascii")  # noqa: SIM115, PTH123
        self._room = MAX_BYTES
        self.operations = 0
        self.stopped = False
        self._functions: dict[int, tuple[int, Any]] = {}  # by code object, which is kept with its number
        self._unfilled: set[int] = set()
        self._modules: dict[int, str] = {}
        self._tensors: dict[int, str] = {}
        self._looks = 0
        prefix = str(__package__) + "."
        self._own = {id(vars(one)) for name, one in list(sys.modules.items()) if name.startswith(prefix)}
        self._roots = sorted({os.path.abspath(one) for one in [*sys.path, sys.prefix] if one}, key=len, reverse=True)  # noqa: PTH100
        self.say({"kind": "transcript", "version": VERSION})
        self._look()

    def say(self, what: dict[str, Any]) -> None:
        """One line, as long as there is room."""
        line = json.dumps(what, separators=(",", ":")) + "\n"
        self._room -= len(line)
        if self._room < 0 and what["kind"] != "stopped":
            self.stop("there are more than %d bytes of them" % MAX_BYTES)
        elif not self.stopped:
            self._file.write(line)

    def stop(self, reason: str) -> None:
        """Nothing more is written down, for this reason."""
        if not self.stopped:
            self.say({"kind": "stopped", "reason": text(reason, MAX_WORDS)})
            self.stopped = True

    def close(self) -> None:
        """The Step has ended: the file gets the name that was asked for."""
        self.say({"kind": "end", "operations": self.operations})
        self.stopped = True
        self._file.close()
        os.replace(*self._paths)  # noqa: PTH105

    def leave(self) -> None:
        """In a forked child: the mode stays in force, and does nothing."""
        self.stopped = True

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.stopped or guard.is_inside() or func.namespace == "profiler":
            return func(*args, **kwargs)
        begun = self._before(func, args, kwargs)
        out = func(*args, **kwargs)
        if begun is not None:
            self._after(begun, out)
        return out

    def _before(self, func: Any, args: Any, kwargs: Any) -> Any:
        return self._written(lambda: self._described_before(func, args, kwargs))

    def _after(self, begun: Any, out: Any) -> None:
        self._written(lambda: self._say_after(begun, out))

    def _written(self, act: Callable[[], Any]) -> Any:
        """What `act` returns; where it fails, the transcript ends with that, and training goes on."""
        with guard.inside():
            try:
                return act()
            except Exception as error:
                if guard.is_of_a_signal_handler(error):
                    raise
                self.stop("it could not be written down: %s" % type(error).__name__)
                return None

    def _described_before(self, func: Any, args: Any, kwargs: Any) -> Any:
        named = list(_named(func, args, kwargs))
        late = func._schema.name.startswith(_LATER)
        written = [value for argument, value in named if late or _is_written(argument)]
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

    def _say_after(self, begun: Any, out: Any) -> None:
        entry, operation, written = begun
        results = [one for _, one in memory.tensors_in(out)][:MAX_VALUES]
        changed = [one for value in written for _, one in memory.tensors_in([value])][:MAX_VALUES]
        if operation.startswith((*_UNFILLED, *_LATER)):
            self._unfilled.update(filter(None, map(_storage, [*results, *changed])))
        else:
            for one in changed:
                if _fills(one):
                    self._unfilled.discard(_storage(one))
            if not changed and not any("?" in each[2] for each in entry["ins"]):
                self._unfilled.difference_update(map(_storage, results))  # new memory, where freed memory was before
        entry["outs"] = [self._described(one) for one in [*results, *changed]]
        self.say(entry)
        self.operations += not self.stopped
        if self.operations == MAX_OPERATIONS:
            self.stop("there are more than %d of them" % MAX_OPERATIONS)

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
            if id(frame.f_globals) not in self._own:
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
