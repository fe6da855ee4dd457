"""The commands of `saksi`, and how each of them ends: an exit code, and on failure one line.

`saksi run` is opened by `saksi.doors.main` before this module is imported; it stands here for the help text. Only the
modules of the command that was asked for are imported, so that each starts fast.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from saksi import __version__
from saksi.doors.cli.help_text import help_text
from saksi.doors.cli.screen import ReaderLeft, tell
from saksi.words.errors import SaksiError

__all__ = ["COMMANDS", "call", "make_app"]

COMMANDS: Final = {
    "run": "saksi.doors.cli.run",
    "runs": "saksi.doors.cli.runs",
    "show": "saksi.doors.cli.show",
    "findings": "saksi.doors.cli.findings",
    "diff": "saksi.doors.cli.diff",
    "audit": "saksi.doors.cli.audit",
    "doctor": "saksi.doors.cli.doctor",
    "seal": "saksi.doors.cli.seal",
    "verify": "saksi.doors.cli.verify",
    "bundle": "saksi.doors.cli.bundle",
    "keys": "saksi.doors.cli.keys",
    "fsck": "saksi.doors.cli.fsck",
    "env": "saksi.doors.cli.env",
    "agent": "saksi.doors.cli.agent",
    "range": "saksi.doors.cli.range",
}
"""The frozen list. Each module has `register(app)`."""

_USAGE: Final = 2
_INTERNAL: Final = 4
_INTERRUPTED: Final = 130
# Typer up to 0.19 raises click's errors, later ones its own copy of them: the base of both is found here.
_REFUSED: Final = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")

_HELP: Final = help_text(
    "saksi: an independent witness for AI training runs.", "saksi run -- python train.py", "saksi show last"
)


def call(words: Sequence[str]) -> int:
    """Run one command; its exit code. Errors become one line on standard error, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")  # a name that the locale cannot write must not end a command
    try:
        asked = words[:1] if words[:1] and words[0] in COMMANDS else tuple(COMMANDS)
        command = typer.main.get_command(make_app(asked))
        if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # see `saksi.doors.main`
        ended = command.main(args=list(words) or ["--help"], prog_name="saksi", standalone_mode=False)
        sys.stdout.flush()
    except SaksiError as error:
        tell(str(error))
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _INTERRUPTED
    except (ReaderLeft, BrokenPipeError):
        raise BrokenPipeError from None  # `main` knows what to do
    except Exception as error:  # noqa: BLE001 - the last resort: whatever it was, the user reads one line
        return _unexpected(error, words)
    return ended if isinstance(ended, int) else 0


def _unexpected(error: Exception, words: Sequence[str]) -> int:
    if isinstance(error, _REFUSED):
        return _misused(error, words)
    if os.environ.get("SAKSI_DEBUG") == "1":
        traceback.print_exception(error)
    said = str(error).splitlines()
    tell(f"internal error: {type(error).__name__}{f': {said[0][:200]}' if said else ''}; please report")
    return _INTERNAL


def _misused(error: Exception, words: Sequence[str]) -> int:
    """The command line could not be read: the parser's message in our form."""
    message = str(getattr(error, "format_message", error.__str__)()).strip().rstrip(".")
    command = f" {words[0]}" if words and words[0] in COMMANDS else ""
    tell(f"{message[:1].lower()}{message[1:]} (see `saksi{command} --help`)" if message else "see `saksi --help`")
    return _USAGE


def make_app(names: Sequence[str] = tuple(COMMANDS)) -> typer.Typer:
    """The application with the commands `names`."""
    app = typer.Typer(
        name="saksi",
        help=_HELP,
        add_completion=False,
        no_args_is_help=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(help=_HELP)(_options)
    for name in names:
        importlib.import_module(COMMANDS[name]).register(app)
    return app


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer's callback form
    if wanted:
        sys.stdout.write(f"saksi {__version__}\n")
        raise typer.Exit


def _options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and end.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Options of `saksi` itself."""
