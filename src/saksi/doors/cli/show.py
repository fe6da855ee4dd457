"""`saksi show`: one screen about one run; with `--follow`, while it goes on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import typer

from saksi.doors.cli.capsule_lines import capsule_lines, is_there_below
from saksi.doors.cli.documents import CapsulesLine, ShowReport, encode
from saksi.doors.cli.explained import explained
from saksi.doors.cli.help_text import help_text
from saksi.doors.cli.reading import (
    AttemptNamed,
    find_attempt,
    history_within,
    launch_keys_of,
    open_reading,
    saves_elsewhere,
    seal_of,
)
from saksi.doors.cli.screen import screen_of_output, write
from saksi.doors.cli.summary import show_report
from saksi.edges.home import resolve_home
from saksi.edges.run_folders import capsule_folder
from saksi.judgement.story import Story

__all__ = ["register"]


def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id, unique prefix, name, `last`; RUN@N: attempt N.")],
    *,
    follow: Annotated[
        bool, typer.Option("--follow", help="Look again about each second until the run ends; Ctrl-C leaves.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: saksi.show/v1.")] = False,
) -> int:
    """Show one run on one screen.

    What happened in it, and what is held of it. What is suppressed in this home does not count, and is said. Ends
    with 0 whatever the verdict.
    """
    meant = find_attempt(run)
    if follow:
        from saksi.doors.cli.follow import follow as watch  # noqa: PLC0415 - rich only where something is drawn

        report = watch(lambda: _report(meant), screen_of_output, draw=not as_json)
    else:
        report = _report(meant)
    if as_json:
        write(encode(report))
        return 0
    from saksi.doors.cli.drawing import render  # noqa: PLC0415 - as above
    from saksi.doors.cli.show_screen import draw_show  # noqa: PLC0415 - as above

    screen = screen_of_output()
    write(render(draw_show(report, screen), screen))
    return 0


def _report(meant: AttemptNamed) -> ShowReport:
    reading = open_reading(meant.run)
    judgement, apart = explained(reading, now=datetime.now(UTC))
    return show_report(
        judgement,
        seal_of(reading, meant.attempt),
        short=reading.short,
        suppressed=len(apart.suppressed),
        capsules=_capsules(judgement.history.story),
        keys=launch_keys_of(reading),
        elsewhere=saves_elsewhere(reading, judgement.history.story),
        attempt=meant.attempt,
        within=None if meant.attempt is None else history_within(reading, meant.attempt),
    )


def _capsules(story: Story) -> Mapping[int, CapsulesLine]:
    if not story.capsules:
        return {}
    folder = capsule_folder(resolve_home(os.environ), os.environ, uid=os.getuid())
    return capsule_lines(story, partial(is_there_below, folder))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("show", help=help_text(show, "saksi show last --follow"))(show)
