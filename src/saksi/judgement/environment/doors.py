"""The ways by which code enters a Python process before, or beside, what the user asked it to run.

Rules:

- A door is a fact, not a reproach: nearly every environment has some, and most are honest.
- `acts` says when, the most powerful first. A door that is there and does nothing here (`never`) is listed too: it
  does something in another interpreter, or when what stands before it is gone.
- What could not be read is in `unread`, and a report that has any is not complete.
- Doors are ordered: those that act and that no installed package and no known reason accounts for come first.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias, get_args

import msgspec
from msgspec import Meta

from saksi.words.digest import DIGEST_PATTERN

__all__ = [
    "Acts",
    "Door",
    "DoorsReport",
    "FileFacts",
    "Kind",
    "Owner",
    "SealedDoor",
    "Unread",
    "Writer",
    "is_unaccounted",
    "order_of",
    "others_who_may_write",
]

Acts: TypeAlias = Literal[
    "every_program",
    "every_start",
    "search_path",
    "with_torch",
    "with_library",
    "compiled_models",
    "several_processes",
    "when_called",
    "interactive",
    "saksi_run",
    "never",
]
"""When a door acts, in the order in which they are listed.

`every_program`: in every program that the dynamic loader starts, before any Python; `every_start`: whenever this
interpreter starts; `search_path`: when a module is imported that is found there; `with_torch`: when torch is imported;
`with_library`: when the library is used that is named; `compiled_models`: when kernels are compiled or loaded;
`several_processes`: when ranks are started or communicate; `when_called`: when the program asks for it by name;
`interactive`: at a prompt only; `saksi_run`: what `saksi run` adds; `never`: not with this interpreter and this
environment.
"""
Kind: TypeAlias = Literal[
    "pth",
    "start",
    "customize",
    "startup_module",
    "loaded_module",
    "path_file",
    "variable",
    "named",
    "shadowing",
    "loader",
    "entry_point",
    "kernel_cache",
    "configuration",
    "saksi",
]
"""What a door is.

`customize`: sitecustomize or usercustomize; `startup_module`: a module that a `.pth` or `.start` file imports;
`loaded_module`: one that an entry point or a variable names;
`path_file`: a file that tells the interpreter where its modules are (`pyvenv.cfg`, `._pth`, `pybuilddir.txt`);
`variable`: an environment variable; `named`: a file or folder that one names; `shadowing`: a file that is found before
a module of the standard library; `loader`: a file of the dynamic loader.
"""

RANKS: Final = {name: rank for rank, name in enumerate(get_args(Acts))}
_KINDS: Final = {name: rank for rank, name in enumerate(get_args(Kind))}
ROOT: Final = 0

Text = Annotated[str, Meta(max_length=4096)]
DigestText = Annotated[str, Meta(pattern=DIGEST_PATTERN)]


class _Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the report: every field is always there."""


class Writer(_Value, frozen=True, kw_only=True, order=True):
    """Who may write `path`, which is the file or a folder on the way to it. `id` is a user's or a group's number."""

    who: Literal["owner", "group", "others"]
    id: int | None
    path: Text


class FileFacts(_Value, frozen=True, kw_only=True):
    """A file as it was found; symbolic links followed. `link` is where it really is, if that is elsewhere.

    Of a folder there is no digest. Of a missing file `writers` are those who could make it. Access control lists are
    not read. `reason` says why a digest or more is missing.
    """

    form: Literal["file", "folder", "missing", "other", "unreadable"]
    digest: DigestText | None = None
    size: int | None = None
    uid: int | None = None
    gid: int | None = None
    mode: str | None = None
    link: Text | None = None
    writers: tuple[Writer, ...] = ()
    reason: Text | None = None


class Owner(_Value, frozen=True, kw_only=True):
    """Which installed package lists the file, and whether its RECORD row has the same digest.

    `no_digest`: the row has none; `listed`: in the system's package list, which is not compared; `unread`: the list
    could not be read.
    """

    state: Literal["same", "differs", "no_digest", "listed", "unowned", "unread"]
    distribution: Text | None = None


