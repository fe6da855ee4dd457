"""`saksi diff`: why two runs differ."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
import typer

from saksi.doors.cli.documents import encode
from saksi.doors.cli.help_text import help_text
from saksi.doors.cli.reading import AttemptNamed, find_attempt, items_of, items_within, open_reading, seal_of
from saksi.doors.cli.screen import screen_of_output, write
from saksi.edges.runs import RunMaterials
from saksi.judgement import diff as judgement
from saksi.judgement.continuation.compare import Link, compare_continuation, link_of
from saksi.judgement.diff import Difference
from saksi.judgement.distance import distance_of
from saksi.judgement.paired_views import of_attempt
from saksi.judgement.story import Story, StoryBuilder
from saksi.judgement.update_views import update_views

__all__ = ["exit_code", "register"]

_SAME: Final = 0
_DIFFERENT: Final = 1
_INCONCLUSIVE: Final = 3


def diff(
    a: Annotated[str, typer.Argument(metavar="RUN_A", help="Id, unique prefix, name, `last`; RUN@N: attempt N.")],
    b: Annotated[str, typer.Argument(metavar="RUN_B", help="The run, or attempt, to compare with it.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: saksi.diff/v1.")] = False,
) -> int:
    """Say why two runs differ, or whether one continues the other.

    First their seals, then the first step, rank and field that differ. Where B loaded a model checkpoint that A had
    saved: whether state, generators, schedule and data order go on from there.

    Ends with 0 if they are the same (or B continues A), 1 if they differ, 3 if they could not be compared.
    """
    found = _difference(find_attempt(a), find_attempt(b))
    if as_json:
        write(encode(found))
        return exit_code(found)
    from saksi.doors.cli.diff_screen import draw_diff  # noqa: PLC0415 - rich only where something is drawn
    from saksi.doors.cli.drawing import render  # noqa: PLC0415 - as above

    screen = screen_of_output()
    write(render(draw_diff(found, screen), screen))
    return exit_code(found)


def _difference(a: AttemptNamed, b: AttemptNamed) -> Difference:
    first, second = open_reading(a.run), open_reading(b.run)
    seals = seal_of(first, a.attempt), seal_of(second, b.attempt)
    link = None if a == b else _link(first, a.attempt, second, b.attempt)
    if link is not None:
        continuation = compare_continuation(
            link, lambda: items_within(first, a.attempt), lambda: items_within(second, b.attempt)
        )
        return judgement.continued(a=str(a), b=str(b), continuation=continuation, seal_a=seals[0], seal_b=seals[1])
    found = judgement.diff(
        a=str(a),
        b=str(b),
        items_a=items_of(first),
        items_b=items_of(second),
        seal_a=seals[0],
        seal_b=seals[1],
        attempts=(a.attempt, b.attempt),
    )
    if found.first is None:
        return found
    views = (of_attempt(update_views(items_of(each)), at) for each, at in ((first, a.attempt), (second, b.attempt)))
    return msgspec.structs.replace(found, distance=distance_of(*views))


def _link(a: RunMaterials, attempt_a: int | None, b: RunMaterials, attempt_b: int | None) -> Link | None:
    """What links the two; the logs are read for it only where one saved and the other loaded something."""
    if not (_has(a, b'"action":"saved"') and _has(b, b'"action":"loaded"')):
        return None
    stories = [_story(each, attempt) for each, attempt in ((a, attempt_a), (b, attempt_b))]
    return link_of(stories[0], stories[1], run_a=a.run, run_b=b.run)


def _has(reading: RunMaterials, action: bytes) -> bool:
    return any(entry.startswith(b'{"kind":"file"') and action in entry for entry in reading.entries)


def _story(reading: RunMaterials, attempt: int | None) -> Story:
    builder = StoryBuilder()
    for item in items_within(reading, attempt):
        builder.take(item)
    return builder.build()


def exit_code(found: Difference) -> int:
    """0 only if both seals and at least one update were compared, and nothing differs; or if B continues A."""
    if found.continuation is not None:
        return {True: _SAME, False: _DIFFERENT, None: _INCONCLUSIVE}[found.continuation.continues]
    if not found.same:
        return _DIFFERENT
    return _SAME if found.seals_compared and found.compared else _INCONCLUSIVE


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("diff", help=help_text(diff, "saksi diff baseline last", "saksi diff last@0 last@1"))(diff)
