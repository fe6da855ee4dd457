"""`saksi env manifest`: what the files of an environment should be, from its wheels or from an approved environment."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from saksi.doors.cli.documents import encode
from saksi.doors.cli.env_verify import interpreter_named
from saksi.doors.cli.help_text import help_text
from saksi.doors.cli.manifest_document import EnvManifestReport, summarise
from saksi.doors.cli.new_file import make_new_file, require_new
from saksi.doors.cli.progress import meter, progress
from saksi.doors.cli.screen import Screen, screen_of_output, write
from saksi.edges.approver_keys import read_key_file
from saksi.edges.environment.examine import examine
from saksi.edges.environment.interpreter import Python
from saksi.edges.environment.listing import Question
from saksi.edges.environment.reference import interpreter_of, python_parts, read_reference
from saksi.edges.environment.wheels import packed_size, read_lock_file, read_wheel, wheel_files
from saksi.edges.home import resolve_home
from saksi.edges.keys import open_keyring
from saksi.judgement.environment.lock import parse_lock
from saksi.judgement.environment.manifest import Manifest, make_statement, open_manifest
from saksi.judgement.environment.manifest_sources import manifest_from_tree, manifest_from_wheels
from saksi.judgement.environment.tree import Tree
from saksi.proofs.attest.envelope import IN_TOTO, MAX_SIGNATURES, format_envelope, sign
from saksi.proofs.tlog.note_key import NoteSigner
from saksi.words.digest import sha256
from saksi.words.errors import SaksiError, UsageError

__all__ = ["manifest", "register"]

_SHOWN: Final = 12


def manifest(
    *,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The file to make; must be new.")],
    wheels: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A folder with the wheels of the environment, one of each.")
    ] = None,
    lock: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Every wheel must be of it: requirements with hashes, or pylock.toml."),
    ] = None,
    reference: Annotated[
        bool, typer.Option("--reference", help="An installed environment instead, that the signer approves as it is.")
    ] = False,
    python: Annotated[
        str | None,
        typer.Option(metavar="EXE", help="The reference's interpreter; with --wheels, the one they must be made for."),
    ] = None,
    key: Annotated[
        list[Path] | None,
        typer.Option(metavar="KEY", help="A private key to sign with, instead of that of this installation."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: saksi.env-manifest/v1.")] = False,
) -> int:
    """Say what the files of an environment should be.

    From pristine wheels, or from an environment that is approved as it is; signed, in one file that can be carried.
    `saksi env verify --manifest FILE` compares an environment with it.
    """
    if (wheels is None) == (not reference):
        raise UsageError("say where from, once", remedy="--wheels DIR, or --reference")
    if lock is not None and wheels is None:
        raise UsageError("--lock belongs to --wheels", remedy="leave one of them out")
    require_new(output)
    signers = _signers(key or ())
    made = _from_wheels(wheels, lock, python) if wheels is not None else _from_reference(python)
    content = format_envelope(sign(IN_TOTO, make_statement(made), signers))
    open_manifest(content, [each.key for each in signers])  # what nobody could open must not be signed
    make_new_file(output, content)
    labels = tuple(each.key.label for each in signers)
    report = summarise(made, file=str(output), digest=str(sha256(content)), signed_by=labels)
    write(encode(report) if as_json else _text(report, screen_of_output()))
    return 0


def _signers(files: Sequence[Path]) -> tuple[NoteSigner, ...]:
    if not files:
        return (open_keyring(resolve_home(os.environ)).signer,)
    signers = {each.key.label: each for each in map(read_key_file, files)}
    if len(signers) > MAX_SIGNATURES:
        raise UsageError(f"more than {MAX_SIGNATURES} keys", remedy="sign with fewer")
    return tuple(signers.values())


def _from_wheels(folder: Path, lock: Path | None, python: str | None) -> Manifest:
    # What is quick to refuse comes first: hashing the wheels of torch takes seconds.
    locked = None if lock is None else parse_lock(read_lock_file(lock), name=str(lock))
    parts = None
    if python is not None:
        parts = python_parts(interpreter_of(interpreter_named(python), os.environ, now_ns=time.time_ns()))
    paths = wheel_files(folder)
    with meter(packed_size(paths), "reading wheels") as hear:
        read = [read_wheel(path, told=hear) for path in paths]
    return manifest_from_wheels(read, lock=locked, python=parts)


def _from_reference(python: str | None) -> Manifest:
    read = read_reference(
        interpreter_of(interpreter_named(python), os.environ, now_ns=time.time_ns()), read_tree=_whole_tree
    )
    return manifest_from_tree(read.tree, python=read.python, scripts=read.scripts, interpreters=read.interpreters)


def _whole_tree(python: Python) -> Tree:
    """Every file as it is now: for an approval nothing that was remembered counts.

    Nor what the approver's own account adds to the search path: PYTHONPATH and the user's site folder.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    question = Question(
        python=python.path, environment=own | {"PYTHONNOUSERSITE": "1"}, folder=Path.cwd(), cache=None, bytecode=False
    )
    observed = examine(question, now_ns=time.time_ns(), progress=progress)
    if observed.unknown:
        raise SaksiError(observed.unknown[0], remedy="a reference has to be known whole")
    return observed.tree


def _text(report: EnvManifestReport, screen: Screen) -> str:
    python = " ".join(each for each in (report.python.implementation, report.python.version) if each is not None)
    lines = [
        f"{screen.plain(report.file)}: {len(report.distributions):,} distributions for {python or 'any Python 3'}",
        f"{report.files:,} files, {report.bytes:,} bytes, and {report.scripts:,} scripts",
        f"tree {report.tree}",
        f"signed by {', '.join(screen.plain(each) for each in report.signed_by)}",
    ]
    if report.not_covered:
        lines.append(f"not covered: {len(report.not_covered):,}")
    lines += [f"  - {each.name}: {screen.plain(each.reason, 200)}" for each in report.not_covered[:_SHOWN]]
    if len(report.not_covered) > _SHOWN:
        lines.append(f"  {len(report.not_covered) - _SHOWN:,} more: --json")
    return "\n".join(lines)


def register(group: typer.Typer) -> None:
    """Add the command to the group `env`."""
    group.command(
        "manifest",
        help=help_text(
            manifest,
            "saksi env manifest -o env.manifest --wheels wheels --lock requirements.txt",
            "saksi env manifest -o env.manifest --reference --python /shared/venv/bin/python --key approver.key",
        ),
    )(manifest)
