"""Every run of this account: at home, or still on the local disk it was written to."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

from saksi.edges.filesystem import LogFolder, choose_log_folder, filesystem_of, finish_moves
from saksi.edges.home import Home
from saksi.words.errors import SaksiError
from saksi.words.run import RUN_ID

__all__ = ["all_runs", "capsule_folder", "folder_for", "place_for_runs"]


def place_for_runs(
    home: Home, environment: Mapping[str, str], *, uid: int, kind_of: Callable[[Path], str | None] = filesystem_of
) -> LogFolder:
    """Where runs are written now: below the home, or on a local disk if the home is on none. Raises `UsageError`."""
    return choose_log_folder(home.runs, environment.get("SAKSI_SCRATCH"), kind_of, uid=uid)


def capsule_folder(home: Home, environment: Mapping[str, str], *, uid: int) -> Path:
    """The folder that the capsules of all runs lie below: beside the runs, and not moved home. Raises `UsageError`."""
    place = place_for_runs(home, environment, uid=uid)
    return place.folder / "capsules" if place.moves_home else home.capsules


def folder_for(run: str, home: Home, place: LogFolder) -> Path:
    """The folder in which the run with this id is written."""
    return place.folder / run if place.moves_home else home.run_folder(run)


def all_runs(
    home: Home,
    environment: Mapping[str, str],
    *,
    uid: int,
    kind_of: Callable[[Path], str | None] = filesystem_of,
) -> dict[str, Path]:
    """Ids and folders of all runs. Moves that were cut short are finished on the way, if they can be.

    Raises `StoreError` if the home cannot be listed.
    """
    runs: dict[str, Path] = {}
    try:
        place = place_for_runs(home, environment, uid=uid, kind_of=kind_of)
    except SaksiError:
        place = None
    if place is not None and place.moves_home and place.folder.is_dir():
        with contextlib.suppress(SaksiError):  # the runs are found where they are; the next command tries again
            finish_moves(home.runs, place.folder)
        runs.update({each.name: each for each in sorted(place.folder.iterdir()) if RUN_ID.fullmatch(each.name)})
    runs.update({run: home.run_folder(run) for run in home.run_ids()})
    return runs
