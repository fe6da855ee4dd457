"""What the functions of source files compile to, under the job's own Python, as the recorder would say it.

Rules:

- A file is read once, by us; the bytes that are hashed are the bytes that are compiled.
- The compiling is done by a child: isolated (see `isolated`), with no open files but its pipes, and
  limits on memory, time and output that it sets itself before it reads anything. Nothing of a source is executed, and
  marshal is not used: what comes back is JSON, bounded and strictly parsed.
- The digest is the recorder's own: the child is handed `code_digest.py` as it lies in the recorder's folder.
- A source that kills the child costs that file alone.

Known weakness: a source that breaks CPython's compiler runs in the child, under the agent's account.
"""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

import saksi
from saksi.edges.environment.isolated import ISOLATED, isolated_environment
from saksi.edges.files import OnBehalf, read_file
from saksi.words.digest import Digest
from saksi.words.records import CompiledFunction, Word

__all__ = ["Compiled", "Wanted", "compile_sources"]

RECORDER: Final = Path(saksi.__file__).parent / "recorder" / "path" / "saksi_recorder"
MAX_SOURCE: Final = 16 * 1024 * 1024
MAX_BATCH_BYTES: Final = 64 * 1024 * 1024
"""Of the sources that are compiled by one child; base64 and the children's own memory come on top."""
MAX_ANSWER: Final = 32 * 1024 * 1024
TIME_LIMIT_S: Final = 60
"""All of torch's files that count take a second; a source made to compile slowly does not hold up the rest."""
MAX_DEATHS: Final = 8
"""Files that may kill the child; those behind them are not compiled."""
MAX_REASON: Final = 1_000
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})

