"""What the floors promise and import-linter cannot see: clocks, files, late imports, sizes, words.

Each rule is a function from a syntax tree to the lines that break it, and has a snippet below that it must refuse.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "saksi"

PURE = ("words", "proofs", "judgement")  # no clock, no files, no environment, no randomness
BELOW_PROCESSES = (*PURE, "edges")
OLDEST_PYTHON = (3, 11)
OLDEST_PYTHON_OF_USERS = (3, 9)  # the recorder runs where they train
MODULE_LINES = 500
FUNCTION_LINES = 60
NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc", "core", "manager"}
WORLDLY_MODULES = {"os", "time", "random", "secrets", "uuid", "io", "glob", "locale", "getpass", "platform"}
WORLDLY_CALLS = {"open", "print", "input", "exec", "eval", "__import__"}
WORLDLY_ATTRIBUTES = {"now", "utcnow", "today", "read_text", "read_bytes", "write_text", "write_bytes", "import_module"}
# Written in halves, so that this file does not name what it refuses.
REGISTRIES = [
    "pypi" + ".org",
    "files.python" + "hosted.org",
    "download.py" + "torch.org",
    "deb.deb" + "ian.org",
    "archive.ubu" + "ntu.com",
    "registry.npm" + "js.org",
    "conda.ana" + "conda.org",
]

Function = ast.FunctionDef | ast.AsyncFunctionDef
Rule = Callable[[ast.Module], Iterator[str]]


def functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def late_imports(tree: ast.Module) -> Iterator[str]:
    """Imports inside functions hide what a module stands on."""
    for function in functions(tree):
        for node in ast.walk(function):
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield f"{node.lineno}: import inside {function.name}"


def worldly(tree: ast.Module) -> Iterator[str]:
    """Time, randomness, files and environment are parameters."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    if alias.name.split(".")[0] in WORLDLY_MODULES:
                        yield f"{node.lineno}: import of {alias.name}"
            case ast.ImportFrom(module=str(module), level=0) if module.split(".")[0] in WORLDLY_MODULES:
                yield f"{node.lineno}: import from {module}"
            case ast.Call(func=ast.Name(id=name)) if name in WORLDLY_CALLS:
                yield f"{node.lineno}: call of {name}"
            case ast.Call(func=ast.Attribute(attr=name)) if name in WORLDLY_ATTRIBUTES:
                yield f"{node.lineno}: call of .{name}"


def long_functions(tree: ast.Module) -> Iterator[str]:
    for function in functions(tree):
        body = function.body
        documented = ast.get_docstring(function) is not None and len(body) > 1
        lines = (function.end_lineno or 0) - body[1 if documented else 0].lineno + 1
        if lines > FUNCTION_LINES:
            yield f"{function.lineno}: the body of {function.name} has {lines} lines"


def missing_docstring(tree: ast.Module) -> Iterator[str]:
    if ast.get_docstring(tree) is None:
        yield "1: the module has no docstring"


def bound_names(node: ast.AST) -> Iterator[str]:
    """Identifiers that a node reads, binds or declares."""
    match node:
        case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.alias(name=name, asname=asname):
            yield asname or name
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
            yield name


def refused_words(tree: ast.Module) -> Iterator[str]:
    """A log's checkpoint is `log_checkpoint`, a model's is `ckpt`; in the log world a witness is a `Cosigner`."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 1)
        for name in bound_names(node):
            if name in {"checkpoint", "Checkpoint"}:
                yield f"{line}: bare {name}; say LogCheckpoint, log_checkpoint or ckpt"
        if isinstance(node, ast.ClassDef) and node.name == "Witness":
            yield f"{line}: class Witness; say agent, or Cosigner"


def foreign_to_the_guest(tree: ast.Module) -> Iterator[str]:
    """The guest imports the standard library, itself and the user's torch; numpy, which may be absent, only late."""
    late = {id(node) for function in functions(tree) for node in ast.walk(function)}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                modules = [alias.name.split(".")[0] for alias in names]
            case ast.ImportFrom(module=str(module), level=0):
                modules = [module.split(".")[0]]
            case _:
                continue
        for name in modules:
            known = name in sys.stdlib_module_names or name in OWN_PACKAGES or name == "torch"
            if not known and not (name == "numpy" and id(node) in late):
                yield f"{node.lineno}: import of {name}"


RECORDER = SOURCE / "recorder"
OWN_PACKAGES = {path.name for path in (RECORDER / "path").glob("*") if path.is_dir()}


def modules(*floors: str) -> list[Path]:
    folders = [SOURCE / floor for floor in floors] if floors else [SOURCE]
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def broken(rule: Rule, paths: list[Path], *, oldest: tuple[int, int] = OLDEST_PYTHON) -> list[str]:
    """Where `rule` is broken. A file that Python `oldest` cannot read breaks every rule."""
    found = []
    for path in paths:
        try:
            tree = ast.parse(path.read_bytes(), filename=str(path), feature_version=oldest)
        except SyntaxError as error:
            found.append(f"{path.relative_to(ROOT)}:{error.lineno}: not Python {oldest[0]}.{oldest[1]}: {error.msg}")
        else:
            found += [f"{path.relative_to(ROOT)}:{line}" for line in rule(tree)]
    return found


