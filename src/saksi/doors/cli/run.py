"""`saksi run`: here for the list of commands. `saksi.doors.main` opens the launcher before typer is imported."""

from __future__ import annotations

import typer

from saksi.doors.cli.help_text import help_text

__all__ = ["register"]


def run(context: typer.Context) -> int:
    """Run a training command under witness."""
    from saksi.doors.launch.launcher import run as launch  # noqa: PLC0415 - the other door; only where it is asked for

    return launch(context.args)


def register(app: typer.Typer) -> None:
    """Add the command. Its own options are the launcher's, its help too."""
    settings = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    app.command(
        "run",
        help=help_text(run, "saksi run --name baseline -- python train.py --steps 1000"),
        context_settings=settings,
    )(run)
