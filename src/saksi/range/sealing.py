"""A project is committed, sealed and approved, as a team does it before anything is done to it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

from saksi.range.launching import CaseFailed, Desk

__all__ = ["SEAL", "SETTINGS", "seal_environment", "seal_project", "under_seal"]

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
    key = desk.folder / "team.key"
    _call(desk, "keys", "create", str(key), "--name", "team")
    without = () if environment else ("--no-environment",)
    _seal(desk, command, desk.folder / SEAL, key, without)


def seal_environment(desk: Desk, command: tuple[str, ...]) -> Path:
    """Commit what lies in the project, seal the command with the environment as it is now, and approve that.

    The seal file is one that an audit verifies against: a manifest says what the environment's files are. Raises
    `CaseFailed`.
    """
    key, manifest, seal = (desk.folder / f"reference.{name}" for name in ("key", "manifest", "seal"))
    _call(desk, "keys", "create", str(key), "--name", "team")
    of_it = ("--reference", "--python", str(desk.python), "--key", str(key))
    _call(desk, "env", "manifest", "-o", str(manifest), *of_it)
    _seal(desk, command, seal, key, ("--manifest", str(manifest), "--trust", f"{key}.vkey"))
    return seal


def _seal(desk: Desk, command: tuple[str, ...], seal: Path, key: Path, options: tuple[str, ...]) -> None:
    for git_words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "the experiment")):
        _git(desk, *git_words)
    _call(desk, "keys", "trust", f"{key}.vkey", "--approver")
    _call(desk, "seal", "create", "-q", *options, "-o", str(seal), "--", str(desk.python), *command)
    _call(desk, "seal", "approve", str(seal), "--key", str(key))


def _call(desk: Desk, *words: str) -> None:
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