class Door(_Value, frozen=True, kw_only=True):
    """One way in.

    `what` is a sentence; `value` a variable's value or another setting, secrets redacted; `runs` the lines that are
    executed, shortened and redacted, `runs_total` how many there are; `expected` why the exact content is known.
    """

    kind: Kind
    name: Text
    acts: Acts
    what: Text
    path: Text | None = None
    value: Text | None = None
    runs: tuple[Text, ...] = ()
    runs_total: int = 0
    file: FileFacts | None = None
    owner: Owner | None = None
    expected: Text | None = None


class Unread(_Value, frozen=True, kw_only=True, order=True):
    """Something that could not be read, or not whole, and why."""

    path: Text
    reason: Text


class SealedDoor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of a door is compared later. `where` has `{prefix}` and `{base}` for the two prefixes of the interpreter.

    `digest` is null where the door has no content; `unread` says why its content could not be read, or is empty.
    """

    kind: Kind
    name: Text
    where: Text
    acts: Acts
    digest: DigestText | None = None
    value: Text | None = None
    unread: Text = ""


class DoorsReport(_Value, frozen=True, kw_only=True):
    """`saksi env doors --json`. `account` is the user whose files they should be."""

    schema: Literal["saksi.env-doors/v1"] = "saksi.env-doors/v1"
    python: Text
    real_path: Text
    version: Text
    prefix: Text
    base_prefix: Text
    account: int
    complete: bool
    doors: tuple[Door, ...]
    unread: tuple[Unread, ...]

    def sealed(self) -> tuple[SealedDoor, ...]:
        """Every door as a seal holds it, sorted, each place once; of several at one place the most powerful.

        What saksi itself adds is left out: the record has its version. The order of search path entries is in their
        variable's value.
        """
        found: dict[tuple[str, str, str], SealedDoor] = {}
        for each in sorted(self.doors, key=lambda door: RANKS[door.acts]):
            if each.kind != "saksi":
                door = _sealed(self, each)
                found.setdefault((door.kind, door.name, door.where), door)
        return tuple(found[place] for place in sorted(found))


def _sealed(report: DoorsReport, door: Door) -> SealedDoor:
    facts = door.file
    return SealedDoor(
        kind=door.kind,
        name=door.name,
        where=_relative(door.path or "", report),
        acts=door.acts,
        digest=None if facts is None else facts.digest,
        value=None if door.value is None else _relative(door.value, report),
        unread="" if facts is None or facts.form == "folder" else facts.reason or "",
    )


def _relative(path: str, report: DoorsReport) -> str:
    for name, prefix in (("{prefix}", report.prefix), ("{base}", report.base_prefix)):
        if path == prefix or path.startswith(prefix.rstrip("/") + "/"):
            return name + path[len(prefix.rstrip("/")) :]
    return path


def is_unaccounted(door: Door) -> bool:
    """Whether a file acts that no installed package lists as it is, and whose content is not known either."""
    if door.acts in ("never", "saksi_run") or door.owner is None or door.expected is not None:
        return False
    return door.owner.state in ("unowned", "differs")


def order_of(door: Door) -> tuple[bool, int, int, str, str, str]:
    """Those that nothing accounts for first, then the most powerful; a variable before what it names."""
    name, path, value = door.name, door.path or "", door.value or ""
    return (not is_unaccounted(door), RANKS[door.acts], _KINDS[door.kind], name, path, value)


def others_who_may_write(door: Door, account: int) -> tuple[Writer, ...]:
    """Who may write the door besides `account` and root.

    A group whose number is the account's own is that account's private group by the convention of nearly all systems.
    """
    if door.file is None:
        return ()
    safe = {ROOT, account}
    return tuple(each for each in door.file.writers if each.who == "others" or each.id not in safe)
