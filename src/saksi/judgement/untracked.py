"""Files beside the script that git does not track: which of them an interpreter may execute.

Rules:

- What lies in a folder of modules counts by its ending. What is only read in a folder of packages (`.pth`, `.start`,
  `.egg-link`) counts there alone: elsewhere a `.pth` is a model checkpoint.
- An archive counts where it was there when the command was sealed: one that is new is on no path that was sealed.
- What executes is listed before everything else, so that whoever finds anything else in a list that was cut knows that
  nothing that executes was left out: a run may write as many files beside its script as it likes.

BUG: a folder that a program adds to its path, or that `PYTHONPATH` names before it is there, makes a new archive count.
"""

from __future__ import annotations

from typing import Final

from saksi.judgement.seal import MAX_UNTRACKED, Git

__all__ = ["is_code", "lists_all_code", "may_execute"]

_MODULES: Final = (".py", ".pyc", ".pyd", ".so")
_ARCHIVES: Final = (".zip", ".egg")
_OF_SITE: Final = (".pth", ".start", ".egg-link")
"""Read by `site` as an interpreter starts, in folders of packages."""
_SITE_FOLDERS: Final = ("site-packages", "dist-packages")


def is_code(path: str) -> bool:
    """Whether an interpreter that finds the file on its path may execute it, or what it names."""
    *folders, _ = path.split("/")
    if "__pycache__" in folders:  # never read: `saksi run` gives the interpreter a bytecode folder of its own
        return False
    if path.endswith(_OF_SITE):
        return any(each in folders for each in _SITE_FOLDERS)
    return path.endswith(_MODULES + _ARCHIVES)


def may_execute(path: str, *, known: bool) -> bool:
    """Whether a file that differs may be executed; `known` is whether it was there when the command was sealed."""
    return is_code(path) and (known or not path.endswith(_ARCHIVES))


def lists_all_code(git: Git) -> bool:
    """Whether every file that may be executed is in the list."""
    total = git.untracked_total
    if total is None:
        return False
    return total <= MAX_UNTRACKED or any(not is_code(each.path) for each in git.untracked)
