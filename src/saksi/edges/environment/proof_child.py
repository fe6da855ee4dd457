"""The process that compares bytecode with its source: the environment's own interpreter runs it, saksi never does.

Only that interpreter compiles to the same bytes. This text is handed to it with `-c`; it opens nothing but an
encoding, where a source names one, and answers on standard output. It is written for every Python since 3.7.

A source is compiled and never run. Bytecode is loaded only where it is not byte for byte what the compiler makes, and
never run either; loading what somebody shaped can crash this process, which then says nothing about that file.

    request   <BBHII   always 1, optimisation level, lengths of file name, source and .pyc; then these
    answer    <cHHI    outcome, lengths of object and detail, line; then these, ASCII
"""

from __future__ import annotations

import _imp
import marshal
import struct
import sys

TYPE_CHECKING = False  # without the module `typing`, which would be read from the environment
if TYPE_CHECKING:
    from types import CodeType
    from typing import BinaryIO

    Answer = tuple[bytes, str, str, int]
    Parts = tuple[tuple[str, str], ...]

REQUEST = struct.Struct("<BBHII")
ANSWER = struct.Struct("<cHHI")
HEADER = 16
MAX_TEXT = 200

# What a function does, in the order in which a difference is named. Constants are compared apart: their order inside a
# frozenset depends on the hash seed of the process that compiled.
PARTS = (
    ("co_code", "its instructions"),
    ("co_names", "the names that it uses"),
    ("co_varnames", "its variables"),
    ("co_freevars", "its closure"),
    ("co_cellvars", "its closure"),
    ("co_argcount", "its arguments"),
    ("co_posonlyargcount", "its arguments"),
    ("co_kwonlyargcount", "its arguments"),
    ("co_flags", "its flags"),
    ("co_stacksize", "its stack"),
    ("co_exceptiontable", "its exception handlers"),
    ("co_name", "its name"),
    ("co_qualname", "its name"),
)
# Compared when nothing else differs: one edited line shifts those of every function around it.
LINES = (("co_firstlineno", "its line numbers"), ("co_linetable", "its line numbers"))
OLD_LINES = (("co_firstlineno", "its line numbers"), ("co_lnotab", "its line numbers"))
CODE = type(compile("", "", "exec"))


def key(value: object) -> object:
    """Equal for constants that are the same to the last bit, in type and value, and only for those."""
    if isinstance(value, tuple):
        return ("tuple", tuple(key(each) for each in value))
    if isinstance(value, frozenset):
        return ("frozenset", tuple(sorted((key(each) for each in value), key=repr)))
    if isinstance(value, CODE):
        return ("code", id(value))
    return (type(value).__name__, repr(value))


def first_difference(made: CodeType, found: CodeType, name: str, parts: Parts) -> tuple[str, str, int] | None:
    """The first function in which `found` is not `made`: its name, what differs, its line. `None` if there is none."""
    for part, words in parts:
        if getattr(made, part, None) != getattr(found, part, None):
            return name, words, made.co_firstlineno
    if len(made.co_consts) != len(found.co_consts):
        return name, "its constants", made.co_firstlineno
    for one, other in zip(made.co_consts, found.co_consts):  # noqa: B905 - `strict` is not in old Pythons
        if isinstance(one, CODE) and isinstance(other, CODE):
            inner = one.co_name if name == "<module>" else f"{name}.{one.co_name}"
            below = first_difference(one, other, getattr(one, "co_qualname", inner), parts)
            if below is not None:
                return below
        elif key(one) != key(other):
            return name, "its constants", made.co_firstlineno
    return None


def source_hash(source: bytes) -> bytes:
    """What a hash-based `.pyc` has of its source (PEP 552)."""
    magic = int.from_bytes(sys.modules["_frozen_importlib_external"].MAGIC_NUMBER, "little")
    return _imp.source_hash(magic, source)


def compare(source: bytes, pyc: bytes, level: int, name: str) -> Answer:
    """One letter, and where: E equal, N normalised, S stale, D differs, U unreadable, G given up."""
    if pyc[4] & 3 == 3 and pyc[8:HEADER] != source_hash(source):  # noqa: PLR2004 - both flags of PEP 552
        return b"S", "", "", 0
    try:
        made = compile(source, name, "exec", dont_inherit=True, optimize=level)
    except (MemoryError, RecursionError):
        raise  # ours, not the file's
    except Exception as error:  # noqa: BLE001 - a compiler raises what it likes
        return b"D", "<module>", f"its source does not compile ({type(error).__name__})", 0
    body = pyc[HEADER:]
    if marshal.dumps(made) == body:
        return b"E", "", "", 0
    try:
        found = marshal.loads(body)  # noqa: S302 - what this process is for; see above
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the file is not what the compiler makes
        return b"U", "", type(error).__name__, 0
    if not isinstance(found, CODE):
        return b"U", "", "it holds no code", 0
    if found.co_filename != name:
        made = compile(source, found.co_filename, "exec", dont_inherit=True, optimize=level)
        if marshal.dumps(made) == body:
            return b"E", "", "", 0
    difference = first_difference(made, found, "<module>", PARTS)
    if difference is None:
        lines = LINES if hasattr(made, "co_linetable") else OLD_LINES
        difference = first_difference(made, found, "<module>", lines)
    if difference is None:
        return b"N", "", "", 0
    return (b"D", *difference)


def text(value: str) -> bytes:
    """What is said of a file, short and in ASCII whatever the file holds."""
    return value.encode("ascii", "backslashreplace")[:MAX_TEXT]


def read(stream: BinaryIO, length: int) -> bytes:
    """Exactly so many bytes; the end of the requests is the end of this process."""
    content = stream.read(length)
    if len(content) != length:
        raise SystemExit(0)
    return content


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the other end is closed."""
    answers.write(b"saksi")
    answers.flush()
    while True:
        _, level, name_length, source_length, pyc_length = REQUEST.unpack(read(requests, REQUEST.size))
        name = read(requests, name_length).decode("utf-8", "surrogateescape")
        source = read(requests, source_length)
        pyc = read(requests, pyc_length)
        try:
            outcome, where, what, line = compare(source, pyc, level, name)
        except RecursionError:
            outcome, where, what, line = b"G", "", "it is nested too deeply to be compared", 0
        except MemoryError:
            outcome, where, what, line = b"G", "", "comparing it takes more memory than is given to it", 0
        except (ValueError, TypeError, SyntaxError) as error:
            outcome, where, what, line = b"U", "", type(error).__name__, 0
        said = text(where), text(what)
        answers.write(ANSWER.pack(outcome, len(said[0]), len(said[1]), line) + said[0] + said[1])
        answers.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
