"""How things are drawn with rich: text that is never markup, grids without frames, one string at the end.

Rules: only `Text` values reach rich, never strings, so nothing is read as markup; what a run says passes
`Screen.plain` first; colour repeats what a word says and never says it alone.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import IO, Final, Protocol

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from saksi.doors.cli.screen import Screen
from saksi.words.findings import Finding, Verdict

__all__ = [
    "SEVERITY_STYLES",
    "VERDICT_STYLES",
    "console_of",
    "finding_head",
    "finding_rows",
    "grid",
    "listing",
    "render",
    "where",
]

SEVERITY_STYLES: Final = {"info": "cyan", "warning": "yellow", "critical": "bold red"}
VERDICT_STYLES: Final[dict[Verdict, str]] = {"clean": "green", "unknown": "bold", "affected": "bold red"}
_LABEL_WIDTH: Final = 9


def console_of(screen: Screen, file: IO[str] | None = None) -> Console:
    """A console that draws for `screen` and looks nowhere else."""
    return Console(
        file=io.StringIO() if file is None else file,
        width=screen.width,
        height=screen.height or 25,
        force_terminal=screen.colour,
        color_system="standard" if screen.colour else None,
        no_color=not screen.colour,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
        _environ={},
    )


def render(drawn: RenderableType, screen: Screen) -> str:
    """What was drawn, as text without trailing spaces."""
    console = console_of(screen)
    with console.capture() as captured:
        console.print(drawn)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def grid(rows: Iterable[tuple[str, RenderableType]], *, indent: int = 0) -> Table:
    """Labels on the left, what they name on the right, wrapped there."""
    table = Table.grid(padding=(0, 2, 0, 0), expand=False)
    table.add_column(min_width=_LABEL_WIDTH, no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in rows:
        table.add_row(Text(" " * indent + label, style="dim"), value)
    return table


def listing(
    headings: Sequence[str], rows: Iterable[Sequence[Text]], *, right: Sequence[str] = (), folding: bool = False
) -> Table:
    """A table without frame. Headings named in `right` are of numbers.

    The last column takes what is left and folds; with `folding` every column may fold.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False, show_edge=False)
    for at, heading in enumerate(headings):
        last = at == len(headings) - 1
        justify = "right" if heading in right else "left"
        table.add_column(Text(heading), justify=justify, overflow="fold", no_wrap=not (last or folding))  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*row)
    return table


class _Found(Protocol):
    """What is shown of a finding, as it is in the log or as it is printed."""

    @property
    def code(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def first_step(self) -> int | None: ...
    @property
    def last_step(self) -> int | None: ...
    @property
    def ranks(self) -> tuple[int, ...]: ...


def where(finding: _Found) -> str:
    """Steps and ranks of a finding, in words; empty where none apply."""
    parts = []
    if finding.first_step is not None:
        last = finding.last_step
        alone = last is None or last == finding.first_step
        parts.append(f"step {finding.first_step}" if alone else f"steps {finding.first_step} to {last}")
    if finding.ranks:
        shown = ", ".join(str(each) for each in finding.ranks[:8])
        more = f" and {len(finding.ranks) - 8} more" if len(finding.ranks) > 8 else ""  # noqa: PLR2004 - a node's GPUs
        parts.append(f"{'rank' if len(finding.ranks) == 1 else 'ranks'} {shown}{more}")
    return ", ".join(parts)


def finding_rows(findings: Iterable[Finding], screen: Screen) -> Table:
    """Findings, one block each: severity and code, where, and the message."""
    table = Table.grid(padding=(0, 2, 0, 0), expand=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for each in findings:
        table.add_row(Text(each.severity, style=SEVERITY_STYLES.get(each.severity, "")), finding_head(each, screen))
    return table


def finding_head(finding: _Found, screen: Screen) -> Text:
    """Code, subject and where in one line, and the message below."""
    head = Text(screen.plain(finding.code, 80), style="bold")
    place = where(finding)
    subject = "" if finding.subject in place else screen.plain(finding.subject, 80)
    for part in (subject, place):
        head.append(f"  {part}" if part else "", style="not bold dim")
    return head.append(f"\n{screen.plain(finding.message, 600)}", style="not bold")
