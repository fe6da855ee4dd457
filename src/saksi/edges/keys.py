"""The keys of one installation, and the keys it trusts.

    <home>/keys/installation.seed     0600: 64 hexadecimal digits, the Ed25519 seed that signs for this installation
    <home>/keys/installation.vkey     its public half; made again from the seed whenever it differs
    <home>/keys/trusted.vkeys         further trusted keys, one vkey a line, `#` starts a comment
    <home>/keys/redaction.key         0600: 64 hexadecimal digits, the key of the HMACs in seals
    <home>/keys/rotations/<n>.json    who followed whom: a DSSE envelope, signed by the key that left

Rules:

- A secret file is made whole and under its name at once (a link), so two first runs that start together end with the
  same key, and a crash leaves either no key or a key.
- A secret that others can read is refused: it is no longer one.
- Every trusted key passes `enrol`; one bad line refuses the file, since a list that is partly believed misleads.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from saksi.edges.home import Home
from saksi.edges.store.durable import flush_folder, make_folders, told, write_new
from saksi.judgement.redaction import KEY_BYTES
from saksi.proofs.attest import envelope
from saksi.proofs.attest.statement import ResourceDescriptor, format_statement, make_statement
from saksi.proofs.tlog.note_key import NoteSigner, VerifierKey, enrol
from saksi.words.errors import MalformedInput, MissingKey, StoreError, UsageError

__all__ = ["KEY_ROTATION", "KeyRotation", "Keyring", "open_keyring", "read_trust_file"]

KEY_ROTATION: Final = "urn:saksi:predicate:key-rotation:v1"
_MAX_SECRET: Final = 256
_MAX_TRUST_FILE: Final = 1 << 20
"""Some ten thousand Ed25519 keys."""
_SEED: Final = re.compile(r"[0-9a-f]{64}\n?", re.ASCII)
_OTHERS: Final = 0o077


class KeyRotation(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """From `rotated_ns` on, `next` signs in place of `previous`."""

    previous: str
    next: str
    rotated_ns: int


class Keyring:
    """The installation's keys. `signer` signs seals and admits attempt keys."""

    def __init__(self, folder: Path, signer: NoteSigner, redaction_key: bytes) -> None:
        self.folder = folder
        self.signer = signer
        self.redaction_key = redaction_key

    def __repr__(self) -> str:
        return f"Keyring({str(self.folder)!r}, {self.signer!r})"

    def trusted(self) -> tuple[VerifierKey, ...]:
        """This installation's key first, then those of `trusted.vkeys`. Raises `UsageError`, `StoreError`."""
        path = self.folder / "trusted.vkeys"
        others = read_trust_file(path) if path.exists() else ()
        return tuple(dict.fromkeys((self.signer.key, *others)))

    def export(self, path: Path) -> None:
        """Write the public key to the new file `path`, for others to trust. Raises `UsageError`, `StoreError`."""
        with told("write", path):
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            except FileExistsError:
                raise UsageError(f"{path} is there already", remedy="choose another name, or remove it") from None
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, opened as a new file only
                file.write(f"{self.signer.vkey}\n".encode())

    def rotate(self, *, now_ns: int, randomness: Callable[[int], bytes] = os.urandom) -> Keyring:
        """The keyring with a new key. The old one stays trusted and signs who followed it. Raises `StoreError`.

        Each step leaves a usable keyring behind: first the old key is trusted and the rotation told, then the seed is
        replaced.
        """
        with told("rotate", self.folder), _held(self.folder):
            # Another rotation may have been faster: the key that leaves is the one that is there now.
            leaving = _signer_of(_secret(self.folder / "installation.seed", randomness))
            seed = randomness(KEY_BYTES)
            following = _signer_of(seed)
            _add_trusted(self.folder / "trusted.vkeys", leaving.vkey)
            rotations = self.folder / "rotations"
            make_folders(rotations)
            name = f"{now_ns:020}-{following.key.key_id.hex()}.json"
            write_new(rotations / name, _rotation(leaving, following, now_ns), durable=True)
            flush_folder(rotations)
            _replace(self.folder / "installation.seed", f"{seed.hex()}\n".encode(), randomness)
            _publish(self.folder, following, randomness)
        return Keyring(self.folder, following, self.redaction_key)


