"""The training command as a child of the launcher: a TTY stays a TTY, signals reach it, its status comes back.

The child shares the launcher's process group and every file that was open, so that job control, job servers and
`<(process substitution)` work as they do without saksi. A signal the terminal sent has reached the child already and is
not sent again; one that a process sent is forwarded. Which of the two it was, the kernel says (`si_code`).

BUG: whether a process signalled the launcher alone or its whole group, the kernel does not say. A signal that was
sent to the group, or to each process of the job, reaches the command twice: losing one would be worse.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from saksi.words.records import Peer

__all__ = [
    "HELD_SIGNALS",
    "CannotStart",
    "Child",
    "Ended",
    "Held",
    "drain_signals",
    "hold_signals",
    "interrupted",
    "release_signals",
]

HELD_SIGNALS: Final = frozenset(
    {
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGCONT,
        signal.SIGALRM,
    }
)
_ENDING: Final = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
_SI_KERNEL: Final = 0x80
NO_STATUS: Final = 125
NOT_EXECUTABLE: Final = 126
NOT_FOUND: Final = 127


class CannotStart(Exception):
    """The command did not start: the exit code to end with, and one line."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How the command ended; exactly one of `code` and `signal` is set."""

    code: int | None
    signal: int | None
    elapsed_ns: int

    @property
    def exit_code(self) -> int:
        """What the launcher ends with: the command's own code, 128+n for a signal."""
        return 128 + (self.signal or 0) if self.code is None else self.code


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What `hold_signals` found: the mask, and whether the end of children was ignored."""

    mask: frozenset[int]
    children_ignored: bool


def hold_signals() -> Held:
    """Keep the signals of a job waiting until they can be handled; what was in force before, for the child.

    Where SIGCHLD is ignored the kernel throws a child's status away; the launcher needs it.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_SIGNALS | {signal.SIGCHLD})
    ignored = signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return Held(mask=frozenset(int(each) for each in mask), children_ignored=ignored)


def release_signals(before: Held) -> None:
    """Put back what `hold_signals` found."""
    if before.children_ignored:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, before.mask)


def interrupted() -> signal.Signals | None:
    """A held signal that asks the launcher to end before the command was started."""
    waiting = signal.sigpending() & _ENDING
    return signal.Signals(min(waiting)) if waiting else None


class Child:
    """The running command."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], held: Held) -> None:
        """Start it. Raises `CannotStart` (126 not executable, 127 not found)."""
        program = shutil.which(command[0], path=environment.get("PATH", os.defpath))
        self.started_wall_ns = time.time_ns()
        self.started_ns = time.monotonic_ns()
        try:
            self._process = _start(list(command), program, environment, held)
        except FileNotFoundError:
            raise CannotStart(NOT_FOUND, _why_not_found(command[0])) from None
        except (PermissionError, IsADirectoryError, OSError) as error:
            raise CannotStart(NOT_EXECUTABLE, f"cannot run {command[0]}: {error.strerror}") from None

    @property
    def pid(self) -> int:
        """The command's process id."""
        return self._process.pid

    def wait(
        self,
        seen: Callable[[str, bool, Peer | None], None],
        *,
        reaped: Callable[[int, int], None] = lambda _pid, _status: None,
        tend: Callable[[], float | None] = lambda: None,
    ) -> Ended:
        """Wait for the end; `seen(signal, forwarded, sender)` is called for each signal that arrives meanwhile.

        `reaped(pid, status)` is called for each other child that ended, and `tend` whenever something has happened; it
        says in how many seconds it wants to be called again.
        """
        while True:
            status = self._reap(reaped)
            if status is not None:
                self._tell_waiting(seen)
                elapsed = time.monotonic_ns() - self.started_ns
                code = os.waitstatus_to_exitcode(status)
                return Ended(code=code if code >= 0 else None, signal=-code if code < 0 else None, elapsed_ns=elapsed)
            arrived = signal.sigtimedwait(HELD_SIGNALS | {signal.SIGCHLD}, min(1.0, tend() or 1.0))
            if arrived is not None and arrived.si_signo != signal.SIGCHLD:
                self._pass_on(arrived, seen)

    def _reap(self, reaped: Callable[[int, int], None]) -> int | None:
        """Collect every child that ended (orphans come to us too); the command's own status, if it is among them."""
        found = None
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                # Nobody is left to wait for: somebody else took the status, and an unknown one is never 0.
                return NO_STATUS << 8 if found is None else found
            if pid == 0:
                return found
            if pid == self._process.pid:
                found = status
                self._process.returncode = os.waitstatus_to_exitcode(status)
            else:
                reaped(pid, status)

    def _pass_on(self, arrived: signal.struct_siginfo, seen: Callable[[str, bool, Peer | None], None]) -> None:
        number = signal.Signals(arrived.si_signo)
        from_terminal = arrived.si_code == _SI_KERNEL
        if number == signal.SIGHUP and os.getsid(0) == os.getpid():
            from_terminal = False  # a terminal that hangs up tells the session's leader alone, and that is us
        sender = None if from_terminal else Peer(pid=max(arrived.si_pid, 0), uid=max(arrived.si_uid, 0), gid=0)
        to_send = not from_terminal and self._process.returncode is None
        try:
            # Told before it is sent, so that an agent which listens hears of it before it sees the command end.
            seen(number.name, to_send and self._may_signal(), sender)
        finally:
            if to_send:
                with contextlib.suppress(OSError):
                    os.kill(self._process.pid, number)

    def _tell_waiting(self, seen: Callable[[str, bool, Peer | None], None]) -> None:
        """Tell of signals that nobody took before the command had ended: one to the whole group ended both."""
        while (arrived := signal.sigtimedwait(HELD_SIGNALS, 0)) is not None:
            self._pass_on(arrived, seen)

    def _may_signal(self) -> bool:
        """Whether what is sent reaches it: it may have become another account's, as `sudo` does."""
        try:
            os.kill(self._process.pid, 0)
        except OSError:
            return False
        return True


def _start(
    command: list[str], program: str | None, environment: Mapping[str, str], held: Held
) -> subprocess.Popen[bytes]:
    def start(words: list[str], executable: str | None) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            words,
            executable=executable,
            env=dict(environment),
            close_fds=False,  # files that were open for the command stay so; ours are not inheritable
            # The one thing between fork and exec: the child must not inherit our blocked signals. The launcher has a
            # single thread, which is what makes this safe.
            preexec_fn=lambda: release_signals(held),  # noqa: PLW1509 - see above
        )

    try:
        return start(command, program)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        # A script without `#!`: execvp and every shell hand it to sh.
        return start(["/bin/sh", program or command[0], *command[1:]], "/bin/sh")


def drain_signals() -> None:
    """Take the held signals that still wait: what they could have ended has ended."""
    while signal.sigtimedwait(HELD_SIGNALS, 0) is not None:
        pass


def _why_not_found(program: str) -> str:
    if "/" in program:
        return f"{program}: no such file, or its interpreter is missing"
    return f"{program}: command not found"