def test_floors_are_there() -> None:
    for floor in (*BELOW_PROCESSES, "processes", "range", "doors", "recorder"):
        assert modules(floor), floor


def test_no_late_import_below_processes() -> None:
    found = broken(late_imports, modules(*BELOW_PROCESSES))
    assert not found, "\n".join(found)


def test_words_proofs_and_judgement_do_not_touch_the_world() -> None:
    found = broken(worldly, modules(*PURE))
    assert not found, "\n".join(found)


def test_modules_are_documented() -> None:
    found = broken(missing_docstring, modules())
    assert not found, "\n".join(found)


def test_modules_are_short() -> None:
    lengths = {path: len(path.read_bytes().splitlines()) for path in modules()}
    found = [f"{path.relative_to(ROOT)}: {n} lines" for path, n in lengths.items() if n > MODULE_LINES]
    assert not found, "\n".join(found)


def test_functions_are_short() -> None:
    found = broken(long_functions, modules())
    assert not found, "\n".join(found)


def test_every_module_is_named_for_a_concept() -> None:
    paths = [*modules(), *(path for path in SOURCE.rglob("*") if path.is_dir())]
    found = [str(path.relative_to(ROOT)) for path in paths if path.stem in NAMELESS]
    assert not found, "\n".join(found)


def test_words_have_one_meaning() -> None:
    paths = [*modules(), *sorted((ROOT / "examples").rglob("*.py")), *sorted((ROOT / "bench").rglob("*.py"))]
    found = broken(refused_words, paths)
    assert not found, "\n".join(found)


def test_recorder_parses_as_python_3_9_and_imports_only_the_standard_library_and_itself() -> None:
    found = broken(foreign_to_the_guest, modules("recorder"), oldest=OLDEST_PYTHON_OF_USERS)
    assert not found, "\n".join(found)


def test_no_file_names_a_package_registry() -> None:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    assert len(paths) > 20
    named = []
    for path in paths:
        content = path.read_bytes().lower() if path.is_file() else b""
        named += [f"{path.relative_to(ROOT)}: {host}" for host in REGISTRIES if host.encode() in content]
    assert not named, "\n".join(named)


LONG_BODY = "def f():\n" + "    x = 1\n" * (FUNCTION_LINES + 1)
REFUSED: list[tuple[Rule, str]] = [
    (late_imports, "def f():\n    import json"),
    (late_imports, "class A:\n    async def f(self):\n        from json import loads"),
    (worldly, "import os"),
    (worldly, "import os.path as path"),
    (worldly, "from time import time_ns"),
    (worldly, "from random import choice"),
    (worldly, "open('f')"),
    (worldly, "print()"),
    (worldly, "datetime.now(tz=UTC)"),
    (worldly, "datetime.date.today()"),
    (worldly, "Path('f').read_bytes()"),
    (worldly, "importlib.import_module('os')"),
    (missing_docstring, "x = 1"),
    (long_functions, LONG_BODY),
    (refused_words, "checkpoint = 1"),
    (refused_words, "def f(checkpoint): ..."),
    (refused_words, "def f(*, checkpoint=None): ..."),
    (refused_words, "f(checkpoint=1)"),
    (refused_words, "self.checkpoint"),
    (refused_words, "from saksi.proofs import checkpoint"),
    (refused_words, "import a as checkpoint"),
    (refused_words, "class Checkpoint: ..."),
    (refused_words, "class Witness: ..."),
    (foreign_to_the_guest, "import saksi"),
    (foreign_to_the_guest, "from saksi.words import digest"),
    (foreign_to_the_guest, "import numpy"),
    (foreign_to_the_guest, "def f():\n    import msgspec"),
]
ALLOWED: list[tuple[Rule, str]] = [
    (late_imports, "import json\ndef f(): ..."),
    (worldly, "import posixpath\nfrom datetime import datetime\ndatetime.fromtimestamp(0, tz=UTC)"),
    (missing_docstring, '"""One."""'),
    (long_functions, 'def f():\n    """Long.\n' + "\n" * FUNCTION_LINES + '    """\n' + "    x = 1\n" * FUNCTION_LINES),
    (refused_words, "log_checkpoint = LogCheckpoint(ckpt)"),
    (refused_words, "from saksi.proofs.tlog.checkpoint import LogCheckpoint"),
    (foreign_to_the_guest, "import os\nfrom . import socket\nimport torch.optim\ndef f():\n    import numpy"),
]


@pytest.mark.parametrize(("rule", "snippet"), REFUSED)
def test_rule_refuses(rule: Rule, snippet: str) -> None:
    assert list(rule(ast.parse(snippet)))


@pytest.mark.parametrize(("rule", "snippet"), ALLOWED)
def test_rule_allows(rule: Rule, snippet: str) -> None:
    assert not list(rule(ast.parse(snippet)))
