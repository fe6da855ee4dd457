"""Which functions and classes a pickle imports as it is loaded, by name. Its opcodes are read, nothing is executed.

Rules: torch's zip files (their `data.pkl`) and plain pickles, also several after each other, as older torch wrote
them; limits on everything that a file can say; nothing raises. What is no pickle, or not to be read as one, is `None`.

Known weaknesses: names that a pickle takes from elsewhere than from a text just before are `?`; two readers may see
different files in one zip; what an imported function does is not known.
"""

from __future__ import annotations

import io
import pickletools
import struct
import zipfile
from collections.abc import Iterator
from typing import Final

__all__ = ["MAX_NAMES", "MORE", "pickle_imports"]

MAX_BYTES: Final = 16 << 20
"""Of opcodes; those of 100,000 tensors are less. Tensors themselves lie elsewhere in the file."""
MAX_OPCODES: Final = 1_000_000
"""A second or two."""
MAX_DIRECTORY: Final = 16 << 20
"""Of a zip file, which is read whole: 100,000 entries."""
MAX_NAMES: Final = 255
MAX_NAME: Final = 200
MAX_PICKLES: Final = 8
MORE: Final = "…"
"""In place of names that are not given: not everything was read, or there were too many."""

_STRINGS: Final = frozenset({
    "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING",
})  # fmt: skip
_PUTS: Final = frozenset({"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"})
_GETS: Final = frozenset({"GET", "BINGET", "LONG_BINGET"})
_END: Final = struct.Struct("<4s4H2LH")
_END_64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64: Final = struct.Struct("<4sLQL")
_TAIL: Final = _END.size + 0xFFFF + _LOCATOR_64.size


def pickle_imports(file: io.FileIO) -> tuple[str, ...] | None:
    """The names `module.function` that loading `file` imports, in order of the alphabet; `MORE` is the last of some.

    `None` where it is neither of the two kinds of files. Never raises.
    """
    try:
        pickles = _of_zip(file) if zipfile.is_zipfile(file) else _plain(file)
        names: set[str] = set()
        for number, content in enumerate(pickles):
            names.update(_names(content))
            if number == MAX_PICKLES:
                names.add(MORE)
                break
    except Exception:  # noqa: BLE001 - a file is anything that somebody wrote, and its readers raise anything
        return None
    listed = sorted(names - {MORE})
    more = MORE in names or len(listed) > MAX_NAMES
    return (*listed[:MAX_NAMES], MORE) if more else tuple(listed)


def _of_zip(file: io.FileIO) -> Iterator[io.BytesIO]:
    if _directory_bytes(file) > MAX_DIRECTORY:
        raise ValueError("the list of files in it is too long")
    found = False
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            if f"/{entry.filename}".endswith("/data.pkl"):
                found = True
                with archive.open(entry) as member:
                    yield io.BytesIO(member.read(MAX_BYTES))
    if not found:
        raise ValueError("no pickle in it")


def _directory_bytes(file: io.FileIO) -> int:
    """The size that a zip file says its list of files has. Raises `ValueError`, `struct.error`."""
    size = file.seek(0, io.SEEK_END)
    begin = file.seek(max(0, size - _TAIL))
    tail = file.read(_TAIL)
    at = tail.rindex(b"PK\x05\x06")
    said = _END.unpack_from(tail, at)[5]
    locator = at - _LOCATOR_64.size
    if locator >= 0 and tail[locator : locator + 4] == b"PK\x06\x07":
        file.seek(min(_LOCATOR_64.unpack_from(tail, locator)[2], begin + locator))
        said = max(said if said < 0xFFFFFFFF else 0, _END_64.unpack(file.read(_END_64.size))[8])  # noqa: PLR2004 - see the longer one
    return int(said)


def _plain(file: io.FileIO) -> Iterator[io.BytesIO]:
    file.seek(0)
    content = io.BytesIO(file.read(MAX_BYTES))
    while True:
        begin = content.tell()
        if content.read(1) != b"\x80":  # what is not said to be a pickle has to be one to its end
            if begin:
                return
            content.seek(0)
            for _ in zip(range(MAX_OPCODES), pickletools.genops(content), strict=False):
                pass
        content.seek(begin)
        yield content
        if content.tell() <= begin:
            return


def _names(content: io.BytesIO) -> Iterator[str]:
    """Of one pickle; where it is broken off, those before."""
    texts: list[str | None] = [None, None]
    memo: dict[int, str | None] = {}
    pushed = False
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if number >= MAX_OPCODES:
                yield MORE
                return
            if opcode.name in _PUTS:
                memo[len(memo) if opcode.name == "MEMOIZE" else int(argument or 0)] = texts[-1] if pushed else None
                continue
            pushed = opcode.name in _STRINGS or opcode.name in _GETS
            if opcode.name in _STRINGS:
                texts = [texts[-1], str(argument)]
            elif opcode.name in _GETS:
                texts = [texts[-1], memo.get(int(argument or 0))]
            elif opcode.name in ("GLOBAL", "INST"):
                yield _cut(str(argument).replace(" ", ".", 1))
            elif opcode.name == "STACK_GLOBAL":
                yield _cut(f"{texts[0]}.{texts[1]}") if None not in texts else "?"
    except ValueError:  # it ends before its last opcode, or something else follows
        yield MORE


def _cut(name: str) -> str:
    shown = "".join(each if each.isprintable() else "?" for each in name)
    return shown if len(shown) <= MAX_NAME else shown[: MAX_NAME - 1] + MORE
