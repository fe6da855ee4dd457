"""`saksi diff`: why two runs differ."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from saksi.doors.cli.documents import encode
from saksi.doors.cli.help_text import help_text
from saksi.doors.cli.reading import find, items_of, open_reading, seal_of
from saksi.doors.cli.screen import screen_of_output, write
from saksi.judgement import diff as judgement
from saksi.judgement.diff import Difference

__all__ = ["exit_code", "register"]

_SAME: Final = 0
_DIFFERENT: Final = 1
_INCONCLUSIVE: Final = 3


def diff(
    a: Annotated[str, typer.Argument(metavar="RUN_A", help="Id, unique prefix, name, or `last`.")],
    b: Annotated[str, typer.Argument(metavar="RUN_B", help="The run to compare with it.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: saksi.diff/v1.")] = False,
) -> int:
    """Say why two runs differ.

    First their seals, then the first step, rank and field that differ.

    Ends with 0 if they are the same, 1 if they differ, 3 if they could not be compared.
    """
    first, second = open_reading(find(a)), open_reading(find(b))
    found = judgement.diff(
        a=first.run,
        b=second.run,
        items_a=items_of(first),
        items_b=items_of(second),
        seal_a=seal_of(first),
        seal_b=seal_of(second),
    )
    if as_json:
        write(encode(found))
        return exit_code(found)
    from saksi.doors.cli.diff_screen import draw_diff  # noqa: PLC0415 - rich only where something is drawn
    from saksi.doors.cli.drawing import render  # noqa: PLC0415 - as above

    screen = screen_of_output()
    write(render(draw_diff(found, screen), screen))
    return exit_code(found)


def exit_code(found: Difference) -> int:
    """0 only if both seals and at least one update were compared, and nothing differs."""
    if not found.same:
        return _DIFFERENT
    return _SAME if found.seals_compared and found.compared else _INCONCLUSIVE


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("diff", help=help_text(diff, "saksi diff baseline last"))(diff)
