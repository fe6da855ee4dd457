"""For which interpreter wheels are: what their tags allow together (PEP 425, 600, 656).

Rules: a set of wheels that no one interpreter can have is refused, naming two of them; what all of them leave open is
null. Known weakness: only the generation of a platform is told apart (glibc or musl, the machine), not its version.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Final, TypeAlias, TypeVar

from saksi.judgement.environment.manifest import PythonParts
from saksi.judgement.environment.wheel import WheelName
from saksi.words.errors import UsageError

__all__ = ["common_python", "require_made_for"]

Interpreter: TypeAlias = tuple[str, int]
"""Implementation (free-threaded builds are one of their own) and minor version of Python 3."""
System: TypeAlias = tuple[str, str]
"""Operating system with its C library, and machine."""

Kind = TypeVar("Kind")

_MINORS: Final = range(60)
_IMPLEMENTATIONS: Final = ("cpython", "cpython free-threaded", "pypy", "graalpy")
_EVERY: Final = frozenset(product(_IMPLEMENTATIONS, _MINORS))
_SHORT: Final = {"cp": "cpython", "pp": "pypy", "graalpy": "graalpy"}
_PYTHON: Final = re.compile(r"(?P<kind>py|cp|pp|graalpy)(?P<major>[0-9])(?P<minor>[0-9]{0,2})", re.ASCII)
_PLATFORM: Final = re.compile(
    r"(?P<system>manylinux|musllinux|linux|macosx|win)[0-9_]*?_?(?P<machine>x86_64|amd64|i686|aarch64|arm64|armv7l|ppc64le|"
    r"s390x|riscv64|loongarch64|universal2|intel|32)",
    re.ASCII,
)
_MACHINES: Final = (
    "x86_64",
    "amd64",
    "i686",
    "aarch64",
    "arm64",
    "armv7l",
    "ppc64le",
    "s390x",
    "riscv64",
    "loongarch64",
    "32",
)
_SYSTEMS: Final = ("linux", "linux musl", "macosx", "win")
_EVERYWHERE: Final = frozenset(product(_SYSTEMS, _MACHINES))


def _interpreters(name: WheelName) -> frozenset[Interpreter]:
    found: set[Interpreter] = set()
    for python, abi in product(name.pythons, name.abis):
        found |= _allowed(python, abi)
    return frozenset(found)


def _allowed(python: str, abi: str) -> set[Interpreter]:
    tag = _PYTHON.fullmatch(python)
    if tag is None or tag["major"] != "3":
        return set()
    minor = int(tag["minor"]) if tag["minor"] else None
    if tag["kind"] == "py":
        return {(each, of) for each, of in _EVERY if minor is None or of >= minor}
    implementation = _SHORT[tag["kind"]]
    if minor is None:
        return {(implementation, of) for of in _MINORS}
    if abi == "abi3":  # the stable interface: this version and every later one
        return {(implementation, of) for of in _MINORS if of >= minor}
    if implementation == "cpython" and abi.endswith("t"):
        return {("cpython free-threaded", minor)}
    if implementation == "cpython" and abi == "none":
        return {("cpython", minor), ("cpython free-threaded", minor)}
    return {(implementation, minor)}


def _systems(name: WheelName) -> frozenset[System]:
    found: set[System] = set()
    for platform in name.platforms:
        if platform == "any":
            return _EVERYWHERE
        tag = _PLATFORM.fullmatch(platform)
        if tag is None:
            continue
        systems = {"manylinux": ("linux",), "musllinux": ("linux musl",), "linux": ("linux", "linux musl")}.get(
            tag["system"], (tag["system"],)
        )
        machines = {"universal2": ("x86_64", "arm64"), "intel": ("x86_64",)}.get(tag["machine"], (tag["machine"],))
        found |= set(product(systems, machines))
    return frozenset(found)


def common_python(wheels: Sequence[tuple[str, WheelName]]) -> PythonParts:
    """The interpreter that all of `wheels` (files and names) can be for, as far as they say.

    Raises `UsageError` naming a file that fits none, or two that fit none together.
    """
    interpreters = _common([(file, _interpreters(name)) for file, name in wheels], _EVERY, "Python")
    systems = _common([(file, _systems(name)) for file, name in wheels], _EVERYWHERE, "platform")
    implementation = _only(each for each, _ in interpreters)
    minor = _only(of for _, of in interpreters)
    tagged = implementation == "cpython" and minor is not None
    system, machine = _only(each for each, _ in systems), _only(of for _, of in systems)
    return PythonParts(
        implementation=implementation,
        version=None if minor is None else f"3.{minor}",
        cache_tag=f"cpython-3{minor}" if tagged else None,
        platform=f"{system}_{machine}".replace(" ", "_") if system is not None and machine is not None else None,
    )


def require_made_for(wheels: Sequence[tuple[str, WheelName]], implementation: str, version: str) -> None:
    """Returns if every wheel fits the interpreter. Raises `UsageError` naming one that does not."""
    minor = re.match(r"3\.([0-9]{1,2})", version)
    for file, name in wheels:
        fitting = {(kind.partition(" ")[0], of) for kind, of in _interpreters(name)}
        if minor is None or (implementation, int(minor[1])) not in fitting:
            raise UsageError(
                f"{file}: made for {'.'.join(name.pythons)}-{'.'.join(name.abis)}, not for {implementation} {version}",
                remedy="fetch the wheel for this interpreter, or name another with --python",
            )


def _common(found: Sequence[tuple[str, frozenset[Kind]]], every: frozenset[Kind], what: str) -> frozenset[Kind]:
    common = every
    for at, (file, allowed) in enumerate(found):
        if not allowed:
            raise UsageError(f"{file}: made for no {what} that is known here", remedy="fetch another wheel")
        if not common & allowed:
            other = next((each for each, theirs in found[:at] if not theirs & allowed), found[0][0])
            raise UsageError(
                f"{file}: made for another {what} than {other}",
                remedy="keep the wheels of one environment in the folder",
            )
        common &= allowed
    return common


def _only(values: Iterable[Kind]) -> Kind | None:
    """The one value there is; `None` for several."""
    found = set(values)
    return found.pop() if len(found) == 1 else None
