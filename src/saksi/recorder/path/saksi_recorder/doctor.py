"""What `saksi doctor` asks of a launch: when it ends, and notes on how the program puts its state back.

Only the doctor asks for it (`SAKSI_DOCTOR`), of launches that it makes to be ended. After so many Steps the process
ends itself as a kill would, between two Steps; until then a file holds, one JSON object a line, what no frame says:
that a generator was put back, that a DataLoader's iterator was made and whether torch's generator moved meanwhile, the
settings as training begins, and what lies in a model checkpoint.

A launcher may start a rank again that ended itself so (torchrun's --max-restarts, a loop in a shell). That one would
be a resume of its own, which nobody asked for: it ends itself at once, and leaves a file that says so. Of several ranks
that is known only where a variable says which they are; in the place of a single one, whatever begins counts.

Rules: nothing is drawn from a generator, no operation is changed; what fails here ends the notes alone. A child that
was forked writes nothing and ends nothing.
"""

# ruff: noqa: SLF001, PTH100, PTH123, PTH207  (torch gives no public name to what is read here; plain os: light)

from __future__ import annotations

import functools
import glob
import json
import os
import random
import signal
import sys
import zipfile
from typing import Any, Callable, Optional

import torch
from torch.utils.data import dataloader as _dataloader

from . import files, generators, memory, modules, session, state, steps
from .arm import FINDER
from .guard import guarded
from .plain import text

MAX_NOTES = 4096
MAX_MEMBERS = 2048
_FOR_SAVES = 256  # places that other notes leave for what was saved, and for the end
_KEPT_FOR = {"ended": 0, "saved": 1, "renamed": 1, "began": 1}
RESTARTED = ".restarted"  # behind the path of the notes: a rank that had ended was started again
_LAST_LINE = 128  # bytes of the end of a file in which the note of an end lies whole
FLUSH_S = 10.0  # nobody waits for this process: it is about to be ended

_Iterator = _dataloader._BaseDataLoaderIter
_original_init = _Iterator.__init__  # with what `batches` put there
_original_torch = torch.set_rng_state
_original_python = random.setstate
_original_numpy: Optional[Callable[..., Any]] = None

_asked: list[Any] = []  # Steps at least, Steps beyond the first save, Steps at most, where the notes go
_file: list[Any] = []
_first_save: list[int] = []
_paths: set[str] = set()
_watches = [False]
_has_begun = [False]
_count = [0]


@functools.wraps(_original_torch)
def set_torch(*args: Any, **kwargs: Any) -> Any:
    """Torch's own; noted afterwards."""
    if torch.compiler.is_compiling():
        return _original_torch(*args, **kwargs)
    result = _original_torch(*args, **kwargs)
    restored("torch")
    return result


@functools.wraps(_original_python)
def set_python(*args: Any, **kwargs: Any) -> Any:
    """Python's own; noted afterwards."""
    if torch.compiler.is_compiling():
        return _original_python(*args, **kwargs)
    result = _original_python(*args, **kwargs)
    restored("python")
    return result


def set_numpy(*args: Any, **kwargs: Any) -> Any:
    """Numpy's own; noted afterwards."""
    if torch.compiler.is_compiling():
        return _original_numpy(*args, **kwargs)  # type: ignore[misc]
    result = _original_numpy(*args, **kwargs)  # type: ignore[misc]
    restored("numpy")
    return result


@functools.wraps(_original_init)
def iterate(self: Any, *args: Any, **kwargs: Any) -> None:
    """Torch's own, and whether it drew from torch's generator."""
    if torch.compiler.is_compiling():
        return _original_init(self, *args, **kwargs)
    before = state_of("torch")
    result = _original_init(self, *args, **kwargs)
    iterated(self, before, args[0] if args else kwargs.get("loader"))
    return result


def install() -> None:
    """Where the doctor asks: begin."""
    least, beyond, most, path = [*os.environ.get("SAKSI_DOCTOR", "").split(":", 3), "", "", "", ""][:4]
    if not (path and all(each.isascii() and each.isdigit() for each in (least, beyond, most))):
        return
    if _has_ended(path):
        os.close(os.open(path + RESTARTED, os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600))
        os.kill(os.getpid(), signal.SIGKILL)
    _asked[:] = [int(least), int(beyond), int(most), path]
    torch.set_rng_state = torch.random.set_rng_state = set_torch
    random.setstate = generators._in_place_of(_original_python, set_python)
    FINDER.wait_for("numpy.random", _install_numpy)
    _Iterator.__init__ = iterate
    state.saved.append(saved)
    steps.begun.append(_begins)
    steps.ended.append(_at_step)
    if not _watches[0]:
        _watches[0] = True
        sys.addaudithook(_heard)  # there is no way to take it back


def _has_ended(path: str) -> bool:
    """Whether a process of this launch that trained as this rank has ended itself."""
    rank = os.environ.get("RANK", "")
    ended = (
        '"kind":"ended","rank":%s,' % rank
        if rank.isascii() and rank.isdigit()
        else '"kind":"ended","rank":0,"world_size":1}'
    )
    for name in glob.glob(glob.escape(path) + ".*"):
        with open(name, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LAST_LINE))
            if ended in file.read().decode("ascii", "replace"):
                return True
    return False


