"""`saksi fsck`: whether the bytes in a run's folder agree with each other; projections made again if asked for."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from saksi.doors.cli.documents import FsckLine, FsckReport, encode
from saksi.doors.cli.folder_check import check_folder
from saksi.doors.cli.help_text import help_text
from saksi.doors.cli.progress import progress
from saksi.doors.cli.reading import catalogue, find, trusted_keys
from saksi.doors.cli.screen import Screen, screen_of_output, write

__all__ = ["register"]

_UNSOUND: Final = 1
_INCONCLUSIVE: Final = 3


def fsck(
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="Id, unique prefix, name, or `last`.")] = None,
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make tiles and the published head again; the log itself is never changed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: saksi.fsck/v1.")] = False,
) -> int:
    """Check the folders of runs.

    Journal against head, tiles and blobs against both; of one run, or of all.

    Ends with 0 if all are sound, 1 if one is not, 3 if one could not be judged.
    """
    folders = catalogue()
    asked = sorted(folders) if run is None else [find(run)]
    keys = trusted_keys(())
    lines = tuple(check_folder(each, folders[each], keys, repair=repair) for each in progress(asked, "checking runs"))
    if as_json:
        write(encode(FsckReport(runs=lines)))
    else:
        screen = screen_of_output()
        for line in lines:
            write(_text(line, screen))
        if not lines:
            write("There is no run to check.")
    if any(line.sound is False for line in lines):
        return _UNSOUND
    return _INCONCLUSIVE if any(line.sound is None for line in lines) else 0


def _text(line: FsckLine, screen: Screen) -> str:
    word = {True: "sound", False: "not sound", None: "could not be judged"}[line.sound]
    shown = [f"{line.run}: {word}"]
    shown += [f"  - {screen.plain(each, 600)}" for each in line.problems]
    shown += [f"  made again: {screen.plain(each)}" for each in line.repaired]
    return "\n".join(shown)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("fsck", help=help_text(fsck, "saksi fsck last --repair"))(fsck)
