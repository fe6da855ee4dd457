"""An attempt that the agent of the node records: the launcher asks for it, seals it, and tells how the command ended.

The launcher looks at the environment, since only the job's account sees all of it; so those facts are this account's
word. The run's id, its key, its token and its log are the agent's.
"""

from __future__ import annotations

import os
import select
import shutil
import socket
import stat
import tempfile
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeVar

from saksi.doors.launch.arguments import LaunchArguments
from saksi.doors.launch.attempt import Attempted
from saksi.doors.launch.child import interrupted
from saksi.doors.launch.surroundings import (
    bytecode_prefix,
    launch_of,
    notes_on,
    recorder_environment,
    runtime_folder,
)
from saksi.edges.agent_socket import DEFAULT_SOCKET
from saksi.edges.clock import Clock
from saksi.edges.configuration import read_configuration
from saksi.edges.environment.observe import observe
from saksi.edges.home import resolve_home
from saksi.edges.keys import open_keyring
from saksi.judgement.seal import Seal, make_statement
from saksi.processes.agent.closing import LAST_WORD_S
from saksi.processes.agent.connection import peer_of
from saksi.processes.agent.control import MAX_UNHEARD, Closed, FromLauncher, JobStarted, receive_from_agent, send
from saksi.processes.agent.node_messages import (
    PROTOCOL,
    Begin,
    Begun,
    Prepared,
    Refused,
    hear_answer,
    say,
    send_content,
)
from saksi.words.errors import MalformedInput, SaksiError, StoreError, UsageError

__all__ = ["ServedAgent", "agent_socket", "start_served"]

EMBEDDED: Final = "embedded"
ANSWER_S: Final = 20.0
CLOSE_S: Final = LAST_WORD_S
_KEY_BYTES: Final = 32
Expected = TypeVar("Expected", Prepared, Begun)


class ServedAgent:
    """The node's agent, as one launcher sees it. It outlives the launcher, and is never started again from here."""

    def __init__(
        self,
        prepared: Prepared,
        control: socket.socket,
        *,
        account: int,
        sealed: Seal,
        added: Mapping[str, str],
        scratch: Path,
    ) -> None:
        self.run = prepared.run
        self.attempt = prepared.attempt
        self.sealed = sealed
        self.account = account
        self.added = dict(added)
        self._control = control
        self._scratch = scratch
        self._why = "the agent has not closed the record yet"
        self._started: JobStarted | None = None
        self._unheard: deque[FromLauncher] = deque(maxlen=MAX_UNHEARD)

    def tell(self, message: FromLauncher) -> None:
        """Say something to the agent; if it has no room for it, later. If it is gone, the log will show that."""
        if isinstance(message, JobStarted):
            self._started = message  # however much is said before there is room: that the job runs comes first
        else:
            self._unheard.append(message)
        self._flush()

    def reaped(self, pid: int, status: int) -> bool:
        """Whether this child of the launcher was the agent: it is none."""
        del pid, status
        return False

    def tend(self) -> float | None:
        """Say what found no room. Nothing else is to be done while the command runs."""
        self._flush()
        return None

    def close(self) -> str | None:
        """Wait for the agent's last word; `None` if it does not come, or a signal says not to wait."""
        deadline = time.monotonic() + CLOSE_S
        said = None
        while time.monotonic() < deadline and interrupted() is None:
            self._flush()
            if select.select([self._control], [], [], 0.1)[0]:
                said = self._last_word()
                break
        self._control.close()
        shutil.rmtree(self._scratch, ignore_errors=True)
        return said

    def left_unsaid(self) -> str:
        """Why there was no last word, for the launcher's last line."""
        return self._why

    def _flush(self) -> None:
        if self._started is not None:
            if not send(self._control, self._started):
                return
            self._started = None
        while self._unheard and send(self._control, self._unheard[0]):
            self._unheard.popleft()

    def _last_word(self) -> str | None:
        try:
            answer = receive_from_agent(self._control)
        except MalformedInput:
            answer = None
        if isinstance(answer, Closed):
            return answer.sentence
        self._why = f"the agent of account {self.account} is gone"
        return None


