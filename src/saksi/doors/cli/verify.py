"""`saksi verify`: runs, bundles and files, judged by the keys that the reader trusts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from saksi.doors.cli.documents import VerifyLine, VerifyReport, encode
from saksi.doors.cli.help_text import help_text
from saksi.doors.cli.progress import progress
from saksi.doors.cli.reading import trusted_keys
from saksi.doors.cli.screen import Screen, screen_of_output, write
from saksi.doors.cli.severity_option import severity_of
from saksi.doors.cli.targets import judge_target
from saksi.judgement.log_layer import Outcome
from saksi.judgement.verdict import reaching
from saksi.judgement.verify import Trust
from saksi.words.findings import Severity

__all__ = ["register"]

_EXIT_CODES: Final[dict[Outcome, int]] = {"refused": 1, "inconclusive": 3, "accepted": 0}
"""In order of precedence: one refused target is enough."""
_NEGATIVE: Final = 1
_REASONS: Final = 12


def verify(
    targets: Annotated[list[str], typer.Argument(metavar="TARGET", help="Runs, bundle files, or any other files.")],
    *,
    trust: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A file of trusted keys, one a line; instead of those of the home."),
    ] = None,
    anchor: Annotated[
        list[str] | None,
        typer.Option(metavar="A", help="A folder of anchored heads, or one of them, to compare with."),
    ] = None,
    fail_on: Annotated[
        str, typer.Option(metavar="SEVERITY", help="End with 1 from this severity on: info, warning or critical.")
    ] = "warning",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: saksi.verify/v1.")] = False,
) -> int:
    """Verify runs, bundles and files.

    Is the record whole, signed and unchanged? Of any other file: which run and step made it, is it unchanged? If none
    made it as it is: whose weights are in it, and which are others?

    Ends with 0 if every target is accepted, 1 if one is refused or tells of a finding from --fail-on on that is not
    about coverage, 3 if one could not be judged. Works without a home and without a network. Nothing is suppressed
    here. A file whose name could mean a run is given as ./NAME.
    """
    floor = severity_of(fail_on, "--fail-on")
    keys = Trust(trusted_keys(trust or ()))
    judged = progress(targets, "verifying")
    lines = tuple(judge_target(each, trust=keys, anchors=tuple(anchor or ())) for each in judged)
    if as_json:
        write(encode(VerifyReport(targets=lines)))
    else:
        screen = screen_of_output()
        for each in lines:
            write(_text(each, screen, floor))
    if any(reaching(each.findings, floor) for each in lines):
        return _NEGATIVE
    return next(code for outcome, code in _EXIT_CODES.items() if outcome in {each.verdict for each in lines})


def _text(line: VerifyLine, screen: Screen, floor: Severity) -> str:
    against = [
        f"{each.severity}: {each.code}, {each.subject}: {each.message}" for each in reaching(line.findings, floor)
    ]
    shown = [f"{screen.plain(line.target)}: {line.verdict}. {screen.plain(line.sentence, 600)}"]
    for reasons, kind in ((line.reasons, "reasons"), (against, "findings")):
        shown += [f"  - {screen.plain(each, 600)}" for each in reasons[:_REASONS]]
        if len(reasons) > _REASONS:
            shown.append(f"  {len(reasons) - _REASONS} more {kind}: --json")
    return "\n".join(shown)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "verify",
        help=help_text(
            verify,
            "saksi verify last",
            "saksi verify run.saksi --trust lab.vkey --anchor /mnt/anchors",
            "saksi verify model.safetensors",
        ),
    )(verify)
