"""Getting the agent ready before the command starts."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from saksi.doors.launch.arguments import LaunchArguments
from saksi.doors.launch.attempt import begin_attempt
from saksi.doors.launch.environment import environment_to_watch
from saksi.doors.launch.notified import NOBODY, Notified
from saksi.doors.launch.running import Forked, RunningAgent
from saksi.doors.launch.surroundings import (
    bytecode_prefix,
    launch_of,
    notes_on,
    recorder_environment,
    runtime_folder,
)
from saksi.edges.anchors import Anchor
from saksi.edges.clock import Clock
from saksi.edges.environment.observe import observe
from saksi.edges.home import resolve_cache, resolve_home
from saksi.edges.keys import open_keyring
from saksi.edges.run_folders import place_for_runs
from saksi.judgement.redaction import redact_command
from saksi.judgement.seal import make_statement
from saksi.processes.agent.control import Ready, receive_from_agent
from saksi.processes.agent.embedded import EmbeddedSetup, start_embedded
from saksi.processes.agent.last_head import LastHead
from saksi.proofs.attest.envelope import IN_TOTO, format_envelope, sign
from saksi.words.errors import SaksiError, StoreError

__all__ = ["start_agent"]

READY_S: Final = 20.0


def start_agent(
    arguments: LaunchArguments,
    environment: Mapping[str, str],
    folder: Path,
    clock: Clock,
    *,
    anchors: tuple[Anchor, ...],
    seal_file: bytes | None = None,
    notified: Notified = NOBODY,
) -> RunningAgent:
    """Seal the launch and start its agent; durable when this returns. Raises `SaksiError`, `OSError`.

    `seal_file` is what the launch is held to, `notified` who hears of findings.
    """
    home = resolve_home(environment)
    keyring = open_keyring(home)
    place = place_for_runs(home, environment, uid=os.getuid())
    attempt = begin_attempt(arguments, environment, folder, home=home, place=place, keyring=keyring)
    scratch = Path(tempfile.mkdtemp(prefix="saksi-", dir=runtime_folder(environment)))
    try:
        token = secrets.token_hex(32)
        listener = _listen(scratch / "agent.sock")
        prefix = bytecode_prefix(arguments, environment, folder, scratch)
        added = {
            **recorder_environment(
                attempt,
                arguments,
                environment,
                socket=scratch / "agent.sock",
                token=token,
            ),
            **prefix.added,
        }
        launch = launch_of(
            attempt, arguments, environment, folder, added=added, scratch=scratch, redaction_key=keyring.redaction_key
        )
        seal = observe(launch, now_ns=clock.wall_ns()).seal
        envelope = format_envelope(sign(IN_TOTO, make_statement(seal), [keyring.signer]))
        setup = EmbeddedSetup(
            run=attempt.run,
            attempt=attempt.number,
            folder=attempt.folder,
            home_folder=home.run_folder(attempt.run),
            seal_envelope=envelope,
            installation=keyring.signer,
            previous_keys=attempt.previous_keys,
            token=token,
            launcher=os.getpid(),
            anchors=anchors,
            kept=prefix.store,
            redact=lambda command: list(redact_command(command)),
            notes=notes_on(environment),
            seal_file=seal_file,
            environment=environment_to_watch(seal_file, arguments.command, environment, folder),
            redaction_key=keyring.redaction_key,
            cache=resolve_cache(environment, uid=os.getuid()),
            last_head=LastHead(),
            hooks=notified.hooks,
            notify_from=notified.severity,
            name=attempt.name,
            project=attempt.project,
        )
        agent = _fork(setup, clock, listener)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return RunningAgent(setup, agent, sealed=seal, clock=clock, listener=listener, added=added, scratch=scratch)


def _fork(setup: EmbeddedSetup, clock: Clock, listener: socket.socket) -> Forked:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        agent = start_embedded(setup, clock=clock, listener=listener, theirs=theirs, ours=ours)
    ours.settimeout(READY_S)
    answer = receive_from_agent(ours)
    if isinstance(answer, Ready) and answer.problem is None:
        return Forked(pid=agent, control=ours)
    ours.close()
    listener.close()
    with contextlib.suppress(OSError):
        os.waitpid(agent, os.WNOHANG)
    problem = answer.problem if isinstance(answer, Ready) else None
    raise StoreError(problem or f"the agent did not start; see {setup.folder / 'agent.log'}")


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listener.bind(str(path))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise SaksiError(f"cannot listen on {path}: {error.strerror}", remedy="set TMPDIR to a shorter path") from None
    return listener
