"""A commit of a repository, checked out anew elsewhere: nothing that git does not track, nothing that was edited.

Rules: no configuration but ours, no hooks, no filters of a user's or a system's; git is not looked for in the work
tree.

Known weakness: a submodule is an empty folder, and a file under git-lfs its pointer.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from saksi.edges.environment.git import safe_path
from saksi.edges.environment.interpreter import NotKnown, find_program

__all__ = ["clone_commit"]

_LIMIT_S: Final = 300
_PLAIN: Final = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "protocol.file.allow=always")


def clone_commit(top: Path, commit: str, target: Path, environment: Mapping[str, str]) -> None:
    """Make `target`, which is not there yet, a repository with `commit` checked out. Raises `NotKnown`."""
    path = safe_path(environment, top)
    git = find_program("git", {"PATH": path}, Path("/"))
    own = {"PATH": path, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "HOME": str(target.parent)}
    own |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
    for words in (
        ("clone", "--quiet", "--local", "--no-checkout", "--no-tags", "--template=", "--", str(top), str(target)),
        ("-C", str(target), "checkout", "--quiet", "--detach", commit, "--"),
    ):
        try:
            done = subprocess.run(
                (str(git), *_PLAIN, *words),
                env=own,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=_LIMIT_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotKnown(f"git could not check out {commit[:12]}: {error}") from None
        if done.returncode != 0:
            said = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
            raise NotKnown(f"git could not check out {commit[:12]}: {said[0][:200]}")
