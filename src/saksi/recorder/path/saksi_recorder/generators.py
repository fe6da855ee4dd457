"""The state of every generator as a digest, and who seeded them. Nothing is ever drawn here.

Patched, because there is no hook: `torch.manual_seed` (also `torch.random.manual_seed`), `random.seed` and, once numpy
is loaded, `numpy.random.seed`. Reseeding through other doors (`set_rng_state`, a generator of one's own) shows in the
digests only. Of generators that a script keeps for itself, those are followed that `numpy.random.default_rng` made and
those that a DataLoader or its sampler was given.
"""

# ruff: noqa: SLF001  (torch gives no public name to what is read here)

from __future__ import annotations

import functools
import hashlib
import json
import random
import struct
import sys
import types
from typing import Any, Callable, Optional

import torch

from . import memory, session
from .guard import guarded
from .plain import text

_original_torch = torch.manual_seed
_original_python = random.seed
_original_numpy: Optional[Callable[..., Any]] = None
_original_default: Optional[Callable[..., Any]] = None
_made: dict[int, Any] = {}  # numpy's generators, in the order they were made; there are no weak references to them
_count = [0]

MAX_GENERATORS = 16
ONLY_OURS = 2  # the table's reference, and the argument of the call that counts


@functools.wraps(_original_torch)
def torch_seed(*args: Any, **kwargs: Any) -> Any:
    """Torch's own, told of first."""
    if torch.compiler.is_compiling():
        return _original_torch(*args, **kwargs)
    seeded("torch", args, kwargs)
    return _original_torch(*args, **kwargs)


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


def default_rng(*args: Any, **kwargs: Any) -> Any:
    """Numpy's own; the generator is followed from now on."""
    if torch.compiler.is_compiling():
        return _original_default(*args, **kwargs)  # type: ignore[misc]
    generator = _original_default(*args, **kwargs)  # type: ignore[misc]
    follow(generator)
    return generator


@guarded("generators")
def follow(generator: Any) -> None:
    """Number a generator of numpy's; one that has its number already (numpy hands it through) is left alone."""
    if session.dormant or any(one is generator for one in list(_made.values())):
        return
    if len(_made) >= MAX_GENERATORS:
        _let_go()
    if len(_made) >= MAX_GENERATORS:
        session.uncovered("generators of numpy", "more than %d are in use" % MAX_GENERATORS)
        return
    _made[_count[0]] = generator
    _count[0] += 1


def _let_go() -> None:
    """Forget the generators that nobody but us holds: one made for a single draw is of no interest."""
    for number in list(_made):  # another thread may make one, or let one go, meanwhile
        if sys.getrefcount(_made.get(number)) <= ONLY_OURS:
            _made.pop(number, None)


def install() -> None:
    """Put the wrappers in place."""
    torch.manual_seed = torch.random.manual_seed = torch_seed
    random.seed = _in_place_of(_original_python, python_seed)


def install_numpy() -> None:
    """Put numpy's wrappers in place, once somebody has loaded `numpy.random`."""
    global _original_numpy, _original_default
    module = session.loaded("numpy.random")
    if module is not None and _original_numpy is None and hasattr(module, "seed"):
        _original_numpy, _original_default = module.seed, module.default_rng
        module.seed = _in_place_of(_original_numpy, numpy_seed)
        module.default_rng = _in_place_of(_original_default, default_rng)
        # They are pickled by this name; in numpy's own modules the originals stay.
        numpy_seed.__module__ = default_rng.__module__ = "numpy.random"


def _in_place_of(original: Any, wrapper: Any) -> Any:
    """What stands for the original: a method of the same object if it is one, so that it is pickled just as that is.

    A pickled `random.seed` brings a copy of the generator with it, and seeds that copy: so it must with us.
    """
    owner = getattr(original, "__self__", None)
    if owner is None or isinstance(owner, types.ModuleType):
        return functools.update_wrapper(wrapper, original)

    def method(_owner: Any, *args: Any, **kwargs: Any) -> Any:
        return wrapper(*args, **kwargs)

    functools.update_wrapper(method, original)
    method.__wrapped__ = getattr(original, "__func__", wrapper)  # whose signature has a place for the owner as well
    return types.MethodType(method, owner)


def restore() -> None:
    """Put the originals back."""
    global _original_numpy
    torch.manual_seed = torch.random.manual_seed = _original_torch
    random.seed = _original_python
    if _original_numpy is not None:
        module: Any = sys.modules["numpy.random"]
        module.seed, module.default_rng = _original_numpy, _original_default
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
        if not has_twister(numpy):
            session.uncovered("numpy's global generator", "not the Mersenne Twister that the record knows")
        else:
            _, key, position, has_gauss, cached = numpy.get_state()
            out["numpy"] = _sha(key.tobytes(), repr((int(position), int(has_gauss), float(cached))))
    out["torch"] = of_torch(torch.default_generator)
    for number, generator in followed():
        out["numpy.%d" % number] = hashlib.sha256(_bytes_of(generator.bit_generator.state)).hexdigest()
    cuda = session.loaded("torch.cuda")
    if cuda is not None and cuda.is_initialized():
        session.uncovered("generators of the devices", "their states are not read")
    return out


def of_torch(generator: Any) -> str:
    """The digest of a generator of torch's. Call inside `quiet`."""
    held = memory.hold(generator.get_state())  # keeps the memory while its view is read
    return hashlib.sha256(held.view).hexdigest()


def _bytes_of(state: Any) -> bytes:
    return json.dumps(state, sort_keys=True, separators=(",", ":"), default=lambda array: array.tolist()).encode(
        "ascii"
    )


def followed() -> list[tuple[int, Any]]:
    """Number and generator of those of numpy's that the program still holds."""
    _let_go()
    return list(_made.items())


def has_twister(numpy: Any) -> bool:
    """Whether numpy's global generator is the one that numpy has by itself."""
    # Asked of the object: `get_state` warns about any other generator.
    return type(numpy.mtrand._rand._bit_generator).__name__ == "MT19937"


def _sha(words: bytes, rest: str) -> str:
    digest = hashlib.sha256(words)
    digest.update(rest.encode("ascii"))
    return digest.hexdigest()
