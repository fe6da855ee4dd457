"""Where saksi keeps things, and which run a person means.

    <home>/keys/            see `edges.keys`
    <home>/runs/<run>/      one run's store
    <home>/audits/          what is done of audits that did not come to their end
    <home>/capsules/<run>/  see `spec/capsule.md`
    <home>/settings.toml    see `edges.notify_settings`
    <home>/suppressions.jsonl    see `edges.suppressions`

Environment is a parameter. Nothing is made before it is needed; folders are 0700.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from saksi.edges.filesystem import filesystem_of, is_network
from saksi.edges.store.durable import FOLDER_MODE, flush_folder, make_folders, told
from saksi.words.errors import StoreError, UsageError
from saksi.words.run import RUN_ID, parse_run_id

__all__ = ["LAST", "Home", "Label", "find_run", "resolve_cache", "resolve_home"]

LAST: Final = "last"
_MANY: Final = 8


class Home(NamedTuple):
    """The folder of one account's keys and runs."""

    root: Path

    @property
    def keys(self) -> Path:
        """Where the keys lie."""
        return self.root / "keys"

    @property
    def runs(self) -> Path:
        """Where the runs lie that are at home."""
        return self.root / "runs"

    @property
    def audits(self) -> Path:
        """Where what is done of audits lies that did not come to their end."""
        return self.root / "audits"

    @property
    def capsules(self) -> Path:
        """Where the states lie that recorders wrote of the runs that are at home."""
        return self.root / "capsules"

    def run_folder(self, run: str) -> Path:
        """The folder of the run with this id, there or not. Raises `UsageError` for what is no run id."""
        return self.runs / parse_run_id(run)

    def create_run(self, run: str) -> Path:
        """A new folder for the run. Raises `StoreError`, also if there is one already."""
        folder = self.run_folder(run)
        with told("make", folder):
            make_folders(self.runs)
            try:
                folder.mkdir(mode=FOLDER_MODE)
            except FileExistsError:
                raise StoreError(
                    f"{folder} is there already", remedy="start again: the next run has another id"
                ) from None
            flush_folder(self.runs)
        return folder

    def run_ids(self) -> tuple[str, ...]:
        """The ids of the runs at home, sorted. Raises `StoreError`."""
        with told("list", self.runs):
            try:
                return tuple(sorted(each.name for each in self.runs.iterdir() if RUN_ID.fullmatch(each.name)))
            except (FileNotFoundError, NotADirectoryError):
                return ()


def resolve_home(environment: Mapping[str, str]) -> Home:
    """The home: `SAKSI_HOME`, else `saksi` in `XDG_DATA_HOME`, else in `~/.local/share`. Raises `UsageError`.

    An XDG folder that is not absolute is ignored, as its specification asks; a relative `SAKSI_HOME` is refused,
    since the job may change its folder.
    """
    own = environment.get("SAKSI_HOME")
    if own:
        if not Path(own).is_absolute():
            raise UsageError(f"SAKSI_HOME={own} is not an absolute path", remedy="set it to one, or unset it")
        return Home(Path(own))
    folder = _xdg(environment, "XDG_DATA_HOME", ".local/share")
    if folder is None:
        raise UsageError("neither SAKSI_HOME nor HOME is set", remedy="set SAKSI_HOME to a folder of yours")
    return Home(folder / "saksi")


def _xdg(environment: Mapping[str, str], name: str, below_home: str) -> Path | None:
    own = environment.get(name, "")
    if own and Path(own).is_absolute():
        return Path(own)
    home = environment.get("HOME", "")
    return Path(home) / below_home if home and Path(home).is_absolute() else None


def resolve_cache(
    environment: Mapping[str, str],
    kind_of: Callable[[Path], str | None] = filesystem_of,
    *,
    uid: int,
    fallback: Path = Path("/var/tmp"),  # noqa: S108 - the folder below it is checked to be ours
) -> Path | None:
    """A folder on this node for what can be made again: `saksi` in `XDG_CACHE_HOME` or `~/.cache`.

    Where that is on a network file system, `saksi-<uid>/cache` in `/var/tmp`. None if that one is not ours alone:
    everything works without a cache, more slowly. Makes the folder. Never raises.
    """
    wanted = _xdg(environment, "XDG_CACHE_HOME", ".cache")
    if wanted is not None and not is_network(kind_of(wanted)) and _made(wanted / "saksi"):
        return wanted / "saksi"
    own = fallback / f"saksi-{uid}"
    if is_network(kind_of(own)) or not _made(own):
        return None
    found = own.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or stat.S_IMODE(found.st_mode) & 0o077:
        return None
    return own / "cache" if _made(own / "cache") else None


def _made(folder: Path) -> bool:
    try:
        make_folders(folder, durable=False)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


class Label(NamedTuple):
    """What a run is called, and when it was sealed."""

    name: str | None
    created_ns: int


def find_run(text: str, runs: Mapping[str, Path], label_of: Callable[[Path], Label | None]) -> str:
    """The id of the run that `text` means: a whole id, `last`, a `--name`, or the start of an id.

    `runs` maps ids to folders, wherever they lie. `label_of` reads a run's seal, and gives None where it cannot.
    Raises `UsageError` if no run is meant or more than one.
    """
    if text in runs:
        return text
    labels = {run: label_of(folder) for run, folder in runs.items()}
    if text == LAST:
        if not runs:
            raise UsageError("there is no run yet", remedy="saksi run -- python train.py")
        return max(runs, key=lambda run: (_created(labels[run]), run))
    named = [run for run, label in labels.items() if label is not None and label.name == text]
    begun = [run for run in runs if text and run.startswith(text)]
    meant = sorted({*named, *begun}, key=lambda run: _created(labels[run]), reverse=True)
    if not meant:
        raise UsageError(f"no run {text[:80]!r}", remedy="see `saksi runs`")
    if len(meant) > 1:
        listed = ", ".join(_described(run, labels[run]) for run in meant[:_MANY])
        more = f" and {len(meant) - _MANY} more" if len(meant) > _MANY else ""
        raise UsageError(f"{text[:80]!r} can mean {listed}{more}", remedy="give the whole id; the newest is first")
    return meant[0]


def _created(label: Label | None) -> int:
    return -1 if label is None else label.created_ns  # a run whose seal cannot be read is never the newest


def _described(run: str, label: Label | None) -> str:
    return run if label is None or label.name is None else f"{run} ({label.name})"
