"""`saksi env`: what Python really executes in an environment, looked at from outside."""

from __future__ import annotations

import typer

from saksi.doors.cli import env_doors
from saksi.doors.cli.help_text import help_text

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        help=help_text("What Python really executes in an environment.", "saksi env doors"),
        rich_markup_mode=None,
        no_args_is_help=False,
    )

    # With a single command, typer would make the group that command.
    group.callback()(_of_the_group)
    env_doors.register(group)
    app.add_typer(group, name="env")


def _of_the_group() -> None:
    """What Python really executes in an environment."""
