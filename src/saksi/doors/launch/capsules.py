"""`--capsules`: how often the recorder writes the whole state of a launch, and where those files lie.

They lie beside the runs, in a folder of the job's own account: the recorder writes them, and the agent hashes them from
outside. What a job does to them later shows by their digests; a replay then begins elsewhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from saksi.edges.home import resolve_home
from saksi.edges.run_folders import capsule_folder
from saksi.edges.store.durable import make_folders
from saksi.words.errors import UsageError

__all__ = ["Capsules", "asked_of_recorder", "make_capsule_folder", "parse_capsules"]

_FORM: Final = re.compile(r"(every|budget)=([0-9]{1,9}(?:\.[0-9]{1,3})?)", re.ASCII)
_GIGABYTE: Final = 1_000_000_000
_MAX_STEPS: Final = 1_000_000_000
_REMEDY: Final = "every=STEPS, budget=GIGABYTES or none: --capsules every=500, --capsules budget=20"

_OTHER_HOME: Final = "set SAKSI_HOME to a folder of yours"


class Capsules(msgspec.Struct, frozen=True, kw_only=True):
    """A capsule every so many Steps, or as many as a launch may have bytes for; one of the two is set."""

    every: int | None = None
    budget: int | None = None


def parse_capsules(text: str) -> Capsules | None:
    """What `--capsules` says; `None` for none. Raises `UsageError`."""
    if text == "none":
        return None
    found = _FORM.fullmatch(text)
    if found is not None:
        word, number = found.groups()
        if word == "budget" and (size := int(float(number) * _GIGABYTE)) > 0:
            return Capsules(budget=size)
        if word == "every" and number.isdigit() and 1 <= int(number) < _MAX_STEPS:
            return Capsules(every=int(number))
    raise UsageError(f"--capsules {text[:80]!r} does not say how many", remedy=_REMEDY)


def make_capsule_folder(environment: Mapping[str, str]) -> None:
    """The folder that those of each run lie below: what stands against it is known first. Raises `UsageError`."""
    folder = _folder(environment)
    try:
        make_folders(folder)
        usable = os.access(folder, os.W_OK | os.X_OK)
    except OSError as error:
        raise UsageError(f"--capsules: {folder}: {error.strerror}", remedy=_OTHER_HOME) from None
    if not usable:
        raise UsageError(f"--capsules: {folder} cannot be written to", remedy=_OTHER_HOME)


def asked_of_recorder(capsules: Capsules, environment: Mapping[str, str], run: str, attempt: int) -> dict[str, str]:
    """What the recorder of this launch is told, as variables (`spec/capsule.md`)."""
    how = f"every={capsules.every}" if capsules.budget is None else f"budget={capsules.budget}"
    return {"SAKSI_CAPSULES": f"{how}:{_folder(environment) / run / str(attempt)}"}


def _folder(environment: Mapping[str, str]) -> Path:
    return capsule_folder(resolve_home(environment), environment, uid=os.getuid())
