"""A `Case` is one act of sabotage with what is true of it; a `Variant` is an honest program that may look like one.

A payload is text that is put into the training script at named places, or a file that Python finds by itself.
Its parameters stand above it as constants; `acted()` says that it did what it is for, and a case that never says so has
failed and is counted for no detector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Final, Literal, TypeAlias

import msgspec

__all__ = ["TENSORS", "Case", "Layer", "Named", "Parameters", "Place", "Variant", "somewhere"]

Layer = Literal["disk", "live", "outside", "replay"]
"""Where a row of the catalogue says that it can be seen. `replay`: only by doing the steps again."""

Place = Literal[
    "start", "seeded", "built", "epoch", "batch", "loss", "gradients", "clipped", "updated", "evaluating", "evaluated",
    "end",
]  # fmt: skip
"""A line `# <NAME>` of a program; the payload stands there at the same indentation."""

Parameters: TypeAlias = dict[str, int | float | str]

TENSORS: Final = ("0.weight", "0.bias", "2.weight", "2.bias", "4.weight", "4.bias")
"""The parameters of `programs/train.py`, as the model names them."""


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """What a finding that names the object says: its code, and a pattern for subject and message.

    `{TENSOR}` in the pattern is the parameter of that name.
    """

    code: str
    pattern: str = ""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One act of sabotage. `named` are the findings that would name what was done; any of them will do.

    `first` is the parameter that says at which step it begins, and `delay` how many steps later the first record is
    that can show it (an edit behind step k is in the record of step k + 1). `ends` are the codes with which the command
    may end. `script` is put into the program, `files` beside it, `site` behind files of the installed packages; the
    rows of those that are `listed` are made to fit; `bytecode` is compiled with such files, whose sources stay as they
    are. With two `launches` the second resumes the run of the first. If `sealed`, program and packages were sealed and
    approved before, and the launch is held to that. With `settings`, the text of `saksi.toml`, the payload lies in the
    files that are sealed and approved, so that the plan alone is against it. `reason` says why it passes unseen, where
    that is known.
    """

    row: str
    name: str
    what: str
    layers: tuple[Layer, ...]
    named: tuple[Named, ...]
    draw: Callable[[Random], Parameters]
    script: Mapping[Place, str] = {}
    files: Mapping[str, str] = {}
    site: Mapping[str, str] = {}
    listed: tuple[str, ...] = ()
    bytecode: Mapping[str, str] = {}
    sealed: bool = False
    settings: str = ""
    program: str = "train.py"
    arguments: tuple[str, ...] = ()
    first: str | None = "AT"
    delay: int = 0
    ends: tuple[int, ...] = (0,)
    launches: int = 1
    reason: str = ""

    @property
    def id(self) -> str:
        """`C02-applied-rate`."""
        return f"{self.row}-{self.name}"

    @property
    def group(self) -> str:
        """The letter of the catalogue's section."""
        return self.row[0]


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """An honest program: nothing may be alleged of it. With two `launches` the second resumes the run of the first.

    With `settings`, the text of `saksi.toml`, it is sealed and approved with them first, and held to what they declare.
    """

    name: str
    program: str
    arguments: tuple[str, ...]
    ends: tuple[int, ...] = (0,)
    launches: int = 1
    settings: str = ""

    @property
    def id(self) -> str:
        """`honest-NAME`."""
        return f"honest-{self.name}"


def somewhere(rng: Random, first: int = 6, last: int = 40) -> int:
    """A step in the middle of the training: late enough for habits to be known, early enough to have effects."""
    return rng.randint(first, last)
