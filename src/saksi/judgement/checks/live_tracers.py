"""Functions that the interpreter calls at every step of the program: profilers, debuggers, coverage tools.

A tracer that Python's library or torch brings, and whose code is what its file compiles to, is told and no more:
whoever profiles a step, or looks at it in a debugger, has one. Of theirs that is called beside the training (a loader
with workers hears by a signal that one died) nothing is told. Any other may change what the program does between two
lines, and is a warning where it comes after the first Update.

BUG: a tracer in C is known by the name of its class alone, and one of `sys.monitoring` by a name that it chose.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from saksi.judgement.checks.live_judging import CODE_OF, INTERPRETERS, judge
from saksi.judgement.checks.live_places import Piece, Place, View
from saksi.judgement.checks.live_said import Said, Since

__all__ = ["judge_tracer"]

IN_C: Final = frozenset(
    {
        "object of builtins.TraceContext",  # torch.profiler with stacks
        "object of cProfile.Profile",
        "object of _lsprof.Profiler",
    }
)
HOOK_ADDED: Final = CODE_OF["tracer"]
CAUSES: Final = "Profilers and debuggers look the same."


def judge_tracer(place: Place, since: Since, view: View) -> Iterator[Said]:
    """Everything to be said of a place of kind `tracer`."""
    known, beside = _is_known(place, view), place.name.startswith(INTERPRETERS) and bool(place.pieces)
    if not known or (since.first and not beside):
        yield from judge(place, since, view)
        return
    yield from (each for each in judge(place, since, view) if each.code != HOOK_ADDED)
    if beside:
        return
    first = place.pieces[0] if place.pieces else None
    what = place.notes[0] if first is None else f"{first.name}, {first.file}:{first.line}"
    message = f"The interpreter calls {what} (torch or Python's library) after the first update. {CAUSES}"
    yield Said(HOOK_ADDED, "info", place.name, message)


def _is_known(place: Place, view: View) -> bool:
    if not place.pieces:
        return len(place.notes) == 1 and place.notes[0] in IN_C
    return all(_is_as_written(each, view) for each in place.pieces)


def _is_as_written(piece: Piece, view: View) -> bool:
    """Whether a function is one of torch's or of Python's library, to the digest."""
    source = view.of(piece.file)
    if source is None or source.reason is not None:
        return False
    compiled = source.functions.get(piece.key)
    at_home = source.origin == "library" or (source.origin == "package" and source.unit.rpartition("/")[2] == "torch")
    return at_home and compiled is not None and piece.code in compiled.code
