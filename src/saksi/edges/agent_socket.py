"""The sockets of the agent as a service: where they lie, who may enter, and who is there already.

    <folder>/agent.sock             0666: any account may ask; the kernel says who it is
    <folder>/jobs-XXXXXXXX/         one for each running agent, which holds a flock on it
    <folder>/jobs-XXXXXXXX/<start of the run's id>-<random>.sock     one for each attempt

The folder belongs to the agent's account (or to root) and nobody else may write it: otherwise the socket could be
replaced by another one. What an agent that died left behind is removed by the next one, by its lock and not by its
name. A socket that somebody listens on is never taken over; one's own is removed only while it still is one's own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from saksi.words.errors import SaksiError, StoreError, UsageError

__all__ = ["DEFAULT_SOCKET", "Doors", "listen_at", "open_doors"]

DEFAULT_SOCKET: Final = Path("/run/saksi/agent.sock")
MAX_PATH: Final = 107
"""Of a Unix socket's path; those of the attempts are 39 bytes longer than the folder's."""
_BACKLOG: Final = 256
_PREFIX: Final = "jobs-"


class Doors(NamedTuple):
    """The control socket, listening, and the folder for the attempts' sockets."""

    control: socket.socket
    path: Path
    folder: Path
    lock: int
    inode: tuple[int, int]

    def close_control(self) -> None:
        """No more launchers: close the control socket, and remove it if it still is ours."""
        self.control.close()
        with contextlib.suppress(OSError):
            found = self.path.lstat()
            if (found.st_dev, found.st_ino) == self.inode:
                self.path.unlink()

    def close(self) -> None:
        """Remove everything that is ours."""
        self.close_control()
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.close(self.lock)


def open_doors(path: Path) -> Doors:
    """Listen at `path`. Raises `UsageError` for a place that is not safe, `StoreError` if it cannot be made."""
    if not path.is_absolute():
        raise UsageError(f"--socket {path} is not an absolute path")
    if len(os.fsencode(path.parent)) + 39 > MAX_PATH:
        raise UsageError(f"--socket {path} is too long for a socket", remedy="choose a shorter folder")
    try:
        _make_open(path.parent)
        _require_safe(path.parent)
        _remove_what_died(path.parent)
        _require_free(path)
        folder, lock = _own_folder(path.parent)
        control = listen_at(path)
        found = path.lstat()
    except OSError as error:
        raise StoreError(
            f"cannot listen at {path}: {error.strerror}", remedy=f"give {path.parent} to this account, or use --socket"
        ) from None
    return Doors(control=control, path=path, folder=folder, lock=lock, inode=(found.st_dev, found.st_ino))


def listen_at(path: Path) -> socket.socket:
    """A listening socket that any account may connect to. Raises `OSError`."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _make_open(folder: Path) -> None:
    """Make what is missing of `folder`, so that everybody can enter it, whatever the umask says."""
    if folder.is_dir():
        return
    _make_open(folder.parent)
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)


def _require_safe(folder: Path) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), 0):
        raise UsageError(f"{folder} is not a folder of this account", remedy="use --socket, or change its owner")
    if stat.S_IMODE(found.st_mode) & 0o022:
        raise UsageError(f"{folder} can be written by other accounts", remedy=f"chmod 755 {folder}")


def _require_free(path: Path) -> None:
    """Make way where a socket is left that nobody listens on."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise UsageError(f"{path} is there already and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except FileNotFoundError:
            return
    raise SaksiError(
        f"another agent listens at {path}", remedy="end it with SIGTERM: it lets its jobs finish, and makes way at once"
    )


def _own_folder(parent: Path) -> tuple[Path, int]:
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    folder.chmod(0o755)
    return folder, lock


def _remove_what_died(parent: Path) -> None:
    for folder in parent.iterdir():
        if not folder.name.startswith(_PREFIX) or folder.lstat().st_uid != os.geteuid():
            continue
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # its agent lives
            continue
        finally:
            os.close(lock)
