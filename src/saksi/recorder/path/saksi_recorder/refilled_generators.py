"""Generators that are put to the states that they had in a run.

Rules: each that the run had must be there, and none besides; what a file says of them has to be what the record says,
by its digest, or what this process comes to by itself; nothing is imported for us, and nothing is drawn.
"""

from __future__ import annotations

import base64
import random
from typing import Any

import torch

from . import batches, generator_states, generators, session
from .cannot import CannotBeHollowError
from .hollow_record import Made

GLOBAL = ("python", "numpy", "torch")
KIND = "MT19937"
SHORT = 32  # digits of a digest in the record of updates


def put_bound(wanted: dict[str, Any], near: list[Made]) -> None:
    """Those of the whole process, as a loader is iterated between two updates. Raises `CannotBeHollowError`.

    Each has to be what this process comes to by itself, or what the record has of one of the two updates: a loader that
    is iterated right behind an update finds what that one left, and one that nobody seeds is moved by nobody.
    """
    there = generator_states.of_process()
    if there == wanted:
        return
    put(wanted)
    found = generators.states()
    for place, name in enumerate(GLOBAL):
        if name in wanted and there.get(name) != wanted[name]:
            known = {one.generators[place] for one in near}
            if found[name][:SHORT] not in known:
                raise CannotBeHollowError(
                    "what %s's generator was as a loader was iterated is not in the record" % name
                )


def put(wanted: dict[str, Any]) -> None:
    """The generators of the whole process. Raises `CannotBeHollowError`."""
    if "python" in wanted:
        version, words, gauss = wanted["python"]
        random.setstate((version, tuple(words), gauss))
    if "numpy" in wanted:
        numpy = session.loaded("numpy.random")
        if numpy is None:
            raise CannotBeHollowError("the run had loaded numpy by then, and this process has not")
        words, position, has_gauss, cached = wanted["numpy"]
        numpy.set_state((KIND, words, position, has_gauss, cached))
    if "torch" in wanted:
        _put(torch.default_generator, wanted["torch"])


def put_all(wanted: dict[str, Any], recorded: dict[str, str]) -> None:
    """Those that the program keeps for itself as well. Raises `CannotBeHollowError`.

    `recorded` are the digests of all behind the last update.
    """
    own = _own()
    names = set(wanted) - set(GLOBAL)
    if names != set(own):
        name = min(names ^ set(own))
        where = "this process lacks" if name in names else "the capsule lacks"
        raise CannotBeHollowError("%s the generator %s" % (where, name))
    for name in names:
        if isinstance(own[name], torch.Generator):
            _put(own[name], wanted[name])
        else:
            own[name].bit_generator.state = wanted[name]
    put(wanted)
    if {**generators.states(), **batches.generator_states()} != recorded:
        raise CannotBeHollowError("the generators that were put in are not those of the record")


def _own() -> dict[str, Any]:
    return {**{"numpy.%d" % number: one for number, one in generators.followed()}, **dict(batches.own_generators())}


def _put(generator: Any, state: Any) -> None:
    raw = bytearray(base64.b64decode(state, validate=True))
    generator.set_state(torch.frombuffer(raw, dtype=torch.uint8))