def _install_numpy() -> None:
    global _original_numpy
    module = session.loaded("numpy.random")
    if module is not None and _original_numpy is None and hasattr(module, "set_state"):
        _original_numpy = module.set_state
        module.set_state = generators._in_place_of(_original_numpy, set_numpy)


def restore() -> None:
    """Put everything back."""
    global _original_numpy
    if not _asked:
        return
    _let_go()
    torch.set_rng_state = torch.random.set_rng_state = _original_torch
    random.setstate = _original_python
    if _original_numpy is not None:
        sys.modules["numpy.random"].set_state = _original_numpy  # type: ignore[attr-defined]
        _original_numpy = None
    _Iterator.__init__ = _original_init


def after_fork_in_child() -> None:
    """A child writes no notes and is not ended: both are its parent's."""
    if _asked:
        _let_go()


def _let_go() -> None:
    _asked.clear()
    _file.clear()
    state.saved.remove(saved)
    steps.ended.remove(_at_step)
    steps.begun.remove(_begins)


@guarded("doctor")
def restored(generator: str) -> None:
    """A generator was given a state."""
    if _asked:
        _note({"kind": "restored", "generator": generator, "state": state_of(generator), "at": generators.caller()})


@guarded("doctor")
def iterated(iterator: Any, before: Optional[str], loader: Any) -> None:
    """An iterator of a DataLoader was made."""
    if _asked:
        workers = getattr(iterator, "_num_workers", 0)
        own = getattr(loader, "generator", None) is not None
        drew = before is not None and state_of("torch") != before
        _note({"kind": "iterated", "workers": int(workers), "own": own, "drew": drew, "at": _user()})


@guarded("doctor")
def saved() -> None:
    """A model checkpoint was saved."""
    if not _asked:
        return
    path = files.last_saved[0]
    if session.step >= 0 and not _first_save:
        _first_save.append(session.step + 1)
    if path is not None:
        _paths.add(path)
    _note({"kind": "saved", "path": path, "members": None if path is None else _members(path)})


def _heard(event: str, args: tuple[Any, ...]) -> None:
    if event == "os.rename" and _paths and _asked:
        renamed(args)


@guarded("doctor")
def renamed(args: tuple[Any, ...]) -> None:
    """A file is about to be given another name; noted if it was saved: a save is often made whole in this way."""
    old, new = (os.path.abspath(os.fsdecode(one)) for one in args[:2])
    if old in _paths:
        _paths.add(new)
        _note({"kind": "renamed", "path": text(old), "to": text(new)})


def _members(path: str) -> Any:
    """Name, checksum and size of what torch's zip holds; None of another form."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = archive.infolist()
    except (OSError, ValueError, zipfile.BadZipFile):
        return None
    return [[text(one.filename.partition("/")[2], 200), one.CRC, one.file_size] for one in found[:MAX_MEMBERS]]


@guarded("doctor")
def _begins() -> None:
    if _has_begun[0]:
        return
    _has_begun[0] = True
    rank, world_size = session.world()
    said = {
        "kind": "began",
        "rank": rank,
        "world_size": world_size,
        "threads": torch.get_num_threads(),
        "deterministic": bool(torch.are_deterministic_algorithms_enabled()),
        "compiled": session.loaded("torch._dynamo") is not None and _has_compiled(),
    }
    _note(said)


def _has_compiled() -> bool:
    return any("_dynamo" in type(one).__module__ for _, one in modules.top_level())


@guarded("doctor")
def _at_step(step: int) -> None:
    if not _asked:
        return
    least, beyond, most, _ = _asked
    done = step + 1
    over = bool(_first_save) and done >= max(least, _first_save[0] + beyond)
    if not over and done < most:
        return
    if session.channel is not None:
        session.channel.flush(FLUSH_S)
    rank, world_size = session.world()
    _note({"kind": "ended", "rank": rank, "world_size": world_size})
    os.kill(os.getpid(), signal.SIGKILL)


def _note(said: dict[str, Any]) -> None:
    if not _file:
        name = "%s.%d" % (_asked[3], os.getpid())
        mode = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        _file.append(os.open(name, mode, 0o600))
    if _count[0] < MAX_NOTES - _KEPT_FOR.get(said["kind"], _FOR_SAVES):
        _count[0] += 1
        os.write(_file[0], (json.dumps({"step": session.step, **said}, separators=(",", ":")) + "\n").encode("ascii"))


@guarded("doctor", lambda: None)
def state_of(generator: str) -> Optional[str]:
    """The digest of a global generator's state, as the records have it."""
    if not _asked:
        return None
    with memory.quiet():
        return (
            generators.states().get(generator) if generator != "torch" else generators.of_torch(torch.default_generator)
        )


def _user() -> Optional[str]:
    """File and line of the innermost frame that is neither ours nor the loader's."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if not name.startswith(("saksi_recorder", "torch.utils.data")):
            return text("%s:%d" % (frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back
    return None
