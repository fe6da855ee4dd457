"""`saksi keys`: the keys that sign here, and the keys that are trusted here."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from saksi.doors.cli.documents import KeyLine, KeysReport, encode
from saksi.doors.cli.help_text import help_text
from saksi.doors.cli.screen import screen_of_output, write
from saksi.edges.approver_keys import approver_keys, create_key_file, trust_approver
from saksi.edges.home import resolve_home
from saksi.edges.keys import open_keyring
from saksi.words.errors import UsageError

__all__ = ["register"]


def init() -> int:
    """Make the key, if there is none yet.

    `saksi run` does it by itself on its first use.
    """
    home = resolve_home(os.environ)
    keyring = open_keyring(home)
    write(f"{keyring.signer.vkey}\n")
    return 0


def list_(*, as_json: Annotated[bool, typer.Option("--json", help="One JSON object: saksi.keys/v1.")] = False) -> int:
    """List the keys that are trusted here.

    The one that signs comes first, those of approvers last.
    """
    home = resolve_home(os.environ)
    keyring = open_keyring(home, create=False)
    keys, approvers = (
        tuple(KeyLine(label=each.label, vkey=str(each), current=each == keyring.signer.key) for each in group)
        for group in (keyring.trusted(), approver_keys(home))
    )
    if as_json:
        write(encode(KeysReport(keys=keys, approvers=approvers)))
        return 0
    screen = screen_of_output()
    for each in keys:
        write(f"{'signs' if each.current else 'trusted':<8} {screen.plain(each.vkey)}")
    for each in approvers:
        write(f"{'approves':<8} {screen.plain(each.vkey)}")
    return 0


def rotate() -> int:
    """Make a new key that signs from now on.

    The old one stays trusted, and signs who followed it.
    """
    home = resolve_home(os.environ)
    keyring = open_keyring(home, create=False).rotate(now_ns=time.time_ns())
    write(f"{keyring.signer.vkey}\n")
    return 0


def export(
    file: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="The file to make. Without it: standard output."),
    ] = None,
) -> int:
    """Give out the public key.

    Others verify with it: `saksi verify BUNDLE --trust FILE`.
    """
    keyring = open_keyring(resolve_home(os.environ), create=False)
    if file is None:
        write(keyring.signer.vkey)
        return 0
    if file.is_dir():
        raise UsageError(f"{file} is a folder", remedy="name the file to make")
    keyring.export(file)
    return 0


def create(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The private key file to make; must be new.")],
    *,
    name: Annotated[
        str | None, typer.Option("--name", metavar="N", help="The key's name, for people; the file's without it.")
    ] = None,
) -> int:
    """Make a key for a person who approves: FILE, and FILE.vkey for others to trust.

    FILE is readable by this account alone and not encrypted: keep it away from the jobs.
    """
    key = create_key_file(file, name or file.stem)
    write(str(key))
    return 0


def trust(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file with the vkey of one key.")],
    *,
    approver: Annotated[
        bool, typer.Option("--approver", help="Its signature on a seal file approves what the file says.")
    ] = False,
) -> int:
    """Say what a key is trusted for here.

    The key is copied into the home; the project's files never say whom to trust.
    """
    if not approver:
        raise UsageError("for what is the key trusted?", remedy="--approver: its signature approves seal files")
    key = trust_approver(resolve_home(os.environ), file)
    write(f"approves {screen_of_output().plain(str(key))}")
    return 0


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        help=help_text("Make, list, rotate and give out keys.", "saksi keys list"),
        rich_markup_mode=None,
        no_args_is_help=False,
    )
    group.command("init", help=help_text(init, "saksi keys init"))(init)
    group.command("list", help=help_text(list_, "saksi keys list"))(list_)
    group.command("rotate", help=help_text(rotate, "saksi keys rotate"))(rotate)
    group.command("export", help=help_text(export, "saksi keys export -o lab.vkey"))(export)
    group.command("create", help=help_text(create, "saksi keys create ~/approver.key --name maria"))(create)
    group.command("trust", help=help_text(trust, "saksi keys trust maria.vkey --approver"))(trust)
    app.add_typer(group, name="keys")
