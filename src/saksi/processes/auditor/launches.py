"""What launches of the auditor have in common: a home of their own, how they are ended, and what they leave."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from saksi.edges.home import Home
from saksi.edges.host.procfs import children_of, descendants_of
from saksi.edges.run_folders import all_runs
from saksi.edges.runs import RunMaterials, open_run
from saksi.words.errors import SaksiError

__all__ = [
    "GRACE_S",
    "LOOK_S",
    "NotReplayed",
    "end_all",
    "environment_of",
    "home_in",
    "last_words_in",
    "reading_in",
]

LOOK_S: Final = 0.2
GRACE_S: Final = 20.0
"""How long a launcher that was asked to end may take: its witness closes the record."""
_LAST_WORDS: Final = 4_000


class NotReplayed(SaksiError):
    """Nothing was replayed, for a reason of this system's."""


def environment_of(environment: Mapping[str, str], folder: Path, *, tmp: Path) -> dict[str, str]:
    """The variables of a launch that has its home and its runs in `folder`, and its temporary files in `tmp`."""
    return {
        **environment,
        "SAKSI_HOME": str(folder / "home"),
        "SAKSI_SCRATCH": str(folder / "runs"),
        "SAKSI_AGENT": "embedded",
        "SAKSI_OVERHEAD_BUDGET": "100",
        "TMPDIR": str(tmp),
        "WANDB_MODE": "offline",
    }


def home_in(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """The folder that these variables name as the account's home; none where there is no such folder."""
    home = Path(environment.get("HOME", "/nonexistent"))
    return (home,) if home.is_absolute() and home.is_dir() else ()


def last_words_in(errors: Path) -> str:
    """The end of what was said there. Raises `OSError`."""
    with errors.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _LAST_WORDS))
        return " / ".join(file.read().decode("utf-8", "replace").strip().splitlines()[-3:])[-400:]


def end_all(job: subprocess.Popen[bytes], before: frozenset[int]) -> None:
    """Asked first, so that the record is closed; then everything that is left of it is ended.

    `before` are the children that there were before it.
    """
    if job.poll() is None:
        job.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            job.wait(GRACE_S)
    if job.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)
        job.wait()
    for _ in range(100):
        left = descendants_of(os.getpid(), without=before)
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        for pid in children_of(os.getpid()):
            if pid not in before:
                with contextlib.suppress(OSError):
                    os.waitpid(pid, os.WNOHANG)
        if not left:
            return
        time.sleep(0.05)


def reading_in(scratch: Path) -> RunMaterials | None:
    """What the record of a launch holds that had its home and its runs there; `None` where there is none."""
    environment = {"SAKSI_SCRATCH": str(scratch / "runs")}
    folders = all_runs(Home(scratch / "home"), environment, uid=os.getuid())
    return open_run(next(iter(folders.values()))) if folders else None