def agent_socket(environment: Mapping[str, str]) -> Path | None:
    """The socket of the node's agent: `SAKSI_AGENT`, else the usual place if there is one. Raises `UsageError`.

    `None` where there is none, or `SAKSI_AGENT=embedded` asks for an agent of this account.
    """
    named = environment.get("SAKSI_AGENT", "")
    if named == EMBEDDED:
        return None
    if named:
        if not Path(named).is_absolute():
            raise UsageError(f"SAKSI_AGENT={named} is not an absolute path", remedy="name a socket, or `embedded`")
        return Path(named)
    try:
        return DEFAULT_SOCKET if stat.S_ISSOCK(DEFAULT_SOCKET.stat().st_mode) else None
    except OSError:
        return None


def start_served(
    path: Path,
    arguments: LaunchArguments,
    environment: Mapping[str, str],
    folder: Path,
    clock: Clock,
    *,
    seal_file: bytes | None = None,
) -> ServedAgent:
    """Ask the agent at `path` for an attempt and seal it; durable when this returns. Raises `SaksiError`, `OSError`.

    `seal_file` is what the launch is held to.
    """
    control = _connected(path)
    scratch: Path | None = None
    try:
        asked = Begin(
            version=PROTOCOL, resume=arguments.resume, notes=notes_on(environment), seal_file=seal_file is not None
        )
        say(control, asked)
        prepared = _answer(control, Prepared)
        attempt = _attempted(prepared, arguments, folder)
        scratch = Path(tempfile.mkdtemp(prefix="saksi-", dir=runtime_folder(environment)))
        prefix = bytecode_prefix(arguments, environment, folder, scratch)
        recorder = recorder_environment(
            attempt,
            arguments,
            environment,
            socket=Path(prepared.socket),
            token=prepared.token,
        )
        added = {**recorder, **prefix.added}
        launch = launch_of(
            attempt,
            arguments,
            environment,
            folder,
            added=added,
            scratch=scratch,
            redaction_key=_redaction_key(environment),
        )
        seal = observe(launch, now_ns=clock.wall_ns()).seal
        send_content(control, make_statement(seal))
        if seal_file is not None:
            send_content(control, seal_file)
        _answer(control, Begun)
        account = peer_of(control).uid
    except BaseException:
        control.close()
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
        raise
    return ServedAgent(prepared, control, account=account, sealed=seal, added=added, scratch=scratch)


def _connected(path: Path) -> socket.socket:
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.settimeout(ANSWER_S)
    try:
        control.connect(str(path))
    except OSError as error:
        control.close()
        raise StoreError(f"no agent answers at {path}: {error.strerror or error}") from None
    return control


def _answer(control: socket.socket, expected: type[Expected]) -> Expected:
    answer = hear_answer(control)
    if isinstance(answer, Refused):
        raise UsageError(answer.reason) if answer.why == "usage" else SaksiError(answer.reason)
    if not isinstance(answer, expected):
        raise MalformedInput("message", "the agent answered something else")
    return answer


def _attempted(prepared: Prepared, arguments: LaunchArguments, folder: Path) -> Attempted:
    found = read_configuration(folder)
    settings = found.settings
    fresh = arguments.resume is None
    return Attempted(
        run=prepared.run,
        number=prepared.attempt,
        folder=folder,
        name=arguments.name or settings.name if fresh else prepared.name,
        project=arguments.project or settings.project if fresh else prepared.project,
        level=arguments.level or (settings.level if fresh else prepared.level) or "standard",
        segment=arguments.segment or (settings.segment if fresh else prepared.segment),
        configuration=() if found.path is None else (str(found.path),),
        plan=settings.plan,
        expect=settings.expect,
        data=settings.data,
    )


def _redaction_key(environment: Mapping[str, str]) -> bytes:
    """This account's own key: what is recorded under it compares between its runs. Without a home, one for this run."""
    try:
        return open_keyring(resolve_home(environment)).redaction_key
    except (SaksiError, OSError):
        return os.urandom(_KEY_BYTES)
