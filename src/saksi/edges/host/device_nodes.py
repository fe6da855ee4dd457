"""A /dev that has what a training program needs, and no disk, no memory and no terminal of anybody else.

For root, who may open any device node. Nodes are shown by name; what is not listed is not there: disks and their
controllers, `mem`, `kmsg`, `fuse`, `kvm`, `net`, sockets such as `log`.

Known weakness: a driver of a GPU is as large as a kernel, and shared with what else computes on it. `infiniband` is
left out as what it is, a network, so that a program that needs it there ends otherwise than in the run.
"""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from saksi.edges.host.mounts import NO_DEVICES, bind, mount, move, set_attributes

__all__ = ["NEEDED", "build_dev", "show_dev"]

NEEDED: Final = (
    *("null", "zero", "full", "random", "urandom", "tty"),
    *("fd", "stdin", "stdout", "stderr"),
    *("shm", "mqueue", "hugepages"),
    *("nvidia*", "nvhost*", "nvmap", "dri", "kfd", "dxg", "accel", "accel[0-9]*"),
)
"""Names in /dev, as `fnmatch` reads them. Terminals (`pts`, `ptmx`) are made anew."""

_DEV: Final = Path("/dev")


def build_dev(folder: Path) -> tuple[Path, ...]:
    """Mount it at `folder`, which is empty; where nodes are in it that must stay open to use, as they will be shown.

    Raises `CannotConfine`, `OSError`.
    """
    mount("tmpfs", folder, "mode=0755,size=1m")
    found = [each for each in sorted(_DEV.iterdir()) if any(fnmatch(each.name, name) for name in NEEDED)]
    for each in found:
        _show(each, folder / each.name)
    (folder / "pts").mkdir()
    mount("devpts", folder / "pts", "newinstance,ptmxmode=0666,mode=0620")
    (folder / "ptmx").symlink_to("pts/ptmx")
    shown = (each.name for each in found if not each.is_symlink() and each.name not in ("shm", "mqueue", "hugepages"))
    return tuple(_DEV / name for name in (*shown, "pts"))


def show_dev(folder: Path, nodes: tuple[Path, ...]) -> None:
    """Put what was built in the place of /dev, and let nodes be opened there. Raises `CannotConfine`, `OSError`."""
    move(folder, _DEV)
    for each in nodes:
        set_attributes(each, remove=NO_DEVICES)


def _show(node: Path, place: Path) -> None:
    if node.is_symlink():
        place.symlink_to(node.readlink())
        return
    if node.is_dir():
        place.mkdir()
    else:
        place.touch()
    bind(node, place)
