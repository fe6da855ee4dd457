"""torch is here: connect, put every part in place, and see to forks and to the end of the process.

Rules: a part that cannot be put in place (another version of torch) is said in a `fault` frame, and the others stand.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from typing import Any, Callable, Optional

from . import guard, session
from .arm import FINDER
from .plain import text

VERSION = 1
PARTS = ("device", "optimizers", "modules", "steps", "gradients", "scaling", "farewell")
PARTS += ("schedules", "batches", "generators", "files", "metrics", "live_code")
ASKED_FOR = ("transcript", "doctor", "planted", "capsules", "hollow")  # by variables of their names
FLUSH_S = 2.0
LAST_STATE = "the state of the last steps"
INITIAL = -1  # the step of the first root
FLAG_VARIABLES = ("CUBLAS_WORKSPACE_CONFIG", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "PYTHONHASHSEED")

_ended = [False]
_finalizer: list[Any] = []


def attach() -> None:
    """Once, after torch has been executed."""
    session.begin(os.environ["SAKSI_SOCKET"], os.environ.get("SAKSI_TOKEN", ""))
    if os.environ.get("SAKSI_THREADS"):  # before the first frame, which says how many there are
        _part("threads", lambda: _module("threads").install())
    session.announcers.append(lambda: [("hello", hello())])
    session.say_hello()
    os.register_at_fork(after_in_child=_after_fork_in_child)
    atexit.register(end)
    _install()
    session.wakers.append(_at_exit_of_a_child)
    _at_exit_of_a_child()
    FINDER.wait_for("multiprocessing.util", _watch_children_start)


def _install() -> None:
    # Each import and each installation on its own: what one version of torch lacks, costs that part only.
    _part("memory", lambda: __import__(__package__ + ".memory"))
    asked = [name for name in ASKED_FOR if os.environ.get("SAKSI_" + name.upper())]
    if os.environ.get("SAKSI_SAMPLES"):
        asked.append("drawing")
    for name in (*PARTS, *asked):
        _part(name, lambda name=name: _module(name).install())
    _part("formats", lambda: _module("formats"))
    if "optimizers" in _installed:
        session.announcers.append(_module("optimizers").announced)
    if "batches" in _installed:
        session.announcers.append(_module("batches").announced)
    if "generators" in _installed:  # numpy loads its generators only when they are first asked for
        FINDER.wait_for("numpy.random", _module("generators").install_numpy)
    if "formats" in _installed:
        formats = _module("formats")
        FINDER.wait_for(formats.SAFETENSORS, formats.install_safetensors)
        FINDER.wait_for(formats.DISTRIBUTED, formats.install_distributed)
    if "metrics" in _installed:
        for name, install in _module("metrics").INSTALLERS:
            FINDER.wait_for(name, install)
    if "steps" in _installed:
        FINDER.wait_for("torch._dynamo", _module("dynamo").hide)


_installed: set[str] = set()


def _part(name: str, install: Callable[[], Any]) -> None:
    try:
        install()
    except Exception as error:
        guard.fault("install." + name, error)
    else:
        _installed.add(name)


def _module(name: str) -> Any:
    from importlib import import_module

    return import_module("." + name, __package__)


def hello() -> dict[str, Any]:
    """The first frame of a connection."""
    import torch

    rank, world_size = session.known_world()
    return {
        "version": VERSION,
        "pid": os.getpid(),
        "ppid": os.getppid(),
        "rank": rank,
        "local_rank": session.count_of("LOCAL_RANK", 0),
        "world_size": world_size,
        "forked": session.forked,
        "level": session.level,
        "python": text(".".join(str(part) for part in sys.version_info[:3])),
        "implementation": text(sys.implementation.name),
        "executable": text(sys.executable or ""),
        "torch": text(torch.__version__),
        "threads": torch.get_num_threads(),
        "deterministic": bool(torch.are_deterministic_algorithms_enabled()),
        "flags": _flags(torch),
        "fingerprint_key": session.key.hex(),
        "switched_off": False,
        "answers": True,
    }


def _flags(torch: Any) -> dict[str, Any]:
    try:
        flags = {
            "cuda": torch.version.cuda,
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "cudnn_deterministic": torch.backends.cudnn.deterministic,
            "default_dtype": str(torch.get_default_dtype()),
            "matmul_precision": torch.get_float32_matmul_precision(),
            "interop_threads": torch.get_num_interop_threads(),
            "optimize": sys.flags.optimize,
        }
    except Exception as error:
        flags = {"error": text(error, 200)}
    flags.update({name: text(os.environ[name], 200) for name in FLAG_VARIABLES if name in os.environ})
    if "threads" in _installed:
        flags.update(_module("threads").said())
    return flags


def _after_fork_in_child() -> None:
    try:
        session.after_fork_in_child()
        if "steps" in _installed:
            _module("steps").after_fork_in_child()
            _module("finished").after_fork_in_child()
            _module("averages").after_fork_in_child()
            _module("deferred").after_fork_in_child()
            _module("staged").after_fork_in_child()
        if "gradients" in _installed:
            _module("unseen").after_fork_in_child()
        for name in ("metrics", *ASKED_FOR):
            if name in _installed:
                _module(name).after_fork_in_child()
    except Exception:  # half of the parent's state is worse than none; the agent sees a child that never came
        session.channel = None


def _at_exit_of_a_child() -> None:
    # A child of multiprocessing may end by os._exit: only its finalizers run then, the lowest priority last. As it
    # starts it clears those it has, and calls what is registered for that moment; a forkserver's child has torch then.
    util = session.loaded("multiprocessing.util")
    process = session.loaded("multiprocessing.process")
    if util is not None and process is not None and process.parent_process() is not None:
        _finalizer[:] = [util.Finalize(None, end, exitpriority=-1000)]


def _watch_children_start() -> None:
    util = session.loaded("multiprocessing.util")
    util.register_after_fork(_at_exit_of_a_child, lambda act: act())


def end() -> None:
    """The interpreter is ending: the last root, what was imported, and goodbye. At most two seconds of waiting."""
    if _ended[0] or session.dormant or session.channel is None:
        return
    _ended[0] = True
    until = time.monotonic() + FLUSH_S
    try:
        _last_words(until - FLUSH_S / 2)  # half of it for devices: what they deliver has to leave as well
        session.channel.flush(max(0.0, until - time.monotonic()))
        session.channel.close()
    except Exception:  # the interpreter is half gone; readers find that the goodbye is missing
        pass


@guard.guarded("detach")
def _last_words(devices_until: float) -> None:
    if session.step >= 0 and "memory" in _installed:
        _last_root()
    if "steps" in _installed:
        _module("deferred").finish(devices_until)
    for part, name in (("steps", "steps"), ("gradients", "unseen")):
        if part in _installed:
            _module(name).say_at_the_end()
    if "farewell" in _installed:
        _module("farewell").end()
    if "live_code" in _installed:
        _module("live_code").at_exit()
    _module("environment").say()
    if session.channel is not None:
        session.say(
            "detach",
            {
                "updates": session.counts(),
                "frames": session.channel.made + 1,
                "self_ns": guard.cpu_ns(),
                "exception": _exception(),
            },
        )


def _last_root() -> None:
    """The root that ends the last segment. A program that has let go of its model can no longer be asked for one."""
    state = _module("state")
    bound, left = state.bound_until(), state.unbound()
    living = [number for number, _ in _module("optimizers").living()]
    reason = "the last root is of step %d" % bound
    if session.trains_elsewhere():
        if left:
            session.uncovered(LAST_STATE, "another thread still trained as the program ended; " + reason)
        return
    if living:  # buffers alone are not the state that a Step left behind
        state.root("exit", session.step)
    if state.was_refused():
        return
    if bound < session.step and 0 not in living:
        session.uncovered(LAST_STATE, "the program let go of its model before it ended; " + reason)
    elif bound >= INITIAL and state.unbound():
        reason = "%d updates, by optimizers that the program let go of, came later; %s" % (left, reason)
        session.uncovered("the states between later updates", reason)


def _exception() -> Optional[str]:
    error = getattr(sys, "last_exc", None)
    kind = type(error) if error is not None else getattr(sys, "last_type", None)
    if kind is None:
        return None
    return text(kind.__module__ + "." + kind.__qualname__ if kind.__module__ != "builtins" else kind.__qualname__)
