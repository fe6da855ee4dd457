"""`saksi seal`: what should run, written down, compared and approved before it runs."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer

from saksi.doors.cli.documents import encode
from saksi.doors.cli.help_text import help_text
from saksi.doors.cli.new_file import require_new
from saksi.doors.cli.progress import counter
from saksi.doors.cli.reading import approvers_here, find_attempt, open_reading, seal_of
from saksi.doors.cli.screen import screen_of_output, tell, write
from saksi.doors.cli.seal_documents import seal_diff_report, seal_report
from saksi.doors.cli.sealed_environment import changed_files, require_fitting, tree_to_seal
from saksi.doors.launch.rehearsing import NotRehearsed, rehearse, require_steps
from saksi.doors.launch.sealing import check_command, default_file, make_seal_file
from saksi.edges.approver_keys import read_key_file
from saksi.edges.environment.places import Places
from saksi.edges.home import resolve_home
from saksi.edges.keys import open_keyring
from saksi.edges.seal_files import read_seal_file, replace_seal_file, write_seal_file
from saksi.judgement.approvals import add_signature, signatures_of, was_changed
from saksi.judgement.deviations import deviations, not_looked_at
from saksi.judgement.rehearsal.deviation import rehearsal_deviations
from saksi.judgement.rehearsal.values import Rehearsal
from saksi.judgement.seal import Hardware, Sealed, expectations_of
from saksi.judgement.seal_file import SealFile
from saksi.judgement.tree_deviation import tree_deviation
from saksi.proofs.tlog.note_key import NoteSigner
from saksi.words.errors import MalformedInput, SaksiError, UsageError

__all__ = ["register"]

_SAME: Final = 0
_DIFFERENT: Final = 1
_INCONCLUSIVE: Final = 3


def create(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND", help="The command, as `saksi run` would get it.")],
    *,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="The file to make; must be new.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="N", help="What it is called; names the file.")] = None,
    project: Annotated[str | None, typer.Option("--project", metavar="P", help="The project it belongs to.")] = None,
    manifest: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A manifest that the environment has to agree with.")
    ] = None,
    trust: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A file of keys that may sign a manifest.")
    ] = None,
    no_environment: Annotated[
        bool, typer.Option("--no-environment", help="Do not seal the environment's files; seconds the first time.")
    ] = False,
    steps: Annotated[
        int | None, typer.Option("--rehearse", metavar="N", help="Run it for N steps, and seal what they did.")
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Hide what the rehearsed command prints.")] = False,
) -> int:
    """Write down what should run, without running it.

    Observes what `saksi run` would seal, and the files of the environment; writes one file, signed by this
    installation's key: NAME.seal, run.seal. With `--rehearse N` the command runs under witness until it has made N
    steps, and is then ended.
    """
    path = output or default_file(Path.cwd(), name)
    require_new(path)
    require_fitting(manifest, trust, no_environment=no_environment)
    rehearsed = None if steps is None else partial(_rehearsed, command, require_steps(steps), quiet=quiet)
    now_ns = time.time_ns()
    check_command(command, os.environ, Path.cwd(), name=name, project=project)
    tree = None if no_environment else tree_to_seal(command, manifest, trust or (), now_ns=now_ns)
    try:
        signed = make_seal_file(
            command,
            os.environ,
            Path.cwd(),
            name=name,
            project=project,
            now_ns=now_ns,
            environment_tree=tree,
            rehearsed=rehearsed,
        )
    except NotRehearsed as why:
        tell(f"not rehearsed, and no file written: {why}")
        return why.code
    write_seal_file(path, signed)
    shown = screen_of_output().plain(str(path))
    for _, part, reason in not_looked_at(signed.file):
        tell(f"not observed, and so approved by nobody: {part[:1].lower()}{part[1:]}: {reason}")
    write(f"{shown}: what should run, {str(signed.digest)[:19]}; look at it with `saksi seal show {shown}`")
    return 0


def _rehearsed(command: list[str], steps: int, *, quiet: bool) -> Rehearsal:
    """The rehearsal, told of on standard error."""
    words = "the first step" if steps == 1 else f"the first {steps} steps"
    tell(f"rehearsing {words}; the command is then ended")
    with counter(steps, "rehearsing", shown=quiet) as said:  # a bar would be drawn into what the command prints
        rehearsal = rehearse(command, os.environ, steps, quiet=quiet, said=said)
    tell(f"rehearsed {words}")
    return rehearsal


def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A seal file.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: saksi.seal/v1.")] = False,
) -> int:
    """Show what a seal file says should run, and who signed it.

    Ends with 0, or with 1 if the file was changed after it was signed.
    """
    signed = read_seal_file(file)
    signatures = signatures_of(signed.envelope, approvers_here())
    report = seal_report(str(file), signed, signatures)
    ended = _DIFFERENT if was_changed(signatures) else _SAME
    if as_json:
        write(encode(report))
        return ended
    from saksi.doors.cli.drawing import render  # noqa: PLC0415 - rich only where something is drawn
    from saksi.doors.cli.seal_screen import draw_seal  # noqa: PLC0415 - as above

    screen = screen_of_output()
    write(render(draw_seal(report, screen), screen))
    return ended


class _Side(NamedTuple):
    name: str
    sealed: Sealed

    @property
    def rehearsal(self) -> tuple[Rehearsal, Hardware] | None:
        there = self.sealed.rehearsal if isinstance(self.sealed, SealFile) else None
        return (there, self.sealed.hardware) if isinstance(there, Rehearsal) else None


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="A seal file, or a run: RUN, RUN@N.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The seal file or run to compare with it.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: saksi.seal-diff/v1.")] = False,
) -> int:
    """Say in what B is not as A: files with the line, packages, variables.

    Ends with 0 if nothing that matters differs, 1 if something does, 3 if not everything could be compared.
    """
    before, after = _side(a), _side(b)
    found = deviations(before.sealed, after.sealed, each_variable=True)
    if isinstance(before.sealed, SealFile) and isinstance(after.sealed, SealFile):
        found += rehearsal_deviations(before.rehearsal, after.rehearsal)
    places = Places(before.sealed, after.sealed, os.environ)
    where = [places.of(each.field) for each in found]
    if isinstance(before.sealed, SealFile) and isinstance(after.sealed, SealFile):
        tree = tree_deviation(before.sealed, after.sealed)
        found = (*found, *([] if tree is None else [tree]))
        where += [] if tree is None else [changed_files(before.sealed, after.sealed)]
    report = seal_diff_report(before.name, after.name, found, where)
    matters = any(each.weight == "matters" for each in report.differences)
    ended = _DIFFERENT if matters else _SAME if report.same else _INCONCLUSIVE
    if as_json:
        write(encode(report))
        return ended
    from saksi.doors.cli.drawing import render  # noqa: PLC0415 - rich only where something is drawn
    from saksi.doors.cli.seal_screen import draw_seal_diff  # noqa: PLC0415 - as above

    screen = screen_of_output()
    write(render(draw_seal_diff(report, screen), screen))
    return ended


def _side(text: str) -> _Side:
    """What names a run is a run; any other existing file is a seal file. Raises `SaksiError`."""
    try:
        named = find_attempt(text)
    except UsageError as error:
        if Path(text).is_file():
            return _Side(text, read_seal_file(Path(text)).file)
        if error.message.startswith("no run"):
            raise UsageError(f"{text[:200]!r} is neither a run nor a seal file", remedy="see `saksi runs`") from None
        raise
    seal = seal_of(open_reading(named.run), named.attempt)
    if seal is None:
        raise MalformedInput("seal", f"that of {named} cannot be read", remedy=f"saksi verify {named.run}")
    return _Side(str(named), seal)


def approve(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A seal file.")],
    *,
    key: Annotated[str, typer.Option("--key", metavar="KEY", help="A private key file, or this installation's label.")],
) -> int:
    """Sign a seal file: this may run.

    Look at it first: `saksi seal show`. Whether the signature counts is said where the file is used, by
    `saksi keys trust KEY.vkey --approver`.
    """
    signed, keys = read_seal_file(file), approvers_here()
    signatures = signatures_of(signed.envelope, keys)
    if was_changed(signatures):
        by = ", ".join(each.label for each in signatures if each.state == "refused")
        raise MalformedInput(str(file), f"changed after {by} signed it", remedy="ask for the file again")
    signer = _signer(key)
    shown, label = screen_of_output().plain(str(file)), signer.key.label
    more = add_signature(signed, signer)
    if more is None:
        write(f"{shown}: {label} has signed it already; nothing was changed")
        return 0
    replace_seal_file(file, more)
    write(f"{shown}: signed by {label}")
    expected = len(expectations_of(more.file))
    if expected:
        many = "1 expectation" if expected == 1 else f"{expected} expectations"
        tell(f"what it expects will be held against nobody ({many}): `saksi seal show {shown}`")
    if signer.key not in keys.approvers:
        tell(f"{label} is no approver here yet: `saksi keys trust KEY.vkey --approver`")
    return 0


def _signer(key: str) -> NoteSigner:
    if Path(key).exists():
        return read_key_file(Path(key))
    try:
        own = open_keyring(resolve_home(os.environ), create=False).signer
    except SaksiError:
        own = None
    if own is not None and key in {own.key.label, own.key.name}:
        return own
    raise UsageError(
        f"--key {key[:200]!r} is neither a file nor the key of this installation",
        remedy="`saksi keys create FILE` makes a key",
    )


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        help=help_text(
            "Write down, compare and approve what should run.", "saksi seal create --name baseline -- python train.py"
        ),
        rich_markup_mode=None,
        no_args_is_help=False,
    )
    # What follows the command is the command's, with and without `--` before it.
    literally = {"allow_interspersed_args": False}
    example = "saksi seal create --name baseline -- python train.py --steps 1000"
    group.command("create", help=help_text(create, example), context_settings=literally)(create)
    group.command("show", help=help_text(show, "saksi seal show baseline.seal"))(show)
    group.command(
        "diff", help=help_text(diff, "saksi seal diff baseline.seal last", "saksi seal diff old.seal new.seal")
    )(diff)
    group.command("approve", help=help_text(approve, "saksi seal approve baseline.seal --key ~/approver.key"))(approve)
    app.add_typer(group, name="seal")
