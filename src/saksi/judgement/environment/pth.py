r"""`.pth` and `.start` files as `site` of one Python version reads them: which lines execute, which add to the path.

Rules, each as that version's `site.py` has it:

- Up to 3.12 a `.pth` file is text in the locale's encoding, its lines end with `\n`, `\r` or `\r\n`. From 3.13 it is
  UTF-8 with an optional mark, and lines also end where `str.splitlines` ends them: `\x0b`, `\x0c`, `\x1c`, U+2028.
- A line that starts with `#` is a comment; one that starts with `import` and a blank or a tab is executed; any other
  names a folder. From 3.15 blanks before it are dropped first.
- From 3.15 a `.start` file holds one entry point a line, and the `.pth` file of the same name executes nothing then.
  From 3.18 no `.pth` file executes anything (PEP 829, as accepted).
- From 3.13, and from the security releases before it, a name that starts with a dot is passed over.

BUG: whether an executed line raises is not known here; up to 3.14 that ends its file. Every line counts as executed.
BUG: a distribution that changed its `site.py` is not known. Encodings of the locale that are not supersets of ASCII
are not either.
"""

from __future__ import annotations

import ast
import re
import warnings
from typing import Final, Literal, TypeAlias

import msgspec

__all__ = [
    "MAX_STARTUP_FILE",
    "Line",
    "StartupFile",
    "Version",
    "is_readable_start",
    "modules_named",
    "parse_pth",
    "parse_start",
    "passes_over",
    "version_of",
]

Version: TypeAlias = tuple[int, int, int]

MAX_STARTUP_FILE: Final = 1024 * 1024
"""Real ones have a line or two; the longest known is under 2 KiB. `site` itself reads files of any length."""
_MAX_LINE_PARSED: Final = 4096
"""A parser goes as deep as its input is nested: a longer line is shown, and what it imports is not looked for."""
_MAX_INSIDE: Final = 2
"""`exec('...')` in a line is looked into, and once more inside; nobody honest goes further."""
_STRICT: Final = (3, 13)
_ENTRY_POINTS: Final = (3, 15)
_NO_IMPORTS: Final = (3, 18)
# "Skip .pth files with names starting with a dot": in 3.13, and in these releases of older branches.
_HIDDEN_SINCE: Final = {(3, 8): 19, (3, 9): 19, (3, 10): 14, (3, 11): 8, (3, 12): 2}
_ENDS: Final = re.compile(r"\r\n|\r|\n")
_ENTRY_POINT: Final = re.compile(r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<object>[^\W\d]\w*(?:\.[^\W\d]\w*)*)")
_VERSION: Final = re.compile(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?")


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line with an effect. `runs`: code that is executed; `path`: a folder; `calls`: an entry point."""

    number: int
    text: str
    effect: Literal["runs", "path", "calls"]


class StartupFile(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a file. `note` says what a reader has to know besides; the text is as it stands there."""

    lines: tuple[Line, ...]
    note: str | None = None

    @property
    def executed(self) -> tuple[Line, ...]:
        """The lines by which code runs."""
        return tuple(each for each in self.lines if each.effect != "path")

    @property
    def folders(self) -> tuple[str, ...]:
        """What is added to the search path, as it is written."""
        return tuple(each.text for each in self.lines if each.effect == "path")


def version_of(text: str) -> Version:
    """`3.11.7` or `3.15.0rc3` as numbers; a part that is missing is 0. Raises `ValueError` for no version at all."""
    found = _VERSION.match(text)
    if found is None:
        raise ValueError(f"{text[:80]!r} is no version")
    return (int(found[1]), int(found[2]), int(found[3] or 0))


def passes_over(name: str, version: Version) -> bool:
    """Whether `site` does not open a file of this name, although its ending is right."""
    if not name.startswith("."):
        return False
    return version >= _STRICT or version[2] >= _HIDDEN_SINCE.get(version[:2], 1 << 30)


def parse_pth(content: bytes, version: Version, *, has_start: bool = False) -> StartupFile:
    """A `.pth` file; `has_start`: a `.start` file of the same name lies beside it. Raises nothing."""
    text, note = _decoded(content, version)
    lines = text.splitlines() if version >= _STRICT else _ENDS.split(text)
    silent = version >= _NO_IMPORTS or (has_start and version >= _ENTRY_POINTS)
    found = []
    for number, line in enumerate(lines, start=1):
        each = line.strip() if version >= _ENTRY_POINTS else line
        if each.startswith("#") or not each.strip():
            continue
        if not each.startswith(("import ", "import\t")):
            found.append(Line(number=number, text=each.rstrip(), effect="path"))
        elif not silent:
            found.append(Line(number=number, text=each, effect="runs"))
    return StartupFile(lines=tuple(found), note=note)


def is_readable_start(content: bytes) -> bool:
    """Whether Python takes the file for a `.start` file: only then it keeps the `.pth` file beside it silent."""
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
    return True


def parse_start(content: bytes, version: Version) -> StartupFile:
    """A `.start` file. Before 3.15 nothing reads it; what is not UTF-8 or no entry point calls nothing."""
    if version < _ENTRY_POINTS:
        return StartupFile(lines=(), note="only Python 3.15 and later act on .start files")
    if not is_readable_start(content):
        return StartupFile(lines=(), note="it is not UTF-8, so Python passes it over")
    found, refused = [], 0
    for number, line in enumerate(content.decode("utf-8-sig").splitlines(), start=1):
        each = line.strip()
        if not each or each.startswith("#"):
            continue
        if _ENTRY_POINT.fullmatch(each) is None:
            refused += 1
        else:
            found.append(Line(number=number, text=each, effect="calls"))
    note = f"{refused} of its lines {'is' if refused == 1 else 'are'} no entry point" if refused else None
    return StartupFile(lines=tuple(found), note=note)


def _decoded(content: bytes, version: Version) -> tuple[str, str | None]:
    try:
        return content.decode("utf-8-sig" if version >= _STRICT else "utf-8"), None
    except UnicodeDecodeError:
        # Nearly every locale is UTF-8 today: up to 3.12 the interpreter does not start then.
        note = "it is not UTF-8: Python reads it in the locale's encoding, and may not start"
        return content.decode("utf-8", "surrogateescape"), note


def modules_named(line: Line) -> tuple[str, ...]:
    """The modules that a line imports in so many words, in order, each once, also inside `exec` of a plain text.

    What it computes is not seen.
    """
    if line.effect == "calls":
        return (line.text.partition(":")[0],)
    found: dict[str, None] = {}
    if line.effect == "runs":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the parser, about somebody else's text
            _collect(line.text.strip(), found, _MAX_INSIDE)
    return tuple(found)


def _collect(source: str, found: dict[str, None], inside: int) -> None:
    if len(source) > _MAX_LINE_PARSED:
        return
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found.update((each.name, None) for each in names)
            case ast.ImportFrom(module=str(module), level=0):
                found[module] = None
            case ast.Call(
                func=ast.Name(id="__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                found[name] = None
            case ast.Call(func=ast.Name(id="exec"), args=[ast.Constant(value=str(code)), *_]) if inside > 0:
                _collect(code, found, inside - 1)
