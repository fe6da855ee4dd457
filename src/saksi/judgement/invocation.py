"""What a command line says by itself: the interpreter's flags, the script, the seeds. Nothing is looked up here.

The rules are CPython's (`Modules/getopt`, "Command line and environment" in its manual): short flags can be joined,
`-c` and `-m` end the flags, and what follows the script belongs to the script.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from saksi.judgement.redaction import printable

__all__ = ["PythonArguments", "is_python_name", "read_python_arguments", "read_shebang", "seeds_of"]

MAX_SHEBANG: Final = 4096
"""Linux reads 256 bytes; pip writes longer ones as a shell line below `#!/bin/sh`."""

_PYTHON: Final = re.compile(r"(?:python|pypy)(?:[0-9]+(?:\.[0-9]+)*t?d?)?", re.ASCII)
_WITH_VALUE: Final = frozenset("WXQ")
_SEED_FLAG: Final = re.compile(r"[-+~]*(?:[A-Za-z0-9_./-]*[_./-])?seed(?:[_-][A-Za-z0-9_-]+)?", re.IGNORECASE)
# A number or the word that PYTHONHASHSEED knows: a "seed phrase" is a secret and no seed.
_SEED: Final = re.compile(r"-?[0-9]{1,40}|random", re.ASCII)
_SEED_VARIABLES: Final = ("GLOBAL_SEED", "PL_GLOBAL_SEED", "PYTHONHASHSEED", "SEED")
_PIP_LONG: Final = re.compile(rb"#!/bin/sh\n'''exec' (?:\"([^\"\n]+)\"|(\S+)) \"\$0\" \"\$@\"")


class PythonArguments(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of a Python: `flags` before the script; `target` is the script, module or code it runs."""

    flags: tuple[str, ...]
    form: Literal["script", "module", "code", "stdin"]
    target: str
    rest: int
    """Index, in the arguments, of the first that belongs to the script."""

    @property
    def letters(self) -> frozenset[str]:
        """The single-letter flags that stand without a value."""
        joined = [each[1:] for each in self.flags if re.fullmatch(r"-[A-Za-z]+", each) and each[1] not in _WITH_VALUE]
        return frozenset("".join(joined))


def is_python_name(path: str) -> bool:
    """Whether a program of this name is a Python interpreter."""
    return _PYTHON.fullmatch(path.rpartition("/")[2]) is not None


def read_python_arguments(arguments: Sequence[str]) -> PythonArguments:
    """What an interpreter does with `arguments` (the command line without the interpreter itself)."""
    index = 0
    while index < len(arguments):
        each = arguments[index]
        if each == "--":
            index += 1
            break
        if each == "-" or not each.startswith("-"):
            break
        if each.startswith("--"):
            index += 2 if each == "--check-hash-based-pycs" else 1
            continue
        ending = next((k for k, letter in enumerate(each[1:], 1) if letter in "cm" or letter in _WITH_VALUE), None)
        if ending is not None and each[ending] in "cm":
            return _ended(arguments, index, ending)
        separate = ending is not None and ending == len(each) - 1
        index += 2 if separate else 1
    flags = tuple(arguments[:index])
    if index >= len(arguments) or arguments[index] == "-":
        return PythonArguments(flags=flags, form="stdin", target="-", rest=min(index + 1, len(arguments)))
    return PythonArguments(flags=flags, form="script", target=arguments[index], rest=index + 1)


def _ended(arguments: Sequence[str], index: int, ending: int) -> PythonArguments:
    """The flags end with `-c` or `-m` at letter `ending` of argument `index`; its value may be joined to it."""
    each = arguments[index]
    before = (each[:ending],) if ending > 1 else ()
    joined = each[ending + 1 :]
    following = arguments[index + 1] if index + 1 < len(arguments) else ""
    return PythonArguments(
        flags=(*arguments[:index], *before),
        form="module" if each[ending] == "m" else "code",
        target=joined or following,
        rest=min(index + (1 if joined else 2), len(arguments)),
    )


def read_shebang(start: bytes) -> tuple[str, ...] | None:
    """The interpreter and its arguments in the first bytes of a script, or `None` if there is no such line."""
    long = _PIP_LONG.match(start)
    if long is not None:
        return ((long[1] or long[2]).decode("utf-8", "surrogateescape"),)
    if not start.startswith(b"#!"):
        return None
    words = start[2:].partition(b"\n")[0].decode("utf-8", "surrogateescape").split()
    if words and words[0].rpartition("/")[2] == "env":
        words = [each for each in words[1:] if not each.startswith("-") and "=" not in each]
    return tuple(words) or None


def seeds_of(argv: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """The seeds that the command line and the environment name, sorted. The program may set others by itself."""
    seeds = {name: environment[name] for name in _SEED_VARIABLES if _SEED.fullmatch(environment.get(name, ""))}
    for index, each in enumerate(argv):
        flag, equals, value = each.partition("=")
        if not equals and each.startswith("-") and index + 1 < len(argv):
            value = argv[index + 1]
        if _SEED_FLAG.fullmatch(flag) and _SEED.fullmatch(value):
            seeds[printable(flag)] = value
    return dict(sorted(seeds.items()))
