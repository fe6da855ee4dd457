"""The variables that decide which code a process runs, as it was started with them, beside those of the launch.

Rules: only those that `saksi env doors` lists; what saksi itself adds counts as the launch's. A *warning* where a
variable has objects loaded that nobody asked for, or moves the standard library, unless all it names lies in the
system's folders or in the environment's own; launchers, scripts and torch itself set the others for the processes that
they start. A variable with a value that switches it off is as one that is absent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from saksi.judgement.checks.mapped_objects import Held
from saksi.judgement.environment.door_variables import LOADING, VARIABLES, Variable, paths_named
from saksi.judgement.redaction import reason_to_record
from saksi.judgement.seal import Seal
from saksi.words.findings import Severity

__all__ = ["held_of_variables", "launched_with", "prefixes_of"]

_GRAVE: Final = LOADING | {"PYTHONHOME", "GCONV_PATH"}
_SYSTEM: Final = ("/usr/", "/lib/", "/lib64/", "/opt/")
_HMAC: Final = "hmac-sha256:"
_LENGTH: Final = re.compile(r"\[[0-9]+ characters\]")
_SHOWN: Final = 160
_CAUSES: Final = " A script or a launcher that starts processes with an environment of its own is the usual cause."


def launched_with(seal: Seal | None) -> dict[str, str] | None:
    """The variables that a process of the launch begins with, as the seal has them."""
    return None if seal is None else {**seal.environment, **seal.environment_changed_by_saksi}


def prefixes_of(seal: Seal | None) -> tuple[str, ...]:
    """The folders of the environment, below which an object is the environment's own."""
    python = None if seal is None else seal.interpreter
    named = () if python is None else (python.prefix, python.base_prefix)
    return tuple(f"{each.rstrip('/')}/" for each in dict.fromkeys(named) if each.rstrip("/"))


def held_of_variables(
    launch: Mapping[str, str], process: Mapping[str, str], prefixes: tuple[str, ...] = ()
) -> Iterator[Held]:
    """What is held of the variables of one process; `prefixes` are the folders of its environment."""
    for variable in VARIABLES:
        name = variable.name
        was, now = launch.get(name), process.get(name)
        if was == now or (_is_off(variable, was) and _is_off(variable, now)) or _not_comparable(name, was, now):
            continue
        message = f"A process that trains was started with {_said(now)}; the launch had {_said(was)}: {variable.what}."
        yield Held("environment.variable_differs", _severity(variable, now, prefixes), name, message + _CAUSES)


def _is_off(variable: Variable, value: str | None) -> bool:
    return value is None or value in variable.off


def _severity(variable: Variable, now: str | None, prefixes: tuple[str, ...]) -> Severity:
    if variable.name not in _GRAVE or now is None or now in variable.off:
        return "info"
    named = paths_named(variable, now)
    return "info" if named and all(_is_installed(each, prefixes) for each in named) else "warning"


def _not_comparable(name: str, was: str | None, now: str | None) -> bool:
    """Whether one of the two was not told in a form that the other could equal."""
    if now is None and reason_to_record(name) is None:
        return True  # told only as an HMAC, for which the agent may have had no key
    if now is not None and _LENGTH.fullmatch(now) is not None:
        return True
    hidden = [each.startswith(_HMAC) for each in (was, now) if each is not None]
    return len(set(hidden)) > 1


def _is_installed(path: str, prefixes: tuple[str, ...]) -> bool:
    return path.startswith(_SYSTEM + prefixes) and ".." not in path.split("/")


def _said(value: str | None) -> str:
    if value is None:
        return "no value"
    if value.startswith(_HMAC):
        return "a value that is not shown"
    return f"{value!r}" if len(value) <= _SHOWN else f"{value[:_SHOWN]!r}…"
