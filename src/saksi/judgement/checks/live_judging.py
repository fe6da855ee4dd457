"""One place judged: is the code what its file compiles to, is it at home there, and since when is it so.

Rules: what was so at the first inventory and comes from the user's own code or an installed package is said as `info`;
what lies elsewhere, what first appears after the first Update, and code that is not what its file says, as `warning`.
The package that a place belongs to may wrap its own functions, and so may the standard library and the recorder; torch
may wrap what objects carry (a scheduler the step of anybody's optimizer, `compile` anybody's model).
Nothing is alleged: honest libraries do all of this too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from saksi.judgement.checks.live_names import names_elsewhere, of_constant
from saksi.judgement.checks.live_places import Piece, Place, Source, View
from saksi.judgement.checks.live_said import HONEST, Said, Since
from saksi.words.findings import Severity
from saksi.words.frames import LivePlace

__all__ = ["CODE_OF", "INTERPRETERS", "judge"]

CODE_OF: Final[dict[LivePlace, str]] = {
    "module": "live.code_replaced",
    "class": "live.code_replaced",
    "instance": "live.instance_patched",
    "attribute": "live.instance_patched",
    "hook": "live.hook_added",
    "tracer": "live.hook_added",
    "importer": "live.hook_added",
    "mode": "live.mode_entered",
    "builtin": "live.builtin_patched",
    "operator": "live.operator_overridden",
    "constant": "live.default_changed",
}
WORD_OF: Final[dict[LivePlace, str]] = {
    "module": "runs code",
    "class": "runs code",
    "instance": "was given code of its own",
    "attribute": "holds a function",
    "hook": "is a hook",
    "tracer": "is called by the interpreter",
    "importer": "takes part in imports",
    "mode": "is a mode that sees every operation: code",
    "builtin": "stands in place of Python's own: code",
    "operator": "stands in place of torch's own operator: code",
    "constant": "is a value",
}
LIES: Final[dict[str | None, str]] = {
    "script": "the script",
    "tree": "the user's own code",
    "package": "an installed package",
    "elsewhere": "neither the user's own code nor an installed package",
    None: "no source file",
}
BACKPORTS: Final = ("/site-packages/typing_extensions.py", "/dist-packages/typing_extensions.py")
"""What wraps deprecated functions, and is part of the standard library of a later Python."""
GENERATED: Final = frozenset(
    {"__init__", "__repr__", "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__", "__setattr__",
     "__delattr__", "__getstate__", "__setstate__", "__replace__", "__attrs_init__"}
)  # fmt: skip
"""What `dataclasses` and `attrs` write."""
MORE: Final = "more"
TORCHS: Final = "aten::"
INSTEAD: Final = "in place of "
"""The recorder's word for a kernel that took another one's place."""
INTERPRETERS: Final = ("signal ", "gc.callbacks: ")
"""What the interpreter calls beside the training: programs come to set these at any time."""
TRACED: Final = "torch.fx.graph_module.GraphModule.__new__.<locals>.GraphModuleImpl"


def judge(place: Place, since: Since, view: View) -> Iterator[Said]:
    """Everything to be said of a place."""
    if place.place == "constant":
        yield from of_constant(place, since, view)
        return
    if place.place == "operator":
        yield from _operator(place, since, view)
        return
    own = view.of(place.owner)
    yield from names_elsewhere(place, since, own)
    if MORE in place.notes:
        yield _unjudged(place.name, "More functions stand behind it than are looked into, or than there was room for.")
    for piece in place.pieces:
        yield from _compared(place, piece, view.of(piece.file))
    strangers = [each for each in place.pieces if _is_strange(place, each, own, view.of(each.file))]
    if since.first:
        yield from _at_first(place, strangers, own, view)
    else:
        yield from _later(place, since, strangers, own, view)
    if not strangers:
        yield from _not_at_home(place, own, view)


def _operator(place: Place, since: Since, view: View) -> Iterator[Said]:
    source = view.of(place.owner)
    origin = None if source is None else source.origin
    # A package that is imported late registers operators of its own then; torch's are there from the start.
    mild = since.first or not (place.name.startswith(TORCHS) or any(each.startswith(INSTEAD) for each in place.notes))
    severity: Severity = "info" if mild and origin in {"script", "tree", "package"} else "warning"
    when = "" if since.first else " after the first update"
    message = f"A kernel was {', '.join(place.notes)} ({LIES.get(origin, 'another place')}){when}. {HONEST}"
    yield Said("live.operator_overridden", severity, place.name, message)


def _compared(place: Place, piece: Piece, source: Source | None) -> Iterator[Said]:
    where = f"{piece.name}, {piece.file}:{piece.line}"
    if piece.file is None:
        if not _is_generated(place, piece):
            yield _unjudged("code that names no source file", "Functions that were made at run time have no source.")
        return
    if source is None or source.reason is not None:
        reason = "the agent has not compiled it" if source is None else source.reason
        yield _unjudged(piece.file, f"The code of this file could not be compared with its source: {reason}.")
        return
    compiled = source.functions.get(piece.key)
    if compiled is None:
        yield _unjudged(piece.file, "Not every function of this file was compared with its source.")
    elif piece.code not in compiled.code:
        if source.changed and source.origin in {"script", "tree"}:
            yield _unjudged(piece.file, "The file has changed since the launch, and no longer says what was imported.")
            return
        what = "is not what the file compiles to" if compiled.code else "is not in that file"
        message = (
            f"The code of {where} {what}. An import hook that rewrites sources, a coverage tool, and a file that was "
            "edited after it was imported do that too."
        )
        yield Said("live.code_differs", "warning", place.name, message)
    else:
        yield from _defaults(place, piece, compiled.defaults, where)


def _is_generated(place: Place, piece: Piece) -> bool:
    """What dataclasses and the like write for a class: from no file, under the name under which it is looked up."""
    last = piece.name.rpartition(".")[2]
    if piece.file is not None or last not in GENERATED:
        return False
    of_a_class = place.place == "class" and last == place.name.rpartition(".")[2]
    return of_a_class or (place.place == "module" and any(note.startswith("class ") for note in place.notes))


def _defaults(place: Place, piece: Piece, written: dict[str, str], where: str) -> Iterator[Said]:
    said = dict(piece.defaults)
    for name, value in sorted(written.items()):
        if said.get(name, "missing") != value:
            message = (
                f"{name} of {where} is {said.get(name, 'missing')} by default, and the file says {value}. {HONEST}"
            )
            yield Said("live.default_changed", "warning", place.name, message)


def _is_strange(place: Place, piece: Piece, own: Source | None, source: Source | None) -> bool:
    """Whether it belongs neither to the package of its place, nor to Python's library, nor to the recorder."""
    if source is None:
        return not _is_generated(place, piece)
    if source.origin in {"library", "recorder"}:
        return False
    if source.origin == "package" and (
        source.unit.endswith(BACKPORTS) or (place.place in {"instance", "attribute"} and _is_torch(source))
    ):
        return False
    return own is None or source.unit != own.unit


