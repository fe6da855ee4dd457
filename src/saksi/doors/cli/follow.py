"""The live view: the screen of `saksi show`, drawn again about each second until the run is closed.

Reading a long log takes time, and the job shares the machine: the pause after each look is a second, and never shorter
than four times what the look took.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final

from rich.live import Live

from saksi.doors.cli.documents import ShowReport
from saksi.doors.cli.drawing import console_of
from saksi.doors.cli.screen import Screen
from saksi.doors.cli.show_screen import draw_show
from saksi.words.errors import SaksiError

__all__ = ["follow"]

_PAUSE_S: Final = 1.0
_SHARE: Final = 4.0
_FAILURES: Final = 3


def follow(
    look: Callable[[], ShowReport],
    screen: Callable[[], Screen],
    *,
    draw: bool,
    pause: Callable[[float], None] = time.sleep,
) -> ShowReport:
    """The last report: of the closed run, or of the moment at which Ctrl-C was pressed.

    Draws on standard output meanwhile, if that is a terminal. Raises what `look` raises the first time, and later
    when it fails three times in a row: a run that is moved home at its end cannot be read for a moment.
    """
    report = look()
    if not draw or not sys.stdout.isatty():
        return _wait(look, report, lambda _: None, pause)
    console = console_of(screen(), sys.stdout)
    live = Live(
        draw_show(report, screen()),
        console=console,
        auto_refresh=False,
        transient=True,
        vertical_overflow="crop",
        redirect_stdout=False,
        redirect_stderr=False,
    )

    def shown(each: ShowReport) -> None:
        now = screen()  # the window may have another size by now
        console.width, console.height = now.width, now.height or console.height
        live.update(draw_show(each, now), refresh=True)

    with live:
        return _wait(look, report, shown, pause)


def _wait(
    look: Callable[[], ShowReport],
    report: ShowReport,
    shown: Callable[[ShowReport], None],
    pause: Callable[[float], None],
) -> ShowReport:
    took, failures = 0.0, 0
    try:
        while report.state == "running":
            pause(max(_PAUSE_S, _SHARE * took))
            began = time.monotonic()
            try:
                report, failures = look(), 0
            except SaksiError:
                failures += 1
                if failures == _FAILURES:
                    raise
            took = time.monotonic() - began
            shown(report)
    except KeyboardInterrupt:
        pass
    return report
