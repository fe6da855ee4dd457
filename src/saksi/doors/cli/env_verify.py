"""`saksi env verify`: whether an environment was changed since its packages were installed."""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path
from typing import Annotated, Final

import typer

from saksi.doors.cli.documents import encode
from saksi.doors.cli.env_verify_screen import draw_report
from saksi.doors.cli.given_manifest import GivenManifest, against_given, open_given
from saksi.doors.cli.help_text import help_text
from saksi.doors.cli.progress import progress
from saksi.doors.cli.screen import screen_of_output, write
from saksi.edges.environment.examine import read_listing
from saksi.edges.environment.interpreter import NotKnown, find_program, python_of
from saksi.edges.environment.kept_report import keep_report, recall_report
from saksi.edges.environment.listing import Question, list_environment
from saksi.edges.environment.tree import Progress, silent
from saksi.edges.home import resolve_cache
from saksi.judgement.environment.judge import judge_environment
from saksi.judgement.environment.report import EnvironmentReport, EnvironmentVerdict
from saksi.words.errors import UsageError

__all__ = ["interpreter_named", "register", "report_on"]

_EXIT_CODES: Final[dict[EnvironmentVerdict, int]] = {
    "verified": 0,
    "self-consistent": 0,
    "differs": 1,
    "not_checkable": 3,
}
_MAX_JOBS: Final = 256
"""Processes that compare bytecode; no node has more cores for them."""


def verify(
    *,
    python: Annotated[
        str | None,
        typer.Option(metavar="EXE", help="The interpreter, or the folder of its environment. Else the first in PATH."),
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An external manifest; only against one is it `verified`.")
    ] = None,
    trust: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A file of keys that may sign a manifest; instead of those of the home."),
    ] = None,
    no_bytecode: Annotated[
        bool, typer.Option("--no-bytecode", help="Do not compare bytecode with its source: seconds, and not clean.")
    ] = False,
    jobs: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=_MAX_JOBS, help="Processes that compare. Else one a core.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: saksi.env-verify/v1.")] = False,
) -> int:
    """Say whether an environment was changed.

    Every file that Python could execute is compared with the lists of its installers, or with a manifest; all
    bytecode with its source. Nothing of the environment runs but its interpreter, isolated.

    Ends with 0 if nothing differs, 1 if something does, 3 if not everything could be checked.
    """
    gc.disable()  # a short life: collecting what is still needed costs a tenth of the time
    if trust and manifest is None:
        raise UsageError("--trust belongs to --manifest", remedy="leave it out")
    given = None if manifest is None else open_given(manifest, trust or ())
    question = Question(
        python=interpreter_named(python),
        environment=os.environ,
        folder=Path.cwd(),
        cache=resolve_cache(os.environ, uid=os.getuid()),
        bytecode=not no_bytecode,
        jobs=jobs or len(os.sched_getaffinity(0)),
    )
    report = report_on(question, given, now_ns=time.time_ns(), progress=progress)
    write(encode(report) if as_json else draw_report(report, screen_of_output()))
    return _EXIT_CODES[report.verdict]


def report_on(
    question: Question, given: GivenManifest | None, *, now_ns: int, progress: Progress = silent
) -> EnvironmentReport:
    """The report on an environment: the kept one if nothing changed since. Raises `UsageError`."""
    listing = list_environment(question, now_ns=now_ns, progress=progress)
    against = "" if given is None else given.key
    report = recall_report(listing, against=against)
    if report is None:
        examined = read_listing(listing, progress=progress)
        compared = None if given is None else against_given(given, examined.observed)
        report = judge_environment(examined.observed, compared)
        keep_report(listing, examined, report, against=against)
    return report


def interpreter_named(given: str | None) -> Path:
    """The interpreter that is meant: a file, a name in PATH, or a folder with `bin/python` in it.

    Raises `UsageError`.
    """
    names = ("python3", "python") if given is None else (given,)
    if given is not None and Path(given).is_dir():
        names = (str(Path(given, "bin", "python")), str(Path(given, "bin", "python3")))
    reason = "no Python was found"
    for name in names:
        try:
            program = find_program(name, os.environ, Path.cwd())
            return python_of(program, os.environ, Path.cwd())
        except NotKnown as error:
            reason = str(error)
    raise UsageError(f"{given or 'PATH'}: {reason}", remedy="name the interpreter of the environment with --python EXE")


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command(
        "verify",
        help=help_text(verify, "saksi env verify --python .venv", "saksi env verify --no-bytecode --json"),
    )(verify)
