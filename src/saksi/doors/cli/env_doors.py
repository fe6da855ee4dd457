"""`saksi env doors`: every way code enters a Python training process at start-up, found from outside."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Final

import typer

import saksi
from saksi.doors.cli.documents import encode
from saksi.doors.cli.help_text import help_text
from saksi.doors.cli.screen import screen_of_output, write
from saksi.edges.environment.doors import Surroundings, observe_doors
from saksi.edges.environment.interpreter import NotKnown, Python, describe, find_program, python_of
from saksi.edges.home import resolve_cache
from saksi.words.errors import SaksiError, UsageError

__all__ = ["register"]

_INCONCLUSIVE: Final = 3
_RECORDER: Final = Path(saksi.__file__).parent / "recorder" / "path"


def doors(
    python: Annotated[
        str | None,
        typer.Option("--python", metavar="EXE", help="An interpreter, or the folder of an environment."),
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: saksi.env-doors/v1.")] = False,
) -> int:
    """List every way code enters a Python process at start-up.

    Start-up files, variables, entry points, import hooks, caches of kernels, plug-ins: what each does, when, and who
    may write it. Nothing of the environment is started. To have a door is no finding.

    Ends with 0 if everything could be read, else with 3.
    """
    environment, folder = dict(os.environ), Path.cwd()
    surroundings = Surroundings(environment=environment, folder=folder, account=os.getuid(), recorder=_RECORDER)
    report = observe_doors(_python(python, surroundings), surroundings)
    if as_json:
        write(encode(report))
    else:
        from saksi.doors.cli.drawing import render  # noqa: PLC0415 - rich only where something is drawn
        from saksi.doors.cli.env_doors_screen import draw_doors  # noqa: PLC0415 - as above

        screen = screen_of_output()
        write(render(draw_doors(report, screen), screen))
    return 0 if report.complete else _INCONCLUSIVE


def _python(named: str | None, surroundings: Surroundings) -> Python:
    """The interpreter that was asked for; without a name, the one that `python` starts here."""
    environment, folder = surroundings.environment, surroundings.folder
    cache = resolve_cache(environment, uid=surroundings.account)
    try:
        path = python_of(_program(named, surroundings), environment, folder)
        return describe(path, environment, cache=cache, now_ns=time.time_ns())
    except NotKnown as reason:
        raise SaksiError(f"{named or 'python'}: {reason}", remedy="name a Python 3 with --python") from None


def _program(named: str | None, surroundings: Surroundings) -> Path:
    for each in ("python", "python3") if named is None else (named,):
        inside = surroundings.folder / each / "bin" / "python"
        if named is not None and inside.exists():
            return inside
        try:
            return find_program(each, surroundings.environment, surroundings.folder)
        except NotKnown:
            continue
    what = "there is no python on PATH" if named is None else f"{named}: no such interpreter, and no environment"
    raise UsageError(what, remedy="name one with --python")


def register(group: typer.Typer) -> None:
    """Add the command to the group `saksi env`."""
    group.command("doors", help=help_text(doors, "saksi env doors", "saksi env doors --python .venv --json"))(doors)
