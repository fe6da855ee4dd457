"""`saksi bundle`: a run as one file that anybody can carry and verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from saksi.doors.cli.from_agent import fetch_bundle
from saksi.doors.cli.help_text import help_text
from saksi.doors.cli.new_file import make_new_file
from saksi.doors.cli.progress import progress
from saksi.doors.cli.reading import find, open_reading
from saksi.doors.cli.screen import screen_of_output, write
from saksi.judgement.bundle import pack, unpack
from saksi.judgement.items import blob_of
from saksi.words.codec import decode_record
from saksi.words.errors import MalformedInput, UsageError

__all__ = ["register"]


def bundle(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id, unique prefix, name, or `last`.")],
    *,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The file to make; must be new.")],
    from_agent: Annotated[
        bool, typer.Option("--from-agent", help="A run of this account that the agent of the node recorded.")
    ] = False,
) -> int:
    """Write a run into one file.

    Its log, its blobs and its signed head. A bundle carries no keys: the reader says whom to trust.
    """
    shown = screen_of_output().plain(str(output))
    if from_agent:
        fetched = fetch_bundle(run)
        unpacked = unpack(fetched)
        make_new_file(output, fetched)
        write(f"{shown}: run {unpacked.run}, {len(unpacked.entries):,} entries, {len(fetched):,} bytes")
        return 0
    reading = open_reading(find(run))
    if reading.head is None:
        raise UsageError(f"run {reading.run} has no signed head yet", remedy="wait until its first records are written")
    named = {}
    for index, entry in enumerate(progress(reading.entries, "reading the run")):
        digest = blob_of(decode_record(entry, where=f"index {index}"))
        content = None if digest is None else reading.blob(digest)
        if digest is not None and content is None:
            raise MalformedInput(
                "run", f"blob {digest} is not there", where=f"entry {index}", remedy=f"saksi fsck {reading.run}"
            )
        if digest is not None and content is not None:
            named[digest] = content
    content = pack(run=reading.run, head=reading.head, entries=reading.entries, blobs=named)
    make_new_file(output, content)
    write(f"{shown}: run {reading.run}, {len(reading.entries):,} entries, {len(content):,} bytes")
    return 0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "bundle",
        help=help_text(
            bundle,
            "saksi bundle last -o run.saksi",
            "saksi keys export -o lab.vkey",
            "saksi verify run.saksi --trust lab.vkey",
        ),
    )(bundle)
