"""What the two traces of a Step say, in words, and what is said where there are none.

Rules: a function is named only if the program as it is found now does the Step as it was recorded, bit for bit: else
whatever changed it is not what is found.
"""

from __future__ import annotations

from typing import Final

from saksi.judgement.replay.naming import Kind, Parting, parting_of
from saksi.judgement.replay.trace import Function, Trace
from saksi.judgement.replay.values import AsFound, Traced

__all__ = ["traced", "without_trace"]

_DOES: Final[dict[AsFound, str]] = {
    "as_recorded": "As it is found now, the program does this step as recorded",
    "as_sealed": (
        "As it is found now, the program does this step as sealed: what changed it is not there any more, or came "
        "from outside of the program. No function is named"
    ),
    "neither": (
        "As it is found now, the program does this step neither as recorded nor as sealed: what is found is not what "
        "ran. No function is named"
    ),
    "not_replayed": "The program as it is found now was not replayed",
}
_HOW: Final[dict[Kind, str]] = {
    "arguments": "{operation} is called with {found} where the sealed program has {sealed}",
    "extra": "{operation} is run, which the sealed program does not run there",
    "missing": "{operation} is not run, which the sealed program runs there",
    "other": "{operation} is run where the sealed program runs {instead}",
    "inputs": (
        "{operation} reads other values, though every operation before it gave the same: they were changed by "
        "something that is no operation of that thread"
    ),
    "result": "{operation} gives another result from the same inputs",
}


def without_trace(as_found: AsFound, why: str | None = None) -> Traced:
    """What is said where nothing can be named."""
    return Traced(as_found=as_found, sentence=_DOES[as_found] + (f": {why}." if why else "."))


def traced(found: Trace, sealed: Trace) -> Traced:
    """What the traces say, once the program as it is found now did the Step as recorded."""
    parting = parting_of(found, sealed)
    if parting is None:
        stopped = found.stopped or sealed.stopped
        why = f"the trace stopped: {stopped}" if stopped else "what differs is no operation that is traced"
        return without_trace("as_recorded", f"no operation differs, and {why}")
    function = parting.function if parting.sure else None
    sentence = f"{_DOES['as_recorded']}. First other operation: {_how(parting)}{_by_whom(parting)}."
    return Traced(
        as_found="as_recorded",
        kind=parting.kind,
        operation=parting.operation,
        module=parting.module or None,
        tensor=parting.tensor,
        function=None if function is None else name_of(function),
        file=None if function is None else function.file,
        line=None if function is None else parting.line,
        lacking=None if parting.lacking is None else name_of(parting.lacking),
        sentence=sentence,
    )


def name_of(function: Function) -> str:
    """The name under which a function is imported, as far as its file tells."""
    module = function.within.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return f"{module}.{function.name}"


def _how(parting: Parting) -> str:
    found, sealed = parting.arguments or ("", "")
    operation = parting.operation + (f" in {parting.module}" if parting.module else "")
    if parting.tensor is not None:
        operation += f", with {parting.tensor},"
    instead = "" if parting.sealed is None else parting.sealed.op
    return _HOW[parting.kind].format(operation=operation, found=found, sealed=sealed, instead=instead)


def _by_whom(parting: Parting) -> str:
    function, lacking = parting.function, parting.lacking
    if function is not None and parting.sure:
        return (
            f"; by {name_of(function)} ({function.file}, line {parting.line}), which the sealed program does not have"
        )
    if lacking is not None:
        return f"; the sealed program has {name_of(lacking)} ({lacking.within}, line {lacking.line}) there"
    if function is not None:
        return f"; in that step runs {name_of(function)} ({function.file}), which the sealed program does not have"
    return ""
