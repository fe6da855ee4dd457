"""The keys of approvers: those that are trusted here, and the private key file of one who approves.

    <home>/keys/approvers/<name>-<hex8>.vkey    one key whose signature on a seal file approves it

Rules:

- Who is an approver is said in the home alone, never in the project's files nor in what is approved.
- A private key file is this account's alone and not encrypted: it is also used where nobody can type a passphrase. Who
  approves keeps it on another account or medium than the jobs.
- A private key that others can read is refused: it is no longer one.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from saksi.edges.home import Home
from saksi.edges.keys import read_trust_file
from saksi.edges.store.durable import flush_folder, make_folders, told, write_new
from saksi.proofs.tlog.note_key import NoteSigner, VerifierKey
from saksi.proofs.tlog.private_key import MAX_PRIVATE_KEY_CHARS, format_private_key, parse_private_key
from saksi.proofs.tlog.signature_types import ED25519
from saksi.words.errors import MalformedInput, UsageError

__all__ = ["approver_keys", "create_key_file", "read_key_file", "trust_approver"]

_SEED_BYTES: Final = 32
_OTHERS: Final = 0o077
_ODD: Final = re.compile(r"[^A-Za-z0-9._-]")
_MAX_NAME: Final = 100
_MAX_APPROVERS: Final = 1024
"""Files that are looked at; an organisation of more has roles."""


def approver_keys(home: Home) -> tuple[VerifierKey, ...]:
    """The keys of those who may approve here, in order of their files; none where there is no such folder.

    Raises `UsageError` naming the file and line of what is no key, `StoreError`.
    """
    folder = home.keys / "approvers"
    with told("read", folder):
        files = sorted(folder.glob("*.vkey")) if folder.is_dir() else []
    if len(files) > _MAX_APPROVERS:
        raise UsageError(f"{folder}: more than {_MAX_APPROVERS} files", remedy="keep those of people who approve")
    return tuple(dict.fromkeys(key for file in files for key in read_trust_file(file)))


def trust_approver(home: Home, file: Path) -> VerifierKey:
    """Enrol the one key in `file` as an approver's; the key. Once is enough: again changes nothing.

    Raises `UsageError`, `StoreError`.
    """
    keys = read_trust_file(file)
    if len(keys) != 1:
        raise UsageError(f"{file}: {len(keys)} keys", remedy="give a file with the one vkey of an approver")
    (key,) = keys
    if key.algorithm != ED25519:
        raise UsageError(f"{file}: {key.label} signs no approvals", remedy="give an Ed25519 key of signed notes")
    if key in approver_keys(home):
        return key
    folder = home.keys / "approvers"
    with told("write in", folder):
        make_folders(folder)
        path = folder / f"{_ODD.sub('_', key.name)[:_MAX_NAME]}-{key.key_id.hex()}.vkey"
        try:
            write_new(path, f"{key}\n".encode(), durable=True)
        except FileExistsError:
            raise UsageError(f"{path} is there already, with another key", remedy="look at it, and move it") from None
        flush_folder(folder)
    return key


def create_key_file(path: Path, name: str, *, randomness: Callable[[int], bytes] = os.urandom) -> VerifierKey:
    """Make a new private key in `path` (0600) and its public half in `path`.vkey; the public key.

    Raises `UsageError` if either is there or `name` cannot name a key, `StoreError`.
    """
    seed = randomness(_SEED_BYTES)
    try:
        text = format_private_key(name, seed)
    except MalformedInput as refused:
        raise UsageError(str(refused), remedy="give another with --name") from None
    key = NoteSigner(name, seed).key
    public = path.with_name(f"{path.name}.vkey")
    for each in (path, public):
        if each.is_symlink() or each.exists():
            raise UsageError(f"{each} is there already", remedy="choose another name, or move it away")
    for each, content, mode in ((path, text, 0o600), (public, str(key), 0o644)):
        with told("write", each):
            try:
                write_new(each, f"{content}\n".encode(), durable=True)
            except FileExistsError:
                raise UsageError(f"{each} is there already", remedy="choose another name") from None
            each.chmod(mode)
    return key


def read_key_file(path: Path) -> NoteSigner:
    """The private key in the file `path`, of this account alone. Raises `UsageError`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, opened without blocking on a FIFO
            _require_private(path, os.fstat(descriptor))
            text = file.read(MAX_PRIVATE_KEY_CHARS + 2).decode("utf-8", "replace")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", remedy="`saksi keys create FILE` makes a key") from None
    try:
        return parse_private_key(text.removesuffix("\n"))
    except MalformedInput as refused:
        raise UsageError(f"{path}: {refused}", remedy="`saksi keys create FILE` makes a key") from None


def _require_private(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{path} is not a regular file", remedy="give the file of a private key")
    if found.st_uid != os.geteuid():
        raise UsageError(f"{path} is of account {found.st_uid}", remedy="give a key file of your own")
    if stat.S_IMODE(found.st_mode) & _OTHERS:
        raise UsageError(
            f"{path} can be read or written by other accounts",
            remedy=f"chmod 600 {path}; if others may have read it, make a new key with `saksi keys create`",
        )