def _at_first(place: Place, strangers: list[Piece], own: Source | None, view: View) -> Iterator[Said]:
    if _is_users(place, own):
        return  # it may be made of anything
    if place.place == "attribute" or (not strangers and (place.pieces or place.place in {"module", "class"})):
        return
    if not strangers:
        if place.place not in {"importer", "instance"}:
            yield _found(place, "info", None, view, "")
        return
    worst = _worst(strangers, view)
    origin = view.origin(worst)
    if origin == "package" and place.place == "importer":
        return
    if origin == "package" and place.place in {"module", "class"} and _is_decorated(place, view):
        return
    severity: Severity = "warning" if origin == "elsewhere" and place.place != "importer" else "info"
    yield _found(place, severity, worst, view, "")


def _later(place: Place, since: Since, strangers: list[Piece], own: Source | None, view: View) -> Iterator[Said]:
    before = since.before
    if before is None and place.place in {"module", "class"} and not since.beside:
        yield from _at_first(place, strangers, own, view)  # a class that came into use later
        return
    old = () if before is None else tuple(each.written for each in before.pieces)
    new = [each for each in strangers if each.written not in old]
    mild = (place.place in {"attribute", "importer"} and before is None) or place.name.startswith(INTERPRETERS)
    if _is_users(place, own):
        if before is None:
            return
        new = [each for each in new if view.origin(each) in {"elsewhere", None}]
    if new or (strangers and before is None):
        worst = _worst(new or strangers, view)
        known = view.origin(worst) in {"script", "tree", "package"}
        mild = mild or (known and place.place == "attribute") or (worst.file is None and _is_traced(place))
        severity: Severity = "info" if mild else "warning"
        yield _found(place, severity, worst, view, " after the first update")
    elif before is not None and place.place == "hook" and strangers and place.notes != before.notes:
        yield _found(place, "info", strangers[0], view, " on other objects than at first")
    elif not place.pieces and (before is None or before.notes != place.notes):
        yield _found(place, "info" if mild else "warning", None, view, " after the first update")
    if before is not None:
        yield from _given_anew(place, before, view)


def _is_users(place: Place, own: Source | None) -> bool:
    """Whether it is a function of the user's own code, or of code of which nobody knows whose it is."""
    return place.place in {"module", "class"} and (own is None or own.origin in {"script", "tree", "elsewhere"})


