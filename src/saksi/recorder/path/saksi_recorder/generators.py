"""The state of every generator as a digest, and who seeded them. Nothing is ever drawn here.

Patched, because there is no hook: `torch.manual_seed` (also `torch.random.manual_seed`), `random.seed` and, once numpy
is loaded, `numpy.random.seed`. Reseeding through other doors (`set_rng_state`, a generator of one's own) shows in the
digests only.
"""

# ruff: noqa: SLF001  (torch gives no public name to what is read here)

from __future__ import annotations

import functools
import hashlib
import random
import struct
import sys
from typing import Any, Callable, Optional

import torch

from . import memory, session
from .guard import guarded
from .plain import text

_original_torch = torch.manual_seed
_original_python = random.seed
_original_numpy: Optional[Callable[..., Any]] = None


@functools.wraps(_original_torch)
def torch_seed(*args: Any, **kwargs: Any) -> Any:
    """Torch's own, told of first."""
    if torch.compiler.is_compiling():
        return _original_torch(*args, **kwargs)
    seeded("torch", args, kwargs)
    return _original_torch(*args, **kwargs)


@functools.wraps(_original_python)
def python_seed(*args: Any, **kwargs: Any) -> Any:
    """Python's own, told of first."""
    if torch.compiler.is_compiling():
        return _original_python(*args, **kwargs)
    seeded("python", args, kwargs)
    return _original_python(*args, **kwargs)


def numpy_seed(*args: Any, **kwargs: Any) -> Any:
    """Numpy's own, told of first."""
    if torch.compiler.is_compiling():
        return _original_numpy(*args, **kwargs)  # type: ignore[misc]
    seeded("numpy", args, kwargs)
    return _original_numpy(*args, **kwargs)  # type: ignore[misc]


def install() -> None:
    """Put the wrappers in place."""
    torch.manual_seed = torch.random.manual_seed = torch_seed
    random.seed = python_seed


def install_numpy() -> None:
    """Put numpy's wrapper in place, once somebody has loaded `numpy.random`."""
    global _original_numpy
    module = session.loaded("numpy.random")
    if module is not None and _original_numpy is None and hasattr(module, "seed"):
        _original_numpy = module.seed
        functools.update_wrapper(numpy_seed, module.seed)
        module.seed = numpy_seed


def restore() -> None:
    """Put the originals back."""
    global _original_numpy
    torch.manual_seed = torch.random.manual_seed = _original_torch
    random.seed = _original_python
    if _original_numpy is not None:
        sys.modules["numpy.random"].seed = _original_numpy  # type: ignore[attr-defined]
        _original_numpy = None


@guarded("seeded")
def seeded(generator: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Say which generator is about to be seeded, with what, from where."""
    values = list(args) + list(kwargs.values())
    with memory.quiet():
        seed = text(memory.described(values[0]) if values else None)
    session.say("seeded", {"generator": generator, "seed": seed, "caller": caller()})


def caller() -> Optional[str]:
    """File and line of the innermost frame that is not ours."""
    frame: Any = sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith("saksi_recorder"):
        frame = frame.f_back
    return None if frame is None else text("%s:%d" % (frame.f_code.co_filename, frame.f_lineno))


@guarded("rng", dict)
def states() -> dict[str, str]:
    """SHA-256 of each generator's state, in the byte forms of `spec/frames.md`. Call inside `quiet`."""
    version, words, gauss = random.getstate()
    out = {"python": _sha(struct.pack("<625I", *words), repr((version, gauss)))}
    numpy = session.loaded("numpy.random")
    if numpy is not None:
        if not _has_twister(numpy):
            session.uncovered("numpy's global generator", "not the Mersenne Twister that the record knows")
        else:
            _, key, position, has_gauss, cached = numpy.get_state()
            out["numpy"] = _sha(key.tobytes(), repr((int(position), int(has_gauss), float(cached))))
    state = torch.default_generator.get_state()
    out["torch"] = hashlib.sha256(memory.hold(state).view).hexdigest()
    cuda = session.loaded("torch.cuda")
    if cuda is not None and cuda.is_initialized():
        session.uncovered("generators of the devices", "their states are not read")
    return out


def _has_twister(numpy: Any) -> bool:
    # Asked of the object: `get_state` warns about any other generator.
    return type(numpy.mtrand._rand._bit_generator).__name__ == "MT19937"


def _sha(words: bytes, rest: str) -> str:
    digest = hashlib.sha256(words)
    digest.update(rest.encode("ascii"))
    return digest.hexdigest()