def open_keyring(home: Home, *, create: bool = True, randomness: Callable[[int], bytes] = os.urandom) -> Keyring:
    """The installation's keys, made on first use. Two that make them at once end with the same.

    Raises `StoreError` (read-only home, a seed that others can read, a seed that is none) and, with `create` off,
    `MissingKey`.
    """
    folder = home.keys
    if not create and not (folder / "installation.seed").exists():
        raise MissingKey(f"no key in {folder}", remedy="`saksi keys init` makes one")
    with told("open the keys in", folder):
        if create:
            make_folders(folder)
        seed = _secret(folder / "installation.seed", randomness)
        redaction_key = _secret(folder / "redaction.key", randomness)
        signer = _signer_of(seed)
        _publish(folder, signer, randomness)
    return Keyring(folder, signer, redaction_key)


def _signer_of(seed: bytes) -> NoteSigner:
    # The name follows from the key, so that a person can tell two installations apart.
    public = NoteSigner("saksi-installation", seed).key.public
    return NoteSigner(f"saksi-installation-{hashlib.sha256(public).hexdigest()[:8]}", seed)


def _secret(path: Path, randomness: Callable[[int], bytes]) -> bytes:
    """The 32 bytes in the secret file `path`, made if it is not there. Raises `OSError`, `StoreError`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        staged = _staged(path, randomness)
        write_new(staged, f"{randomness(KEY_BYTES).hex()}\n".encode(), durable=True)
        try:
            os.link(staged, path)
        except FileExistsError:
            pass  # another first run was faster: its key is the key
        finally:
            staged.unlink()
        flush_folder(path.parent)
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, opened without following a link
        _require_private(path, os.fstat(descriptor))
        text = file.read(_MAX_SECRET).decode("ascii", "replace")
    if _SEED.fullmatch(text) is None:
        raise StoreError(
            f"{path} is not a key of 64 hexadecimal digits", remedy="put the right file back, or move it away"
        )
    return bytes.fromhex(text)


def _require_private(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        raise StoreError(f"{path} is not a file of yours", remedy="look who put it there, and move it away")
    if stat.S_IMODE(found.st_mode) & _OTHERS:
        raise StoreError(
            f"{path} can be read or written by other accounts",
            remedy=f"chmod 600 {path}; if others may have read it: `saksi keys rotate`",
        )


def _staged(path: Path, randomness: Callable[[int], bytes]) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.{randomness(8).hex()}")


def _replace(path: Path, content: bytes, randomness: Callable[[int], bytes]) -> None:
    staged = _staged(path, randomness)
    write_new(staged, content, durable=True)
    staged.replace(path)
    flush_folder(path.parent)


def _publish(folder: Path, signer: NoteSigner, randomness: Callable[[int], bytes]) -> None:
    """Make `installation.vkey` say what the seed says."""
    path, wanted = folder / "installation.vkey", f"{signer.vkey}\n".encode()
    if not path.exists() or path.read_bytes() != wanted:
        _replace(path, wanted, randomness)


def _rotation(previous: NoteSigner, following: NoteSigner, now_ns: int) -> bytes:
    told_of = KeyRotation(previous=previous.vkey, next=following.vkey, rotated_ns=now_ns)
    subject = ResourceDescriptor(
        name=following.vkey, digest={"sha256": hashlib.sha256(following.vkey.encode()).hexdigest()}
    )
    statement = format_statement(make_statement([subject], KEY_ROTATION, told_of))
    return envelope.format_envelope(envelope.sign(envelope.IN_TOTO, statement, [previous]))


def _add_trusted(path: Path, vkey: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "ab") as file:  # noqa: PTH123 - a descriptor, opened without following a link
        # A last line that a person left without an end must not grow into ours.
        file.write(f"\n{vkey}\n".encode())
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """One rotation at a time."""
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read_trust_file(path: Path) -> tuple[VerifierKey, ...]:
    """The keys in a file of vkeys, one a line; empty lines and those that start with `#` say nothing.

    Raises `UsageError` naming the file and line of a key that is not fit to be trusted, or if the file is not there.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_TRUST_FILE + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", remedy="give a file of vkeys, one a line") from None
    if len(content) > _MAX_TRUST_FILE:
        raise UsageError(f"{path}: longer than {_MAX_TRUST_FILE} bytes", remedy="give a file of vkeys, one a line")
    keys: dict[VerifierKey, None] = {}
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            keys[enrol(text)] = None
        except MalformedInput as refused:
            raise UsageError(f"{path}, line {number}: {refused}", remedy="correct or remove the line") from None
    return tuple(keys)
