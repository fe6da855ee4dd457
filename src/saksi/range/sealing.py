"""A project is committed, sealed and approved, as a team does it before anything is done to it."""

from __future__ import annotations

import shutil
import subprocess
from typing import Final

from saksi.range.launching import CaseFailed, Desk

__all__ = ["SEAL", "SETTINGS", "seal_project", "under_seal"]

SEAL: Final = "run.seal"
SETTINGS: Final = "saksi.toml"
_AUTHOR: Final = ("-c", "user.name=team", "-c", "user.email=team@example.org", "-c", "commit.gpgsign=false")


def under_seal(desk: Desk) -> tuple[str, ...]:
    """The options of a launch that is held to the seal."""
    return ("--seal", str(desk.folder / SEAL))


def seal_project(desk: Desk, command: tuple[str, ...], *, environment: bool, settings: str = "") -> None:
    """Commit what lies in the project, seal the command, if asked with its environment's files, and approve that.

    `settings` are what the project declares in its configuration. Raises `CaseFailed`.
    """
    if settings:
        (desk.project / SETTINGS).write_text(settings, "utf-8")
    without = () if environment else ("--no-environment",)
    for git_words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "the experiment")):
        _git(desk, *git_words)
    seal, key = str(desk.folder / SEAL), str(desk.folder / "team.key")
    words_of_it = ("--", str(desk.python), *command)
    for words in (
        ("keys", "create", key, "--name", "team"),
        ("keys", "trust", f"{key}.vkey", "--approver"),
        ("seal", "create", "-q", *without, "-o", seal, *words_of_it),
        ("seal", "approve", seal, "--key", key),
    ):
        done = desk.saksi(*words)
        if done.code != 0:
            raise CaseFailed(f"saksi {' '.join(words[:2])} ended with {done.code}: {done.last_words}")


def _git(desk: Desk, *words: str) -> None:
    git = shutil.which("git")
    if git is None:
        raise CaseFailed("git is not installed; cases that are sealed need it")
    done = subprocess.run(
        (git, *_AUTHOR, *words),
        cwd=desk.project,
        env=desk.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=desk.limit_s,
    )
    if done.returncode != 0:
        raise CaseFailed(f"git {words[0]}: {done.stderr.strip()[-200:]}")
