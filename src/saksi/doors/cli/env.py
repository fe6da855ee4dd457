"""`saksi env`: what Python really executes in an environment, looked at from outside."""

from __future__ import annotations

from typing import Final

import typer

from saksi.doors.cli import env_manifest, env_verify
from saksi.doors.cli.help_text import help_text

__all__ = ["register"]

_PARTS: Final = (env_verify, env_manifest)
"""The modules of the group; each has `register(group)`."""


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        help=help_text("What Python really executes in an environment.", "saksi env verify"),
        rich_markup_mode=None,
        no_args_is_help=False,
    )
    group.callback()(_of_the_group)  # with a single command, typer would make the group that command
    for each in _PARTS:
        each.register(group)
    app.add_typer(group, name="env")


def _of_the_group() -> None:
    """What Python really executes in an environment."""
