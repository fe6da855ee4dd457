"""`saksi env`: what Python really executes in an environment, asked from outside."""

from __future__ import annotations

from typing import Final

import typer

from saksi.doors.cli import env_doors, env_manifest, env_verify
from saksi.doors.cli.help_text import help_text

__all__ = ["register"]

_PARTS: Final = (env_verify, env_manifest, env_doors)
"""The modules of the group; each has `register(group)`."""


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        help=help_text("What Python really executes in an environment.", "saksi env verify"),
        rich_markup_mode=None,
        no_args_is_help=False,
    )
    for each in _PARTS:
        each.register(group)
    app.add_typer(group, name="env")
