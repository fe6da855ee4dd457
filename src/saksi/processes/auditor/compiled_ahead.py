"""Bytecode for a replay before it starts, on every processor that it may use: a program that imports compiles on one.

Behind the walls of the replay, from the sources as they lie there, into the folder that the program would write it to
itself. It says nothing else than the program's own compiling, so nothing is lost where it fails, or is given up.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from saksi.judgement.replay.invocation import Invocation

__all__ = ["Ahead", "ahead_of", "compile_ahead"]

FEW: Final = 200
"""Sources below which the program compiles as fast itself."""
MAX_SOURCES: Final = 50_000
MAX_SOURCE_BYTES: Final = 16 * 1024 * 1024
TIME_LIMIT_S: Final = 120
_AS_GIVEN: Final = ("utf-8", "surrogateescape")
_COMPILE: Final = """
import gc, sys
gc.disable()
import compileall
for line in sys.stdin:
    compileall.compile_file(line.rstrip("\\n"), quiet=2)
"""


class Ahead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which sources are compiled, by which interpreter, and where to."""

    interpreter: str
    sources: tuple[str, ...]
    prefix: str


def ahead_of(invocation: Invocation, sources: Iterable[str], prefix: Path) -> Ahead | None:
    """What to compile for this command; `None` where that is little, is there already, or nothing that we can start."""
    wanted = tuple(each for each in sources if each.endswith(".py") and os.path.isabs(each) and "\n" not in each)  # noqa: PTH117 - text of a record
    program = shutil.which(invocation.argv[0], path=invocation.environment.get("PATH", os.defpath))
    if program is None or not Path(program).name.startswith("python"):
        return None
    if len(wanted) < FEW or prefix.exists():
        return None
    # Unresolved: the interpreter of a venv is a link.
    interpreter = os.path.abspath(Path(invocation.folder, program))  # noqa: PTH100
    return Ahead(interpreter=interpreter, sources=wanted[:MAX_SOURCES], prefix=str(prefix))


def compile_ahead(asked: Ahead, environment: Mapping[str, str]) -> None:
    """Compile what there is, a part on each processor. Never raises: what is missing the program compiles itself."""
    processors = len(os.sched_getaffinity(0))
    if processors == 1:
        return
    sources = [each for each in asked.sources if _is_source(each)]
    until = time.monotonic() + TIME_LIMIT_S
    command = [asked.interpreter, "-I", "-S", "-X", f"pycache_prefix={asked.prefix}", "-c", _COMPILE]
    started: list[subprocess.Popen[bytes]] = []
    try:
        for number in range(processors):
            with tempfile.TemporaryFile(dir=environment.get("TMPDIR")) as questions:
                questions.write("".join(f"{each}\n" for each in sources[number::processors]).encode(*_AS_GIVEN))
                questions.seek(0)
                started.append(
                    subprocess.Popen(
                        command,
                        stdin=questions,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                        env={"PATH": os.defpath},
                    )
                )
        for each in started:
            each.wait(max(0.0, until - time.monotonic()))
    except (OSError, ValueError, subprocess.TimeoutExpired):
        pass
    finally:
        for each in started:
            each.kill()
            each.wait()


def _is_source(path: str) -> bool:
    """Whether it is a file of a size that is read whole: a record names what it likes."""
    try:
        found = os.stat(path)  # noqa: PTH116 - text of a record, which may be no path
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size <= MAX_SOURCE_BYTES
