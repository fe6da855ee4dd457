"""`saksi range`: the sabotage benchmark. Each case is played, and every detector is asked."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from saksi.doors.cli.documents import encode
from saksi.doors.cli.env_verify import interpreter_named
from saksi.doors.cli.help_text import help_text
from saksi.doors.cli.progress import counter
from saksi.doors.cli.range_screen import draw_range
from saksi.doors.cli.screen import screen_of_output, tell, write
from saksi.edges.host.ending_signals import EndingSignals
from saksi.range.report import RangeReport
from saksi.range.session import Question, chosen, play_all
from saksi.words.errors import UsageError

__all__ = ["exit_code_of", "register"]

_FAILED: Final = 4
_ACCUSED: Final = 1
_SEED_BITS: Final = 32
_MAX_SEEDS: Final = 1_000
_MAX_JOBS: Final = 64
_MAX_LIMIT_S: Final = 86_400.0
_ASKED_S: Final = 120.0
_TRIES: Final = 20
_STAYS_GONE: Final = 3
"""How often it has to be absent, so that it is not made anew once nobody looks any more."""
_PAUSE_S: Final = 1.0
_VERSION: Final = "import platform, torch; print('Python', platform.python_version(), 'torch', torch.__version__)"


def play(
    *,
    only: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="A case or a row, such as C02; may be given again.")
    ] = None,
    group: Annotated[
        list[str] | None, typer.Option(metavar="G", help="A group of rows: A to M, X, or `honest`; may be given again.")
    ] = None,
    seeds: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=_MAX_SEEDS,
            help="How often each is played: a case drawn anew, a program seeded anew.",
        ),
    ] = 1,
    seed: Annotated[
        int | None, typer.Option(metavar="S", min=0, help="Draw the same cases again. Else a new one, which is said.")
    ] = None,
    python: Annotated[
        str | None, typer.Option(metavar="EXE", help="The interpreter that trains; it needs torch. Else that in PATH.")
    ] = None,
    replay: Annotated[
        bool,
        typer.Option("--replay", help="Audit each launch too, as `saksi audit` does: a minute or so for each."),
    ] = False,
    jobs: Annotated[int, typer.Option(metavar="N", min=1, max=_MAX_JOBS, help="Cases played at once.")] = 1,
    limit: Annotated[
        float, typer.Option(metavar="SECONDS", min=1.0, max=_MAX_LIMIT_S, help="The longest that a command may take.")
    ] = 90,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: saksi.range/v1.")] = False,
) -> int:
    """Play acts of sabotage and honest look-alikes, and say who tells them apart.

    The acts are harmless toys in a temporary folder. Ends with 4 if a case could not be played, 1 if saksi alleges
    something of an honest program, else 0: what is missed is in the result.
    """
    entries = chosen(only or (), group or ())
    trains = interpreter_named(python)
    version = _version_of(trains)
    drawn = secrets.randbits(_SEED_BITS) if seed is None else seed
    tell(f"the range is drawn with --seed {drawn}")
    # Whatever ends the range, what it launched ends with it, and its folder goes.
    with EndingSignals() as signals, _disposable_folder() as folder:
        question = Question(
            entries=entries,
            seed=drawn,
            seeds=seeds,
            python=trains,
            folder=folder / "played",
            cache=folder / "cache",
            limit_s=limit,
            jobs=jobs,
            replay=replay,
        )
        with counter(question.turns, "playing", shown=True) as hear, signals.interruptible():
            report = play_all(question, version=version, hear=hear)
    write(encode(report) if as_json else draw_range(report, screen_of_output()))
    return exit_code_of(report)


@contextmanager
def _disposable_folder() -> Iterator[Path]:
    """A folder that is gone afterwards. What was launched last may still fill the cache, and make it anew."""
    folder = Path(tempfile.mkdtemp(prefix="saksi-range-"))
    try:
        yield folder
    finally:
        gone = 0
        for _ in range(_TRIES):
            gone = 0 if folder.exists() else gone + 1
            if gone == _STAYS_GONE:
                break
            shutil.rmtree(folder, ignore_errors=True)
            time.sleep(_PAUSE_S)


def exit_code_of(report: RangeReport) -> int:
    """4 if a case could not be played, 1 if something was alleged of an honest program, else 0."""
    if report.failed:
        return _FAILED
    return _ACCUSED if any(each.accused for each in report.variants) else 0


def _version_of(python: Path) -> str:
    """What trains, in words. Raises `UsageError` if it has no torch."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run(
            [python, "-c", _VERSION], capture_output=True, text=True, check=False, timeout=_ASKED_S, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{python} does not answer: {error}", remedy="name another with --python EXE") from None
    if done.returncode != 0:
        raise UsageError(f"{python} has no torch", remedy="name an interpreter that has with --python EXE")
    return done.stdout.strip()


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("range", help=help_text(play, "saksi range --group C --seeds 3", "saksi range --only G08 --json"))(play)
