"""Which program a command line starts, which Python runs it, and which file is the user's script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from saksi.edges.environment.interpreter import NotKnown, Python, describe, find_program, python_of
from saksi.edges.environment.repository import script_folder
from saksi.judgement.invocation import PythonArguments, is_python_name, read_python_arguments

__all__ = ["ObservedCommand", "observe_command"]


class ObservedCommand(msgspec.Struct, frozen=True, kw_only=True):
    """`flags` are the interpreter's own, `letters` those of a single letter; `script` is a path as it was written.

    `first` is the folder in which the user's modules are looked for first, where that follows from the script.
    """

    python: Python | None
    script: str | None
    first: Path | None = None
    flags: tuple[str, ...]
    letters: frozenset[str]


def observe_command(
    argv: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    *,
    cache: Path | None,
    now_ns: int,
    unobserved: dict[str, str],
) -> ObservedCommand:
    """What `argv` starts in `folder`; what is not known, and why, is added to `unobserved`."""
    python: Python | None = None
    program: Path | None = None
    try:
        program = find_program(argv[0], environment, folder)
        path = python_of(program, environment, folder)
        python = describe(path, environment, cache=cache, now_ns=now_ns)
    except NotKnown as reason:
        unobserved["interpreter"] = str(reason)
    if program is None:
        unobserved["script"] = "the command was not found"
        return ObservedCommand(python=python, script=None, flags=(), letters=frozenset())
    if not is_python_name(program.name):
        script = _first_file(argv[1:], folder, only_python=python is not None) or str(program)
        first = script_folder(folder, script, None if python is None else python.prefix)
        return ObservedCommand(python=python, script=script, first=first, flags=(), letters=frozenset())
    arguments = read_python_arguments(argv[1:])
    target: str | None = None
    try:
        target = _script(arguments, argv[1:], folder)
    except NotKnown as reason:
        unobserved["script"] = str(reason)
    # Of a module in the working directory it is that directory; a script behind a module is started as one.
    module = arguments.form == "module" and target in _places_of(arguments.target)
    return ObservedCommand(
        python=python,
        script=target,
        first=None if module else script_folder(folder, target, None if python is None else python.prefix),
        flags=arguments.flags,
        letters=arguments.letters,
    )


def _places_of(module: str) -> tuple[str, str]:
    below = module.replace(".", "/")
    return f"{below}.py", f"{below}/__main__.py"


def _script(arguments: PythonArguments, given: Sequence[str], folder: Path) -> str:
    if arguments.form == "script":
        return arguments.target
    if arguments.form == "code":
        raise NotKnown("the code stands on the command line")
    if arguments.form == "stdin":
        raise NotKnown("the code is read from standard input")
    own = next((place for place in _places_of(arguments.target) if _is_file(folder / place)), None)
    # `python -m torch.distributed.run train.py`: the module is a launcher, the script comes behind it.
    script = own or _first_file(given[arguments.rest :], folder, only_python=True)
    if script is None:
        raise NotKnown(f"the module {arguments.target[:200]} is not in the working directory")
    return script


def _first_file(arguments: Sequence[str], folder: Path, *, only_python: bool) -> str | None:
    """The first argument that is a file: behind a launcher, or a shell, it is the user's script."""
    for each in arguments:
        if each.startswith("-") or (only_python and not each.endswith(".py")):
            continue
        if _is_file(folder / each):
            return each
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, a folder that may not be entered
        return False
