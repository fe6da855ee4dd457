"""Which of the functions that a loaded file imports run programs or code: an observation by name, no gate.

Rules: names of torch, numpy and plain containers are expected, one by one, since a module that is allowed as a whole
leads to everything that it imports itself; names that execute, or reach anything by its name, are a warning; all
others are told. A name that is on neither list may do anything: that is what pickles are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Final

from saksi.judgement.checks.fold import Noted, observation
from saksi.judgement.items import Item
from saksi.words.findings import Finding
from saksi.words.records import FileRecord

__all__ = ["CKPT_IMPORTS", "CkptImportCheck", "executing", "unexpected"]

CHECK_NAME: Final = "ckpt_imports"
EXECUTES: Final = "ckpt.executes"
SHOWN: Final = 6
NOT_NAMES: Final = frozenset({"…"})
_finding = partial(observation, check=CHECK_NAME)

_BUILTINS: Final = frozenset({"builtins", "__builtin__"})
_PLAIN: Final = frozenset({
    "bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "object", "range", "set",
    "slice", "str", "tuple",
})  # fmt: skip
_NUMPY: Final = (
    r"numpy\.(?:(?:_core|core)\.(?:multiarray\.(?:_reconstruct|scalar)|numeric\._frombuffer)|dtype|ndarray|dtypes\.\w+"
    r"|random\._pickle\.__\w+_ctor)"
)
_TORCH: Final = (
    r"torch\.(?:_utils\._rebuild_\w+|_tensor\._rebuild_from_type_v2|storage\.\w*Storage|\w*Storage|Size|Tensor|Generator"
    r"|device|serialization\._get_layout|nn\.parameter\.(?:Parameter|Buffer|Uninitialized\w+)|nn\.modules\.\w+\.[A-Z]\w*"
    r"|optim\.\w+\.[A-Z]\w*|distributed\.(?:checkpoint|tensor|_shard|device_mesh)[\w.]*\._?[A-Z]\w*"
    r"|(?:b?float|q?u?int|complex|float8_)\w*|bool|per_tensor_affine|per_channel_affine)"
)
_OTHERS: Final = (
    r"collections\.(?:OrderedDict|defaultdict|Counter|deque)|_codecs\.encode|copy_?reg\._reconstructor|_?io\.BytesIO"
    r"|datetime\.\w+|decimal\.Decimal|fractions\.Fraction|uuid\.UUID|argparse\.Namespace|types\.SimpleNamespace"
    r"|pathlib\.(?:_local\.)?(?:Pure)?(?:Posix|Windows)?Path"
)
_EXPECTED: Final = re.compile(f"{_NUMPY}|{_TORCH}|{_OTHERS}")
_CALLS: Final = frozenset({
    "__import__", "breakpoint", "compile", "delattr", "eval", "exec", "execfile", "globals", "input", "locals", "open",
    "setattr", "vars",
})  # fmt: skip
"""Of Python's own functions. `getattr` is needed for nested classes, and weighed by what stands beside it."""
_MODULES: Final = frozenset({
    "_pickle", "_posixsubprocess", "_winapi", "asyncio", "bdb", "codeop", "ctypes", "distutils", "ftplib", "httplib",
    "idlelib", "imp", "importlib", "linecache", "marshal", "multiprocessing", "nt", "os", "pdb", "pickle", "pip",
    "pkgutil", "posix", "pty", "requests", "runpy", "shutil", "signal", "smtplib", "socket", "ssl", "subprocess", "sys",
    "tempfile", "threading", "timeit", "urllib", "urllib2", "webbrowser", "zipimport",
})  # fmt: skip
"""Modules whose functions run programs or code, load more of it, or read, write and send files. Names that projects
give their own folders (`code`, `profile`) are not among them."""
_WITHIN: Final = frozenset({
    "builtins", "ctypes", "importlib", "nt", "os", "posix", "pty", "runpy", "subprocess", "sys",
})  # fmt: skip
"""Modules that are reached through others: `torch.serialization.os.system`."""
_CODE: Final = re.compile(
    r"_?io\.(?:open|open_code|FileIO)|_?operator\.(?:attrgetter|methodcaller)|_?functools\.reduce"
    r"|types\.(?:FunctionType|CodeType)|code\.(?:interact|compile_command|Interactive\w+)|c?[Pp]rofile\.run\w*"
    r"|torch\.(?:load|serialization\.load|(?:hub|package|utils\.cpp_extension)\..+)"
    r"|numpy\.(?:testing\..+runstring|load|fromfile)"
)


def executing(names: Sequence[str]) -> tuple[str, ...]:
    """Those that run programs or code, or reach anything by its name."""
    found = [each for each in names if _executes(each)]
    own = any(not _is_expected(each) and not _executes(each) and not _is_getattr(each) for each in names)
    return tuple(found + [each for each in names if _is_getattr(each) and not own])


def unexpected(names: Sequence[str]) -> tuple[str, ...]:
    """Those that are neither expected nor executing."""
    known = {*executing(names), *NOT_NAMES}
    return tuple(each for each in names if each not in known and not _is_expected(each))


def _executes(name: str) -> bool:
    parts = name.split(".")
    if parts[0] in _BUILTINS:
        return parts[-1] in _CALLS
    return parts[0] in _MODULES or not _WITHIN.isdisjoint(parts[1:]) or _CODE.fullmatch(name) is not None


def _is_getattr(name: str) -> bool:
    return name.partition(".")[0] in _BUILTINS and name.endswith(".getattr")


def _is_expected(name: str) -> bool:
    module, _, plain = name.partition(".")
    return (module in _BUILTINS and plain in _PLAIN) or _EXPECTED.fullmatch(name) is not None or name in NOT_NAMES


class CkptImportCheck:
    """The imports of every file that was loaded, or could not be: they run before a pickle is read through."""

    name = CHECK_NAME

    def start(self) -> Noted:
        """See `Check.start`."""
        return Noted()

    def step(self, state: Noted, item: Item) -> tuple[Noted, tuple[Finding, ...]]:
        """See `Check.step`."""
        record = item.record
        if isinstance(record, FileRecord) and record.action != "saved" and record.imports:
            _look(state, item.index, record, record.imports)
        return state, state.news()

    def finish(self, state: Noted, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        del ended
        return state.kept()


def _look(noted: Noted, entry: int, record: FileRecord, names: list[str]) -> None:
    runs, others = executing(names), unexpected(names)
    step = record.step + 1
    of = partial(
        _finding, code=EXECUTES, subject=record.path, steps=(step, step), ranks=(record.rank,), evidence=(entry,)
    )
    if runs:
        message = (
            f"It is a pickle that imports what runs programs or code as it is loaded: {_listed(runs)}. A file that "
            "holds whole objects in place of tensors may do so without meaning to."
        )
        noted.note(of(message=message))
    elif others:
        message = f"It is a pickle that imports more than tensors need: {_listed(others)}. Classes of a project do so."
        noted.note(of(severity="info", message=message))


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


CKPT_IMPORTS: Final = CkptImportCheck()
