"""What is held of one object that a process has mapped as code, by where it lies and what it holds.

Rules: what was sealed, what a package brought and what lies in the system's folders is no finding. An object without a
known origin is told; a *warning* where something had it loaded without the program's asking, where no file is left to
look at, or where the environment was sealed and this is not of it.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from saksi.words.findings import Severity
from saksi.words.records import MappedObject, ObjectOrigin

__all__ = ["Held", "held_of"]

_IN_MEMORY: Final = re.compile(r"/memfd:(libffi|doublemapper|julia-codegen|/?\.(gl|nv)\w*)$|/(ffi|\.ffi)\w{6}$")
"""Files without a name in which a program makes code: libffi's closures, .NET's, Julia's, those of NVIDIA's driver."""
_CACHES: Final = (
    (re.compile(r"^(.*/torchinductor_[^/]+)/.*"), "Kernels that torch.compile made"),
    (re.compile(r"^(.*/torch_extensions)/.*"), "Extensions that torch built on the spot"),
    (re.compile(r"^(.*/\.triton/cache)/.*"), "Launchers and kernels that Triton made"),
    (re.compile(r"^(.*)/[^/]+$"), "Kernels or extensions that were compiled on the spot"),
)
_UPGRADE: Final = " A package that was upgraded while the job ran is the usual cause."
_WHERE: Final[dict[ObjectOrigin, str]] = {
    "tree": "It lies beside your own code, and in no installed package: as a rule a library that the script loads.",
    "search_path": "It lies in a folder that LD_LIBRARY_PATH named at the launch, as modules of a cluster do.",
    "elsewhere": "It lies in no installed package, in no folder of the system, and not beside your own code.",
}


class Held(NamedTuple):
    """What is held, before it is a finding."""

    code: str
    severity: Severity
    subject: str
    message: str


def held_of(each: MappedObject, before: MappedObject | None, *, tree: bool) -> Held | None:
    """What is held of `each`. Of what was seen at its path `before`, only that it is not so any more.

    `tree` is whether the environment's sealed files were at hand.
    """
    origin = each.origin
    if origin == "device":
        return None
    if origin == "unknown":
        return _unseen(f"Where what a process maps lies is not known: {each.reason or 'no reason was given'}.")
    if origin == "memory":
        return _in_memory(each)
    if each.deleted:
        return _deleted(each, before)
    if before is not None and before.digest is not None:
        return _changed(before, each)
    if origin == "sealed":
        return _sealed(each)
    if origin in ("package", "library"):
        return _packaged(each, tree=tree)
    return _outside(each, tree=tree) if origin in ("cache", *_WHERE) else None


def _changed(before: MappedObject, now: MappedObject) -> Held | None:
    if now.digest is None or before.digest is None or before.digest == now.digest:
        return None
    message = f"It held {before.digest[:19]} when it was first seen, and {now.digest[:19]} later, while it was mapped."
    return Held("environment.object_changed", _of_change(now.origin), now.path, message + _UPGRADE)


def _in_memory(each: MappedObject) -> Held:
    if _IN_MEMORY.search(each.path) is not None:
        message = "Code in memory under a name that a library is known to give it (closures, drivers): not looked into."
        return _foreign(each, "info", message)
    message = (
        "Code is mapped from a file that has no name and that only the process itself can reach: it cannot be compared"
        " with anything. Programs that compile while they run, and loaders that unpack themselves, do so."
    )
    return _foreign(each, "warning", message)


def _deleted(each: MappedObject, before: MappedObject | None) -> Held:
    if _IN_MEMORY.search(each.path) is not None:
        return _in_memory(each)
    if before is None and each.origin in ("cache", *_WHERE):
        message = f"It is mapped, and its name is gone or another file's by now, so that it cannot be read.{_by(each)}"
        message += " Libraries that unpack a temporary file do so, and building anew while the job runs."
        severity: Severity = "info" if each.origin == "cache" and each.named_by is None else "warning"
        return _foreign(each, severity, message)
    message = "The process goes on with a file whose name is gone or another file's by now: it was deleted or replaced."
    return Held("environment.object_changed", _of_change(each.origin), each.path, message + _UPGRADE)


def _sealed(each: MappedObject) -> Held | None:
    if each.digest is None:
        return _unseen("Some sealed files that are mapped were not read: whether they are as sealed is not known.")
    if each.sealed is None or each.digest == each.sealed:
        return None
    message = f"It is mapped, and its file is not as it was sealed: {each.sealed[:19]} then, {each.digest[:19]} now."
    return Held("environment.object_differs", "warning", each.path, f"{message}{_by(each)}{_UPGRADE}")


def _packaged(each: MappedObject, *, tree: bool) -> Held | None:
    if tree:
        message = f"It is mapped from the environment and is not among the files that were sealed: {_digest(each)}."
        return _foreign(each, "warning", f"{message}{_by(each)} A package that was installed since is the usual cause.")
    return None if each.named_by is None else _foreign(each, "info", f"An installed package lists it.{_by(each)}")


def _outside(each: MappedObject, *, tree: bool) -> Held:
    if each.named_by is not None:
        where = _WHERE.get(each.origin, "It lies in a cache of compiled code.")
        message = f"{where}{_by(each)} It is {_digest(each)}. Memory allocators, profilers and debuggers are loaded so."
        return _foreign(each, "warning", message)
    if each.origin == "cache":
        shape, what = next(known for known in _CACHES if known[0].match(each.path) is not None)
        folder = shape.sub(r"\1", each.path)
        message = f"{what} are loaded from here. They are compiled on the machine: nothing says what they should hold,"
        message += " and whoever may write to the folder can change them before they are loaded."
        return Held("environment.object_foreign", "info", folder, message)
    severity: Severity = "warning" if tree and each.origin == "elsewhere" else "info"
    cause = " Modules of a cluster and libraries that a script was given by path are the usual causes."
    message = f"{_WHERE[each.origin]} It is {_digest(each)}."
    return _foreign(each, severity, message + (cause if each.origin == "elsewhere" else ""))


def _foreign(each: MappedObject, severity: Severity, message: str) -> Held:
    return Held("environment.object_foreign", severity, each.path, message)


def _unseen(message: str) -> Held:
    return Held("environment.not_checkable", "info", "mapped objects", message)


def _of_change(origin: ObjectOrigin) -> Severity:
    """Systems upgrade themselves while long jobs run, and caches are built anew."""
    return "info" if origin in ("system", "cache", "search_path") else "warning"


def _by(each: MappedObject) -> str:
    return "" if each.named_by is None else f" {each.named_by} had it loaded."


def _digest(each: MappedObject) -> str:
    return each.digest[:19] if each.digest is not None else f"not read ({each.reason or 'no reason was given'})"
