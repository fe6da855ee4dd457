"""What the two transcripts of a Step say, in words, and what is said where there are none.

Rules: a function is named only if the program as it is found now does the Step as it was recorded, bit for bit: else
whatever changed it is not what is found.
"""

from __future__ import annotations

from typing import Final

from saksi.judgement.replay.naming import Kind, Parting, parting_of
from saksi.judgement.replay.transcript import Function, Transcript
from saksi.judgement.replay.values import AsFound, Naming

__all__ = ["naming_of", "unnamed"]

_DOES: Final[dict[AsFound, str]] = {
    "as_recorded": "As it is found now, the program does this step as recorded",
    "as_sealed": (
        "As it is found now, the program does this step as sealed: what changed it is not there any more, or came "
        "from outside of the program. No function is named"
    ),
    "neither": (
        "As it is found now, the program does this step neither as recorded nor as sealed, and no function is named: "
        "what is found is not what ran, or does not repeat itself"
    ),
    "not_replayed": "The program as it is found now was not replayed",
}
_HOW: Final[dict[Kind, str]] = {
    "arguments": "{operation} is called with {found} where the sealed program has {sealed}",
    "extra": "{operation} is run, which the sealed program does not run there",
    "missing": "{operation} is not run, which the sealed program runs there",
    "other": "{operation} is run where the sealed program runs {instead}",
    "inputs": (
        "{operation} reads other values, though no operation before it differs: of another tensor, or changed by "
        "something that is no operation of that thread"
    ),
    "result": "{operation} gives another result from the same inputs",
}


def unnamed(as_found: AsFound, why: str | None = None) -> Naming:
    """What is said where nothing can be named."""
    return Naming(as_found=as_found, sentence=_DOES[as_found] + (f"; {why}." if why else "."))


def naming_of(found: Transcript, sealed: Transcript) -> Naming:
    """What the transcripts say, once the program as it is found now did the Step as recorded."""
    parting = parting_of(found, sealed)
    if parting is None:
        stopped = found.stopped or sealed.stopped
        why = "" if stopped is None else f" up to where the transcript ends, since {stopped}"
        return unnamed("as_recorded", f"no operation from the end of the step before to its own differs{why}")
    function = parting.function if parting.sure else None
    sentence = f"{_DOES['as_recorded']}. First other operation: {_how(parting)}{_by_whom(parting)}."
    return Naming(
        as_found="as_recorded",
        kind=parting.kind,
        operation=None if parting.told is None else parting.told.op,
        module=None if parting.told is None else parting.told.module or None,
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
    told, instead = parting.told, "" if parting.sealed is None else parting.sealed.op
    operation = "" if told is None else told.op + (f" in {told.module}" if told.module else "")
    if parting.tensor is not None:
        operation += f", with {parting.tensor},"
    return _HOW[parting.kind].format(operation=operation, found=found, sealed=sealed, instead=instead)


def _by_whom(parting: Parting) -> str:
    function, lacking = parting.function, parting.lacking
    if function is not None and parting.sure:
        where = f"{function.file}, line {parting.line}"
        return f"; by {name_of(function)} ({where}), which the sealed program does not have there"
    if lacking is not None:
        return f"; the sealed program has {name_of(lacking)} ({lacking.within}, line {lacking.line}) there"
    if function is not None:
        return (
            f"; in that step runs {name_of(function)} ({function.file}), which the sealed program does not have there"
        )
    return ""