def _given_anew(place: Place, before: Place, view: View) -> Iterator[Said]:
    """The same functions, with other defaults or other things in their closures."""
    earlier = {each.written: each for each in before.pieces}
    for piece in place.pieces:
        old = earlier.get(piece.written)
        if old is None:
            continue
        where = f"{piece.name}, {piece.file}:{piece.line}"
        source = view.of(piece.file)
        compiled = None if source is None else source.functions.get(piece.key)
        written = set() if compiled is None else set(compiled.defaults)  # compared with the file already
        users = view.origin(piece) in {"script", "tree", None}
        for what, one, other in (("default", old.defaults, piece.defaults), ("closure", old.closure, piece.closure)):
            names = sorted({name for name, _ in set(one) ^ set(other)} - (written if what == "default" else set()))
            if names:
                mild = what == "closure" and (users or _are_filled(dict(one), names, source))
                severity: Severity = "info" if mild else "warning"
                message = f"The {what} {', '.join(names)} of {where} changed after the first update. {HONEST}"
                yield Said("live.default_changed", severity, place.name, message)


def _are_filled(before: dict[str, str], names: list[str], source: Source | None) -> bool:
    """Whether cells were only filled, as functions do that work something out once: torch leaves none at `None`."""
    late = {"<unfilled>"} if source is None or _is_torch(source) else {"<unfilled>", "None"}
    return all(before.get(name) in late for name in names)


def _not_at_home(place: Place, own: Source | None, view: View) -> Iterator[Said]:
    """Whether the function that its file defines under this name is among those that are called."""
    if place.place not in {"module", "class"} or own is None or not _has_fixed_homes(own):
        return
    if any(_is_its_own(place, piece, own, view) or _is_made_with_it(place, piece, own) for piece in place.pieces):
        return
    for file, name in place.homes:
        home = view.of(file)
        lines = [] if home is None else home.homes.get(name, [])
        if not lines:
            continue
        if not any(piece.file == file and piece.line in lines for piece in place.pieces):
            instead = place.pieces[0] if place.pieces else None
            what = "a function in C" if instead is None else f"{instead.name}, {instead.file}:{instead.line}"
            message = f"It is {what}, and not the function that {file} defines under this name. {HONEST}"
            yield Said("live.code_replaced", "warning", place.name, message)
        return


def _is_its_own(place: Place, piece: Piece, own: Source, view: View) -> bool:
    """Whether a piece bears the place's own name and is written in the same package.

    Some of torch's classes name the package that exports them as their module (`torch.optim` for `Muon`), whose file
    does not define them.
    """
    source = view.of(piece.file)
    return bool(place.homes) and piece.name == place.homes[0][1] and source is not None and source.unit == own.unit


def _is_made_with_it(place: Place, piece: Piece, own: Source) -> bool:
    """Whether a class without such a function in its file has one that is written inside of a function of that file.

    Torch makes some classes as it runs, each with functions that are made along with it (`nn.utils.parametrize`).
    """
    beside = place.place == "class" and piece.file == place.owner and ".<locals>." in piece.name
    return beside and any(file == place.owner and own.homes.get(name) == [] for file, name in place.homes[:1])


def _has_fixed_homes(own: Source) -> bool:
    # Other packages choose between several definitions as they are imported.
    return own.origin == "library" or _is_torch(own)


def _is_torch(source: Source) -> bool:
    return source.unit.rpartition("/")[2] == "torch"


def _is_traced(place: Place) -> bool:
    """Whether it is of a traced module: torch makes a class for each, and writes its forward anew."""
    return place.place == "class" and place.name.startswith(TRACED)


def _is_decorated(place: Place, view: View) -> bool:
    """Whether the place's own function has decorators in its source: those may be of other packages."""
    for piece in place.pieces:
        source = view.of(piece.file)
        if source is not None and piece.file == place.owner and piece.key in source.functions:
            return source.functions[piece.key].decorated
    return False


def _worst(pieces: list[Piece], view: View) -> Piece:
    """The one that lies farthest from where code should lie; the outermost of those."""
    order = {"elsewhere": 0, None: 1, "script": 2, "tree": 2, "package": 3}
    return min(pieces, key=lambda each: order.get(view.origin(each), 4))


def _found(place: Place, severity: Severity, piece: Piece | None, view: View, when: str) -> Said:
    if piece is None:
        what = f" ({', '.join(place.notes)})" if place.notes else ""
        return Said(CODE_OF[place.place], severity, place.name, f"It {WORD_OF[place.place]} in C{what}{when}. {HONEST}")
    lies = LIES.get(view.origin(piece), "another place")
    where = f"{piece.name}, {piece.file}:{piece.line}" if piece.file is not None else piece.name
    what = f"It {WORD_OF[place.place]} of {where} ({lies}){when}. {HONEST}"
    return Said(CODE_OF[place.place], severity, place.name, what)


def _unjudged(subject: str, message: str) -> Said:
    return Said("live.not_checkable", "info", subject, message)
