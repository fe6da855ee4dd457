"""Seal files on disk: read whole, made new, and replaced at once when a signature is added."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from saksi.edges.store.durable import flush_folder, told, write_new, write_whole
from saksi.judgement.seal_file import MAX_SEAL_FILE_BYTES, SignedSealFile, parse_seal_file
from saksi.words.errors import MalformedInput, UsageError

__all__ = ["read_seal_file", "replace_seal_file", "write_seal_file"]


def read_seal_file(path: Path) -> SignedSealFile:
    """The seal file at `path`. Raises `UsageError` if it cannot be read, `MalformedInput` if it is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, opened without blocking on a FIFO
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UsageError(f"{path} is not a regular file", remedy="`saksi seal create` writes a seal file")
            content = file.read(MAX_SEAL_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", remedy="`saksi seal create` writes a seal file") from None
    try:
        return parse_seal_file(content)
    except MalformedInput as refused:
        remedy = refused.remedy or "`saksi seal create` writes a seal file"
        raise MalformedInput(str(path), str(refused.reason), remedy=remedy) from None


def write_seal_file(path: Path, signed: SignedSealFile) -> None:
    """Make the new file `path`, whole and readable by everybody. Raises `UsageError` if it is there, `StoreError`."""
    with told("write", path):
        try:
            write_whole(path, signed.content, mode=0o644)
        except FileExistsError:
            raise UsageError(f"{path} is there already", remedy="choose another name with -o, or remove it") from None


def replace_seal_file(path: Path, signed: SignedSealFile) -> None:
    """Put `signed` in the place of the file `path`, all at once. Raises `StoreError`."""
    with told("write", path):
        mode = stat.S_IMODE(path.stat().st_mode)
        staged = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        try:
            write_new(staged, signed.content, durable=True)
            staged.chmod(mode)
            staged.replace(path)
        finally:
            staged.unlink(missing_ok=True)
        flush_folder(path.parent)