_MAIN: Final = r"""
import ast, base64, importlib.util, io, json, os, resource, sys, tokenize, types

def limit(what, most):
    try:
        resource.setrlimit(what, (most, most))
    except (ValueError, OSError):  # the limit that is there is lower
        pass

for what, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_CPU, 60), (resource.RLIMIT_AS, 4 << 30),
                   (resource.RLIMIT_FSIZE, 32 << 20), (resource.RLIMIT_NPROC, 0)):
    limit(what, most)
os.nice(19)
OPTIMIZED_NEWLOCALS = 3

def functions(code, within, out):
    for one in code.co_consts:
        if not isinstance(one, types.CodeType):
            continue
        name = getattr(one, "co_qualname", None) or within + one.co_name
        out.append((name, one))
        local = "<locals>." if one.co_flags & OPTIMIZED_NEWLOCALS == OPTIMIZED_NEWLOCALS else ""
        functions(one, name + "." + local, out)

def literals(arguments):
    given = arguments.posonlyargs + arguments.args
    pairs = list(zip(given[len(given) - len(arguments.defaults):], arguments.defaults))
    pairs += [(one, value) for one, value in zip(arguments.kwonlyargs, arguments.kw_defaults) if value is not None]
    out = {}
    for one, node in pairs[:64]:
        try:
            value = ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
        if is_literal(value):
            out[one.arg[:64]] = described(value)
    return out

def header(lines, line):
    # The text from `def` to its colon, and whether there are decorators: parsing whole files would take twice as long.
    start, depth, decorated = None, 0, False
    for kind, word, begin, end, _ in tokenize.generate_tokens(iter(lines[line - 1:]).__next__):
        if kind == tokenize.OP:
            decorated |= start is None and word == "@"
            depth += (word in "([{") - (word in ")]}")
            if word == ":" and depth == 0 and start is not None:
                rows = lines[line - 2 + start[0]:line - 1 + end[0]]
                rows[-1] = rows[-1][:end[1]]
                rows[0] = rows[0][start[1]:]
                return "".join(rows), decorated
        elif kind == tokenize.NAME and word == "def" and depth == 0:
            start = begin
    return None, decorated

def about(lines, line):
    try:
        text, decorated = header(lines, line)
        return {} if text is None else literals(ast.parse(text + " pass").body[0].args), decorated
    except (SyntaxError, ValueError, IndexError, StopIteration, tokenize.TokenError, RecursionError, MemoryError):
        return {}, False

def answer(asked, optimize):
    source = base64.b64decode(asked["source"])
    code = compile(source, "source", "exec", dont_inherit=True, optimize=optimize)
    found = []
    functions(code, "", found)
    wanted = {(name, line) for name, line in asked["functions"]}
    homes = {name: [] for name in asked["homes"]}
    digests = {key: [] for key in wanted}
    for name, one in found:
        if name in homes and len(homes[name]) < 16:
            homes[name].append(one.co_firstlineno)
        key = one.co_name, one.co_firstlineno
        if key in wanted and len(digests[key]) < 8:
            digests[key].append(code_digest(one))
    lines = io.StringIO(importlib.util.decode_source(source)).readlines() if wanted else []
    out = []
    for name, line in asked["functions"]:
        known = digests[name, line]
        defaults, decorated = about(lines, line) if len(known) == 1 and name != "<lambda>" else ({}, False)
        out.append([name, line, known, defaults, decorated])
    return {"functions": out, "homes": homes}

version = "%d.%d.%d" % sys.version_info[:3]
print(json.dumps({"python": version, "implementation": sys.implementation.name}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    try:
        said = answer(asked, asked["optimize"])
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        said = {"reason": "it does not compile: %s: %s" % (type(error).__name__, error)}
    print(json.dumps(said), flush=True)
"""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A source file, the functions asked for by name and first line, and qualified names to look for."""

    path: str
    functions: tuple[tuple[str, int], ...] = ()
    homes: tuple[str, ...] = ()


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """One file. Without a `digest` it could not be read; with a `reason` nothing was compiled. `changed_ns`: ctime."""

    path: str
    digest: Digest | None = None
    size: int | None = None
    changed_ns: int | None = None
    reason: str | None = None
    functions: tuple[CompiledFunction, ...] = ()
    homes: dict[str, list[int]] = {}


class _Interpreter(NamedTuple):
    """Which interpreter compiles, the version that it must have, and its variables."""

    executable: str
    python: str
    environment: dict[str, str]


class _Hello(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    python: str
    implementation: str


class _Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    functions: tuple[CompiledFunction, ...] = ()
    homes: Annotated[dict[Word, list[int]], Meta(max_length=65_536)] = {}
    reason: str | None = None


def compile_sources(
    executable: str,
    python: str,
    wanted: Sequence[Wanted],
    *,
    optimize: int,
    environment: Mapping[str, str] = _NOTHING,
    on_behalf_of: OnBehalf | None = None,
) -> list[Compiled]:
    """What each file compiles to, in order. `python` is the version that the interpreter must have. Never raises.

    `environment` says where the interpreter's libraries are, if anywhere out of the ordinary.
    """
    interpreter = _Interpreter(executable, python, isolated_environment(environment))
    done: list[Compiled] = []
    batch: list[tuple[Wanted, Compiled, bytes]] = []
    size = 0
    for each in wanted:
        read = read_file(Path(each.path), MAX_SOURCE, on_behalf_of=on_behalf_of)
        known = Compiled(
            path=each.path,
            digest=read.found.digest,
            size=read.found.size,
            changed_ns=read.changed_ns,
            reason=read.found.reason,
        )
        if read.content is None or not (each.functions or each.homes):
            done.append(known)
        else:
            if batch and size + len(read.content) > MAX_BATCH_BYTES:
                done += _compile(interpreter, batch, optimize)
                batch, size = [], 0
            batch.append((each, known, read.content))
            size += len(read.content)
    done += _compile(interpreter, batch, optimize)
    order = {each.path: number for number, each in enumerate(wanted)}
    return sorted(done, key=lambda one: order[one.path])


def _compile(interpreter: _Interpreter, batch: list[tuple[Wanted, Compiled, bytes]], optimize: int) -> list[Compiled]:
    done: list[Compiled] = []
    deaths = 0
    while len(done) < len(batch):
        left = batch[len(done) :]
        if deaths > MAX_DEATHS:
            return done + [_without(known, "too many files before it ended the compiler") for _, known, _ in left]
        questions = b"".join(_question(wanted, source, optimize) for wanted, _, source in left)
        lines, why = _ask(interpreter, questions)
        version = _greeting(lines)
        if version != interpreter.python:
            other = f"it was compiled by Python {version}, and the job runs {interpreter.python}"
            reason = why if version is None else other
            return done + [_without(known, reason) for _, known, _ in left]
        for (_, known, _), line in zip(left, lines[1:], strict=False):
            done.append(_answered(known, line))
        if len(lines) - 1 < len(left):
            deaths += 1
            done.append(_without(left[len(lines) - 1][1], f"it ended the compiler: {why}"))
    return done


def _question(wanted: Wanted, source: bytes, optimize: int) -> bytes:
    asked = {
        "source": base64.b64encode(source).decode("ascii"),
        "functions": wanted.functions,
        "homes": wanted.homes,
        "optimize": optimize,
    }
    return msgspec.json.encode(asked) + b"\n"


def _answered(known: Compiled, line: bytes) -> Compiled:
    try:
        answer = msgspec.json.decode(line, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _without(known, "the compiler did not answer as it should")
    if answer.reason is not None:
        return _without(known, answer.reason)
    return msgspec.structs.replace(known, functions=answer.functions, homes=answer.homes)


def _without(known: Compiled, reason: str) -> Compiled:
    printable = reason.encode("ascii", "backslashreplace").decode("ascii")
    return msgspec.structs.replace(known, reason=printable[:MAX_REASON])


def _ask(interpreter: _Interpreter, questions: bytes) -> tuple[list[bytes], str]:
    """The lines that the child answered, the first its greeting, and how it ended."""
    try:
        program = (RECORDER / "code_digest.py").read_text(encoding="ascii") + _MAIN
        answers = os.memfd_create("saksi-compiled", os.MFD_CLOEXEC)
    except OSError as error:
        return [], f"the compiler could not be started: {error.strerror}"
    with open(answers, "w+b") as file:  # noqa: PTH123 - a descriptor, opened above
        why = _run(interpreter, program, questions, answers)
        file.seek(0)
        content = file.read(MAX_ANSWER + 1)
    lines = content.split(b"\n")[:-1]
    return lines, why


def _run(interpreter: _Interpreter, program: str, questions: bytes, answers: int) -> str:
    try:
        done = subprocess.run(
            [interpreter.executable, *ISOLATED, "-c", program],
            input=questions,
            stdout=answers,
            stderr=subprocess.DEVNULL,
            env=interpreter.environment,
            cwd="/",
            timeout=TIME_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"not done within {TIME_LIMIT_S} s"
    except (OSError, ValueError) as error:
        return f"the interpreter could not be started: {getattr(error, 'strerror', None) or type(error).__name__}"
    return f"it ended with {done.returncode}"


def _greeting(lines: list[bytes]) -> str | None:
    try:
        hello = msgspec.json.decode(lines[0], type=_Hello) if lines else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return None if hello is None or hello.implementation != "cpython" else hello.python
